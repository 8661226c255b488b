/* FP32 products with weights: y[t, n] = f(sum over k of x[t, k] * w[n, k] + bias[n]) (+ residual[t, n]).
 *
 * T rows (tokens), K inputs, N outputs. Weights lie in stored blocks of 64 outputs, [N/64][K][64], the last block
 * narrower (its width rounded up to 16, padding 0), or row-major, which costs a repack at each call: [N, K] (weights as
 * they are trained, tied embeddings) or [K, N] (y = x w: the same weights in a backward pass, products of two activations).
 * Several products of the same x (query, key, value) are one call: a segment each. */
#ifndef PITH_OPS_GEMM_F32_H
#define PITH_OPS_GEMM_F32_H

#include "ops/kernel.h"

/* gelu: x/2 (1 + erf(x / sqrt 2)); gelu_tanh: x/2 (1 + tanh(sqrt(2/pi) (x + 0.044715 x^3))) */
#define PITH_ACTIVATION_LIST(X)                                                                            \
  X(NONE, "none") X(RELU, "relu") X(GELU, "gelu") X(GELU_TANH, "gelu_tanh") X(TANH, "tanh")

typedef enum pith_activation {
#define PITH_ACTIVATION_ENUM(name, text) PITH_ACTIVATION_##name,
  PITH_ACTIVATION_LIST(PITH_ACTIVATION_ENUM)
#undef PITH_ACTIVATION_ENUM
  PITH_ACTIVATION_COUNT
} pith_activation;

enum { PITH_GEMM_MAX_SEGMENTS = 4 };

/* How a segment's weights lie. */
typedef enum pith_gemm_form {
  PITH_GEMM_BLOCKS,  /* stored blocks */
  PITH_GEMM_ROWS,    /* [n, k] */
  PITH_GEMM_COLUMNS, /* [k, n] */
} pith_gemm_form;

typedef struct pith_gemm_f32_segment {
  const float *w;
  pith_gemm_form form;
  size_t w_stride;   /* elements from row to row of w; blocks: not read */
  const float *bias; /* [n], or NULL */
  float *y;          /* [rows, n] with y_stride elements from row to row */
  size_t y_stride;
  size_t n;
} pith_gemm_f32_segment;

typedef struct pith_gemm_f32_args {
  const float *x; /* [rows, k] */
  size_t x_stride; /* elements from row to row */
  size_t rows, k;
  size_t segment_count;
  pith_gemm_f32_segment segments[PITH_GEMM_MAX_SEGMENTS];
  pith_activation activation;
  const float *residual; /* [rows, n], added after the activation; one segment only; or NULL */
  size_t residual_stride;
} pith_gemm_f32_args;

extern const pith_kernel *const pith_gemm_f32_kernels[];

/* Stored blocks. Floats that [n, k] takes (k * n rounded up to 16); pack and unpack are exact inverses. */
size_t pith_gemm_f32_packed_count(size_t n, size_t k);
void pith_gemm_f32_pack(size_t n, size_t k, const float *w /* [n, k] */, float *out_packed);
void pith_gemm_f32_unpack(size_t n, size_t k, const float *packed, float *out_w);

#endif
