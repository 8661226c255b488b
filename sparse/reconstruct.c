#include "sparse/reconstruct.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "engine/exec/parallel.h"
#include "quant/blas.h"
#include "quant/fit.h"

enum { CHUNK = 128 /* inputs whose masks are chosen together */, MAX_BLOCK = 32 };

/* What one call works on. */
typedef struct solver {
  const pith_reconstruction *problem;
  pith_mask_part *part;
  size_t n, k;
  float *w;
  double *factor;  /* [k, k] upper U, H^-1 = U^T U */
  double *best;    /* [n, k] w*, then what the sweep makes of it */
  float *scores;   /* of blocks; N:M: of elements */
} solver;

static pith_status no_memory(const solver *s, pith_error *error) {
  return pith_fail(error, PITH_OUT_OF_MEMORY, "tensor '%s': no memory to prune it", s->part->name);
}

/* ---- scores ----------------------------------------------------------------------------------------------------------- */

/* w_B^T ([H^-1]_BB)^-1 w_B, inputs before `j` being done with: [H^-1]_BB = V^T V, V the block of U on its diagonal, so that it is the
 * squared norm of V^-T w_B. */
static double score_inputs(const solver *s, const double *w, size_t j, size_t count) {
  double solved[MAX_BLOCK], sum = 0;
  for (size_t a = 0; a < count; a++) {
    double x = w[j + a];
    for (size_t b = 0; b < a; b++)
      x -= s->factor[(j + b) * s->k + j + a] * solved[b];
    solved[a] = x / s->factor[(j + a) * s->k + j + a];
    sum += solved[a] * solved[a];
  }
  return sum;
}

static double score_block(const solver *s, size_t row, size_t column) {
  const pith_mask_grid *grid = &s->part->grid;
  const size_t end = (row + 1) * grid->outputs < s->n ? (row + 1) * grid->outputs : s->n;
  const size_t last = (column + 1) * grid->inputs < s->k ? (column + 1) * grid->inputs : s->k;
  double sum = 0;
  for (size_t i = row * grid->outputs; i < end; i++)
    for (size_t j = column * grid->inputs; j < last; j += MAX_BLOCK)
      sum += score_inputs(s, s->best + i * s->k, j, last - j < MAX_BLOCK ? last - j : MAX_BLOCK);
  return sum / (double)pith_mask_block_elements(grid, row, column);
}

/* ---- the sweep --------------------------------------------------------------------------------------------------------- */

/* One chunk of inputs, whole blocks of them. */
typedef struct chunk {
  solver *s;
  size_t begin, count;
  pith_mask_part part; /* of these inputs alone */
  float *scores;
  double *errors;      /* [n, count] what each removed weight hands on */
} chunk;

enum { TASK_ROWS = 32 };

static bool is_fixed(const solver *s, size_t row, size_t column) {
  const pith_mask_grid *grid = &s->part->grid;
  for (size_t i = row * grid->outputs; i < s->n && i < (row + 1) * grid->outputs; i++)
    for (size_t j = column * grid->inputs; j < s->k && j < (column + 1) * grid->inputs; j++)
      if (!s->problem->fixed[i * s->k + j])
        return false;
  return true;
}

static void score_row(void *context, size_t row) {
  chunk *c = context;
  const size_t first = c->begin / c->part.grid.inputs;
  for (size_t column = 0; column < c->part.grid.columns; column++)
    c->scores[row * c->part.grid.columns + column] =
        is_fixed(c->s, row, first + column) ? 0.0f : (float)score_block(c->s, row, first + column);
}

/* Takes the marked weights of some outputs out, input by input. */
static void sweep_rows(void *context, size_t task) {
  chunk *c = context;
  const solver *s = c->s;
  const pith_mask_grid *grid = &c->part.grid;
  const size_t begin = task * TASK_ROWS, end = begin + TASK_ROWS < s->n ? begin + TASK_ROWS : s->n, k = s->k;
  for (size_t i = begin; i < end; i++)
    for (size_t j = 0; j < c->count; j++) {
      const size_t place = c->begin + j;
      const bool goes = c->part.removed[i / grid->outputs * grid->columns + j / grid->inputs] || s->problem->fixed[i * k + place];
      const double error = goes ? s->best[i * k + place] / s->factor[place * k + place] : 0;
      c->errors[i * c->count + j] = error;
      for (size_t l = place; goes && l < c->begin + c->count; l++)
        s->best[i * k + l] -= error * s->factor[place * k + l];
      if (goes)
        s->best[i * k + place] = 0;
    }
  const size_t after = c->begin + c->count;
  if (after < k)
    pith_blas_dgemm(false, false, end - begin, k - after, c->count, -1, c->errors + begin * c->count, c->count,
                    s->factor + c->begin * k + after, k, s->best + begin * k + after, k);
}

static pith_status run_chunk(chunk *c, pith_error *error) {
  solver *s = c->s;
  const pith_mask_grid *whole = &s->part->grid;
  c->part.grid = *whole;
  c->part.grid.k = c->count;
  c->part.grid.columns = (c->count + whole->inputs - 1) / whole->inputs;
  pith_parallel_for(s->problem->threadpool, score_row, c, c->part.grid.rows);
  if (s->problem->pattern->kind == PITH_PATTERN_N_OF_M)
    pith_mask_select_n_of_m(&c->part, s->problem->pattern);
  else { /* with what the chunks before were short of */
    const double wanted = s->problem->sparsity * (double)s->n * (double)(c->begin + c->count) - (double)s->part->count;
    const double share = wanted / ((double)s->n * (double)c->count);
    PITH_TRY(pith_mask_select(&c->part, 1, share < 0 ? 0 : share > 1 ? 1 : share, 0, 1, error));
  }
  pith_parallel_for(s->problem->threadpool, sweep_rows, c, (s->n + TASK_ROWS - 1) / TASK_ROWS);
  const size_t first = c->begin / whole->inputs;
  for (size_t r = 0; r < whole->rows; r++)
    memcpy(s->part->removed + r * whole->columns + first, c->part.removed + r * c->part.grid.columns, c->part.grid.columns);
  s->part->count += c->part.count;
  return PITH_OK;
}

static pith_status sweep(solver *s, pith_arena *arena, pith_error *error) {
  const pith_pattern *pattern = s->problem->pattern;
  const size_t unit = pattern->kind == PITH_PATTERN_N_OF_M ? pattern->inputs : s->part->grid.inputs;
  const size_t step = unit >= CHUNK ? unit : CHUNK / unit * unit, most = step < s->k ? step : s->k;
  const size_t columns = (most + s->part->grid.inputs - 1) / s->part->grid.inputs;
  chunk c = {.s = s, .scores = PITH_ARENA_NEW(arena, float, s->part->grid.rows *columns),
             .errors = PITH_ARENA_NEW(arena, double, s->n *most)};
  c.part = (pith_mask_part){.name = s->part->name, .scores = c.scores,
                            .removed = PITH_ARENA_NEW(arena, uint8_t, s->part->grid.rows *columns)};
  if (c.scores == NULL || c.errors == NULL || c.part.removed == NULL)
    return no_memory(s, error);
  s->part->count = 0;
  for (c.begin = 0; c.begin < s->k; c.begin += step) {
    c.count = s->k - c.begin < step ? s->k - c.begin : step;
    PITH_TRY(run_chunk(&c, error));
  }
  return PITH_OK;
}

/* ---- least squares ------------------------------------------------------------------------------------------------------ */

static pith_status solve(const solver *s, pith_arena *arena, pith_error *error) {
  const pith_mask_grid *grid = &s->part->grid;
  uint8_t *stays = PITH_ARENA_NEW(arena, uint8_t, s->n *s->k);
  if (stays == NULL)
    return no_memory(s, error);
  for (size_t i = 0; i < s->n; i++)
    for (size_t j = 0; j < s->k; j++)
      stays[i * s->k + j] =
          !s->part->removed[i / grid->outputs * grid->columns + j / grid->inputs] && !s->problem->fixed[i * s->k + j];
  const pith_fit fit = {.name = s->part->name,
                        .n = s->n,
                        .k = s->k,
                        .moments = s->problem->moments,
                        .targets = s->problem->targets,
                        .stays = stays,
                        .threadpool = s->problem->threadpool};
  return pith_fit_weights(&fit, s->w, NULL, error);
}

/* With w_S solved, the error is w* H w*^T - w g^T, g the targets; the first is what weights 0 cost. */
static double measure_error(const solver *s, const double *targets, const double *best) {
  double whole = 0, explained = 0;
  for (size_t i = 0; i < s->n * s->k; i++) {
    whole += best[i] * targets[i];
    explained += (double)s->w[i] * targets[i];
  }
  return whole > 0 ? 1 - explained / whole : 0;
}

static pith_status reconstruct(solver *s, pith_arena *arena, double *out_error, pith_error *error) {
  const size_t n = s->n, k = s->k;
  s->factor = PITH_ARENA_NEW(arena, double, k *k);
  s->best = PITH_ARENA_NEW(arena, double, n *k);
  double *best = PITH_ARENA_NEW(arena, double, n *k);
  if (s->factor == NULL || s->best == NULL || best == NULL)
    return no_memory(s, error);
  memcpy(s->factor, s->problem->moments, k * k * sizeof *s->factor);
  memcpy(s->best, s->problem->targets, n * k * sizeof *s->best);
  PITH_TRY(pith_cholesky_factor(s->factor, k, error));
  PITH_TRY(pith_cholesky_solve(s->factor, k, s->best, n, error));
  memcpy(best, s->best, n * k * sizeof *best);
  PITH_TRY(pith_cholesky_invert(s->factor, k, error));
  PITH_TRY(pith_cholesky_factor(s->factor, k, error));
  PITH_TRY(sweep(s, arena, error));
  PITH_TRY(solve(s, arena, error));
  *out_error = measure_error(s, s->problem->targets, best);
  return PITH_OK;
}

pith_status pith_reconstruct(const pith_reconstruction *problem, pith_mask_part *part, float *w, double *out_error,
                             pith_error *error) {
  PITH_TRY(pith_blas_load(error));
  solver s = {.problem = problem, .part = part, .n = part->grid.n, .k = part->grid.k, .w = w};
  pith_arena arena;
  pith_arena_init(&arena, NULL);
  const pith_status status = reconstruct(&s, &arena, out_error, error);
  pith_arena_deinit(&arena);
  return status;
}
