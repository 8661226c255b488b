/* Layer normalization of rows, for the kernels that do it; one function of each instruction set, defined in
 * layer_norm_f32_body.h. Included after a v16 header. */
#ifndef PITH_OPS_LAYER_NORM_ROWS_H
#define PITH_OPS_LAYER_NORM_ROWS_H

#include "ops/quantize/quantize.h"

enum { LAYER_NORM_ROWS = 4 }; /* side by side: one row's chains of additions are bound by latency */

typedef struct layer_norm_rows_args {
  const float *x, *residual, *gamma, *beta; /* residual, beta: or NULL */
  float *y;                                 /* may be x or residual */
  size_t features, x_stride, residual_stride, y_stride;
  float epsilon;
  pith_quantized_rows q; /* q and row_scale, row_zero of the first row; q NULL: not wanted */
  const float *q_factors; /* of a static q; or NULL */
} layer_norm_rows_args;

/* Any number of rows. */
void V16_NAME(pith_layer_norm_rows)(layer_norm_rows_args a, size_t rows);

#endif
