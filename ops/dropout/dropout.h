/* y = dropout(x), or residual + dropout(x): an element is 0 with probability `ratio`, else times 1 / (1 - ratio).
 *
 * Which elements go is a function of (seed, step, sample, operator, the element's place in its sample) alone, computed by
 * Philox4x32-10 (ops/math/philox.h) where it is needed and kept nowhere: however samples are batched, ordered and split over
 * threads, a sample loses the same elements, and the gradient of dropout is dropout with the same arguments.
 * The ratio counts in units of 2^-16, rounded, in the probability and in the factor alike. */
#ifndef PITH_OPS_DROPOUT_H
#define PITH_OPS_DROPOUT_H

#include <stdint.h>

#include "ops/kernel.h"

typedef struct pith_dropout {
  float ratio; /* 0 to 1; 0 is the identity, to the bit, and reads no key */
  uint32_t operator_index; /* of the place in the model: no two share one */
  const int32_t *key; /* [4]: seed low, seed high, step, number of the batch's first sample */
} pith_dropout;

typedef struct pith_dropout_f32_args {
  const float *x, *residual; /* [rows, features]; residual: or NULL */
  float *y;                  /* [rows, features]; may be x or residual */
  size_t rows, features;
  const int32_t *offsets; /* [sequences + 1], of rows: sample key[3] + s has rows offsets[s] to offsets[s + 1]; NULL: a row each */
  size_t sequences;       /* not read where offsets is NULL */
  pith_dropout dropout;
} pith_dropout_f32_args;
extern const pith_kernel *const pith_dropout_f32_kernels[];

#endif
