/* What every other kernel's bits are compared with: each sum as the header writes it, each result finished by itself. */
#include <math.h>
#include <string.h>

#include "ops/math/v16_plain.h"

#include "ops/math/functions.h"

#include "ops/gemm/gemm_u8s8_activate.h"
#include "ops/gemm/gemm_u8s8_internal.h"
#include "ops/quantize/quantize_rows.h"

enum { BLOCK = PITH_GEMM_U8S8_BLOCK, GROUP = PITH_GEMM_U8S8_GROUP };

/* A task is a row of the result, in all segments. */
static size_t count_tasks(const void *args, size_t threads) {
  const pith_gemm_u8s8_args *a = args;
  (void)threads;
  return a->segment_count == 0 ? 0 : a->rows;
}

static size_t get_scratch_bytes(const void *args) {
  const pith_gemm_u8s8_args *a = args;
  return a->q_per_row ? a->segments[0].n * sizeof(float) : 0;
}

/* sum over k of x[k] * w[k], less zero times the stored sum, for a stored block: modulo 2^32 throughout, as the others, so
 * that even sums which are not those of the weights (a damaged file's) give everywhere the same. */
static void multiply(const uint8_t *x, uint8_t zero, size_t k, const int8_t *w, int32_t out_sums[BLOCK]) {
  uint32_t sums[BLOCK];
  memcpy(sums, w + pith_gemm_u8s8_groups(k) * PITH_GEMM_U8S8_GROUP_BYTES, sizeof sums);
  for (size_t j = 0; j < BLOCK; ++j)
    sums[j] *= -(uint32_t)zero;
  for (size_t i = 0; i < k; ++i, w += i % GROUP == 0 ? BLOCK * GROUP : 0)
    for (size_t j = 0; j < BLOCK; ++j)
      sums[j] += (uint32_t)(x[i] * w[j * GROUP + i % GROUP]);
  memcpy(out_sums, sums, sizeof sums);
}

static void activate(pith_activation activation, bool for_8bit, float z[BLOCK]) {
  const v16 x = v16_load(z);
  v16_store(z, for_8bit ? gemm_activate_8bit(activation, x) : gemm_activate(activation, x));
}

static void quantize(const pith_quantized_rows *q, size_t at, size_t columns, const float *z) {
  const quantizer to_8bit = quantizer_of_rows(q);
  quantizer_store_first(&to_8bit, columns, v16_load(z), (uint8_t *)q->q + at);
}

static void run_block(const pith_gemm_u8s8_args *a, const pith_gemm_u8s8_segment *s, size_t t, size_t n0, float *row) {
  const size_t columns = s->n - n0 < BLOCK ? s->n - n0 : BLOCK, of_x = a->x_per_row ? t : 0;
  int32_t sums[BLOCK];
  multiply(a->x + t * a->x_stride, a->x_zero[of_x], a->k, s->w + n0 / BLOCK * pith_gemm_u8s8_block_bytes(a->k), sums);
  float z[BLOCK] = {0};
  for (size_t j = 0; j < columns; ++j)
    z[j] = fmaf((float)sums[j], a->x_scale[of_x] * s->w_scale[n0 + j], s->bias ? s->bias[n0 + j] : 0.0f);
  activate(a->activation, !s->y, z);
  if (a->residual)
    for (size_t j = 0; j < columns; ++j)
      z[j] = z[j] + a->residual[t * a->residual_stride + n0 + j];
  if (s->y)
    memcpy(s->y + t * s->y_stride + n0, z, columns * sizeof *z);
  if (a->q_per_row)
    memcpy(row + n0, z, columns * sizeof *z);
  else if (s->q.q)
    quantize(&s->q, t * s->q.stride + n0, columns, z);
}

static void run(const void *args, size_t threads, size_t task, void *scratch) {
  const pith_gemm_u8s8_args *a = args;
  (void)threads;
  for (const pith_gemm_u8s8_segment *s = a->segments; s < a->segments + a->segment_count; ++s)
    for (size_t n0 = 0; n0 < s->n; n0 += BLOCK)
      run_block(a, s, task, n0, scratch);
  if (a->q_per_row && a->segments[0].n > 0)
    quantize_row(&a->segments[0].q, task, scratch, a->segments[0].n);
}

const pith_kernel pith_gemm_u8s8_reference = {
    .name = "gemm_u8s8_reference",
    .count_tasks = count_tasks,
    .get_scratch_bytes = get_scratch_bytes,
    .run = run,
};
