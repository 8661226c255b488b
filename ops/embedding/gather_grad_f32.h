/* The gradient of y[o, i] = x[o, indices[i]] (ops/copy/copy.h) by x: dx[o, indices[i]] += dy[o, i], each element one ascending chain
 * over i. Indices were checked by the caller. */
#ifndef PITH_OPS_GATHER_GRAD_F32_H
#define PITH_OPS_GATHER_GRAD_F32_H

#include <stdbool.h>
#include <stdint.h>

#include "ops/kernel.h"

typedef struct pith_gather_grad_f32_args {
  const float *dy;     /* [outer, count, inner] */
  const void *indices; /* [count] */
  float *dx;           /* [outer, axis, inner] */
  size_t outer, axis, inner, count;
  int index_bytes; /* 4 or 8, signed */
  bool add;        /* to what dx holds, rows without an index not being touched; otherwise all of dx is 0 at first */
} pith_gather_grad_f32_args;
extern const pith_kernel *const pith_gather_grad_f32_kernels[];

#endif
