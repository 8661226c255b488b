/* INT8 attention over packed sequences; what is computed stands in attention_f32.h. For each sequence and head
 *   s[i, j] = scale * q_scale * k_scale[j] * (sum over d of (q[i, d] - q_zero) * k[j, d])      the sum exact, in s32
 *   p[i, j] = rint(255 * exp(s[i, j] - max over j of s[i, j]))                                  u8
 *   y[i, d] = v_scale * (sum over j of p[i, j] * v[j, d]) / (sum over j of p[i, j])             both sums exact, in s32
 * so the weights of a row are steps of 1/255 of its largest one and add up to 1 exactly. exp is one made for
 * such results: that, every rounding and what NaN gives stand in attention_u8s8_internal.h. A query that sees no key gets 0.
 * A sequence has at most PITH_ATTENTION_U8S8_MAX_KEYS tokens, a head as many features. y_q holds what y would.
 *
 * Inputs are 8-bit with one scale each (static), or f32 (dynamic): then each row of q (u8) and k (s8) of a head gets its own
 * scale, and v one for each sequence and head, by the rules of ops/quantize, as they are packed. */
#ifndef PITH_OPS_ATTENTION_U8S8_H
#define PITH_OPS_ATTENTION_U8S8_H

#include <stdbool.h>
#include <stdint.h>

#include "ops/quantize/quantize.h"

enum { PITH_ATTENTION_U8S8_MAX_KEYS = 65536 };

typedef struct pith_attention_u8s8_args {
  bool is_dynamic;
  const void *q, *k, *v; /* [tokens, heads * head_size]; v: [tokens, heads * value_size]; u8, s8, s8 or all f32 */
  size_t q_stride, k_stride, v_stride;         /* elements from token to token */
  const float *q_scale, *k_scale, *v_scale;    /* static: [1] each */
  const uint8_t *q_zero;                       /* static: [1] */
  float *y;                                    /* [tokens, heads * value_size], or NULL: only y_q is wanted */
  size_t y_stride;
  pith_quantized_rows y_q;                     /* static only (row_scale NULL) */
  const int32_t *q_offsets, *kv_offsets;       /* [sequences + 1] */
  size_t sequences;
  size_t heads, head_size, value_size;
  float scale;
  bool causal;     /* key j is seen by query i where j <= i + (keys - queries) */
  size_t max_keys; /* the longest sequence of kv_offsets, for scratch */
} pith_attention_u8s8_args;

extern const pith_kernel *const pith_attention_u8s8_kernels[];

#endif
