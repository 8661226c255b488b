/* 2^x and GELU on v16 for results that are then rounded to 8 bits, in 9 and 10 operations. Included after
 * one of v16_plain.h, v16_avx2.h, v16_avx512.h; the same bits on each.
 *
 * Coefficients are minimax (linear programs over a dense grid), rounded to float one by one from the lowest power with the
 * rest fitted again. Errors, whose limits tests/ops/test_math_8bit.c checks over a stride of all floats:
 *
 *   gelu       absolute 1.8e-4: a fiftieth of the step of 8 bits over [-0.17, 2]; within 1e-6 of x above 3.9375, of 0 below
 *   gelu_tanh  absolute 1.5e-4; the same above and below 3.875
 *   exp2       relative 1.1e-4 where the result is at least 2^-125; 2^0 is 1
 *
 * The two forms of GELU differ by 4.7e-4, so each has its own coefficients. */
#ifndef PITH_OPS_MATH_FUNCTIONS_8BIT_H
#define PITH_OPS_MATH_FUNCTIONS_8BIT_H

#ifndef PITH_OPS_V16
#error "include v16_plain.h, v16_avx2.h or v16_avx512.h first"
#endif

/* x F(x) = max(x, 0) - a F(-a), a = |x|; powers[p] are those of -F(-a) on [0, end], where it is 0. NaN stays. */
V16_INLINE v16 v16_gelu_8bit_of(v16 x, float end, const float powers[7]) {
  const v16 a = v16_min(v16_set(end), v16_abs(x));
  v16 f = v16_set(powers[6]);
  PITH_UNROLL
  for (int power = 5; power >= 0; --power)
    f = v16_fma(f, a, v16_set(powers[power]));
  return v16_fma(a, f, v16_max(v16_set(0.0f), x));
}

/* F the normal distribution's function. */
V16_INLINE v16 v16_gelu_8bit(v16 x) {
  static const float powers[7] = {-0x1.ffc578p-2f, 0x1.8ca356p-2f,  0x1.8e3b6ep-5f, -0x1.27ea66p-3f,
                                  0x1.e642d6p-5f,  -0x1.5098f6p-7f, 0x1.5f1e9cp-11f};
  return v16_gelu_8bit_of(x, 3.9375f, powers);
}

/* F(x) = (1 + tanh u) / 2, u = sqrt(2/pi) (x + 0.044715 x^3). */
V16_INLINE v16 v16_gelu_tanh_8bit(v16 x) {
  static const float powers[7] = {-0x1.ff6c16p-2f, 0x1.8bb640p-2f,  0x1.9057a0p-5f, -0x1.27839cp-3f,
                                  0x1.e5c208p-5f,  -0x1.50e5acp-7f, 0x1.60a326p-11f};
  return v16_gelu_8bit_of(x, 3.875f, powers);
}

/* 2^x, x <= 0 (right up to 127). Below -125, and for NaN, it is 2^-125. */
V16_INLINE v16 v16_exp2_8bit(v16 x) {
  const v16 rounder = v16_set(0x1.8p23f);
  x = v16_max(x, v16_set(-125.0f));
  const v16 n_rounded = v16_add(x, rounder), r = v16_add(x, v16_sub(rounder, n_rounded)); /* within 1/2 */
  v16 p = v16_set(0x1.c2a208p-5f);
  p = v16_fma(p, r, v16_set(0x1.f00c4ep-3f));
  p = v16_fma(p, r, v16_set(0x1.62f5fcp-1f));
  p = v16_fma(p, r, v16_set(1.0f));
  return v16_raise(p, n_rounded);
}

#endif
