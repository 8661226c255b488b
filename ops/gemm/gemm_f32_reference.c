/* What every other kernel's bits are compared with: one chain per output, nothing else. */
#include "ops/math/v16_plain.h"

#include "ops/math/functions.h"

#include "ops/gemm/gemm_f32_finish.h"
#include "ops/gemm/gemm_f32_internal.h"

void pith_gemm_f32_finish_plain(size_t rows, const pith_gemm_f32_finish *f) {
  gemm_finish(rows, f);
}

/* A task is one block of one segment, all rows. */
static size_t count_blocks(const pith_gemm_f32_segment *s) {
  return (s->n + PITH_GEMM_BLOCK - 1) / PITH_GEMM_BLOCK;
}

static size_t count_tasks(const void *args, size_t threads) {
  const pith_gemm_f32_args *a = args;
  (void)threads;
  size_t tasks = 0;
  for (size_t s = 0; s < a->segment_count && a->rows; ++s)
    tasks += count_blocks(&a->segments[s]);
  return tasks;
}

static void run(const void *args, size_t threads, size_t task, void *scratch) {
  const pith_gemm_f32_args *a = args;
  (void)threads;
  (void)scratch;
  const pith_gemm_f32_segment *s = a->segments;
  for (; task >= count_blocks(s); ++s)
    task -= count_blocks(s);
  const size_t n0 = task * PITH_GEMM_BLOCK, width = pith_gemm_f32_block_width(s->n, n0);
  const size_t columns = s->n - n0 < width ? s->n - n0 : width;
  /* Of w[j, k] in each form: the first, from input to input, from output to output. */
  const float *w = s->w + (s->form == PITH_GEMM_BLOCKS ? n0 * a->k : s->form == PITH_GEMM_ROWS ? n0 * s->w_stride : n0);
  const size_t k_step = s->form == PITH_GEMM_BLOCKS ? width : s->form == PITH_GEMM_ROWS ? 1 : s->w_stride;
  const size_t j_step = s->form == PITH_GEMM_ROWS ? s->w_stride : 1;
  for (size_t t = 0; t < a->rows; ++t) {
    const float *x = a->x + t * a->x_stride;
    float sums[PITH_GEMM_BLOCK] = {0};
    for (size_t k = 0; k < a->k; ++k)
      for (size_t j = 0; j < columns; ++j)
        sums[j] = fmaf(x[k], w[k * k_step + j * j_step], sums[j]);
    const pith_gemm_f32_finish finish = {
        .c = sums,
        .columns = columns,
        .bias = s->bias ? s->bias + n0 : NULL,
        .activation = a->activation,
        .residual = a->residual ? a->residual + t * a->residual_stride + n0 : NULL,
        .y = s->y + t * s->y_stride + n0,
    };
    pith_gemm_f32_finish_plain(1, &finish);
  }
}

const pith_kernel pith_gemm_f32_reference = {
    .name = "gemm_f32f32_reference",
    .count_tasks = count_tasks,
    .run = run,
};
