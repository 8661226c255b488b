/* What an instruction set gives a reorder; the walk that calls it is plain C (reorder.c). */
#ifndef PITH_OPS_REORDER_INTERNAL_H
#define PITH_OPS_REORDER_INTERNAL_H

#include <stdint.h>

#include "ops/copy/reorder.h"

enum { PITH_REORDER_BLOCK = 16 };

/* 16 x 16 elements: to[j][i] = from[i][j]; lines of 16, steps in bytes. */
typedef void pith_reorder_transpose(const uint8_t *from, size_t from_step, uint8_t *to, size_t to_step);

typedef struct pith_reorder_code {
  pith_reorder_transpose *bytes, *words; /* words of 4 bytes: also groups of 4 neighbours in tile64x4 */
  /* 4 x `groups` features of a tile, the first 16 x `vectors` tokens: tile64 <-> tile64x4. */
  void (*join)(const uint8_t *tile64, size_t groups, size_t vectors, uint8_t *tile64x4);
  void (*part)(const uint8_t *tile64x4, size_t groups, size_t vectors, uint8_t *tile64);
} pith_reorder_code;

size_t pith_reorder_count_tasks(const void *args, size_t threads);
void pith_reorder_run(const pith_reorder_code *code, const void *args, size_t threads, size_t task);

extern const pith_kernel pith_reorder_avx2;

#endif
