/* y[t] = (z - mean z) / sqrt(var z + epsilon) * gamma + beta over features, z = x[t] (+ residual[t]).
 * Mean and variance (biased, two passes) by the common order of sums. */
#ifndef PITH_OPS_LAYER_NORM_F32_H
#define PITH_OPS_LAYER_NORM_F32_H

#include "ops/quantize/quantize.h"

typedef struct pith_layer_norm_f32_args {
  const float *x;        /* [rows, features] */
  const float *residual; /* the same, or NULL */
  const float *gamma;    /* [features] */
  const float *beta;     /* [features], or NULL */
  float *y;              /* [rows, features]; may be x or residual */
  size_t rows, features, x_stride, residual_stride, y_stride;
  float epsilon;
  pith_quantized_rows q; /* the rows of y once more in 8 bits, in the same pass */
  const float *q_factors; /* [features] static q only: what becomes 8 bits is y times them (SmoothQuant); NULL: y itself */
} pith_layer_norm_f32_args;
extern const pith_kernel *const pith_layer_norm_f32_kernels[];

/* y[t] = x[t] / max(norm, epsilon), norm the p-norm (p 1 or 2) over features. */
typedef struct pith_lp_norm_f32_args {
  const float *x;
  float *y; /* may be x */
  size_t rows, features, x_stride, y_stride;
  int p;
  float epsilon;
} pith_lp_norm_f32_args;
extern const pith_kernel *const pith_lp_norm_f32_kernels[];

/* softmax over features of each row; y may be x. */
typedef struct pith_softmax_f32_args {
  const float *x;
  float *y;
  size_t rows, features, x_stride, y_stride;
} pith_softmax_f32_args;
extern const pith_kernel *const pith_softmax_f32_kernels[];

#endif
