/* What a block of weights is worth while a model is trained, from its weights w and their gradient g: pruning removes the least.
 *
 *     name              of a block of n elements
 *     magnitude         mean |w|
 *     snip              mean |w g| of the step in which masks are chosen        Lee et al. 2019, arXiv:1810.02340
 *     snip_momentum     S <- 0.9 S + mean |w g| in every step
 *     movement          S <- S - rate * mean w g in every step, where g is the gradient by the masked weight and w what lives on
 *                       under the mask: a block may come back                  Sanh et al. 2020, arXiv:2005.07683
 *     group_lasso       ||w|| / sqrt n, while a penalty makes blocks small: a * sum over blocks of ||w||, whose gradient is
 *                       a w / ||w||                                            Yuan and Lin 2006
 *     geometric_median  sum over the weight's other blocks of ||w - w_j||, whole outputs or inputs alone: what is nearest to the
 *                       middle of all is what others can stand in for          He et al. 2019, arXiv:1811.00250
 *     obert             what the loss gains without it by the second order, with a Fisher matrix (sparse/fisher.h), over n
 *     rb, soft_movement a score that is trained as weights are (sparse/learned.h)
 *
 * A mean and not a sum, so that smaller last blocks have the same chance. Sums are in double, in the order of the weight. */
#ifndef PITH_SPARSE_SCORE_H
#define PITH_SPARSE_SCORE_H

#include "sparse/mask.h"

#define PITH_PRUNE_SCORE_LIST(X)                                                                           \
  X(MAGNITUDE, "magnitude") X(SNIP, "snip") X(SNIP_MOMENTUM, "snip_momentum") X(MOVEMENT, "movement")      \
  X(GROUP_LASSO, "group_lasso") X(GEOMETRIC_MEDIAN, "geometric_median") X(OBERT, "obert") X(RB, "rb")      \
  X(SOFT_MOVEMENT, "soft_movement")
typedef enum pith_prune_score {
#define PITH_PRUNE_SCORE_ENUM(name, text) PITH_PRUNE_SCORE_##name,
  PITH_PRUNE_SCORE_LIST(PITH_PRUNE_SCORE_ENUM)
#undef PITH_PRUNE_SCORE_ENUM
      PITH_PRUNE_SCORE_COUNT
} pith_prune_score;

typedef struct pith_score_args {
  const pith_mask_grid *grid;
  const float *w, *g; /* [n, k] of the grid */
  double rate;        /* of learning, in this step */
  float *scores;      /* [rows * columns] */
} pith_score_args;

typedef struct pith_score_rule {
  bool accumulates; /* updated in every step; else computed from those of one step when masks are chosen */
  bool regrows;     /* weights live on under the mask and may come back */
  bool whole;       /* blocks are whole outputs or inputs */
  bool penalized;   /* pith_score_add_penalty goes with it */
  bool fisher;      /* of sparse/fisher.h */
  bool learned;     /* of sparse/learned.h */
  void (*update)(const pith_score_args *args); /* NULL where one of the last two */
} pith_score_rule;

extern const char *const pith_prune_score_words[]; /* ends with NULL */
const pith_score_rule *pith_score_rule_get(pith_prune_score score);

/* The sum of w g over each block, to `out_sums` [rows * columns]. */
void pith_score_sum_products(const pith_score_args *args, float *out_sums);

/* Adds a w / ||w|| of each block to its gradient; nothing where all of it is 0. */
void pith_score_add_penalty(const pith_mask_grid *grid, const float *w, double a, float *g);

#endif
