/* Zeros while a model is trained: patterns that it has are kept, and pruning takes more weights over the steps.
 *
 *     gradients ─► scores ─► [a pruning step: masks] ─► gradients * M ─► optimizer ─► W * M
 *
 * Where scores are trained themselves (rb, soft_movement), each step between the first and the last draws masks of its own before its
 * first batch, and between steps masks are those without noise; the last one chooses by the scores like any other.
 *
 * A pattern that the model comes with is locked: blocks that are 0 as a whole stay so. What is pruned stays pruned, unless its score
 * lets weights live on under the mask (movement, rb, soft_movement): then a block that is worth more than another comes back with what it has become.
 * The optimizer never sees the gradient of a weight under a mask, and neither do norms. */
#ifndef PITH_TRAIN_PRUNE_H
#define PITH_TRAIN_PRUNE_H

#include "sparse/fisher.h"
#include "sparse/options.h"
#include "sparse/score.h"

typedef struct pith_train_prune {
  pith_prune_options what; /* pattern, sparsity, scope, schedule, exclude, minimum, maximum; the rest is not read */
  pith_prune_score score;
  double penalty;          /* of group_lasso, soft_movement: its factor */
  uint64_t begin, end;     /* the first and the last step, counted from 0, in which masks are chosen: sparsity grows between them */
  uint64_t every;          /* steps from one choice to the next; the last step always chooses; rb, soft_movement: not read */
  double score_rate;       /* rb, soft_movement: the scores' learning rate over the weights' */
  uint64_t fisher_gradients, fisher_block; /* obert: steps whose gradients F is the mean of, at most; inputs of a block */
  double fisher_damp;      /* obert: as in pith_fisher */
  bool compensates;        /* obert: what stays makes good for what goes */
  bool rewinds;            /* after each choice weights go back to what they were before step `rewind`, moments begin anew (a lottery
                              ticket with rewinding: Frankle et al. 2020, arXiv:1912.05671) */
  uint64_t rewind;         /* at most `begin` */
} pith_train_prune;

/* Whether masks are chosen in the step after `step` were made, and the sparsity that they reach, from `before`. N:M has its own. */
bool pith_train_prune_is_due(const pith_train_prune *prune, uint64_t step);
double pith_train_prune_get_sparsity(const pith_train_prune *prune, double before, double target, uint64_t step);
/* The factor of soft_movement's penalty in that step: it grows along the schedule from 0. */
double pith_train_prune_get_penalty(const pith_train_prune *prune, uint64_t step);
/* Steps that were made when the optimizer's moments last began, in the step after `step`. */
uint64_t pith_train_prune_get_restart(const pith_train_prune *prune, uint64_t step);
/* Whether after `steps` the sparsity is the one that was asked for. */
bool pith_train_prune_is_done(const pith_train_prune *prune, uint64_t steps);

/* What a trainer of `steps` steps allows. PITH_INVALID_ARGUMENT says what does not go, naming options as `pith train` does. */
PITH_WARN_UNUSED pith_status pith_train_prune_check(const pith_train_prune *prune, pith_pattern *out_pattern, double *out_sparsity,
                                                    pith_error *error);

#endif
