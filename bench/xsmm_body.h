/* What libxsmm's generator makes of the same product, as a peer: tiles of 6 rows x 64 outputs, leading dimensions baked in
 * (rows of 768 inputs), the weights where ours lie. The best that its forms allow without copying x: one call for a tile,
 * and for the tiles that have a share of the next block to prefetch a call over 64 inputs that prefetches (AL2: four
 * lines for each input) and one over the other 704. 768 inputs and a multiple of 64 outputs only. */
#ifndef PITH_BENCH_XSMM_BODY_H
#define PITH_BENCH_XSMM_BODY_H

#include "bench/kernels.h"
#include "ops/gemm/gemm_f32.h"

enum { XSMM_K = 768, XSMM_FETCH_K = 64, XSMM_ROWS = 6, XSMM_BLOCK = 64, XSMM_TASK_ROWS = 84 };

typedef struct xsmm_code {
  void (*whole)(const float *w, const float *x, float *c);
  void (*fetch)(const float *w, const float *x, float *c, const float *next, const float *, const float *);
  void (*rest)(const float *w, const float *x, float *c);
} xsmm_code;

static size_t xsmm_count_tasks(const void *args, size_t threads) {
  (void)args, (void)threads;
  return 1;
}

static size_t xsmm_get_scratch_bytes(const void *args) {
  (void)args;
  return XSMM_ROWS * XSMM_BLOCK * sizeof(float);
}

static void xsmm_finish(const pith_gemm_f32_segment *s, size_t row, size_t n0, const float *c) {
  for (size_t i = 0; i < XSMM_ROWS; ++i)
    for (size_t j = 0; j < XSMM_BLOCK; ++j)
      s->y[(row + i) * s->y_stride + n0 + j] = c[i * XSMM_BLOCK + j] + s->bias[n0 + j];
}

/* The last tile begins early enough to be whole; its first rows are computed twice and not counted. */
static void xsmm_run_all(const xsmm_code *code, const pith_gemm_f32_args *a, void *scratch) {
  const pith_gemm_f32_segment *s = a->segments;
  float *c = scratch;
  const size_t shares = XSMM_K / XSMM_FETCH_K;
  for (size_t row0 = 0; row0 < a->rows; row0 += XSMM_TASK_ROWS) {
    const size_t end = a->rows - row0 < XSMM_TASK_ROWS ? a->rows : row0 + XSMM_TASK_ROWS;
    for (size_t n0 = 0; n0 < s->n; n0 += XSMM_BLOCK) {
      const float *w = s->w + n0 * XSMM_K, *next = n0 + XSMM_BLOCK < s->n ? w + XSMM_BLOCK * XSMM_K : s->w;
      size_t share = 0;
      for (size_t tile = row0; tile < end; tile += XSMM_ROWS, ++share) {
        const size_t row = tile + XSMM_ROWS <= end ? tile : end - XSMM_ROWS;
        const float *x = a->x + row * XSMM_K;
        if (share < shares) {
          code->fetch(w, x, c, next + share * XSMM_FETCH_K * XSMM_BLOCK, NULL, NULL);
          code->rest(w + XSMM_FETCH_K * XSMM_BLOCK, x + XSMM_FETCH_K, c);
        } else
          code->whole(w, x, c);
        xsmm_finish(s, row, n0, c);
      }
    }
  }
}

#endif
