#include "sparse/learned.h"

#include <math.h>

#include "engine/base/random.h"

#define RB_FIRST 0.99       /* sigmoid of a first score */
#define RB_WIDTH 0.05       /* of the density's loss */
#define SOFT_THRESHOLD 0.1  /* of sigmoid */

static double get_sigmoid(double x) {
  return 1 / (1 + exp(-x));
}

static double get_slope(double x) {
  const double y = get_sigmoid(x);
  return y * (1 - y);
}

static double get_logit(double p) {
  return log(p / (1 - p));
}

float pith_learned_get_first(pith_prune_score score) {
  return score == PITH_PRUNE_SCORE_RB ? (float)get_logit(RB_FIRST) : 0;
}

static float get_threshold(pith_prune_score score) {
  return score == PITH_PRUNE_SCORE_RB ? 0 : (float)get_logit(SOFT_THRESHOLD);
}

void pith_learned_select(pith_prune_score score, const float *scores, size_t count, uint8_t *out_removed) {
  const float threshold = get_threshold(score);
  for (size_t b = 0; b < count; b++)
    out_removed[b] = !(scores[b] > threshold);
}

uint64_t pith_learned_count(pith_prune_score score, const pith_mask_grid *grid, const float *scores) {
  const float threshold = get_threshold(score);
  uint64_t kept = 0;
  for (size_t r = 0; r < grid->rows; r++)
    for (size_t c = 0; c < grid->columns; c++)
      kept += scores[r * grid->columns + c] > threshold ? pith_mask_block_elements(grid, r, c) : 0;
  return kept;
}

/* ---- noise --------------------------------------------------------------------------------------------------------- */

/* logit u of four blocks, the first of which is 4 `quad`. */
static void get_noise(const pith_learned_noise *noise, uint32_t quad, double out_noise[4]) {
  const uint64_t stream = pith_random_stream("rb"), key_bits = noise->seed ^ stream;
  const uint32_t key[2] = {(uint32_t)key_bits, (uint32_t)(key_bits >> 32)};
  const uint32_t counter[4] = {quad, noise->weight, (uint32_t)noise->step, (uint32_t)(noise->step >> 32)};
  uint32_t bits[4];
  pith_random_philox(counter, key, bits);
  for (int i = 0; i < 4; i++)
    out_noise[i] = get_logit(((double)bits[i] + 0.5) * 0x1p-32);
}

void pith_learned_draw(pith_prune_score score, const pith_learned_noise *noise, const float *scores, size_t count, uint8_t *out_removed) {
  if (score != PITH_PRUNE_SCORE_RB) {
    pith_learned_select(score, scores, count, out_removed);
    return;
  }
  double drawn[4];
  for (size_t b = 0; b < count; b++) {
    if (b % 4 == 0)
      get_noise(noise, (uint32_t)(b / 4), drawn);
    out_removed[b] = !((double)scores[b] + drawn[b % 4] > 0);
  }
}

/* ---- gradients ----------------------------------------------------------------------------------------------------- */

static double get_pull(pith_prune_score score, const pith_learned_pull *pull) {
  const double each = score == PITH_PRUNE_SCORE_RB ? 2 * (pull->density - pull->target) / (RB_WIDTH * RB_WIDTH) : pull->penalty;
  return each / (double)pull->elements;
}

void pith_learned_differentiate(pith_prune_score score, const pith_learned_noise *noise, const pith_learned_pull *pull,
                                const pith_score_args *args, float *out_gradient) {
  const pith_mask_grid *grid = args->grid;
  const double added = get_pull(score, pull);
  double drawn[4];
  pith_score_sum_products(args, out_gradient);
  for (size_t b = 0; b < pith_mask_grid_count(grid); b++) {
    double slope = 1;
    if (score == PITH_PRUNE_SCORE_RB) {
      if (b % 4 == 0)
        get_noise(noise, (uint32_t)(b / 4), drawn);
      slope = get_slope((double)args->scores[b] + drawn[b % 4]);
    }
    const double elements = (double)pith_mask_block_elements(grid, b / grid->columns, b % grid->columns);
    out_gradient[b] = (float)((double)out_gradient[b] * slope + added * elements * get_slope((double)args->scores[b]));
  }
}
