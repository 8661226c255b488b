/* The walk that every block-sparse INT8 product shares; an instruction set supplies the code of a range of groups.
 *
 * A task is a tile of 64 tokens times a range of groups (of 4 outputs, of all segments), ranges being equal in units and a
 * constant for each group's finish. Within a task group follows group: the tile of x (48 KiB at 768 inputs) stays in the
 * first or second cache, and the weights come past as one stream. */
#ifndef PITH_OPS_SPARSE_GEMM_U8S8_WALK_H
#define PITH_OPS_SPARSE_GEMM_U8S8_WALK_H

#include "ops/sparse_gemm/sparse_gemm_u8s8_internal.h"

enum { PITH_SPARSE_VECTORS = PITH_TILE_TOKENS / 16 };

/* Groups of a segment, for a tile. */
typedef struct pith_sparse_gemm_u8s8_range {
  pith_sparse_form form;
  pith_sparse_parts w;
  size_t first, last; /* groups */
  size_t n;
  const uint8_t *x; /* the tile */
  size_t tokens;    /* 1 to 64 */
  const float *x_scale; /* [1], or [tokens] */
  const uint8_t *x_zero;
  bool x_per_row;
  const float *w_scale; /* [n] */
  const float *bias;    /* [n], or NULL */
  pith_activation activation;
  bool for_8bit; /* the activation's result becomes 8 bits and nothing else */
  const float *residual; /* the tile, or NULL */
  float *y;              /* the tile, or NULL */
  uint8_t *q;            /* the tile, or NULL */
  pith_activation_layout q_layout;
  pith_number q_type;
  float q_scale;
  uint8_t q_zero;
} pith_sparse_gemm_u8s8_range;

/* A whole tile to 8 bits, a scale for each token. */
typedef struct pith_sparse_gemm_u8s8_tile_rows {
  const float *z; /* [n][64] */
  size_t n, tokens;
  pith_quantized_tiles q; /* at the tile and its tokens */
} pith_sparse_gemm_u8s8_tile_rows;

typedef struct pith_sparse_gemm_u8s8_code {
  void (*run_range)(const pith_sparse_gemm_u8s8_range *range);
  void (*quantize_tile)(const pith_sparse_gemm_u8s8_tile_rows *rows);
} pith_sparse_gemm_u8s8_code;

/* The members of a pith_kernel, over that code. */
size_t pith_sparse_gemm_u8s8_count_tasks(const void *args, size_t threads);
size_t pith_sparse_gemm_u8s8_get_scratch_bytes(const void *args);
void pith_sparse_gemm_u8s8_run(const pith_sparse_gemm_u8s8_code *code, const void *args, size_t threads, size_t task,
                               void *scratch);

#endif
