/* Element by element: unary functions, and binary ones whose second operand may be one row or one value. */
#ifndef PITH_OPS_ELEMENTWISE_F32_H
#define PITH_OPS_ELEMENTWISE_F32_H

#include "ops/kernel.h"

typedef enum pith_unary {
  PITH_UNARY_RELU,
  PITH_UNARY_GELU,
  PITH_UNARY_GELU_TANH,
  PITH_UNARY_TANH,
  PITH_UNARY_SIGMOID,
  PITH_UNARY_ERF,
  PITH_UNARY_COUNT
} pith_unary;

typedef struct pith_unary_f32_args {
  const float *x;
  float *y; /* may be x */
  size_t count;
  pith_unary function;
} pith_unary_f32_args;
extern const pith_kernel *const pith_unary_f32_kernels[];

typedef enum pith_binary { PITH_BINARY_ADD, PITH_BINARY_SUB, PITH_BINARY_MUL, PITH_BINARY_DIV, PITH_BINARY_COUNT } pith_binary;

/* y[r, c] = a[r * a_row_stride + c * a_column_stride] op b[...]: a stride of 0 broadcasts, the column stride is 0 or 1. */
typedef struct pith_binary_f32_args {
  const float *a, *b;
  float *y; /* [rows, columns], contiguous; may be a or b where that is not broadcast */
  size_t rows, columns, a_row_stride, a_column_stride, b_row_stride, b_column_stride;
  pith_binary function;
} pith_binary_f32_args;
extern const pith_kernel *const pith_binary_f32_kernels[];

#endif
