/* What every row of the table in attention_u8s8.c computes alike, beside what attention_u8s8.h says. With
 *   c[i, j] = (float)(sum over d of (q[i, d] - q_zero) * k[j, d])
 * the scores, times log2 e, are
 *   static    t[i, j] = c * (scale * q_scale * k_scale * log2 e)
 *   dynamic   t[i, j] = (c * k_scale[j]) * (scale * q_scale[i] * log2 e)
 * products from the left. A weight is p = rint(W(t - the row's largest t)), rounded to even, where for x = n + r, n = rint(x),
 *   W(x) = 2^n * (((w3 * r + w2) * r + w1) * r + w0), each step fused,
 * is 255 * 2^x to within 1.1e-4 of it: v16_exp2_8bit with 255 multiplied in. It is 0 where x is under -125 or NaN. Then
 *   y[i, d] = (float)(sum over j of p[i, j] * v[j, d]) * (v_scale / (float)(sum over j of p[i, j])),
 * the second factor 0 where no weight is over 0. Dynamic rows have scales and zeros, and outputs
 * values, by ops/quantize/quantize_rows.h. */
#ifndef PITH_OPS_ATTENTION_U8S8_INTERNAL_H
#define PITH_OPS_ATTENTION_U8S8_INTERNAL_H

#include "ops/attention/attention_u8s8.h"

extern const pith_kernel pith_attention_u8s8_reference, pith_attention_u8s8_avx2, pith_attention_u8s8_avxvnni,
    pith_attention_u8s8_avx512, pith_attention_u8s8_avx512vnni;

#define PITH_ATTENTION_U8S8_LOG2_E 0x1.715476p+0f
#define PITH_ATTENTION_U8S8_W0 255.0f
#define PITH_ATTENTION_U8S8_W1 0x1.619306p+7f
#define PITH_ATTENTION_U8S8_W2 0x1.ee1c42p+5f
#define PITH_ATTENTION_U8S8_W3 0x1.c0df66p+3f
#define PITH_ATTENTION_U8S8_ROUNDER 0x1.8p23f /* adding it rounds a float of magnitude under 2^22 to an integer */

#endif
