/* Rows of floats to 8 bits by a product with 1 / scale, and ranges of dynamic rows: the rules of quantize.h, for every kernel
 * that writes pith_quantized_rows. Included after a v16 header.
 *
 *   static:  quantizer z = quantizer_of_rows(&q);            once
 *            quantizer_store(&z, x, bytes);                  of each v16 as it is finished
 *   dynamic: quantize_range r = quantize_range_start();      for each row
 *            quantize_range_add(&r, x);                      of each v16 as it is finished
 *            quantize_rows_dynamic(&q, x, ..., ranges);      from the rows' floats, which are in the first cache
 *            quantize_rows_each(x, ...);                     of up to 16 finished rows; faster than one by one, small n most
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

/* quantize_range_end for up to 16 ranges at once, the same bits: row by row it waits for three divisions and as many trees. */
enum { QUANTIZE_RANGES = 16 };
typedef struct quantize_scales {
  float scale[QUANTIZE_RANGES], inverse[QUANTIZE_RANGES], top[QUANTIZE_RANGES];
  uint8_t zero[QUANTIZE_RANGES];
  bool is_signed;
} quantize_scales;

/* Lane r: the largest lane of rows[r], which are destroyed; none is negative or NaN. */
V16_INLINE v16 quantize_largest(v16 rows[QUANTIZE_RANGES], size_t count) {
  if (count <= 4) { /* less than a transpose */
    float largest[QUANTIZE_RANGES] = {0};
    for (size_t r = 0; r < count; ++r)
      largest[r] = v16_largest(rows[r]);
    return v16_load(largest);
  }
  for (size_t r = count; r < QUANTIZE_RANGES; ++r)
    rows[r] = v16_set(0.0f);
  v16_transpose(rows);
  PITH_UNROLL
  for (size_t half = QUANTIZE_RANGES / 2; half > 0; half /= 2)
    PITH_UNROLL
    for (size_t r = 0; r < half; ++r)
      rows[r] = v16_max(rows[r], rows[r + half]);
  return rows[0];
}

/* Lane r: the scale of a range from -low[r] to high[r]; neither is negative or NaN. */
V16_INLINE void quantize_scales_make(v16 low, v16 high, pith_number type, quantize_scales *out) {
  const v16 largest_float = v16_set(FLT_MAX), rounder = v16_set(0x1.8p23f);
  v16 scale, zero = v16_set(0.0f);
  out->is_signed = type == PITH_NUMBER_S8;
  low = v16_min(low, largest_float);
  high = v16_min(high, largest_float);
  if (out->is_signed) {
    scale = v16_div(v16_max(low, high), v16_set(127.0f));
  } else {
    const v16 width = v16_add(high, low), steps = v16_set(255.0f);
    scale = v16_select(v16_less(largest_float, width), v16_add(v16_div(high, steps), v16_div(low, steps)),
                       v16_div(width, steps));
  }
  scale = v16_select(v16_less(scale, v16_set(FLT_MIN)), v16_set(1.0f), scale);
  if (!out->is_signed)
    zero = v16_sub(v16_add(v16_div(low, scale), rounder), rounder);
  v16_store(out->scale, scale);
  v16_store(out->inverse, v16_min(v16_div(v16_set(1.0f), scale), largest_float));
  v16_store(out->top, v16_sub(v16_set(out->is_signed ? 127.0f : 255.0f), zero));
  v16_store_u8(out->zero, zero, 0);
}

V16_INLINE void quantize_ranges_end(const quantize_range *ranges, size_t count, pith_number type, quantize_scales *out) {
  const v16 nothing = v16_set(0.0f);
  const bool is_signed = type == PITH_NUMBER_S8;
  v16 rows[QUANTIZE_RANGES];
  for (size_t r = 0; r < count; ++r)
    rows[r] = v16_sub(nothing, ranges[r].low);
  for (size_t r = 0; is_signed && r < count; ++r)
    rows[r] = v16_max(rows[r], ranges[r].high);
  const v16 low = quantize_largest(rows, count);
  v16 high = nothing; /* signed: it is in low */
  if (!is_signed) {
    for (size_t r = 0; r < count; ++r)
      rows[r] = ranges[r].high;
    high = quantize_largest(rows, count);
  }
  quantize_scales_make(low, high, type, out);
}

V16_INLINE quantizer quantizer_of_scales(const quantize_scales *scales, size_t row) {
  return (quantizer){v16_set(scales->inverse[row]), v16_set(scales->top[row]), scales->zero[row], scales->is_signed};
}

/* quantize_rows_each where n is a constant, or not. */
V16_INLINE void quantize_rows_each_of(const float *x, size_t x_stride, size_t rows, size_t n, pith_number type, uint8_t *q,
                                      size_t q_stride, quantize_scales *out) {
  quantize_range ranges[QUANTIZE_RANGES];
  ranges[0] = quantize_range_start(); /* even where there are no rows */
  for (size_t r = 0; r < rows; ++r) {
    ranges[r] = quantize_range_start();
    quantize_range_add_row(&ranges[r], x + r * x_stride, n);
  }
  quantize_ranges_end(ranges, rows, type, out);
  for (size_t r = 0; r < rows; ++r) {
    const quantizer z = quantizer_of_scales(out, r);
    quantizer_store_row(&z, x + r * x_stride, n, q + r * q_stride);
  }
}
/* Up to 16 rows of n floats, each with a scale of its own. Best where they lie in the first cache, and for heads' sizes. */
V16_INLINE void quantize_rows_each(const float *x, size_t x_stride, size_t rows, size_t n, pith_number type, void *q,
                                   size_t q_stride, quantize_scales *out) {
  if (n == 32)
    quantize_rows_each_of(x, x_stride, rows, 32, type, q, q_stride, out);
  else if (n == 64)
    quantize_rows_each_of(x, x_stride, rows, 64, type, q, q_stride, out);
  else
    quantize_rows_each_of(x, x_stride, rows, n, type, q, q_stride, out);
}

/* The same without its first rows. */
V16_INLINE pith_quantized_rows quantized_rows_from(pith_quantized_rows q, size_t row) {
  q.q = q.q ? (uint8_t *)q.q + row * q.stride : NULL;
  q.row_scale = q.row_scale ? q.row_scale + row : NULL;
  q.row_zero = q.row_zero ? q.row_zero + row : NULL;
  return q;
}

/* Up to 16 rows of floats whose ranges are known. */
V16_INLINE void quantize_rows_dynamic(const pith_quantized_rows *q, const float *x, size_t x_stride, size_t rows, size_t n,
                                      const quantize_range *ranges) {
  quantize_scales scales;
  quantize_ranges_end(ranges, rows, q->type, &scales);
  for (size_t r = 0; r < rows; ++r) {
    q->row_scale[r] = scales.scale[r];
    if (q->row_zero)
      q->row_zero[r] = scales.zero[r];
    const quantizer z = quantizer_of_scales(&scales, r);
    quantizer_store_row(&z, x + r * x_stride, n, (uint8_t *)q->q + r * q->stride);
  }
}

V16_INLINE void quantize_row(const pith_quantized_rows *q, size_t row, const float *x, size_t n) {
  if (q->row_scale) {
    quantize_range range = quantize_range_start();
    quantize_range_add_row(&range, x, n);
    const pith_quantized_rows one = quantized_rows_from(*q, row);
    quantize_rows_dynamic(&one, x, 0, 1, n, &range);
  } else {
    const quantizer z = quantizer_of_rows(q);
    quantizer_store_row(&z, x, n, (uint8_t *)q->q + row * q->stride);
  }
}

#endif
