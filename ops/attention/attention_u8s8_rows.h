/* Up to 16 rows of floats to 8 bits, each with a range of its own: the rules and bits of ops/quantize/quantize_rows.h, a row to
 * a lane. Included by attention_u8s8_body.h. */
#ifndef PITH_OPS_ATTENTION_U8S8_ROWS_H
#define PITH_OPS_ATTENTION_U8S8_ROWS_H

#include "ops/quantize/quantize_rows.h"

typedef struct attention_ranges {
  float scales[16], inverses[16], tops[16];
  int32_t zeros[16];
} attention_ranges;

/* quantize_range_end and quantizer_make of 16 rows. */
V16_INLINE void attention_ranges_end(v16 low, v16 high, bool is_signed, attention_ranges *out) {
  const v16 largest = v16_set(FLT_MAX), zero = v16_set(0.0f);
  low = v16_min(v16_sub(zero, low), largest);
  high = v16_min(high, largest);
  v16 scale, zeros = zero;
  if (is_signed)
    scale = v16_div(v16_max(high, low), v16_set(127.0f));
  else {
    const v16 width = v16_add(high, low), steps = v16_set(255.0f);
    scale = v16_select(v16_less(largest, width), v16_add(v16_div(high, steps), v16_div(low, steps)), v16_div(width, steps));
  }
  scale = v16_select(v16_less(scale, v16_set(FLT_MIN)), v16_set(1.0f), scale);
  if (!is_signed)
    zeros = v16_div(low, scale);
  const n16 whole = n16_round(zeros);
  n16_store(out->zeros, whole);
  v16_store(out->scales, scale);
  v16_store(out->inverses, v16_min(v16_div(v16_set(1.0f), scale), largest));
  v16_store(out->tops, v16_sub(v16_set(is_signed ? 127.0f : 255.0f), n16_to_float(whole)));
}

/* is_signed is a constant. */
V16_INLINE void attention_quantize_rows(const float *x, size_t x_stride, size_t rows, size_t n, bool is_signed, uint8_t *out,
                                        size_t out_stride, attention_ranges *ranges) {
  v16 low[16], high[16];
  for (size_t r = 0; r < 16; ++r) {
    quantize_range range = quantize_range_start();
    if (r < rows)
      quantize_range_add_row(&range, x + r * x_stride, n);
    low[r] = range.low;
    high[r] = range.high;
  }
  attention_ranges_end(n16_fold(low, v16_min), n16_fold(high, v16_max), is_signed, ranges);
  for (size_t r = 0; r < rows; ++r) {
    const quantizer z = {v16_set(ranges->inverses[r]), v16_set(ranges->tops[r]), is_signed ? 0 : ranges->zeros[r], is_signed};
    quantizer_store_row(&z, x + r * x_stride, n, out + r * out_stride);
  }
}

#endif
