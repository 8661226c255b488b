/* Which parts of weights go: blocks with scores, the least of them up to a share of zeros.
 *
 * Patterns other than N:M cut a weight [n, k] into a grid of blocks; an element is a block of 1 x 1, a row of 1 x k, a column of
 * n x 1. The last blocks of each side may be smaller. */
#ifndef PITH_SPARSE_MASK_H
#define PITH_SPARSE_MASK_H

#include <stddef.h>
#include <stdint.h>

#include "engine/base/arena.h"
#include "engine/base/error.h"
#include "engine/ir/pattern.h"

typedef struct pith_mask_grid {
  size_t n, k;                /* of the weight */
  size_t outputs, inputs;     /* of a block */
  size_t rows, columns;       /* of the grid */
} pith_mask_grid;

/* N:M: the grid of elements. */
pith_mask_grid pith_mask_grid_make(const pith_pattern *pattern, size_t n, size_t k);
static inline size_t pith_mask_grid_count(const pith_mask_grid *grid) {
  return grid->rows * grid->columns;
}
/* Elements of block (row, column). */
static inline size_t pith_mask_block_elements(const pith_mask_grid *grid, size_t row, size_t column) {
  const size_t below = grid->n - row * grid->outputs, right = grid->k - column * grid->inputs;
  return (below < grid->outputs ? below : grid->outputs) * (right < grid->inputs ? right : grid->inputs);
}

/* The mean of |w| over each block of w [n, k], to scores [rows * columns]: the sum, but that smaller last blocks have the
 * same chance. */
void pith_mask_score_magnitude(const pith_mask_grid *grid, const float *w, float *out_scores);
/* Sets the elements of blocks that are marked to 0. */
void pith_mask_apply(const pith_mask_grid *grid, const uint8_t *removed, float *w);

/* One weight among those that are thresholded together. */
typedef struct pith_mask_part {
  const char *name;
  pith_mask_grid grid;
  const float *scores; /* [rows * columns] no NaN */
  uint8_t *removed;    /* [rows * columns] is set: 1 goes */
  uint64_t count;      /* is set: elements that go */
} pith_mask_part;

/* Marks blocks of least score, of equal ones those that come first, until a share `sparsity` of all parts' elements goes, to
 * the nearest block below. No part loses a smaller share than `minimum` or a greater one than `maximum`: one that would is fixed
 * there and the others are thresholded again. PITH_INVALID_ARGUMENT where that leaves no way to the sparsity. */
PITH_WARN_UNUSED pith_status pith_mask_select(pith_mask_part *parts, size_t part_count, double sparsity, double minimum,
                                              double maximum, pith_error *error);
/* Marks all but the N greatest scores of every M consecutive inputs of an output; of equal ones the last stay. */
void pith_mask_select_n_of_m(pith_mask_part *part, const pith_pattern *pattern);

#endif
