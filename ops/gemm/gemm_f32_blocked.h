/* The walk that every blocked FP32 product shares; an instruction set supplies only the code of its tiles.
 *
 *            panel                     A task is a range of row tiles times a range of stored blocks (64 outputs).
 *          +-------+  stored block     For each block, chunk of k and panel all row tiles are computed: the rows of x stay
 *   tile   |       |  [k][64]          in the second-level cache for all blocks, a panel's chunk of weights for all row
 *   rows   +-------+                   tiles. Meanwhile the next chunk of weights is prefetched, a share by each tile, and
 *                                      in the first block the next tile's x.
 *
 * Weights that are no stored blocks are repacked chunk by chunk, and their tasks take as many rows as sharing allows: all groups
 * of rows read what was repacked once, and their x comes from the third level, once for each block.
 *
 * Between chunks of k the partial sums wait in y, so that each output stays one chain. */
#ifndef PITH_OPS_GEMM_F32_BLOCKED_H
#define PITH_OPS_GEMM_F32_BLOCKED_H

#include "ops/gemm/gemm_f32.h"

enum {
  PITH_GEMM_BLOCK = 64,   /* outputs of a stored block */
  PITH_GEMM_NARROW = 16,  /* the last block's width is rounded up to this */
  PITH_GEMM_MAX_ROWS = 6,  /* of a tile */
  PITH_GEMM_LINE_BYTES = 64 /* of a cache */
};

/* out[i, j] = in[i, j] + sum over k of x[i, k] w[k, j] (+ bias[j]) (+ residual[i, j]), for `rows` x `width` outputs, width a
 * multiple of 16; `in` may be `out`. */
typedef struct pith_gemm_f32_tile {
  const float *x; /* [rows, k] */
  size_t x_stride;
  const float *w; /* [k, width] */
  size_t w_stride;
  size_t k;
  const float *in; /* the sums of the chunks before, or NULL */
  size_t in_stride;
  const float *bias, *residual; /* or NULL */
  size_t residual_stride;
  float *out;
  size_t out_stride;
  /* Prefetched meanwhile: `next_rows` rows of k inputs (pith_gemm_f32_row_lines for each, one for each k; they fit), then
   * `next_step` bytes from `next`, a multiple of a line's, for each k that is left. */
  const float *next_x;
  size_t next_rows;
  const char *next;
  size_t next_step;
} pith_gemm_f32_tile;

/* Lines that k inputs of a row may touch. */
static inline size_t pith_gemm_f32_row_lines(size_t k) {
  return k * sizeof(float) / PITH_GEMM_LINE_BYTES + 1;
}

/* What is done to `columns` (1 to 64) finished outputs of each row. */
typedef struct pith_gemm_f32_finish {
  const float *c; /* sums, stride PITH_GEMM_BLOCK */
  size_t columns;
  const float *bias; /* or NULL */
  pith_activation activation;
  const float *residual; /* or NULL */
  size_t residual_stride;
  float *y;
  size_t y_stride;
} pith_gemm_f32_finish;

/* A chunk of a block of row-major weights, to be stored panel by panel, each [k][panel] (the last one narrower, where width is no
 * multiple); zeros from `columns` on. */
typedef struct pith_gemm_f32_repack {
  const float *w; /* ROWS: [columns, k], COLUMNS: [k, columns] */
  pith_gemm_form form;
  size_t w_stride, columns, width, k;
  size_t panel; /* a multiple of 16 */
  float *out;
} pith_gemm_f32_repack;

typedef struct pith_gemm_f32_code {
  size_t tile_rows; /* at most PITH_GEMM_MAX_ROWS */
  size_t panel;     /* outputs of a tile, divides PITH_GEMM_BLOCK */
  size_t wide_rows; /* calls of at most so many rows use tiles of a whole block instead */
  void (*multiply)(size_t rows, size_t width, const pith_gemm_f32_tile *tile);
  void (*finish)(size_t rows, const pith_gemm_f32_finish *finish);
  void (*repack)(const pith_gemm_f32_repack *repack);
} pith_gemm_f32_code;

/* The members of a pith_kernel, over that code. */
size_t pith_gemm_f32_blocked_count_tasks(const pith_gemm_f32_code *code, const void *args, size_t threads);
size_t pith_gemm_f32_blocked_get_scratch_bytes(const void *args);
void pith_gemm_f32_blocked_run(const pith_gemm_f32_code *code, const void *args, size_t threads, size_t task,
                               void *scratch);

/* Width of the stored block that begins at output `n0`: 64, or less for the last. */
static inline size_t pith_gemm_f32_block_width(size_t n, size_t n0) {
  const size_t left = n - n0;
  return left >= PITH_GEMM_BLOCK ? PITH_GEMM_BLOCK : (left + PITH_GEMM_NARROW - 1) / PITH_GEMM_NARROW * PITH_GEMM_NARROW;
}

#endif
