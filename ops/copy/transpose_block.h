/* 16 x 16 floats, or a corner of them, transposed in registers: included after a v16 header. */
#ifndef PITH_OPS_TRANSPOSE_BLOCK_H
#define PITH_OPS_TRANSPOSE_BLOCK_H

#include "ops/math/unroll.h"

/* y[j, i] = x[i, j] for `rows` x `columns` of x, at most 16 each. Of each row of y `lanes` are written, those past `rows` 0. */
V16_INLINE void transpose_block(size_t rows, size_t columns, size_t lanes, const float *x, size_t x_stride, float *y,
                                size_t y_stride) {
  v16 v[16];
  if (rows == 16 && columns == 16) {
    PITH_UNROLL
    for (size_t i = 0; i < 16; ++i)
      v[i] = v16_load(x + i * x_stride);
    v16_transpose(v);
    PITH_UNROLL
    for (size_t j = 0; j < 16; ++j)
      v16_store(y + j * y_stride, v[j]);
    return;
  }
  const m16 in = m16_first(columns), out = m16_first(lanes);
  PITH_UNROLL
  for (size_t i = 0; i < 16; ++i)
    v[i] = i < rows ? v16_load_masked(in, x + i * x_stride) : v16_set(0.0f);
  v16_transpose(v);
  PITH_UNROLL
  for (size_t j = 0; j < 16; ++j)
    if (j < columns)
      v16_store_masked(out, y + j * y_stride, v[j]);
}

#endif
