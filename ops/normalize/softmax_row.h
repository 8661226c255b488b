/* Softmax of one row, up to its last multiplication; included after a v16 header. */
#ifndef PITH_OPS_SOFTMAX_ROW_H
#define PITH_OPS_SOFTMAX_ROW_H

#include <float.h>
#include <math.h>

#include "ops/math/functions.h"

/* y[i] = e^(x[i] - max x), n > 0; returns 1 / (their sum), y may be x. Infinitely low elements weigh 0; where all are, the
 * result is 0 and so are the weights. Writes nothing past y[n - 1]. */
V16_INLINE float softmax_row(const float *x, float *y, size_t n) {
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
  const v16 highest = v16_set(v16_maximum(v16_max(v16_max(max[0], max[1]), v16_max(max[2], max[3]))));
  v16 sum = v16_set(0.0f);
  for (i = 0; i < whole; i += 16) {
    const v16 e = v16_exp_nonpositive(v16_sub(v16_load(x + i), highest));
    sum = v16_add(sum, e);
    v16_store(y + i, e);
  }
  if (whole < n) {
    v16 e = v16_exp_nonpositive(v16_sub(v16_load_masked(tail, x + whole), highest));
    e = v16_select(tail, e, v16_set(0.0f));
    sum = v16_add(sum, e);
    v16_store_masked(tail, y + whole, e);
  }
  const float total = v16_sum(sum);
  return total == 0.0f ? 0.0f : 1.0f / total;
}

#endif
