/* gemm_f32's products where whole blocks of weights are zero (b4x1_f32): each output is the chain of fused multiply-adds of
 * gemm_f32 without the links whose weight is 0, and so has its bits wherever x is finite. All activations as tile64. */
#ifndef PITH_OPS_SPARSE_GEMM_F32_H
#define PITH_OPS_SPARSE_GEMM_F32_H

#include "ops/activation_layout.h"
#include "ops/gemm/gemm_f32.h"
#include "ops/sparse_gemm/sparse_weights.h"

typedef struct pith_sparse_gemm_f32_segment {
  const void *w;     /* packed as b4x1_f32, checked, 64-byte aligned */
  const float *bias; /* [n], or NULL */
  float *y;          /* [rows, n] */
  size_t n;
} pith_sparse_gemm_f32_segment;

typedef struct pith_sparse_gemm_f32_args {
  const float *x; /* [rows, k] */
  size_t rows, k;
  size_t segment_count;
  pith_sparse_gemm_f32_segment segments[PITH_GEMM_MAX_SEGMENTS];
  pith_activation activation;
  const float *residual; /* [rows, n], added after the activation; one segment only; or NULL */
} pith_sparse_gemm_f32_args;

extern const pith_kernel *const pith_sparse_gemm_f32_kernels[];

#endif
