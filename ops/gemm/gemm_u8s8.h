/* INT8 products with weights: for each row t and output n
 *   s = sum over k of (x[t, k] - x_zero[t]) * w[n, k]                    exact, in s32
 *   z = f(fma(s, x_scale[t] * w_scale[n], bias[n])) (+ residual[t, n])   in f32
 * written as f32, or requantized (ops/quantize), or both. A bias that is absent is 0. s never overflows: k is at most PITH_GEMM_U8S8_MAX_K.
 *
 * x is u8 (zero point anywhere), w s8. Weights lie in stored blocks of 16 outputs, [N/16][K/4 + 1][16][4] bytes: group g of a
 * block holds inputs 4g to 4g + 3 of each of its outputs (padding 0), and behind the last group lie the 16 sums of the
 * weights, s32, so that `-x_zero * sum` starts the accumulators and a load reads no weight to learn them. Every kernel
 * starts from the stored sums, modulo 2^32: wrong ones give wrong results, but the same on each.
 *
 * f's GELU is the one of ops/math that is made for 8-bit results where nothing but an 8-bit output is wanted (its error is
 * stated there), the FP32 one wherever y is: y has the same bits whether q is written beside it or not, and q may then
 * differ by a level from what it is alone. Same bits on every instruction set, for any split. */
#ifndef PITH_OPS_GEMM_U8S8_H
#define PITH_OPS_GEMM_U8S8_H

#include "ops/gemm/gemm_f32.h"
#include "ops/quantize/quantize.h"

enum {
  PITH_GEMM_U8S8_BLOCK = 16,    /* outputs of a stored block */
  PITH_GEMM_U8S8_MAX_K = 65536, /* 255 * 128 * 65536 < 2^31 */
};

typedef struct pith_gemm_u8s8_segment {
  const int8_t *w;      /* stored blocks, 64-byte aligned */
  const float *w_scale; /* [n] */
  const float *bias;    /* [n], or NULL */
  size_t n;
  float *y; /* [rows, n], or NULL: only q is wanted */
  size_t y_stride;
  pith_quantized_rows q;
} pith_gemm_u8s8_segment;

typedef struct pith_gemm_u8s8_args {
  const uint8_t *x; /* [rows, k] */
  size_t x_stride, rows, k;
  const float *x_scale;  /* [1], or [rows] */
  const uint8_t *x_zero; /* [1], or [rows] */
  bool x_per_row;
  /* q.row_scale is written, a scale for each whole row of the output: for a single segment, whose rows are finished in
   * scratch first. (A flag beside the pointer, because scratch is asked for before there are pointers.) */
  bool q_per_row;
  size_t segment_count;
  pith_gemm_u8s8_segment segments[PITH_GEMM_MAX_SEGMENTS];
  pith_activation activation;
  const float *residual; /* [rows, n], added after the activation; one segment only; or NULL */
  size_t residual_stride;
} pith_gemm_u8s8_args;

extern const pith_kernel *const pith_gemm_u8s8_kernels[];

/* Bytes that [n, k] takes; pack and unpack are exact inverses. */
size_t pith_gemm_u8s8_packed_bytes(size_t n, size_t k);
void pith_gemm_u8s8_pack(size_t n, size_t k, const int8_t *w /* [n, k] */, void *out_packed);
void pith_gemm_u8s8_unpack(size_t n, size_t k, const void *packed, int8_t *out_w);

#endif
