#include "quant/fit.h"

#include <math.h>
#include <stdatomic.h>
#include <string.h>

#include "engine/base/arena.h"
#include "engine/exec/parallel.h"
#include "quant/blas.h"
#include "quant/weights.h"

enum { TASK_ROWS = 32 };

/* What one call works on. */
typedef struct fitter {
  const pith_fit *fit;
  double *whole; /* the factor of all of H, where some output has all inputs; else NULL */
  float *w, *scales;
  atomic_int status;
} fitter;

/* Outputs of one support. */
typedef struct group {
  size_t begin, rows, count;
  uint32_t *support; /* [count] inputs */
  const double *factor; /* [count, count] */
  double *w;         /* [rows, count] */
} group;

static bool has_all(const pith_fit *fit, size_t row) {
  return memchr(fit->stays + row * fit->k, 0, fit->k) == NULL;
}

static pith_status make_factor(const fitter *f, group *g, pith_arena *arena) {
  g->factor = f->whole;
  if (g->count == f->fit->k || g->count == 0)
    return PITH_OK;
  double *h = PITH_ARENA_NEW(arena, double, g->count *g->count);
  if (h == NULL)
    return PITH_OUT_OF_MEMORY;
  for (size_t a = 0; a < g->count; a++)
    for (size_t b = a; b < g->count; b++)
      h[a * g->count + b] = f->fit->moments[g->support[a] * f->fit->k + g->support[b]];
  g->factor = h;
  return pith_cholesky_factor(h, g->count, NULL);
}

/* `lost` [count, rows]: input after input, so that the rows' sums run side by side. */
static void round_rows(const group *g, const float *scales, double *lost) {
  double sums[TASK_ROWS];
  for (size_t a = g->count; a-- > 0;) {
    const double *u = g->factor + a * g->count;
    memset(sums, 0, g->rows * sizeof *sums);
    for (size_t b = a + 1; b < g->count; b++)
      for (size_t r = 0; r < g->rows; r++)
        sums[r] += u[b] * lost[b * g->rows + r];
    for (size_t r = 0; r < g->rows; r++) {
      const double scale = (double)scales[g->begin + r], w = g->w[r * g->count + a];
      const double q = scale * fmin(127, fmax(-127, rint((w + sums[r] / u[a]) / scale)));
      lost[a * g->rows + r] = w - q;
      g->w[r * g->count + a] = q;
    }
  }
}

static void put(const fitter *f, const group *g) {
  for (size_t r = 0; r < g->rows; r++) {
    float *w = f->w + (g->begin + r) * f->fit->k;
    memset(w, 0, f->fit->k * sizeof *w);
    for (size_t a = 0; a < g->count; a++)
      w[g->support[a]] = (float)g->w[r * g->count + a];
  }
}

static pith_status fit_group(const fitter *f, group *g, pith_arena *arena) {
  const pith_fit *fit = f->fit;
  g->support = PITH_ARENA_NEW(arena, uint32_t, fit->k);
  if (g->support == NULL)
    return PITH_OUT_OF_MEMORY;
  for (size_t j = 0; j < fit->k; j++)
    if (fit->stays[g->begin * fit->k + j])
      g->support[g->count++] = (uint32_t)j;
  g->w = PITH_ARENA_NEW(arena, double, g->rows *g->count);
  double *lost = PITH_ARENA_NEW(arena, double, fit->rounds ? g->rows * g->count : 0);
  if (g->w == NULL || lost == NULL)
    return PITH_OUT_OF_MEMORY;
  for (size_t r = 0; r < g->rows; r++)
    for (size_t a = 0; a < g->count; a++)
      g->w[r * g->count + a] = fit->targets[(g->begin + r) * fit->k + g->support[a]];
  PITH_TRY(make_factor(f, g, arena));
  PITH_TRY(pith_cholesky_solve(g->factor, g->count, g->w, g->rows, NULL));
  put(f, g);
  if (fit->rounds) {
    pith_weight_rows_choose_scales(f->w + g->begin * fit->k, g->rows, fit->k, fit->clip, f->scales + g->begin);
    round_rows(g, f->scales, lost);
    put(f, g);
  }
  return PITH_OK;
}

static void fit_task(void *context, size_t task) {
  fitter *f = context;
  const pith_fit *fit = f->fit;
  const size_t end = (task + 1) * TASK_ROWS < fit->n ? (task + 1) * TASK_ROWS : fit->n;
  for (group g = {.begin = task * TASK_ROWS}; g.begin < end; g = (group){.begin = g.begin + g.rows}) {
    g.rows = 1;
    while (g.begin + g.rows < end &&
           memcmp(fit->stays + g.begin * fit->k, fit->stays + (g.begin + g.rows) * fit->k, fit->k) == 0)
      g.rows++;
    pith_arena arena;
    pith_arena_init(&arena, NULL);
    const pith_status status = fit_group(f, &g, &arena);
    pith_arena_deinit(&arena);
    if (status != PITH_OK)
      atomic_store(&f->status, (int)status);
  }
}

/* The factor that outputs with all inputs share. */
static pith_status make_whole(fitter *f, pith_arena *arena) {
  const pith_fit *fit = f->fit;
  size_t row = 0;
  while (row < fit->n && !has_all(fit, row))
    row++;
  if (row == fit->n)
    return PITH_OK;
  f->whole = PITH_ARENA_NEW(arena, double, fit->k *fit->k);
  if (f->whole == NULL)
    return PITH_OUT_OF_MEMORY;
  memcpy(f->whole, fit->moments, fit->k * fit->k * sizeof *f->whole);
  return pith_cholesky_factor(f->whole, fit->k, NULL);
}

pith_status pith_fit_weights(const pith_fit *fit, float *out_w, float *out_scales, pith_error *error) {
  PITH_TRY(pith_blas_load(error));
  fitter f = {.fit = fit, .w = out_w, .scales = out_scales};
  pith_arena arena;
  pith_arena_init(&arena, NULL);
  pith_status status = make_whole(&f, &arena);
  if (status == PITH_OK) {
    pith_parallel_for(fit->threadpool, fit_task, &f, (fit->n + TASK_ROWS - 1) / TASK_ROWS);
    status = (pith_status)atomic_load(&f.status);
  }
  pith_arena_deinit(&arena);
  if (status == PITH_OUT_OF_MEMORY)
    return pith_fail(error, status, "tensor '%s': no memory to fit it", fit->name);
  return status == PITH_OK ? PITH_OK
                           : pith_fail(error, status, "tensor '%s': its inputs' second moments are not positive definite: more "
                                       "data or damping helps", fit->name);
}
