/* Floats to 8 bits and back: what every kernel that reads or writes quantized rows agrees on.
 *
 *   real = scale * (q - zero),  q in 0 .. 255 (u8) or -128 .. 127 (s8, zero always 0)
 *
 * Kernels that finish in floats and write 8 bits ("requantize") compute, on every instruction set,
 *   q = saturate(rint(min(z * (1 / scale), limit - zero)) + zero),  limit 255 or 127, rint to even, NaN: the limit,
 * which is ONNX's QuantizeLinear but for a product in place of a division: one level apart at most, and only where z / scale
 * lies within a rounding error of a tie. The kernel below that is a graph's own QuantizeLinear divides. 1 / scale is at most
 * the largest float, which a scale under 2^-128 would pass: 0 stays 0.
 *
 * Dynamic rows: the scale of each group of features of each row comes from its own values x:
 *   u8: lo = min(0, min x), hi = max(0, max x), scale = (hi - lo) / 255, zero = rint(-lo / scale)
 *   s8: scale = max |x| / 127
 * with scale 1 where that is 0 or denormal; NaNs count as 0 in the range, infinities as the largest float (where hi - lo
 * overflows, scale is hi / 255 - lo / 255). This is ONNX's DynamicQuantizeLinear 11, for rows, but for the product. */
#ifndef PITH_OPS_QUANTIZE_H
#define PITH_OPS_QUANTIZE_H

#include <stdbool.h>
#include <stdint.h>

#include "ops/activation_layout.h"
#include "ops/kernel.h"
#include "ops/number.h"

/* Where and how a kernel writes rows in 8 bits. */
typedef struct pith_quantized_rows {
  void *q;          /* [rows, features] of `type`; NULL: not wanted */
  size_t stride;    /* elements from row to row */
  pith_number type; /* U8 or S8 */
  const float *scale;  /* static: [1] */
  const uint8_t *zero; /* static: [1]; NULL: 0, as for S8 */
  float *row_scale;    /* dynamic: [rows] written; NULL: static */
  uint8_t *row_zero;   /* dynamic u8: [rows] written */
} pith_quantized_rows;

/* Where and how a kernel writes tiles in 8 bits: pith_quantized_rows but for the layout. */
typedef struct pith_quantized_tiles {
  void *q; /* [tokens, features] of `type` in `layout`; NULL: not wanted */
  pith_activation_layout layout; /* TILE64 or TILE64X4 */
  pith_number type;
  const float *scale;  /* static: [1] */
  const uint8_t *zero; /* static: [1]; NULL: 0 */
  float *row_scale;    /* dynamic: [tokens] written; NULL: static */
  uint8_t *row_zero;   /* dynamic u8: [tokens] written */
} pith_quantized_tiles;

/* QuantizeLinear, DynamicQuantize and DequantizeLinear as steps of their own. */
typedef struct pith_quantize_args {
  const float *x; /* [rows, features] */
  size_t x_stride, rows, features;
  /* Static, per row, per feature or per block: the scale of x[t, f] is
   * scale[t * scale_row_step + f / block * scale_step]. */
  const float *scale;
  const void *zero; /* of `type`, same places; NULL: 0 */
  size_t scale_row_step, scale_step, block;
  pith_number type;
  void *q;
  size_t q_stride;
} pith_quantize_args;
extern const pith_kernel *const pith_quantize_kernels[]; /* divides, as ONNX does */

typedef struct pith_dynamic_quantize_args {
  const float *x; /* [rows, features] */
  size_t x_stride, rows, features;
  size_t block;            /* features of a group; divides features; 0: all of them */
  const int32_t *offsets;  /* NULL: a range per row; else [sequences + 1]: a range per sequence and group */
  size_t sequences;
  pith_number type;
  void *q;
  size_t q_stride;
  float *scale; /* [rows, features / block]; a sequence's is written to each of its rows */
  void *zero;   /* the same shape, of `type`; NULL: not wanted */
} pith_dynamic_quantize_args;
extern const pith_kernel *const pith_dynamic_quantize_kernels[];

typedef struct pith_dequantize_args {
  const void *q; /* [rows, features] of `type` */
  size_t q_stride, rows, features;
  const float *scale; /* as in pith_quantize_args */
  const void *zero;
  size_t scale_row_step, scale_step, block;
  pith_number type; /* U8, S8, or S32, which has no zero points */
  float *y;
  size_t y_stride;
} pith_dequantize_args;
extern const pith_kernel *const pith_dequantize_kernels[];

#endif
