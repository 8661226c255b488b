#include "sparse/structured_solve.h"

#include <math.h>

#include "quant/blas.h"

enum { MAX_AT_ONCE = 8 };

typedef struct surgeon {
  const pith_group_problem *problem;
  size_t k;
  double *h, *w;     /* [k, k] and [n, k], updated */
  double *scores;    /* [groups] */
  bool *left;        /* [groups] gone */
  double *block;     /* [m, m], m the inputs of one step */
  double *rows;      /* [max(n, k), m] */
  double *h_rows;    /* [m, k] */
  uint32_t *leaving; /* [m] inputs */
  pith_arena arena;
} surgeon;

static pith_status surgeon_init(surgeon *s, const pith_group_problem *problem, pith_error *error) {
  const size_t n = problem->n, k = problem->groups * problem->size;
  const size_t m = problem->size == 1 ? MAX_AT_ONCE : problem->size;
  pith_arena_init(&s->arena, NULL);
  s->problem = problem;
  s->k = k;
  s->h = PITH_ARENA_NEW(&s->arena, double, k *k);
  s->w = PITH_ARENA_NEW(&s->arena, double, n *k);
  s->scores = PITH_ARENA_NEW(&s->arena, double, problem->groups);
  s->left = PITH_ARENA_NEW(&s->arena, bool, problem->groups);
  s->block = PITH_ARENA_NEW(&s->arena, double, m *m);
  s->rows = PITH_ARENA_NEW(&s->arena, double, (n > k ? n : k) * m);
  s->h_rows = PITH_ARENA_NEW(&s->arena, double, m *k);
  s->leaving = PITH_ARENA_NEW(&s->arena, uint32_t, m);
  if (s->h == NULL || s->w == NULL || s->scores == NULL || s->left == NULL || s->block == NULL ||
      s->rows == NULL || s->h_rows == NULL || s->leaving == NULL)
    return pith_fail(error, PITH_OUT_OF_MEMORY, "no memory to invert second moments [%zu, %zu]", k,
                     k);
  memcpy(s->h, problem->c, k * k * sizeof *s->h);
  for (size_t i = 0; i < n * k; i++)
    s->w[i] = (double)problem->w[i];
  PITH_TRY(pith_cholesky_factor(s->h, k, error));
  return pith_cholesky_invert(s->h, k, error);
}

static pith_status factor_block(surgeon *s, size_t m, pith_error *error) {
  for (size_t i = 0; i < m; i++)
    for (size_t j = 0; j < m; j++)
      s->block[i * m + j] = s->h[s->leaving[i] * s->k + s->leaving[j]];
  return pith_cholesky_factor(s->block, m, error);
}

static pith_status score_group(surgeon *s, size_t group, pith_error *error) {
  const size_t size = s->problem->size;
  for (size_t i = 0; i < size; i++)
    s->leaving[i] = (uint32_t)(group * size + i);
  PITH_TRY(factor_block(s, size, error));
  for (size_t r = 0; r < s->problem->n; r++)
    memcpy(s->rows + r * size, s->w + r * s->k + group * size, size * sizeof *s->rows);
  PITH_TRY(pith_cholesky_solve(s->block, size, s->rows, s->problem->n, error));
  double score = 0;
  for (size_t r = 0; r < s->problem->n; r++)
    for (size_t i = 0; i < size; i++)
      score += s->rows[r * size + i] * s->w[r * s->k + group * size + i];
  s->scores[group] = score;
  return PITH_OK;
}

/* The same where a group is one input: its squared weights over h. */
static void score_inputs(surgeon *s) {
  memset(s->scores, 0, s->k * sizeof *s->scores);
  for (size_t r = 0; r < s->problem->n; r++)
    for (size_t j = 0; j < s->k; j++)
      s->scores[j] += s->w[r * s->k + j] * s->w[r * s->k + j];
  for (size_t j = 0; j < s->k; j++)
    s->scores[j] /= s->left[j] ? 1 : s->h[j * s->k + j];
}

/* Takes the inputs in `leaving` out: W -= W_m S^-1 H_m and H -= H^m S^-1 H_m, with S = H_mm. */
static pith_status leave(surgeon *s, size_t m, pith_error *error) {
  const size_t k = s->k, n = s->problem->n;
  PITH_TRY(factor_block(s, m, error));
  for (size_t i = 0; i < m; i++)
    memcpy(s->h_rows + i * k, s->h + s->leaving[i] * k, k * sizeof *s->h);
  for (size_t r = 0; r < n; r++)
    for (size_t i = 0; i < m; i++)
      s->rows[r * m + i] = s->w[r * k + s->leaving[i]];
  PITH_TRY(pith_cholesky_solve(s->block, m, s->rows, n, error));
  pith_blas_dgemm(false, false, n, k, m, -1, s->rows, m, s->h_rows, k, s->w, k);
  for (size_t r = 0; r < k; r++)
    for (size_t i = 0; i < m; i++)
      s->rows[r * m + i] = s->h_rows[i * k + r];
  PITH_TRY(pith_cholesky_solve(s->block, m, s->rows, k, error));
  pith_blas_dgemm(false, false, k, k, m, -1, s->rows, m, s->h_rows, k, s->h, k);
  for (size_t i = 0; i < m; i++) /* what rounding left */
    for (size_t r = 0; r < n; r++)
      s->w[r * k + s->leaving[i]] = 0;
  return PITH_OK;
}

static size_t find_cheapest(const surgeon *s) {
  size_t best = SIZE_MAX;
  for (size_t g = 0; g < s->problem->groups; g++)
    if (!s->left[g] && (best == SIZE_MAX || s->scores[g] < s->scores[best]))
      best = g;
  return best;
}

static pith_status order(surgeon *s, size_t count, uint32_t *out_order, double *out_costs,
                         pith_error *error) {
  const size_t size = s->problem->size, at_once = size == 1 ? MAX_AT_ONCE : 1;
  for (size_t done = 0; done < count;) {
    if (size == 1)
      score_inputs(s);
    for (size_t g = 0; size != 1 && g < s->problem->groups; g++)
      if (!s->left[g])
        PITH_TRY(score_group(s, g, error));
    const size_t step = count - done < at_once ? count - done : at_once;
    for (size_t i = 0; i < step; i++) {
      const size_t g = find_cheapest(s);
      s->left[g] = true;
      out_order[done + i] = (uint32_t)g;
      out_costs[done + i] = s->scores[g];
    }
    for (size_t i = 0; i < step * size; i++)
      s->leaving[i] = (uint32_t)(out_order[done + i / size] * size + i % size);
    PITH_TRY(leave(s, step * size, error));
    done += step;
  }
  return PITH_OK;
}

pith_status pith_groups_order(const pith_group_problem *problem, size_t count, uint32_t *out_order,
                              double *out_costs, pith_error *error) {
  PITH_TRY(pith_blas_load(error));
  surgeon s = {0};
  pith_status status = surgeon_init(&s, problem, error);
  if (status == PITH_OK)
    status = order(&s, count, out_order, out_costs, error);
  pith_arena_deinit(&s.arena);
  return status;
}

/* ---- least squares -----------------------------------------------------------------------------
 */

/* tr(D C D^T) for d [n, k]. */
static double measure(const pith_group_problem *problem, const double *d, double *scratch) {
  const size_t n = problem->n, k = problem->groups * problem->size;
  double trace = 0;
  memset(scratch, 0, n * k * sizeof *scratch);
  pith_blas_dgemm(false, false, n, k, k, 1, d, k, problem->c, k, scratch, k);
  for (size_t i = 0; i < n * k; i++)
    trace += d[i] * scratch[i];
  return trace;
}

double pith_groups_measure(const pith_group_problem *problem) {
  const size_t count = problem->n * problem->groups * problem->size;
  pith_arena arena;
  pith_arena_init(&arena, NULL);
  double *w = PITH_ARENA_NEW(&arena, double, count);
  double *scratch = PITH_ARENA_NEW(&arena, double, count);
  for (size_t i = 0; i < count && w != NULL; i++)
    w[i] = (double)problem->w[i];
  const double whole = w == NULL || scratch == NULL ? 0 : measure(problem, w, scratch);
  pith_arena_deinit(&arena);
  return whole;
}

/* What is added to the kept weights, [n, kept]: x C_kk = W_r C_rk. `gone` [n, k]: the removed
 * weights, else 0. */
static pith_status solve(const pith_group_problem *problem, pith_kept kept, const double *gone,
                         double *block, double *between, double *out, pith_error *error) {
  const size_t n = problem->n, k = problem->groups * problem->size, m = kept.count;
  for (size_t i = 0; i < m; i++)
    for (size_t j = 0; j < m; j++)
      block[i * m + j] = problem->c[kept.places[i] * k + kept.places[j]];
  for (size_t i = 0; i < k; i++)
    for (size_t j = 0; j < m; j++)
      between[i * m + j] = problem->c[i * k + kept.places[j]];
  memset(out, 0, n * m * sizeof *out);
  pith_blas_dgemm(false, false, n, m, k, 1, gone, k, between, m, out, m);
  PITH_TRY(pith_cholesky_factor(block, m, error));
  return pith_cholesky_solve(block, m, out, n, error);
}

static pith_status compensate_in(const pith_group_problem *problem, pith_kept kept, bool compensate,
                                 pith_arena *arena, float *out_w, pith_group_errors *out_errors,
                                 pith_error *error) {
  const size_t n = problem->n, k = problem->groups * problem->size, m = kept.count;
  double *d = PITH_ARENA_NEW(arena, double, n *k), *scratch = PITH_ARENA_NEW(arena, double, n *k);
  double *added = PITH_ARENA_NEW(arena, double, n *m), *block = PITH_ARENA_NEW(arena, double, m *m);
  double *between = PITH_ARENA_NEW(arena, double, k *m);
  if (d == NULL || scratch == NULL || added == NULL || block == NULL || between == NULL)
    return pith_fail(error, PITH_OUT_OF_MEMORY, "no memory for least squares [%zu, %zu]", k, m);
  for (size_t i = 0; i < n * k; i++)
    d[i] = (double)problem->w[i];
  const double whole = measure(problem, d, scratch), scale = whole > 0 ? 1 / whole : 1;
  for (size_t r = 0; r < n; r++)
    for (size_t j = 0; j < m; j++)
      d[r * k + kept.places[j]] = 0;
  out_errors->plain = out_errors->compensated = measure(problem, d, scratch) * scale;
  if (compensate) {
    PITH_TRY(solve(problem, kept, d, block, between, added, error));
    for (size_t r = 0; r < n; r++)
      for (size_t j = 0; j < m; j++)
        d[r * k + kept.places[j]] = -added[r * m + j];
    out_errors->compensated = measure(problem, d, scratch) * scale;
  }
  for (size_t r = 0; r < n; r++)
    for (size_t j = 0; j < m; j++)
      out_w[r * m + j] = (float)((double)problem->w[r * k + kept.places[j]] + added[r * m + j]);
  return PITH_OK;
}

pith_status pith_groups_compensate(const pith_group_problem *problem, pith_kept kept,
                                   bool compensate, float *out_w, pith_group_errors *out_errors,
                                   pith_error *error) {
  PITH_TRY(pith_blas_load(error));
  pith_arena arena;
  pith_arena_init(&arena, NULL);
  const pith_status status =
      compensate_in(problem, kept, compensate, &arena, out_w, out_errors, error);
  pith_arena_deinit(&arena);
  return status;
}
