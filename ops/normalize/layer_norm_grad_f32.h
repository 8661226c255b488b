/* The gradient of LayerNorm (layer_norm_f32.h) in two kernels: rows, then columns.
 *
 * z = x (+ residual), u = (z - mean) * inverse, g = gamma * dy; mean and inverse = 1 / sqrt(variance + epsilon) have the bits of forward.
 *   rows:    dx = inverse * (g - mean of g - u * mean of g u), which is dresidual too
 *   columns: dgamma = sum over rows of dy u, dbeta = sum over rows of dy, each feature one ascending chain */
#ifndef PITH_OPS_LAYER_NORM_GRAD_F32_H
#define PITH_OPS_LAYER_NORM_GRAD_F32_H

#include "ops/kernel.h"

typedef struct pith_layer_norm_grad_f32_args {
  const float *x;         /* [rows, features] */
  const float *residual;  /* the same, or NULL */
  const float *gamma;     /* [features] */
  const float *dy;        /* [rows, features] */
  float *dx;              /* [rows, features]; may be x, residual or dy */
  float *mean, *inverse;  /* [rows], written for the other kernel */
  size_t rows, features, x_stride, residual_stride, dy_stride, dx_stride;
  float epsilon;
} pith_layer_norm_grad_f32_args;
extern const pith_kernel *const pith_layer_norm_grad_f32_kernels[];

typedef struct pith_layer_norm_grad_columns_f32_args {
  const float *x, *residual, *dy; /* as above; so dx may not have replaced them */
  const float *mean, *inverse;    /* [rows], as the other kernel wrote them */
  float *dgamma;                  /* [features] */
  float *dbeta;                   /* [features], or NULL */
  size_t rows, features, x_stride, residual_stride, dy_stride;
} pith_layer_norm_grad_columns_f32_args;
extern const pith_kernel *const pith_layer_norm_grad_columns_f32_kernels[];

#endif
