/* What an instruction set gives a reorder; the walk that calls it is plain C (reorder.c). */
#ifndef PITH_OPS_REORDER_INTERNAL_H
#define PITH_OPS_REORDER_INTERNAL_H

#include <stdbool.h>
#include <stdint.h>

#include "ops/copy/reorder.h"

/* A block is 16 tokens: in rows 64 bytes of each, in tile64 the 16 of each of 64 or 16 features, which lie 64 elements apart.
 * So what is read and written of rows are whole lines, in whatever set of the cache they meet. */
enum { PITH_REORDER_TOKENS = 16, PITH_REORDER_LINE = 64 };

typedef void pith_reorder_to_tile(const uint8_t *rows, size_t stride_bytes, uint8_t *tile);
typedef void pith_reorder_to_rows(const uint8_t *tile, uint8_t *rows, size_t stride_bytes);

typedef struct pith_reorder_code {
  /* Elements of 4 bytes: groups of 4 neighbours in tile64x4, too. */
  pith_reorder_to_tile *words_to_tile;
  pith_reorder_to_rows *words_to_rows;
  pith_reorder_to_tile *bytes_to_tile;
  pith_reorder_to_rows *bytes_to_rows;
  /* 4 x `groups` features of a tile, the first 16 x `vectors` tokens: tile64 <-> tile64x4. */
  void (*join)(const uint8_t *tile64, size_t groups, size_t vectors, uint8_t *tile64x4);
  void (*part)(const uint8_t *tile64x4, size_t groups, size_t vectors, uint8_t *tile64);
} pith_reorder_code;

size_t pith_reorder_count_tasks(const void *args, size_t threads);
void pith_reorder_run(const pith_reorder_code *code, const void *args, size_t threads, size_t task);

extern const pith_kernel pith_reorder_avx2, pith_reorder_avx512;

/* Nothing is gained from wider registers where 4 lines of 16 bytes are 4 of 16 again. */
void pith_reorder_join_avx2(const uint8_t *tile64, size_t groups, size_t vectors, uint8_t *tile64x4);
void pith_reorder_part_avx2(const uint8_t *tile64x4, size_t groups, size_t vectors, uint8_t *tile64);

#endif
