/* Which inputs of a product cost least, and the weights that make good for them: the arithmetic of
 * structured removal. Part of libpith-compress.
 *
 * With C the second moments of the product's input (quant/moments.h, damped) and D the change of
 * its weights [n, k], its output changes by tr(D C D^T). Inputs leave in groups: a neuron is one, a
 * head `size` of them. */
#ifndef PITH_SPARSE_STRUCTURED_SOLVE_H
#define PITH_SPARSE_STRUCTURED_SOLVE_H

#include "engine/base/arena.h"
#include "sparse/removal.h"

typedef struct pith_group_problem {
  size_t n, groups, size; /* k = groups * size */
  const double *c;        /* [k, k] */
  const float *w;         /* [n, k] */
} pith_group_problem;

/* The first `count` groups to leave, and what each adds to the change of the output when the rest
 * makes good for it as well as it can. Optimal brain surgeon for groups (Hassibi and Stork, 1993;
 * Kurtic et al., ZipLM, 2023): with H = C^-1, which every removal updates, group g costs tr(W_g
 * H_gg^-1 W_g^T). Single inputs leave at most 8 at a time. */
PITH_WARN_UNUSED pith_status pith_groups_order(const pith_group_problem *problem, size_t count,
                                               uint32_t *out_order, double *out_costs,
                                               pith_error *error);

/* The second moment of the product's output: tr(W C W^T). 0: no memory. */
double pith_groups_measure(const pith_group_problem *problem);

typedef struct pith_group_errors {
  double plain, compensated; /* shares of the output's own second moment */
} pith_group_errors;
/* The weights of the inputs that stay, [n, kept.count]: least squares, by normal equations. With
 * `compensate` false they are the old ones. */
PITH_WARN_UNUSED pith_status pith_groups_compensate(const pith_group_problem *problem,
                                                    pith_kept kept, bool compensate, float *out_w,
                                                    pith_group_errors *out_errors,
                                                    pith_error *error);

#endif
