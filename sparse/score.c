#include "sparse/score.h"

#include <math.h>

#define SNIP_DECAY 0.9

/* ---- one block ------------------------------------------------------------------------------------------------------- */

typedef struct span {
  size_t begin, end;
} span;

static inline span get_span(size_t place, size_t size, size_t all) {
  const size_t end = (place + 1) * size;
  return (span){place * size, end < all ? end : all};
}

typedef double (*term)(double w, double g);

/* The mean over a block of f(w, g); `f` is known where this is inlined. */
static inline __attribute__((always_inline)) double mean_of(const pith_score_args *a, size_t row, size_t column, term f) {
  const pith_mask_grid *grid = a->grid;
  const span outputs = get_span(row, grid->outputs, grid->n), inputs = get_span(column, grid->inputs, grid->k);
  double sum = 0;
  for (size_t i = outputs.begin; i < outputs.end; i++)
    for (size_t j = inputs.begin; j < inputs.end; j++)
      sum += f((double)a->w[i * grid->k + j], a->g == NULL ? 0 : (double)a->g[i * grid->k + j]);
  return sum / (double)pith_mask_block_elements(grid, row, column);
}

static inline double get_product_size(double w, double g) {
  return fabs(w * g);
}
static inline double get_product(double w, double g) {
  return w * g;
}
static inline double get_square(double w, double g) {
  (void)g;
  return w * w;
}

/* ---- rules ------------------------------------------------------------------------------------------------------------- */

static void update_magnitude(const pith_score_args *a) {
  pith_mask_score_magnitude(a->grid, a->w, a->scores);
}

static void update_snip(const pith_score_args *a) {
  for (size_t r = 0, at = 0; r < a->grid->rows; r++)
    for (size_t c = 0; c < a->grid->columns; c++, at++)
      a->scores[at] = (float)mean_of(a, r, c, get_product_size);
}

static void update_snip_momentum(const pith_score_args *a) {
  for (size_t r = 0, at = 0; r < a->grid->rows; r++)
    for (size_t c = 0; c < a->grid->columns; c++, at++)
      a->scores[at] = (float)(SNIP_DECAY * (double)a->scores[at] + mean_of(a, r, c, get_product_size));
}

static void update_movement(const pith_score_args *a) {
  for (size_t r = 0, at = 0; r < a->grid->rows; r++)
    for (size_t c = 0; c < a->grid->columns; c++, at++)
      a->scores[at] = (float)((double)a->scores[at] - a->rate * mean_of(a, r, c, get_product));
}

static void update_group_lasso(const pith_score_args *a) {
  for (size_t r = 0, at = 0; r < a->grid->rows; r++)
    for (size_t c = 0; c < a->grid->columns; c++, at++)
      a->scores[at] = (float)sqrt(mean_of(a, r, c, get_square));
}

/* Elements of an output lie side by side, those of an input a row apart. Each pair is measured twice: the sums are then in one order
 * however blocks are taken. */
static void update_geometric_median(const pith_score_args *a) {
  const pith_mask_grid *grid = a->grid;
  const bool rows = grid->columns == 1;
  const size_t count = rows ? grid->rows : grid->columns, elements = rows ? grid->k : grid->n;
  const size_t between = rows ? grid->k : 1, within = rows ? 1 : grid->k;
  for (size_t i = 0; i < count; i++) {
    double sum = 0;
    for (size_t j = 0; j < count; j++) {
      const float *x = a->w + i * between, *y = a->w + j * between;
      double squares = 0;
      for (size_t e = 0; e < elements; e++) {
        const double d = (double)x[e * within] - (double)y[e * within];
        squares += d * d;
      }
      sum += sqrt(squares);
    }
    a->scores[i] = (float)sum;
  }
}

static const pith_score_rule rules[PITH_PRUNE_SCORE_COUNT] = {
    [PITH_PRUNE_SCORE_MAGNITUDE] = {.update = update_magnitude},
    [PITH_PRUNE_SCORE_SNIP] = {.update = update_snip},
    [PITH_PRUNE_SCORE_SNIP_MOMENTUM] = {.accumulates = true, .update = update_snip_momentum},
    [PITH_PRUNE_SCORE_MOVEMENT] = {.accumulates = true, .regrows = true, .update = update_movement},
    [PITH_PRUNE_SCORE_GROUP_LASSO] = {.penalized = true, .update = update_group_lasso},
    [PITH_PRUNE_SCORE_GEOMETRIC_MEDIAN] = {.whole = true, .update = update_geometric_median},
};

const pith_score_rule *pith_score_rule_get(pith_prune_score score) {
  return &rules[score];
}

void pith_score_add_penalty(const pith_mask_grid *grid, const float *w, double a, float *g) {
  const pith_score_args args = {.grid = grid, .w = w};
  for (size_t r = 0; r < grid->rows; r++)
    for (size_t c = 0; c < grid->columns; c++) {
      const double norm = sqrt(mean_of(&args, r, c, get_square) * (double)pith_mask_block_elements(grid, r, c));
      const span outputs = get_span(r, grid->outputs, grid->n), inputs = get_span(c, grid->inputs, grid->k);
      if (!(norm > 0))
        continue;
      for (size_t i = outputs.begin; i < outputs.end; i++)
        for (size_t j = inputs.begin; j < inputs.end; j++) {
          const size_t at = i * grid->k + j;
          g[at] = (float)((double)g[at] + a * (double)w[at] / norm);
        }
    }
}
