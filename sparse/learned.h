/* Masks whose scores s are trained beside the weights: each block of a weight has one, and in each step the mask m that the product
 * sees is made from them. The gradient goes straight through the threshold.
 *
 *     rb             m = [sigmoid(s + logit u) > 1/2], u uniform in 0 to 1, the loss + ((density - target) / 0.05)^2, where density is the
 *                    share of elements with s > 0; s begins at logit 0.99; without noise m = [s > 0]
 *                    Louizos et al. 2018, arXiv:1712.01312; the loss and the numbers are those of NNCF's "RB sparsity"
 *     soft_movement  m = [sigmoid(s) > 0.1], the loss + penalty times the mean over elements of sigmoid(s); s begins at 0
 *                    Sanh et al. 2020, arXiv:2005.07683, section 4 (SMvP) and its appendix
 *
 * With g the gradient by the masked weight m w, dL/dm = sum over the block of g w, times d sigmoid(s + logit u) / ds for rb and as it
 * is for soft_movement. */
#ifndef PITH_SPARSE_LEARNED_H
#define PITH_SPARSE_LEARNED_H

#include "sparse/score.h"

/* Of which step and weight the random numbers are: those of block b are a function of all of these and b. */
typedef struct pith_learned_noise {
  uint64_t seed, step;
  uint32_t weight; /* its place among those that are pruned */
} pith_learned_noise;

/* What a score begins at. */
float pith_learned_get_first(pith_prune_score score);
/* The mask without noise: marks blocks of scores [count] that go. */
void pith_learned_select(pith_prune_score score, const float *scores, size_t count, uint8_t *out_removed);
/* Elements of the blocks that it keeps. */
uint64_t pith_learned_count(pith_prune_score score, const pith_mask_grid *grid, const float *scores);
/* The mask of a step, which is the same where the score knows no noise. */
void pith_learned_draw(pith_prune_score score, const pith_learned_noise *noise, const float *scores, size_t count, uint8_t *out_removed);

/* What the added loss has for a factor of d sigmoid(s) / ds, over the `elements` that it is a mean of. */
typedef struct pith_learned_pull {
  double density, target; /* rb: shares of elements that stay */
  double penalty;         /* soft_movement */
  uint64_t elements;
} pith_learned_pull;
/* The whole loss's gradient by the scores [rows * columns] of a weight w [n, k], which lives on under its mask; g as above. */
void pith_learned_differentiate(pith_prune_score score, const pith_learned_noise *noise, const pith_learned_pull *pull,
                                const pith_score_args *args, float *out_gradient);

#endif
