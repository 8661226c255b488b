/* The gradient of y = x / n, n = max(norm of x, epsilon), over features of each row, from x.
 *   p 2: dx = (dy - y * sum of y dy) / n      p 1: dx = (dy - sign(x) * sum of y dy) / n, sign(0) = 0
 * Where the norm is under epsilon: dx = dy / epsilon. */
#ifndef PITH_OPS_LP_NORM_GRAD_F32_H
#define PITH_OPS_LP_NORM_GRAD_F32_H

#include "ops/kernel.h"

typedef struct pith_lp_norm_grad_f32_args {
  const float *x, *dy; /* [rows, features] */
  float *dx;           /* the same; may be x or dy */
  size_t rows, features, x_stride, dy_stride, dx_stride;
  int p; /* 1 or 2 */
  float epsilon;
} pith_lp_norm_grad_f32_args;
extern const pith_kernel *const pith_lp_norm_grad_f32_kernels[];

#endif
