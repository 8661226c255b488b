/* The body of every layer_norm_f32 kernel; included after a v16 header.
 *
 * R rows side by side. z = x (+ residual); mean = sum / n, variance = sum of fma(d, d, ...) / n, d = z - mean;
 * y = d * (1 / sqrt(variance + epsilon)) * gamma (+ beta, fused). The rows of y are written in 8 bits too, where wanted: with a
 * static scale as they are finished; with a scale of each row from the first cache, its range being found on the way. */
#include <stdbool.h>

#include "ops/normalize/layer_norm_f32.h"
#include "ops/normalize/layer_norm_rows.h"
#include "ops/normalize/normalize_internal.h"
#include "ops/quantize/quantize_rows.h"
#include "ops/split.h"

typedef enum layer_norm_output { LAYER_NORM_FLOATS, LAYER_NORM_STATIC, LAYER_NORM_FACTORS, LAYER_NORM_DYNAMIC } layer_norm_output;

V16_INLINE v16 layer_norm_load(const layer_norm_rows_args *a, bool residual, size_t row, size_t i, bool whole, m16 m) {
  const float *x = a->x + row * a->x_stride + i;
  v16 z = whole ? v16_load(x) : v16_load_masked(m, x);
  if (residual) {
    const float *r = a->residual + row * a->residual_stride + i;
    z = v16_add(z, whole ? v16_load(r) : v16_load_masked(m, r));
  }
  return z;
}

V16_INLINE v16 layer_norm_finish(const layer_norm_rows_args *a, v16 d, v16 inverse, size_t i, bool whole, m16 m) {
  d = v16_mul(d, inverse);
  const v16 gamma = whole ? v16_load(a->gamma + i) : v16_load_masked(m, a->gamma + i);
  if (!a->beta)
    return v16_mul(d, gamma);
  return v16_fma(d, gamma, whole ? v16_load(a->beta + i) : v16_load_masked(m, a->beta + i));
}

/* rows, residual and output are constants where this is expanded. */
V16_INLINE void layer_norm_rows(const layer_norm_rows_args *a, size_t rows, bool residual, layer_norm_output output) {
  const size_t n = a->features, whole = n / 16 * 16;
  const m16 tail = m16_first(n - whole);
  const v16 zero = v16_set(0.0f), count = v16_set((float)n);
  v16 sum[LAYER_NORM_ROWS], mean[LAYER_NORM_ROWS];
  PITH_UNROLL
  for (size_t r = 0; r < rows; ++r)
    sum[r] = zero;
  for (size_t i = 0; i < whole; i += 16)
    PITH_UNROLL
    for (size_t r = 0; r < rows; ++r)
      sum[r] = v16_add(sum[r], layer_norm_load(a, residual, r, i, true, tail));
  if (whole < n)
    PITH_UNROLL
    for (size_t r = 0; r < rows; ++r)
      sum[r] = v16_add(sum[r], layer_norm_load(a, residual, r, whole, false, tail));
  PITH_UNROLL
  for (size_t r = 0; r < rows; ++r) {
    mean[r] = v16_div(v16_set(v16_sum(sum[r])), count);
    sum[r] = zero;
  }
  for (size_t i = 0; i < whole; i += 16)
    PITH_UNROLL
    for (size_t r = 0; r < rows; ++r) {
      const v16 d = v16_sub(layer_norm_load(a, residual, r, i, true, tail), mean[r]);
      sum[r] = v16_fma(d, d, sum[r]);
    }
  if (whole < n)
    PITH_UNROLL
    for (size_t r = 0; r < rows; ++r) {
      const v16 d = v16_sub(layer_norm_load(a, residual, r, whole, false, tail), mean[r]);
      sum[r] = v16_select(tail, v16_fma(d, d, sum[r]), sum[r]);
    }
  PITH_UNROLL
  for (size_t r = 0; r < rows; ++r) {
    const v16 variance = v16_div(v16_set(v16_sum(sum[r])), count);
    sum[r] = v16_div(v16_set(1.0f), v16_sqrt(v16_add(variance, v16_set(a->epsilon))));
  }
  quantizer z;
  if (output == LAYER_NORM_STATIC || output == LAYER_NORM_FACTORS)
    z = quantizer_of_rows(&a->q);
  quantize_range range[LAYER_NORM_ROWS];
  PITH_UNROLL
  for (size_t r = 0; r < rows; ++r)
    range[r] = quantize_range_start();
  uint8_t *q = a->q.q;
  for (size_t i = 0; i < whole; i += 16)
    PITH_UNROLL
    for (size_t r = 0; r < rows; ++r) {
      const v16 d = v16_sub(layer_norm_load(a, residual, r, i, true, tail), mean[r]);
      const v16 y = layer_norm_finish(a, d, sum[r], i, true, tail);
      v16_store(a->y + r * a->y_stride + i, y);
      if (output == LAYER_NORM_STATIC)
        quantizer_store(&z, y, q + r * a->q.stride + i);
      else if (output == LAYER_NORM_FACTORS)
        quantizer_store(&z, v16_mul(y, v16_load(a->q_factors + i)), q + r * a->q.stride + i);
      else if (output == LAYER_NORM_DYNAMIC)
        quantize_range_add(&range[r], y);
    }
  if (whole < n)
    PITH_UNROLL
    for (size_t r = 0; r < rows; ++r) {
      const v16 d = v16_sub(layer_norm_load(a, residual, r, whole, false, tail), mean[r]);
      const v16 y = layer_norm_finish(a, d, sum[r], whole, false, tail); /* other lanes: 0 or NaN, gamma being 0 */
      v16_store_masked(tail, a->y + r * a->y_stride + whole, y);
      if (output == LAYER_NORM_STATIC)
        quantizer_store_first(&z, n - whole, y, q + r * a->q.stride + whole);
      else if (output == LAYER_NORM_FACTORS)
        quantizer_store_first(&z, n - whole, v16_mul(y, v16_load_masked(tail, a->q_factors + whole)),
                              q + r * a->q.stride + whole);
      else if (output == LAYER_NORM_DYNAMIC)
        quantize_range_add(&range[r], y);
    }
  if (output == LAYER_NORM_DYNAMIC)
    quantize_rows_dynamic(&a->q, a->y, a->y_stride, rows, n, range);
}

V16_INLINE void layer_norm_step(const layer_norm_rows_args *a, size_t rows, bool residual) {
  if (!a->q.q)
    layer_norm_rows(a, rows, residual, LAYER_NORM_FLOATS);
  else if (a->q.row_scale)
    layer_norm_rows(a, rows, residual, LAYER_NORM_DYNAMIC);
  else if (a->q_factors)
    layer_norm_rows(a, rows, residual, LAYER_NORM_FACTORS);
  else
    layer_norm_rows(a, rows, residual, LAYER_NORM_STATIC);
}

void V16_NAME(pith_layer_norm_rows)(layer_norm_rows_args a, size_t rows) {
  while (rows > 0) {
    const size_t step = rows >= LAYER_NORM_ROWS ? LAYER_NORM_ROWS : 1;
    if (step > 1 && a.residual)
      layer_norm_step(&a, LAYER_NORM_ROWS, true);
    else if (step > 1)
      layer_norm_step(&a, LAYER_NORM_ROWS, false);
    else if (a.residual)
      layer_norm_step(&a, 1, true);
    else
      layer_norm_step(&a, 1, false);
    rows -= step;
    a.x += step * a.x_stride;
    a.y += step * a.y_stride;
    if (a.residual)
      a.residual += step * a.residual_stride;
    a.q = quantized_rows_from(a.q, step);
  }
}

static size_t layer_norm_units(const pith_layer_norm_f32_args *a) {
  return (a->rows + LAYER_NORM_ROWS - 1) / LAYER_NORM_ROWS;
}

static size_t layer_norm_count(const void *args, size_t threads) {
  const pith_layer_norm_f32_args *a = args;
  return a->features == 0 ? 0 : pith_split_count(layer_norm_units(a), LAYER_NORM_ROWS * a->features, threads);
}

static void layer_norm_run(const void *args, size_t threads, size_t task, void *scratch) {
  (void)scratch;
  const pith_layer_norm_f32_args *a = args;
  const size_t units = layer_norm_units(a), count = layer_norm_count(args, threads);
  const size_t begin = pith_split_begin(units, count, task) * LAYER_NORM_ROWS;
  size_t end = pith_split_begin(units, count, task + 1) * LAYER_NORM_ROWS;
  end = end < a->rows ? end : a->rows;
  V16_NAME(pith_layer_norm_rows)((layer_norm_rows_args){.x = a->x + begin * a->x_stride,
                                        .residual = a->residual ? a->residual + begin * a->residual_stride : NULL,
                                        .gamma = a->gamma,
                                        .beta = a->beta,
                                        .y = a->y + begin * a->y_stride,
                                        .features = a->features,
                                        .x_stride = a->x_stride,
                                        .residual_stride = a->residual_stride,
                                        .y_stride = a->y_stride,
                                        .epsilon = a->epsilon,
                                        .q = quantized_rows_from(a->q, begin),
                                        .q_factors = a->q_factors},
                 end - begin);
}

const pith_kernel V16_NAME(pith_layer_norm_f32) = {
    .name = "layer_norm_f32_" V16_ISA_TEXT,
    .needs = V16_NEEDS,
    .count_tasks = layer_norm_count,
    .run = layer_norm_run,
};
