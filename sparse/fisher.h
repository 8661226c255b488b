/* A weight's empirical Fisher information by blocks, and what it says of blocks of weights that go: oBERT (Kurtic et al. 2022,
 * arXiv:2203.07259; single weights: Hassibi and Stork 1993).
 *
 *     F = damp I + the mean over gradients g of g g^T     within each block of consecutive inputs of one output; 0 between blocks
 *     a block B of weights w costs                        1/2 w_B^T ([F^-1]_BB)^-1 w_B               (equation 5 there)
 *     where the weights R go, those that stay change by   F_SS^-1 F_SR w_R                           (equation 6, of all of R at once)
 *
 * The second line of F makes B's cost a sum over its pieces, one for each output and Fisher block that B has a part of: 4x1 has four
 * single weights, 4x4 four pieces of 4. Weights that are gone already are in no F. The change is the same as equation 6's
 * - F^-1 E_R ([F^-1]_RR)^-1 w_R: both make 1/2 d^T F d least where d_R = - w_R.
 *
 * Blocks are stored as lower triangles: (block + 1) / 2 floats for a weight. Sums are in double, in one order. */
#ifndef PITH_SPARSE_FISHER_H
#define PITH_SPARSE_FISHER_H

#include "sparse/mask.h"

enum { PITH_FISHER_MOST = 64 }; /* inputs of a block */

typedef struct pith_fisher {
  size_t n, k;   /* of the weight */
  size_t block;  /* inputs of a block, 1 to PITH_FISHER_MOST; the last of an output may have fewer */
  double damp;   /* above 0 */
  float *values; /* [pith_fisher_count] without damp; 0 before the first gradient */
} pith_fisher;

/* Floats of a weight's blocks. */
size_t pith_fisher_count(size_t n, size_t k, size_t block);
/* One more gradient g [n, k]: values += share (g g^T - values). Shares of 1, 1/2, 1/3, .. give the mean. */
void pith_fisher_add(const pith_fisher *fisher, const float *g, double share);
/* The cost of each block of the grid over its elements, to scores [rows * columns]; blocks that `removed` marks get 0. */
void pith_fisher_score(const pith_fisher *fisher, const pith_mask_grid *grid, const uint8_t *removed, const float *w, float *scores);
/* What stays makes good for what `after` marks and `before` does not. Weights that go are left as they are. */
void pith_fisher_compensate(const pith_fisher *fisher, const pith_mask_grid *grid, const uint8_t *before, const uint8_t *after,
                            float *w);

#endif
