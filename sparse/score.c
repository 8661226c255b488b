#include "sparse/score.h"

#include <math.h>

#define SNIP_DECAY 0.9

/* ---- blocks ----------------------------------------------------------------------------------------------------------- */

enum { CHUNK = 256 }; /* blocks of a row of the grid at a time */

typedef struct span {
  size_t begin, end;
} span;

static inline span get_span(size_t place, size_t size, size_t all) {
  const size_t end = (place + 1) * size;
  return (span){place * size, end < all ? end : all};
}

typedef double (*term)(double w, double g);

/* Sums over `count` blocks of f(w, g), each in the order of the weight; `f` is known where this is inlined. */
static inline __attribute__((always_inline)) void sum_blocks(const pith_score_args *a, size_t row, size_t first, size_t count, term f,
                                                             double *sums) {
  const pith_mask_grid *grid = a->grid;
  const span outputs = get_span(row, grid->outputs, grid->n);
  const float *g = a->g == NULL ? a->w : a->g; /* which `f` does not look at then */
  for (size_t c = 0; c < count; c++)
    sums[c] = 0;
  for (size_t i = outputs.begin; i < outputs.end; i++) {
    const float *wi = a->w + i * grid->k, *gi = g + i * grid->k;
    for (size_t c = 0; c < count && grid->inputs == 1; c++)
      sums[c] += f((double)wi[first + c], (double)gi[first + c]);
    for (size_t c = 0; c < count && grid->inputs != 1; c++) {
      const span inputs = get_span(first + c, grid->inputs, grid->k);
      for (size_t j = inputs.begin; j < inputs.end; j++)
        sums[c] += f((double)wi[j], (double)gi[j]);
    }
  }
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

/* What a block's score becomes, from its mean. */
typedef double (*step)(double score, double mean, double rate);

static inline __attribute__((always_inline)) void update_all(const pith_score_args *a, term f, step next) {
  const pith_mask_grid *grid = a->grid;
  double sums[CHUNK];
  for (size_t r = 0; r < grid->rows; r++)
    for (size_t first = 0; first < grid->columns; first += CHUNK) {
      const size_t count = grid->columns - first < CHUNK ? grid->columns - first : CHUNK;
      float *scores = a->scores + r * grid->columns + first;
      sum_blocks(a, r, first, count, f, sums);
      for (size_t c = 0; c < count; c++)
        scores[c] = (float)next((double)scores[c], sums[c] / (double)pith_mask_block_elements(grid, r, first + c), a->rate);
    }
}

static inline double take(double score, double mean, double rate) {
  (void)score, (void)rate;
  return mean;
}
static inline double take_root(double score, double mean, double rate) {
  (void)score, (void)rate;
  return sqrt(mean);
}
static inline double add_decayed(double score, double mean, double rate) {
  (void)rate;
  return SNIP_DECAY * score + mean;
}
static inline double go_down(double score, double mean, double rate) {
  return score - rate * mean;
}

static void update_magnitude(const pith_score_args *a) {
  pith_mask_score_magnitude(a->grid, a->w, a->scores);
}
static void update_snip(const pith_score_args *a) {
  update_all(a, get_product_size, take);
}
static void update_snip_momentum(const pith_score_args *a) {
  update_all(a, get_product_size, add_decayed);
}
static void update_movement(const pith_score_args *a) {
  update_all(a, get_product, go_down);
}
static void update_group_lasso(const pith_score_args *a) {
  update_all(a, get_square, take_root);
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
    [PITH_PRUNE_SCORE_OBERT] = {.fisher = true},
    [PITH_PRUNE_SCORE_RB] = {.regrows = true, .learned = true},
    [PITH_PRUNE_SCORE_SOFT_MOVEMENT] = {.regrows = true, .learned = true},
};

#define WORD(name, text) text,
const char *const pith_prune_score_words[] = {PITH_PRUNE_SCORE_LIST(WORD) NULL};
#undef WORD

const pith_score_rule *pith_score_rule_get(pith_prune_score score) {
  return &rules[score];
}

void pith_score_sum_products(const pith_score_args *a, float *out_sums) {
  double sums[CHUNK];
  for (size_t r = 0; r < a->grid->rows; r++)
    for (size_t first = 0; first < a->grid->columns; first += CHUNK) {
      const size_t count = a->grid->columns - first < CHUNK ? a->grid->columns - first : CHUNK;
      sum_blocks(a, r, first, count, get_product, sums);
      for (size_t c = 0; c < count; c++)
        out_sums[r * a->grid->columns + first + c] = (float)sums[c];
    }
}

void pith_score_add_penalty(const pith_mask_grid *grid, const float *w, double a, float *g) {
  const pith_score_args args = {.grid = grid, .w = w};
  for (size_t r = 0; r < grid->rows; r++)
    for (size_t c = 0; c < grid->columns; c++) {
      const span outputs = get_span(r, grid->outputs, grid->n), inputs = get_span(c, grid->inputs, grid->k);
      double squares;
      sum_blocks(&args, r, c, 1, get_square, &squares);
      if (!(squares > 0))
        continue;
      const double factor = a / sqrt(squares);
      for (size_t i = outputs.begin; i < outputs.end; i++)
        for (size_t j = inputs.begin; j < inputs.end; j++)
          g[i * grid->k + j] = (float)((double)g[i * grid->k + j] + factor * (double)w[i * grid->k + j]);
    }
}
