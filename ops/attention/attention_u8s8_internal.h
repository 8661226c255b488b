/* What every row of the table in attention_u8s8.c computes alike, beside what attention_u8s8.h says. With
 *   c[i, j] = (float)(sum over d of (q[i, d] - q_zero) * k[j, d])
 * the scores, times log2 e, are
 *   static    t[i, j] = c * (scale * q_scale * k_scale * log2 e)
 *   dynamic   t[i, j] = (c * k_scale[j]) * (scale * q_scale[i] * log2 e)
 * products from the left. A weight is p = rint(255 * v16_exp2_8bit(t - the row's largest t)), rounded to even: within 0.53 of
 * 255 times the power, and 0 where t is NaN. Then
 *   y[i, d] = (float)(sum over j of p[i, j] * v[j, d]) * (v_scale / (float)(sum over j of p[i, j])),
 * the second factor 0 where no weight is over 0. Dynamic rows have scales and zeros, and outputs
 * values, by ops/quantize/quantize_rows.h. */
#ifndef PITH_OPS_ATTENTION_U8S8_INTERNAL_H
#define PITH_OPS_ATTENTION_U8S8_INTERNAL_H

#include "ops/attention/attention_u8s8.h"

extern const pith_kernel pith_attention_u8s8_reference, pith_attention_u8s8_avx2, pith_attention_u8s8_avxvnni,
    pith_attention_u8s8_avx512, pith_attention_u8s8_avx512vnni;

#define PITH_ATTENTION_U8S8_LOG2_E 0x1.715476p+0f

#endif
