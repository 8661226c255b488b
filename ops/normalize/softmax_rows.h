/* Softmax of up to 16 rows side by side, up to the last multiplication; included after a v16 header. The rows' maxima and
 * sums are reduced together, a row to a lane: the same tree over each row's 16 partial results. */
#ifndef PITH_OPS_SOFTMAX_ROWS_H
#define PITH_OPS_SOFTMAX_ROWS_H

#include <float.h>
#include <stdbool.h>

#include "ops/math/functions.h"

/* SOFTMAX_VECTORS: vectors whose chains of operations run side by side. */
enum { SOFTMAX_ROWS = 16, SOFTMAX_VECTORS = V16_TILE_VECTORS >= 4 ? 4 : 2 };

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

/* Replaces x[0] to x[count - 1], none over 0, by e^x or 2^x; -infinity gives 0. count is a constant. */
typedef void softmax_power(v16 *x, size_t count);

/* y[i] = power(x[i] - highest) of `vectors` vectors; adds to *sum. The last vector has the lanes `last`, or all where whole;
 * padded: its other lanes of y may be written too, which some CPUs (Zen) do ten times faster. All but x, y and last are
 * constants. */
V16_INLINE void softmax_group(const float *x, float *y, size_t vectors, bool whole, m16 last, bool padded, v16 highest,
                              softmax_power *power, v16 *sum) {
  v16 e[SOFTMAX_VECTORS];
  PITH_UNROLL
  for (size_t i = 0; i + 1 < vectors; ++i)
    e[i] = v16_sub(v16_load(x + 16 * i), highest);
  const size_t end = vectors - 1;
  const v16 z = whole ? v16_load(x + 16 * end) : v16_select(last, v16_load_masked(last, x + 16 * end), highest);
  e[end] = v16_sub(z, highest); /* no lane may be over 0 */
  power(e, vectors);
  PITH_UNROLL
  for (size_t i = 0; i + 1 < vectors; ++i) {
    v16_store(y + 16 * i, e[i]);
    *sum = v16_add(*sum, e[i]);
  }
  if (whole || padded)
    v16_store(y + 16 * end, e[end]);
  else
    v16_store_masked(last, y + 16 * end, e[end]);
  *sum = v16_add(*sum, whole ? e[end] : v16_select(last, e[end], v16_set(0.0f)));
}

/* y[i] = power(x[i] - max); returns the 16 partial sums. */
V16_INLINE v16 softmax_row_power(const float *x, float *y, size_t n, bool padded, float max, softmax_power *power) {
  const v16 highest = v16_set(max);
  v16 sum = v16_set(0.0f);
  size_t i = 0;
  for (; i + 16 * SOFTMAX_VECTORS <= n; i += 16 * SOFTMAX_VECTORS)
    softmax_group(x + i, y + i, SOFTMAX_VECTORS, true, m16_first(16), padded, highest, power, &sum);
  const size_t vectors = (n - i + 15) / 16;
  const m16 last = m16_first(n - i - (vectors - (vectors > 0)) * 16);
  switch (vectors) {
#if V16_TILE_VECTORS >= 4
  case 4: softmax_group(x + i, y + i, 4, false, last, padded, highest, power, &sum); break;
  case 3: softmax_group(x + i, y + i, 3, false, last, padded, highest, power, &sum); break;
#endif
  case 2: softmax_group(x + i, y + i, 2, false, last, padded, highest, power, &sum); break;
  case 1: softmax_group(x + i, y + i, 1, false, last, padded, highest, power, &sum); break;
  default: break;
  }
  return sum;
}

/* For each of `rows` <= SOFTMAX_ROWS rows of n[r] elements: y[i] = power(x[i] - max x), out_inverse[r] = 1 / (their sum), 0
 * where that is 0 (no element, or all infinitely low). y may be x; nothing past y[n[r] - 1] is written, but with `padded` up to
 * the next multiple of 16. maxima: NULL, or each row's maximum as 16 partial ones, at least -FLT_MAX. Returns the maxima, a row
 * to a lane. */
V16_INLINE v16 softmax_rows(const float *x, size_t x_stride, float *y, size_t y_stride, size_t rows, const size_t *n,
                            bool padded, const float *maxima, softmax_power *power, float out_inverse[SOFTMAX_ROWS]) {
  v16 partial[SOFTMAX_ROWS];
  float max[SOFTMAX_ROWS];
  const v16 zero = v16_set(0.0f);
  for (size_t r = 0; r < SOFTMAX_ROWS; ++r)
    partial[r] = r >= rows ? zero : maxima ? v16_load(maxima + 16 * r) : softmax_row_max(x + r * x_stride, n[r]);
  const v16 highest = softmax_tree(partial, v16_max);
  v16_store(max, highest);
  for (size_t r = 0; r < SOFTMAX_ROWS; ++r)
    partial[r] = r < rows ? softmax_row_power(x + r * x_stride, y + r * y_stride, n[r], padded, max[r], power) : zero;
  const v16 sum = softmax_tree(partial, v16_add);
  v16_store(out_inverse, v16_select(v16_less(zero, sum), v16_div(v16_set(1.0f), sum), sum)); /* NaN stays */
  return highest;
}

#endif
