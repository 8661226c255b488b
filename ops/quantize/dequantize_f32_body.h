/* The body of every dequantize_f32 kernel: DequantizeLinear, y = (q - zero) * scale; q - zero is exact. Included after a v16
 * header. */
#include "ops/quantize/quantize.h"
#include "ops/quantize/quantize_internal.h"
#include "ops/split.h"

V16_INLINE v16 dequantize_load(bool is_signed, size_t n, const uint8_t *q) {
  if (n == 16)
    return is_signed ? v16_load_s8((const int8_t *)q) : v16_load_u8(q);
  return is_signed ? v16_load_s8_first(n, (const int8_t *)q) : v16_load_u8_first(n, q);
}

/* n elements of one scale. */
static void dequantize_run_of(bool is_signed, const uint8_t *q, size_t n, float scale, float zero, float *y) {
  const v16 factor = v16_set(scale), zeros = v16_set(zero);
  const size_t whole = n / 16 * 16;
  for (size_t i = 0; i < whole; i += 16)
    v16_store(y + i, v16_mul(v16_sub(dequantize_load(is_signed, 16, q + i), zeros), factor));
  if (whole < n) {
    const v16 last = dequantize_load(is_signed, n - whole, q + whole);
    v16_store_masked(m16_first(n - whole), y + whole, v16_mul(v16_sub(last, zeros), factor));
  }
}

/* A scale for each element. */
static void dequantize_by_element(bool is_signed, const uint8_t *q, size_t n, const float *scale, const uint8_t *zero,
                                  float *y) {
  for (size_t i = 0; i < n; i += 16) {
    const size_t lanes = n - i < 16 ? n - i : 16;
    const m16 m = m16_first(lanes);
    const v16 zeros = zero ? dequantize_load(is_signed, lanes, zero + i) : v16_set(0.0f);
    const v16 x = v16_sub(dequantize_load(is_signed, lanes, q + i), zeros);
    v16_store_masked(m, y + i, v16_mul(x, v16_load_masked(m, scale + i)));
  }
}

/* s32 (of biases) has no zero point. */
static void dequantize_row_s32(const pith_dequantize_args *a, size_t row) {
  const int32_t *q = (const int32_t *)a->q + row * a->q_stride;
  float *y = a->y + row * a->y_stride;
  const float *scale = a->scale + row * a->scale_row_step;
  for (size_t i = 0; i < a->features; ++i)
    y[i] = (float)q[i] * scale[a->scale_step == 0 ? 0 : i / a->block * a->scale_step];
}

static size_t dequantize_count(const void *args, size_t threads) {
  const pith_dequantize_args *a = args;
  return a->features == 0 ? 0 : pith_split_count(a->rows, a->features, threads);
}

static void dequantize_run(const void *args, size_t threads, size_t task, void *scratch) {
  (void)scratch;
  const pith_dequantize_args *a = args;
  const bool is_signed = a->type == PITH_NUMBER_S8;
  const size_t count = dequantize_count(args, threads), end = pith_split_begin(a->rows, count, task + 1);
  const uint8_t *zeros = a->zero; /* bytes of either type */
  for (size_t row = pith_split_begin(a->rows, count, task); row < end; ++row) {
    if (a->type == PITH_NUMBER_S32) {
      dequantize_row_s32(a, row);
      continue;
    }
    const uint8_t *q = (const uint8_t *)a->q + row * a->q_stride;
    float *y = a->y + row * a->y_stride;
    const size_t first = row * a->scale_row_step;
    if (a->block == 1 && a->scale_step == 1) {
      dequantize_by_element(is_signed, q, a->features, a->scale + first, zeros ? zeros + first : NULL, y);
      continue;
    }
    const size_t block = a->scale_step == 0 ? a->features : a->block;
    for (size_t i = 0; i < a->features; i += block) {
      const size_t at = a->scale_step == 0 ? first : first + i / a->block * a->scale_step;
      const int zero = !zeros ? 0 : is_signed ? (int8_t)zeros[at] : zeros[at];
      dequantize_run_of(is_signed, q + i, a->features - i < block ? a->features - i : block, a->scale[at], (float)zero, y + i);
    }
  }
}

const pith_kernel V16_NAME(pith_dequantize_f32) = {
    .name = "dequantize_f32_" V16_ISA_TEXT,
    .needs = V16_NEEDS,
    .count_tasks = dequantize_count,
    .run = dequantize_run,
};
