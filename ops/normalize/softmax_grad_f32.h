/* dx = y * (dy - sum of y dy) over features of each row; y is softmax's result. */
#ifndef PITH_OPS_SOFTMAX_GRAD_F32_H
#define PITH_OPS_SOFTMAX_GRAD_F32_H

#include "ops/kernel.h"

typedef struct pith_softmax_grad_f32_args {
  const float *y, *dy; /* [rows, features] */
  float *dx;           /* the same; may be y or dy */
  size_t rows, features, y_stride, dy_stride, dx_stride;
} pith_softmax_grad_f32_args;
extern const pith_kernel *const pith_softmax_grad_f32_kernels[];

#endif
