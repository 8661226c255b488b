/* The natural logarithm in double, the same bits with every C library and instruction set. */
#ifndef PITH_OPS_MATH_LOG_H
#define PITH_OPS_MATH_LOG_H

#include <stdint.h>
#include <string.h>

/* x normal and positive, or NaN, which stays. x = 2^e m, m 0.707 to 1.414; log m = 2 atanh s, s = (m - 1) / (m + 1), |s| < 0.1716;
 * what is left out of the series is under 1e-18 of it. */
static inline double pith_log(double x) {
  if (!(x == x))
    return x;
  uint64_t bits;
  memcpy(&bits, &x, sizeof bits);
  int64_t e = (int64_t)(bits >> 52) - 1023;
  bits = (bits & 0xfffffffffffffu) | 0x3ff0000000000000u;
  double m;
  memcpy(&m, &bits, sizeof m);
  if (m > 0x1.6a09e667f3bcdp+0) {
    m /= 2;
    ++e;
  }
  const double s = (m - 1) / (m + 1), z = s * s;
  double sum = 0;
  for (int k = 21; k > 0; k -= 2)
    sum = sum * z + 1.0 / (double)k;
  /* ln 2 in two parts, the first with 21 zeros at its end, so that e times it is exact */
  return (double)e * 0x1.62e42fee00000p-1 + (2 * s * sum + (double)e * 0x1.a39ef35793c76p-33);
}

#endif
