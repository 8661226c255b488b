/* Attention over packed sequences: for each sequence s and head h
 *   y = softmax(scale * Q K^T) V,   Q: tokens q_offsets[s]..q_offsets[s+1], K and V: kv_offsets[s]..kv_offsets[s+1].
 * No padding, no mask in memory, scores of a block of query rows at a time. A score is a chain over the head's features
 * with k * (scale log2 e), rounded, in place of k; the softmax is 2^(score - maximum), its maximum and sum over the whole
 * row (16 partial sums); y is one chain over the keys that the query sees, times 1 / sum (one rounding more than a
 * division, of each output instead of each weight). A query that sees no key gets 0; one whose scores are all -infinity
 * too. Keys that it does not see cannot reach it, be they NaN. */
#ifndef PITH_OPS_ATTENTION_F32_H
#define PITH_OPS_ATTENTION_F32_H

#include <stdbool.h>
#include <stdint.h>

#include "ops/kernel.h"

typedef struct pith_attention_f32_args {
  const float *q, *k, *v; /* [tokens, heads * head_size]; v: [tokens, heads * value_size] */
  float *y;               /* [tokens, heads * value_size] */
  size_t q_stride, k_stride, v_stride, y_stride; /* elements from token to token */
  const int32_t *q_offsets, *kv_offsets;         /* [sequences + 1] */
  size_t sequences;
  size_t heads, head_size, value_size;
  float scale;
  bool causal; /* key j is seen by query i where j <= i + (keys - queries) */
  size_t max_keys; /* the longest sequence of kv_offsets, for scratch */
} pith_attention_f32_args;

extern const pith_kernel *const pith_attention_f32_kernels[];

/* The same with the weights of attention_u8s8.h: p = rint(255 * exp(score - the row's largest)), y = (sum of p * v) / (sum of
 * p), one chain over the keys whose weight is over 0. No speed is meant: it is what a quantized graph means as it stands. */
extern const pith_kernel *const pith_attention_rounded_f32_kernels[];

#endif
