/* Second moments of what a product reads, and least squares with them. Part of libpith-compress;
 * BLAS and LAPACK by quant/blas.h.
 *
 * For rows x of calibration data: C = mean of x x^T, less mean x mean x^T where a bias can take up
 * the mean. Everything that removal asks of the data is asked of C: what an input's loss costs, and
 * what the other inputs' weights can make good. */
#ifndef PITH_QUANT_MOMENTS_H
#define PITH_QUANT_MOMENTS_H

#include <stdint.h>

#include "engine/base/arena.h"
#include "engine/base/error.h"

typedef struct pith_moments {
  size_t features;
  uint64_t rows;
  double *sums;     /* [features] */
  double *products; /* [features, features] */
  double *chunk;    /* rows as double, some at a time */
} pith_moments;

/* All 0, in `arena`; takes 8 * features^2 bytes. */
PITH_WARN_UNUSED pith_status pith_moments_init(pith_moments *moments, size_t features,
                                               pith_arena *arena, pith_error *error);
/* Adds x [rows, features]. */
void pith_moments_add(pith_moments *moments, const float *x, size_t rows);
/* C as above, whole; `damping` times its mean diagonal is added to the diagonal. Needs a row. In
 * `moments->products`, which it replaces: nothing can be added any more. */
void pith_moments_finish(pith_moments *moments, bool centered, double damping);

#endif
