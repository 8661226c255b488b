/* Softmax of up to 16 rows side by side, up to the last multiplication; included after a v16 header. The rows' maxima and
 * sums are reduced together, a row to a lane: the same tree over each row's 16 partial results. */
#ifndef PITH_OPS_SOFTMAX_ROWS_H
#define PITH_OPS_SOFTMAX_ROWS_H

#include <float.h>

#include "ops/math/functions.h"

enum { SOFTMAX_ROWS = 16 };

/* Lane r: the tree 8-4-2-1 over the lanes of rows[r]. */
V16_INLINE v16 softmax_tree(v16 rows[SOFTMAX_ROWS], v16 (*combine)(v16, v16)) {
  v16_transpose(rows);
  PITH_UNROLL
  for (size_t half = 8; half > 0; half /= 2)
    PITH_UNROLL
    for (size_t i = 0; i < half; ++i)
      rows[i] = combine(rows[i], rows[i + half]);
  return rows[0];
}

/* Four chains, for the order of a maximum does not matter. Where every element is infinitely low: the lowest float. */
V16_INLINE v16 softmax_row_max(const float *x, size_t n) {
  const size_t whole = n / 16 * 16;
  const m16 tail = m16_first(n - whole);
  const v16 lowest = v16_set(-FLT_MAX);
  v16 max[4] = {lowest, lowest, lowest, lowest};
  size_t i = 0;
  for (; i + 64 <= whole; i += 64)
    PITH_UNROLL
    for (size_t j = 0; j < 4; ++j)
      max[j] = v16_max(max[j], v16_load(x + i + 16 * j));
  for (; i < whole; i += 16)
    max[0] = v16_max(max[0], v16_load(x + i));
  if (whole < n)
    max[1] = v16_max(max[1], v16_select(tail, v16_load_masked(tail, x + whole), lowest));
  return v16_max(v16_max(max[0], max[1]), v16_max(max[2], max[3]));
}

/* y[i] = e^(x[i] - max); returns the 16 partial sums. */
V16_INLINE v16 softmax_row_exp(const float *x, float *y, size_t n, float max) {
  const size_t whole = n / 16 * 16;
  const m16 tail = m16_first(n - whole);
  const v16 highest = v16_set(max);
  v16 sum = v16_set(0.0f);
  for (size_t i = 0; i < whole; i += 16) {
    const v16 e = v16_exp_nonpositive(v16_sub(v16_load(x + i), highest));
    sum = v16_add(sum, e);
    v16_store(y + i, e);
  }
  if (whole < n) {
    v16 e = v16_select(tail, v16_load_masked(tail, x + whole), highest); /* no lane may be over 0 */
    e = v16_select(tail, v16_exp_nonpositive(v16_sub(e, highest)), v16_set(0.0f));
    sum = v16_add(sum, e);
    v16_store_masked(tail, y + whole, e);
  }
  return sum;
}

/* For each of `rows` <= SOFTMAX_ROWS rows of n[r] elements: y[i] = e^(x[i] - max x), out_inverse[r] = 1 / (their sum), 0
 * where that is 0 (no element, or all infinitely low). y may be x; nothing past y[n[r] - 1] is written. */
V16_INLINE void softmax_rows(const float *x, size_t x_stride, float *y, size_t y_stride, size_t rows, const size_t *n,
                             float out_inverse[SOFTMAX_ROWS]) {
  v16 partial[SOFTMAX_ROWS];
  float max[SOFTMAX_ROWS];
  const v16 zero = v16_set(0.0f);
  for (size_t r = 0; r < SOFTMAX_ROWS; ++r)
    partial[r] = r < rows ? softmax_row_max(x + r * x_stride, n[r]) : zero;
  v16_store(max, softmax_tree(partial, v16_max));
  for (size_t r = 0; r < SOFTMAX_ROWS; ++r)
    partial[r] = r < rows ? softmax_row_exp(x + r * x_stride, y + r * y_stride, n[r], max[r]) : zero;
  const v16 sum = softmax_tree(partial, v16_add);
  v16_store(out_inverse, v16_select(v16_less(zero, sum), v16_div(v16_set(1.0f), sum), sum)); /* NaN stays */
}

#endif
