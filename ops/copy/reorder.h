/* An activation from one layout to another. */
#ifndef PITH_OPS_REORDER_H
#define PITH_OPS_REORDER_H

#include "ops/activation_layout.h"
#include "ops/kernel.h"

typedef struct pith_reorder_args {
  const void *x;
  void *y; /* not x */
  size_t rows, features;
  size_t element_bytes; /* 1 or 4; TILE64X4: 1 */
  pith_activation_layout from, to;
} pith_reorder_args;
extern const pith_kernel *const pith_reorder_kernels[];

#endif
