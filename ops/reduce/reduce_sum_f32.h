/* y[o, i] = sum over a of x[o, a, i]; x is [outer, axis, inner], contiguous. outer 1: over rows; inner 1: of each row; both 1:
 * of all. Where inner > 1 each sum is one ascending chain; where inner is 1 the common order of sums (ops/kernel.h). */
#ifndef PITH_OPS_REDUCE_SUM_F32_H
#define PITH_OPS_REDUCE_SUM_F32_H

#include "ops/kernel.h"

typedef struct pith_reduce_sum_f32_args {
  const float *x;
  float *y; /* [outer, inner]; not x */
  size_t outer, axis, inner;
} pith_reduce_sum_f32_args;
extern const pith_kernel *const pith_reduce_sum_f32_kernels[];

#endif
