#include "engine/base/probability.h"

#include <stdint.h>
#include <string.h>

double pith_exponential(double x) {
  if (!(x >= -708))
    return x != x ? x : 0;
  if (x > 709)
    x = 709;
  /* x = n ln 2 + r with |r| <= ln 2 / 2; ln 2 in two parts, the first with 21 zero bits at its end so that n * high is
   * exact (as in fdlibm's e_exp.c). */
  const double high = 6.93147180369123816490e-01, low = 1.90821492927058770002e-10;
  double n = (double)(int64_t)(x * 1.4426950408889634 + (x < 0 ? -0.5 : 0.5));
  double r = (x - n * high) - n * low;
  /* Taylor to r^13: the rest is under 0.35^14 / 14! = 5e-18. */
  double sum = 1;
  for (int i = 13; i >= 1; i--)
    sum = 1 + sum * r / i;
  uint64_t bits = (uint64_t)((int64_t)n + 1023) << 52;
  double scale;
  memcpy(&scale, &bits, sizeof scale);
  return sum * scale;
}

double pith_sigmoid(double x) {
  if (x >= 0)
    return 1 / (1 + pith_exponential(-x));
  double e = pith_exponential(x);
  return e / (1 + e);
}

size_t pith_argmax(const float *values, size_t n) {
  size_t best = 0;
  for (size_t i = 1; i < n; i++)
    if (values[i] > values[best])
      best = i;
  return best;
}

double pith_softmax_sum(const float *logits, size_t n, float *out_max) {
  float max = logits[pith_argmax(logits, n)];
  double sum = 0;
  for (size_t i = 0; i < n; i++)
    sum += pith_exponential((double)logits[i] - (double)max);
  *out_max = max;
  return sum;
}
