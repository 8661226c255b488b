/* exp, erf, tanh, sigmoid and GELU on v16. Included after one of v16_plain.h, v16_avx2.h, v16_avx512.h; the same bits on
 * each. Fused multiply-adds and IEEE division only, so no result depends on a CPU's estimate instructions.
 *
 * Coefficients are minimax (Remez exchange at 40 digits), rounded to float one by one from the lowest power with the rest
 * fitted again. The largest errors, in units in the last place of the true value (ulp), rounded up, over every float of
 * magnitude 2^-27 to 2^7 and every 199th of the others (PITH_MATH_SWEEP of tests/ops/test_math.c; it samples otherwise):
 *
 *   exp 0.90   tanh 1.59   erf 1.29   sigmoid 2.41
 *   gelu       1.31 ulp for x >= -1; relative 3e-7 for x > -3.75, 1.2e-4 down to -7.25
 *   gelu_tanh  1.49 ulp for x >= -1; relative 3e-7 for x > -3.75, 4.2e-3 down to -7.25
 *
 * Below -7.25 both GELUs are 0 (truly above -1.6e-12); absolutely they err by at most 2.4e-7 for x <= 5 and 4e-10 for x <= -3.75.
 *
 * NaN gives NaN. MXCSR must be as pith_cpu_enter_float leaves it. */
#ifndef PITH_OPS_MATH_FUNCTIONS_H
#define PITH_OPS_MATH_FUNCTIONS_H

#ifndef PITH_OPS_V16
#error "include v16_plain.h, v16_avx2.h or v16_avx512.h first"
#endif

#include "ops/math/gelu_tables.h"

/* 1.5 * 2^23: adding it rounds a float of magnitude under 2^22 to an integer. */
#define V16_ROUNDER 0x1.8p23f

/* x = n ln 2 + r, |r| <= 0.3467; returns q with e^r = 1 + r + r^2 q (relative error under 3.3e-9). |x| < 2^20. */
V16_INLINE v16 v16_exp_reduce(v16 x, v16 *out_n, v16 *out_r) {
  const v16 rounder = v16_set(V16_ROUNDER);
  const v16 n = v16_sub(v16_fma(x, v16_set(0x1.715476p+0f), rounder), rounder);
  v16 r = v16_fma(n, v16_set(-0x1.62e4p-1f), x); /* 15 bits: n times it is exact */
  r = v16_fma(n, v16_set(-0x1.7f7d1cp-20f), r);
  v16 q = v16_set(0x1.6ab7a8p-10f);
  q = v16_fma(q, r, v16_set(0x1.123d5cp-7f));
  q = v16_fma(q, r, v16_set(0x1.55585ap-5f));
  q = v16_fma(q, r, v16_set(0x1.55548cp-3f));
  q = v16_fma(q, r, v16_set(0x1.fffffcp-2f));
  *out_n = n;
  *out_r = r;
  return q;
}

/* v16_exp where no lane is over 0 (or is NaN): the same bits, one operation less. */
V16_INLINE v16 v16_exp_nonpositive(v16 x) {
  const v16 one = v16_set(1.0f);
  v16 n, r;
  const v16 q = v16_exp_reduce(v16_max(v16_set(-104.0f), x), &n, &r); /* e^-104 rounds to 0 */
  return v16_scale(v16_fma(v16_fma(q, r, one), r, one), n);
}
V16_INLINE v16 v16_exp(v16 x) {
  return v16_exp_nonpositive(v16_min(v16_set(89.0f), x)); /* e^89 rounds to infinity */
}

/* 2^x, -160 <= x <= 250; absolute error of x enters as it is. Relative error of the polynomial under 1.3e-8. */
V16_INLINE v16 v16_exp2(v16 x) {
  const v16 rounder = v16_set(V16_ROUNDER);
  const v16 n = v16_sub(v16_add(x, rounder), rounder);
  const v16 r = v16_sub(x, n); /* exact */
  v16 p = v16_set(0x1.179d10p-13f);
  p = v16_fma(p, r, v16_set(0x1.5ef4e0p-10f));
  p = v16_fma(p, r, v16_set(0x1.3b6814p-7f));
  p = v16_fma(p, r, v16_set(0x1.c6af9ep-5f));
  p = v16_fma(p, r, v16_set(0x1.ebfb94p-3f));
  p = v16_fma(p, r, v16_set(0x1.62e430p-1f));
  p = v16_fma(p, r, v16_set(1.0f));
  return v16_scale(p, n);
}

/* |x| < 0.55: x + x t P(t), t = x^2 (relative error under 3.3e-9). Above: 1 - 2 / (e^2|x| + 1). */
V16_INLINE v16 v16_tanh(v16 x) {
  const v16 one = v16_set(1.0f);
  const v16 a = v16_min(v16_set(9.5f), v16_abs(x)); /* tanh 9.02 rounds to 1 */
  const v16 t = v16_mul(a, a);
  v16 p = v16_set(-0x1.84d4b6p-8f);
  p = v16_fma(p, t, v16_set(0x1.55467ep-6f));
  p = v16_fma(p, t, v16_set(-0x1.b8af82p-5f));
  p = v16_fma(p, t, v16_set(0x1.110a70p-3f));
  p = v16_fma(p, t, v16_set(-0x1.555542p-2f));
  p = v16_fma(v16_mul(p, t), a, a);
  v16 n, r;
  const v16 q = v16_exp_reduce(v16_add(a, a), &n, &r);
  const v16 e = v16_scale(v16_fma(v16_fma(q, r, one), r, one), n);
  const v16 large = v16_sub(one, v16_div(v16_set(2.0f), v16_add(e, one)));
  return v16_copysign(v16_select(v16_less(a, v16_set(0.55f)), p, large), x);
}

/* e^-|x| keeps the small side from overflowing: right into the denormals. */
V16_INLINE v16 v16_sigmoid(v16 x) {
  const v16 one = v16_set(1.0f);
  const v16 e = v16_exp_nonpositive(v16_sub(v16_set(-0.0f), v16_abs(x)));
  return v16_div(v16_select(v16_less(x, v16_set(0.0f)), e, one), v16_add(one, e));
}

/* |x| < 0.875: x + x P(x^2). Above: 1 - 2^Q(|x|), Q = log2 erfc; erf 3.95 rounds to 1. */
V16_INLINE v16 v16_erf(v16 x) {
  const v16 a = v16_min(v16_set(3.95f), v16_abs(x));
  const v16 t = v16_mul(a, a);
  v16 p = v16_set(-0x1.3ba5a8p-11f);
  p = v16_fma(p, t, v16_set(0x1.479c18p-8f));
  p = v16_fma(p, t, v16_set(-0x1.b69b8ep-6f));
  p = v16_fma(p, t, v16_set(0x1.ce1b86p-4f));
  p = v16_fma(p, t, v16_set(-0x1.8126ecp-2f));
  p = v16_fma(p, t, v16_set(0x1.06eba6p-3f));
  p = v16_fma(p, a, a);
  v16 q = v16_set(0x1.300ea0p-12f);
  q = v16_fma(q, a, v16_set(-0x1.245eccp-8f));
  q = v16_fma(q, a, v16_set(0x1.08f976p-5f));
  q = v16_fma(q, a, v16_set(-0x1.344008p-3f));
  q = v16_fma(q, a, v16_set(-0x1.d6550ep-1f));
  q = v16_fma(q, a, v16_set(-0x1.a094a0p+0f));
  q = v16_fma(q, a, v16_set(-0x1.9426b8p-13f));
  q = v16_sub(v16_set(1.0f), v16_exp2(q));
  return v16_copysign(v16_select(v16_less(a, v16_set(0.875f)), p, q), x);
}

/* x F(x) = max(x, 0) - a F(-a), a = |x|: no cancellation on either side. F(-a) is a polynomial of a minus the nearest half,
 * whose coefficients are looked up; past 7.25 it is 0. */
V16_INLINE v16 v16_gelu_by_table(v16 x, const float (*table)[16]) {
  const v16 rounder = v16_set(0x1.8p22f); /* adding it rounds to a multiple of 1/2, whose count are the lowest bits */
  const v16 a = v16_min(v16_set(7.5f), v16_abs(x));
  const v16 piece = v16_add(a, rounder);
  const v16 t = v16_sub(a, v16_sub(piece, rounder)); /* exact */
  v16 f = v16_look_up(table[V16_GELU_POWERS - 1], piece);
  PITH_UNROLL
  for (int power = V16_GELU_POWERS - 2; power >= 0; --power)
    f = v16_fma(f, t, v16_look_up(table[power], piece));
  return v16_fma(a, f, v16_max(v16_set(0.0f), x));
}

/* The derivative of the above, F(x) + x F'(x): D(a) = F(-a) - a F'(-a) where x < 0, 1 - D(a) elsewhere. With f = -F(-a), whose
 * polynomial is looked up, D = -(f + a f'). Absolute error under 2.6e-7 (tanh: 3.5e-7). */
V16_INLINE v16 v16_gelu_grad_by_table(v16 x, const float (*table)[16]) {
  const v16 rounder = v16_set(0x1.8p22f);
  const v16 a = v16_min(v16_set(7.5f), v16_abs(x));
  const v16 piece = v16_add(a, rounder);
  const v16 t = v16_sub(a, v16_sub(piece, rounder)); /* exact */
  v16 f = v16_look_up(table[V16_GELU_POWERS - 1], piece), slope = f;
  PITH_UNROLL
  for (int power = V16_GELU_POWERS - 2; power > 0; --power) {
    f = v16_fma(f, t, v16_look_up(table[power], piece));
    slope = v16_fma(slope, t, f);
  }
  f = v16_fma(f, t, v16_look_up(table[0], piece));
  const v16 d = v16_fma(a, slope, f); /* -D */
  return v16_select(v16_less(x, v16_set(0.0f)), v16_sub(v16_set(0.0f), d), v16_add(v16_set(1.0f), d));
}

V16_INLINE v16 v16_gelu(v16 x) {
  return v16_gelu_by_table(x, v16_gelu_table);
}

/* F(x) = (1 + tanh u) / 2, u = sqrt(2/pi) (x + 0.044715 x^3). */
V16_INLINE v16 v16_gelu_tanh(v16 x) {
  return v16_gelu_by_table(x, v16_gelu_tanh_table);
}

V16_INLINE v16 v16_relu(v16 x) {
  return v16_max(v16_set(0.0f), x); /* NaN stays; -0 stays */
}

#endif
