/* Rows of floats to 8 bits by a product with 1 / scale, and ranges of dynamic rows: the rules of quantize.h, for every kernel
 * that writes pith_quantized_rows. Included after a v16 header.
 *
 *   static:  quantizer z = quantizer_of_rows(&q);            once
 *            quantizer_store(&z, x, bytes);                  of each v16 as it is finished
 *   dynamic: quantize_range r = quantize_range_start();      for each row
 *            quantize_range_add(&r, x);                      of each v16 as it is finished
 *            quantize_row_dynamic(&q, row, x, n, &r);        from the row's floats, which are in the first cache
 *   either:  quantize_row(&q, row, x, n);                    of finished rows */
#ifndef PITH_OPS_QUANTIZE_ROWS_H
#define PITH_OPS_QUANTIZE_ROWS_H

#ifndef PITH_OPS_V16
#error "include v16_plain.h, v16_avx2.h or v16_avx512.h first"
#endif

#include <float.h>
#include <math.h>

#include "ops/quantize/quantize.h"

typedef struct quantizer {
  v16 inverse, top; /* 1 / scale; limit - zero */
  int zero;
  bool is_signed;
} quantizer;

V16_INLINE quantizer quantizer_make(pith_number type, float scale, int zero) {
  const bool is_signed = type == PITH_NUMBER_S8;
  const float inverse = 1.0f / scale;
  return (quantizer){v16_set(inverse < FLT_MAX ? inverse : FLT_MAX), v16_set((float)((is_signed ? 127 : 255) - zero)), zero,
                     is_signed};
}
V16_INLINE quantizer quantizer_of_rows(const pith_quantized_rows *rows) {
  return quantizer_make(rows->type, *rows->scale, rows->zero ? *rows->zero : 0);
}

V16_INLINE void quantizer_store(const quantizer *z, v16 x, void *q) {
  const v16 level = v16_min(v16_mul(x, z->inverse), z->top); /* NaN: the limit */
  if (z->is_signed)
    v16_store_s8(q, level, z->zero);
  else
    v16_store_u8(q, level, z->zero);
}
/* The first n lanes, 0 to 16. */
V16_INLINE void quantizer_store_first(const quantizer *z, size_t n, v16 x, void *q) {
  const v16 level = v16_min(v16_mul(x, z->inverse), z->top);
  if (z->is_signed)
    v16_store_s8_first(n, q, level, z->zero);
  else
    v16_store_u8_first(n, q, level, z->zero);
}
V16_INLINE void quantizer_store_row(const quantizer *z, const float *x, size_t n, void *q) {
  uint8_t *bytes = q;
  const size_t whole = n / 16 * 16;
  for (size_t i = 0; i < whole; i += 16)
    quantizer_store(z, v16_load(x + i), bytes + i);
  if (whole < n)
    quantizer_store_first(z, n - whole, v16_load_masked(m16_first(n - whole), x + whole), bytes + whole);
}

/* min(0, x) and max(0, x) so far, lane by lane. */
typedef struct quantize_range {
  v16 low, high;
} quantize_range;

V16_INLINE quantize_range quantize_range_start(void) {
  return (quantize_range){v16_set(0.0f), v16_set(0.0f)};
}
/* Lanes that are not wanted must be 0 or NaN. */
V16_INLINE void quantize_range_add(quantize_range *range, v16 x) {
  range->low = v16_min(x, range->low); /* the second where x is NaN */
  range->high = v16_max(x, range->high);
}
V16_INLINE void quantize_range_add_row(quantize_range *range, const float *x, size_t n) {
  const size_t whole = n / 16 * 16, pairs = n / 32 * 32;
  quantize_range other = *range; /* two chains: each waits for itself */
  for (size_t i = 0; i < pairs; i += 32) {
    quantize_range_add(range, v16_load(x + i));
    quantize_range_add(&other, v16_load(x + i + 16));
  }
  if (pairs < whole)
    quantize_range_add(range, v16_load(x + pairs));
  if (whole < n)
    quantize_range_add(&other, v16_load_masked(m16_first(n - whole), x + whole));
  range->low = v16_min(range->low, other.low);
  range->high = v16_max(range->high, other.high);
}

/* The scale and zero point for values within `range`. */
V16_INLINE float quantize_range_end(const quantize_range *range, pith_number type, int *out_zero) {
  float low = v16_largest(v16_sub(v16_set(0.0f), range->low)), high = v16_largest(range->high); /* low: minus the lowest */
  low = low < FLT_MAX ? low : FLT_MAX;
  high = high < FLT_MAX ? high : FLT_MAX;
  float scale;
  if (type == PITH_NUMBER_S8)
    scale = (high > low ? high : low) / 127.0f;
  else
    scale = high + low <= FLT_MAX ? (high + low) / 255.0f : high / 255.0f + low / 255.0f;
  scale = scale >= FLT_MIN ? scale : 1.0f;
  *out_zero = type == PITH_NUMBER_S8 ? 0 : (int)rintf(low / scale);
  return scale;
}

/* The same without its first rows. */
V16_INLINE pith_quantized_rows quantized_rows_from(pith_quantized_rows q, size_t row) {
  q.q = q.q ? (uint8_t *)q.q + row * q.stride : NULL;
  q.row_scale = q.row_scale ? q.row_scale + row : NULL;
  q.row_zero = q.row_zero ? q.row_zero + row : NULL;
  return q;
}

V16_INLINE void quantize_row_dynamic(const pith_quantized_rows *q, size_t row, const float *x, size_t n,
                                     const quantize_range *range) {
  int zero;
  const float scale = quantize_range_end(range, q->type, &zero);
  q->row_scale[row] = scale;
  if (q->row_zero)
    q->row_zero[row] = (uint8_t)zero;
  const quantizer z = quantizer_make(q->type, scale, zero);
  quantizer_store_row(&z, x, n, (uint8_t *)q->q + row * q->stride);
}

V16_INLINE void quantize_row(const pith_quantized_rows *q, size_t row, const float *x, size_t n) {
  if (q->row_scale) {
    quantize_range range = quantize_range_start();
    quantize_range_add_row(&range, x, n);
    quantize_row_dynamic(q, row, x, n, &range);
  } else {
    const quantizer z = quantizer_of_rows(q);
    quantizer_store_row(&z, x, n, (uint8_t *)q->q + row * q->stride);
  }
}

#endif
