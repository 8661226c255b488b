/* gemm_u8s8's products where whole blocks of weights are zero: the same formula, and the same bits as gemm_u8s8 gives for the
 * same weights, on every instruction set and for any split. Activations lie in tiles (ops/activation_layout.h): x as tile64
 * for weights in b4x1_s8, as tile64x4 for b4x4_s8; floats as tile64. Tasks are balanced by units, not by outputs. */
#ifndef PITH_OPS_SPARSE_GEMM_U8S8_H
#define PITH_OPS_SPARSE_GEMM_U8S8_H

#include "ops/gemm/gemm_f32.h"
#include "ops/quantize/quantize.h"
#include "ops/sparse_gemm/sparse_weights.h"

typedef struct pith_sparse_gemm_u8s8_segment {
  const void *w;        /* packed, of the call's form, checked, 64-byte aligned */
  const float *w_scale; /* [n] */
  const float *bias;    /* [n], or NULL */
  size_t n;
  float *y; /* tile64 [rows, n], or NULL: only q is wanted */
  pith_quantized_tiles q;
} pith_sparse_gemm_u8s8_segment;

typedef struct pith_sparse_gemm_u8s8_args {
  pith_sparse_form form; /* B4X1_S8 or B4X4_S8, of all segments */
  const uint8_t *x;      /* [rows, k] in the form's layout */
  size_t rows, k;
  const float *x_scale;  /* [1], or [rows] */
  const uint8_t *x_zero; /* [1], or [rows] */
  bool x_per_row;
  bool q_per_row; /* as in pith_gemm_u8s8_args */
  size_t segment_count;
  pith_sparse_gemm_u8s8_segment segments[PITH_GEMM_MAX_SEGMENTS];
  pith_activation activation;
  const float *residual; /* tile64 [rows, n], added after the activation; one segment only; or NULL */
} pith_sparse_gemm_u8s8_args;

extern const pith_kernel *const pith_sparse_gemm_u8s8_kernels[];

#endif
