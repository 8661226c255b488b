/* max(norm, epsilon) of a row, in all lanes: p 1: sum of |x|; p 2: square root of the sum of fma(x, x, ...). For the norm and its
 * gradient; included after a v16 header. */
#ifndef PITH_OPS_LP_NORM_SUM_H
#define PITH_OPS_LP_NORM_SUM_H

#include <stdbool.h>

V16_INLINE v16 lp_norm_add(v16 sum, v16 x, int p) {
  return p == 1 ? v16_add(sum, v16_abs(x)) : v16_fma(x, x, sum);
}

/* out_bounded: whether it is epsilon. */
V16_INLINE v16 lp_norm_of(const float *x, size_t n, int p, float epsilon, bool *out_bounded) {
  const size_t whole = n / 16 * 16;
  v16 sum = v16_set(0.0f);
  for (size_t i = 0; i < whole; i += 16)
    sum = lp_norm_add(sum, v16_load(x + i), p);
  if (whole < n)
    sum = lp_norm_add(sum, v16_load_masked(m16_first(n - whole), x + whole), p);
  float lane[16];
  v16 norm = v16_set(v16_sum(sum));
  norm = p == 1 ? norm : v16_sqrt(norm);
  v16_store(lane, norm);
  *out_bounded = lane[0] < epsilon;
  return *out_bounded ? v16_set(epsilon) : norm; /* NaN stays */
}

#endif
