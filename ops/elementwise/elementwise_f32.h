/* Element by element: unary functions, and binary ones whose second operand may be one row or one value. */
#ifndef PITH_OPS_ELEMENTWISE_F32_H
#define PITH_OPS_ELEMENTWISE_F32_H

#include "ops/kernel.h"

#define PITH_UNARY_LIST(X)                                                                                 \
  X(RELU, "relu") X(GELU, "gelu") X(GELU_TANH, "gelu_tanh") X(TANH, "tanh") X(SIGMOID, "sigmoid") X(ERF, "erf")

typedef enum pith_unary {
#define PITH_UNARY_ENUM(name, text) PITH_UNARY_##name,
  PITH_UNARY_LIST(PITH_UNARY_ENUM)
#undef PITH_UNARY_ENUM
  PITH_UNARY_COUNT
} pith_unary;

typedef struct pith_unary_f32_args {
  const float *x;
  float *y; /* may be x */
  size_t count;
  pith_unary function;
} pith_unary_f32_args;
extern const pith_kernel *const pith_unary_f32_kernels[];

#define PITH_BINARY_LIST(X) X(ADD, "add") X(SUB, "sub") X(MUL, "mul") X(DIV, "div")

typedef enum pith_binary {
#define PITH_BINARY_ENUM(name, text) PITH_BINARY_##name,
  PITH_BINARY_LIST(PITH_BINARY_ENUM)
#undef PITH_BINARY_ENUM
  PITH_BINARY_COUNT
} pith_binary;

/* y[r, c] = a[r * a_row_stride + c * a_column_stride] op b[...]: a stride of 0 broadcasts, the column stride is 0 or 1. */
typedef struct pith_binary_f32_args {
  const float *a, *b;
  float *y; /* [rows, columns], contiguous; may be a or b where that is not broadcast */
  size_t rows, columns, a_row_stride, a_column_stride, b_row_stride, b_column_stride;
  pith_binary function;
} pith_binary_f32_args;
extern const pith_kernel *const pith_binary_f32_kernels[];

#endif
