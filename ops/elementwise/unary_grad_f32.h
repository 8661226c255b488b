/* dx = dy * f'(x), element by element. relu'(0) is 0. NaN in x or dy gives NaN (but for relu: x NaN gives dy times 0 or 1). */
#ifndef PITH_OPS_UNARY_GRAD_F32_H
#define PITH_OPS_UNARY_GRAD_F32_H

#include "ops/elementwise/elementwise_f32.h"

typedef struct pith_unary_grad_f32_args {
  const float *x, *dy;
  float *dx; /* may be x or dy */
  size_t count;
  pith_unary function;
} pith_unary_grad_f32_args;
extern const pith_kernel *const pith_unary_grad_f32_kernels[];

#endif
