/* Optimal brain surgeon on one product: which blocks of a weight go, and what the others become so that its output changes least.
 *
 * With second moments H [k, k] of the input and the weights w* that come nearest to what the product shall give, the error of weights
 * w [n, k] is the sum over outputs of (w - w*) H (w - w*)^T. Removing block B of one output costs w_B^T ([H^-1]_BB)^-1 w_B
 * (Hassibi and Stork 1993; blocks: Kurtic et al. 2022); a sweep over the inputs takes blocks out, in chunks of them, and
 * moves each one's part onto the inputs that are still to come (SparseGPT, Frantar and Alistarh 2023). The mask being known, the
 * weights that stay are those of least error, exactly: for each output the system H_SS w_S = (H w*)_S. */
#ifndef PITH_SPARSE_RECONSTRUCT_H
#define PITH_SPARSE_RECONSTRUCT_H

#include "sparse/mask.h"

struct pthreadpool;

typedef struct pith_reconstruction {
  const double *moments; /* H [k, k], whole, damped: positive definite */
  const double *targets; /* [n, k] w* H */
  const uint8_t *fixed;  /* [n, k] 1: is 0 already and stays 0 */
  const pith_pattern *pattern;
  double sparsity;       /* of this weight; N:M: of no meaning */
  struct pthreadpool *threadpool;
} pith_reconstruction;

/* Makes the mask, part->removed, and the weights, part's [n, k] `w`. `out_error`: the error of w as a share of that of weights 0. PITH_FORMAT where
 * `moments` is not positive definite. */
PITH_WARN_UNUSED pith_status pith_reconstruct(const pith_reconstruction *problem, pith_mask_part *part, float *w,
                                              double *out_error, pith_error *error);

#endif
