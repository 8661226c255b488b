/* Moving elements: gather, cast, transpose. No arithmetic; the first two have one kernel each, in plain C. */
#ifndef PITH_OPS_COPY_H
#define PITH_OPS_COPY_H

#include <stdint.h>

#include "ops/kernel.h"
#include "ops/number.h"

/* y[o, i] = x[o, indices[i]]: x is [outer, axis, inner], y [outer, count, inner], inner in bytes. Indices were checked by
 * the caller. */
typedef struct pith_gather_args {
  const void *x, *indices;
  void *y;
  size_t outer, axis, inner_bytes, count;
  int index_bytes; /* 4 or 8, signed */
} pith_gather_args;
extern const pith_kernel *const pith_gather_kernels[];

/* y[i] = x[i] as another type. To a narrower float: nearest even. From float to integer: towards zero, saturated, NaN to 0.
 * From integer to integer: the low bits. To bool: whether it is not 0. The same type: a copy. */
typedef struct pith_cast_args {
  const void *x;
  void *y;
  size_t count;
  pith_number from, to;
} pith_cast_args;
extern const pith_kernel *const pith_cast_kernels[];

/* y[c, r] = x[r, c], elements of 1, 2, 4 or 8 bytes. */
typedef struct pith_transpose_args {
  const void *x;
  void *y;
  size_t rows, columns, element_bytes; /* of x */
} pith_transpose_args;
extern const pith_kernel *const pith_transpose_kernels[];

#endif
