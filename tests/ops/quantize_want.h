/* What quantized rows have to be, by the rules of ops/quantize/quantize.h written once more in double, and the choice of a
 * pith_quantized_rows by chance. For tests. */
#ifndef PITH_TESTS_QUANTIZE_WANT_H
#define PITH_TESTS_QUANTIZE_WANT_H

#include <float.h>
#include <math.h>

#include "ops/quantize/quantize.h"
#include "tests/ops/kernel_tester.h"

static inline int want_byte_at(const void *q, pith_number type, size_t i) {
  return type == PITH_NUMBER_S8 ? ((const int8_t *)q)[i] : ((const uint8_t *)q)[i];
}

/* saturate(rint(min(x * (1 / scale), limit - zero)) + zero), NaN: the limit. */
static inline int want_level(float x, float scale, int zero, pith_number type) {
  const int low = type == PITH_NUMBER_S8 ? -128 : 0, high = low + 255;
  volatile float inverse = 1 / scale;
  if (isinf(inverse))
    inverse = FLT_MAX;
  const volatile float product = x * inverse;
  if (isnan(product))
    return high;
  const double q = nearbyint((double)product) + zero;
  return q < low ? low : q > high ? high : (int)q;
}

/* The scale and zero point of rows x [rows, features]. Double, rounded where the definition's floats are. */
static inline void want_range(const float *x, size_t stride, size_t rows, size_t features, pith_number type, float *out_scale,
                              int *out_zero) {
  double low = 0, high = 0;
  for (size_t r = 0; r < rows; ++r)
    for (size_t i = 0; i < features; ++i) {
      const float value = x[r * stride + i];
      low = isnan(value) ? low : fmin(low, (double)value);
      high = isnan(value) ? high : fmax(high, (double)value);
    }
  low = fmax(low, -(double)FLT_MAX);
  high = fmin(high, (double)FLT_MAX);
  float scale;
  if (type == PITH_NUMBER_S8) {
    scale = (float)fmax(-low, high) / 127;
  } else {
    const volatile float width = (float)(high - low);
    scale = isinf(width) ? (float)high / 255 - (float)low / 255 : width / 255;
  }
  scale = scale < FLT_MIN ? 1 : scale;
  const volatile float zero = (float)-low / scale;
  *out_scale = scale;
  *out_zero = type == PITH_NUMBER_S8 ? 0 : (int)nearbyintf(zero);
}

/* None, static or dynamic, u8 or s8. */
static inline pith_quantized_rows want_any_rows(tester *t, size_t rows, size_t features, size_t gap) {
  pith_quantized_rows q = {.stride = features + gap};
  const size_t kind = tester_pick(t, 5);
  if (kind == 0)
    return q;
  q.type = kind % 2 ? PITH_NUMBER_U8 : PITH_NUMBER_S8;
  q.q = tester_byte_output(t, tester_span(rows, features, q.stride));
  if (kind > 2) {
    q.row_scale = tester_output(t, rows);
    q.row_zero = q.type == PITH_NUMBER_U8 ? tester_byte_output(t, rows) : NULL;
    return q;
  }
  static const float scales[] = {0.03f, 0.5f, 1e-3f, 1e-40f, 1e30f};
  float *scale = tester_memory(t, sizeof *scale, false);
  *scale = scales[tester_pick(t, sizeof scales / sizeof *scales)];
  q.scale = scale;
  uint8_t *zero = tester_memory(t, 1, false);
  *zero = (uint8_t)tester_pick(t, 256);
  q.zero = q.type == PITH_NUMBER_U8 && tester_pick(t, 4) ? zero : NULL;
  return q;
}

/* Factors of each feature for static rows, or, by chance, none. */
static inline const float *want_any_factors(tester *t, const pith_quantized_rows *q, size_t features) {
  return q->q && !q->row_scale && tester_pick(t, 2) ? tester_floats(t, features, -3, 3) : NULL;
}

/* The rows of y in 8 bits are exactly what the rules make of y, times `factors` where there are some. */
static inline void want_check_rows(tester *t, const pith_quantized_rows *q, const float *factors, const float *y,
                                   size_t y_stride, size_t rows, size_t features) {
  for (size_t r = 0; q->q && r < rows; ++r) {
    float scale;
    int zero;
    if (q->row_scale) {
      want_range(y + r * y_stride, y_stride, 1, features, q->type, &scale, &zero);
      tester_check_near(t, "row scale", r, 0, (double)q->row_scale[r], (double)scale, 0);
      if (q->row_zero)
        tester_check_near(t, "row zero", r, 0, q->row_zero[r], zero, 0);
    } else {
      scale = *q->scale;
      zero = q->zero ? *q->zero : 0;
    }
    for (size_t i = 0; i < features; ++i) {
      const volatile float value = factors ? y[r * y_stride + i] * factors[i] : y[r * y_stride + i];
      tester_check_near(t, "q", r, i, want_byte_at(q->q, q->type, r * q->stride + i),
                        want_level(value, scale, zero, q->type), 0);
    }
    for (size_t i = features; r + 1 < rows && i < q->stride; ++i)
      if (((const uint8_t *)q->q)[r * q->stride + i] != 0xa5)
        tester_fail(t, "wrote between rows, byte %zu of row %zu", i, r);
  }
}

#endif
