/* What training of INT8 models needs of 8 bits: the levels that the integer kernels would write, what they stand for, and gradients
 * straight through the rounding. Everything here is dense, and by the rules of quantize.h for kernels that finish in floats, so that
 * levels have the bits of an integer model's.
 *
 *   activations  q = saturate(rint(min(x / scale, limit - zero)) + zero) by a product with 1 / scale,  y = (q - zero) * scale
 *   rows         scale = max |x| / 127 of each row (1 where that is 0 or denormal), q in -127 .. 127, zero 0: weights and tables
 *   gradient     n = rint(x / scale):  dx = dy where n lies within the levels less zero, else 0
 *                dscale = sum of dy * (n - x / scale within, the nearest level less zero without)
 *
 * The first is the straight-through estimator with the range's mask (Bengio et al. 2013; PyTorch's fake_quantize), the second the step's
 * gradient of LSQ (Esser et al. 2020, eq. 3). Rows that have the scale of their largest element round within it always. */
#ifndef PITH_OPS_FAKE_QUANTIZE_F32_H
#define PITH_OPS_FAKE_QUANTIZE_F32_H

#include "ops/quantize/quantize.h"

typedef struct pith_fake_quantize_f32_args {
  const float *x;
  size_t count;
  const float *scale; /* [1] */
  const void *zero;   /* [1] of `type`; NULL: 0 */
  pith_number type;   /* U8 or S8 */
  float *y;           /* [count]; may be x */
  void *q;            /* [count] */
} pith_fake_quantize_f32_args;
extern const pith_kernel *const pith_fake_quantize_f32_kernels[];

typedef struct pith_fake_quantize_grad_f32_args {
  const float *x, *dy; /* [rows, features] */
  size_t rows, features;
  const float *scale; /* as above */
  const void *zero;
  pith_number type;
  float *dx;     /* [rows, features]; may be x or dy */
  float *dscale; /* [rows]: each row's part of the sum */
} pith_fake_quantize_grad_f32_args;
extern const pith_kernel *const pith_fake_quantize_grad_f32_kernels[];

typedef struct pith_fake_quantize_rows_f32_args {
  const float *x; /* [rows, features] */
  size_t rows, features;
  float *y;     /* [rows, features], or NULL; may be x */
  int8_t *q;    /* [rows, features], or NULL */
  void *packed; /* the same levels in the stored blocks of gemm_u8s8.h, or NULL */
  float *scale; /* [rows], or NULL */
} pith_fake_quantize_rows_f32_args;
extern const pith_kernel *const pith_fake_quantize_rows_f32_kernels[];

/* min(0, x) and max(0, x) of each row; NaNs count as 0. */
typedef struct pith_row_ranges_f32_args {
  const float *x; /* [rows, features] */
  size_t rows, features;
  float *ranges; /* [rows, 2] */
} pith_row_ranges_f32_args;
extern const pith_kernel *const pith_row_ranges_f32_kernels[];

/* GELU as products compute it where only 8 bits of it are wanted: ops/math/functions_8bit.h. */
typedef struct pith_gelu_8bit_f32_args {
  const float *x;
  float *y; /* may be x */
  size_t count;
  bool tanh_form;
} pith_gelu_8bit_f32_args;
extern const pith_kernel *const pith_gelu_8bit_f32_kernels[];

#endif
