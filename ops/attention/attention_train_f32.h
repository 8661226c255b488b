/* Attention for training: attention_f32.h with dropout of the softmax's weights, and its gradients.
 *
 *   p = softmax(scale * Q K^T),   w = dropout(p),   y = w V
 *   dv = w^T dy,   dp = dropout(dy v^T),   ds = p (dp - sum of dy y),   dq = scale * ds k,   dk = scale * ds^T q
 *
 * Backward computes scores and masks again, a block of query rows at a time; forward leaves it two numbers for each
 * (token, head). Sums over queries (dk, dv) are one ascending chain, so threads share sequences and heads. */
#ifndef PITH_OPS_ATTENTION_TRAIN_F32_H
#define PITH_OPS_ATTENTION_TRAIN_F32_H

#include "ops/attention/attention_f32.h"
#include "ops/dropout/dropout.h"

typedef struct pith_attention_train_f32_args {
  pith_attention_f32_args attention; /* value_size: at least 1 */
  float *statistics; /* [query tokens, heads * 2]: of each head the row's largest score, times log2 e, and 1 / its sum */
  pith_dropout dropout; /* sample key[3] + s is sequence s */
} pith_attention_train_f32_args;
extern const pith_kernel *const pith_attention_train_f32_kernels[];

typedef struct pith_attention_grad_f32_args {
  pith_attention_train_f32_args forward; /* as it ran: y and statistics are read */
  const float *dy;                       /* [query tokens, heads * value_size] */
  float *dq, *dk, *dv;                   /* of the shapes of q, k and v */
  size_t dy_stride, dq_stride, dk_stride, dv_stride;
} pith_attention_grad_f32_args;
extern const pith_kernel *const pith_attention_grad_f32_kernels[];

#endif
