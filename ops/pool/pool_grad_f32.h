/* The gradient of pool_f32.h by its tokens: every row of dx is written, 0 where a token had no part. Of equal maxima the first
 * token's gets dy. */
#ifndef PITH_OPS_POOL_GRAD_F32_H
#define PITH_OPS_POOL_GRAD_F32_H

#include "ops/pool/pool_f32.h"

typedef struct pith_pool_grad_f32_args {
  const float *x; /* [tokens, features], read by MAX only */
  size_t x_stride;
  const int32_t *offsets; /* [sequences + 1]; no sequence is empty */
  size_t sequences, features;
  const float *dy; /* [sequences, features] */
  size_t dy_stride;
  float *dx; /* [tokens, features]; not x */
  size_t dx_stride;
  pith_pool_mode mode;
} pith_pool_grad_f32_args;
extern const pith_kernel *const pith_pool_grad_f32_kernels[];

#endif
