/* Layer normalization of R rows side by side (one row's chains of additions are bound by latency). Included after a v16
 * header. z = x (+ residual); mean = sum / n, variance = sum of fma(d, d, ...) / n, d = z - mean;
 * y = d * (1 / sqrt(variance + epsilon)) * gamma (+ beta, fused). The rows of y are written in 8 bits too, where wanted: with a
 * static scale as they are finished; with a scale of each row from the first cache, its range being found on the way. */
#ifndef PITH_OPS_LAYER_NORM_ROWS_H
#define PITH_OPS_LAYER_NORM_ROWS_H

#include <stdbool.h>

#include "ops/quantize/quantize_rows.h"

enum { LAYER_NORM_ROWS = 4 };

typedef struct layer_norm_rows_args {
  const float *x, *residual, *gamma, *beta; /* residual, beta: or NULL */
  float *y;                                 /* may be x or residual */
  size_t features, x_stride, residual_stride, y_stride;
  float epsilon;
  pith_quantized_rows q; /* q and row_scale, row_zero of the first row; q NULL: not wanted */
  const float *q_factors; /* of a static q; or NULL */
} layer_norm_rows_args;

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

/* Any number of rows. */
V16_INLINE void layer_norm_all(layer_norm_rows_args a, size_t rows) {
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

#endif
