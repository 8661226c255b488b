#include "sparse/fisher.h"

#include <math.h>
#include <string.h>

enum { MOST = PITH_FISHER_MOST };

/* One output's inputs of one block. */
typedef struct place {
  size_t row, begin, count; /* inputs begin to begin + count */
  float *values;            /* its triangle: row a at a (a + 1) / 2 */
} place;

static size_t count_columns(const pith_fisher *f) {
  return (f->k + f->block - 1) / f->block;
}

size_t pith_fisher_count(size_t n, size_t k, size_t block) {
  return n * ((k + block - 1) / block) * (block * (block + 1) / 2);
}

static place get_place(const pith_fisher *f, size_t row, size_t column) {
  const size_t begin = column * f->block, left = f->k - begin;
  return (place){.row = row,
                 .begin = begin,
                 .count = left < f->block ? left : f->block,
                 .values = f->values + (row * count_columns(f) + column) * (f->block * (f->block + 1) / 2)};
}

static double get_value(const place *p, size_t a, size_t b) {
  return (double)(a >= b ? p->values[a * (a + 1) / 2 + b] : p->values[b * (b + 1) / 2 + a]);
}

void pith_fisher_add(const pith_fisher *f, const float *g, double share) {
  const float s = (float)share;
  for (size_t row = 0; row < f->n; row++)
    for (size_t column = 0; column < count_columns(f); column++) {
      const place p = get_place(f, row, column);
      const float *gp = g + row * f->k + p.begin;
      for (size_t a = 0; a < p.count; a++) {
        float *to = p.values + a * (a + 1) / 2;
        for (size_t b = 0; b <= a; b++)
          to[b] += s * (gp[a] * gp[b] - to[b]);
      }
    }
}

/* ---- small systems ------------------------------------------------------------------------------------------------- */

typedef double matrix[MOST][MOST + 1]; /* a column's elements are in different sets of a cache */

/* L L^T = m in its lower triangle, of size n. Pivots below `least`, which no exact one is, are what rounding left. */
static void factor(matrix m, size_t n, double least) {
  double column[MOST];
  for (size_t k = 0; k < n; k++) {
    m[k][k] = sqrt(fmax(m[k][k], least));
    for (size_t i = k + 1; i < n; i++)
      column[i] = m[i][k] /= m[k][k];
    for (size_t i = k + 1; i < n; i++)
      for (size_t j = k + 1; j <= i; j++)
        m[i][j] -= column[i] * column[j];
  }
}

/* L^-1 from L, in place: row after row, from those above. */
static void invert(matrix m, size_t n) {
  double sums[MOST];
  for (size_t i = 0; i < n; i++) {
    memset(sums, 0, i * sizeof *sums);
    for (size_t l = 0; l < i; l++)
      for (size_t j = 0; j <= l; j++)
        sums[j] += m[i][l] * m[l][j];
    m[i][i] = 1 / m[i][i];
    for (size_t j = 0; j < i; j++)
      m[i][j] = -sums[j] * m[i][i];
  }
}

/* x = m^-1 x, of L. */
static void solve(matrix m, size_t n, double *x) {
  for (size_t i = 0; i < n; i++) {
    for (size_t l = 0; l < i; l++)
      x[i] -= m[i][l] * x[l];
    x[i] /= m[i][i];
  }
  for (size_t i = n; i-- > 0;) {
    for (size_t l = i + 1; l < n; l++)
      x[i] -= m[l][i] * x[l];
    x[i] /= m[i][i];
  }
}

/* damp I + F of the listed inputs of a place. */
static void gather(const pith_fisher *f, const place *p, const size_t *list, size_t count, matrix out) {
  for (size_t i = 0; i < count; i++)
    for (size_t j = 0; j <= i; j++)
      out[i][j] = get_value(p, list[i], list[j]) + (i == j ? f->damp : 0);
}

/* ---- scores ---------------------------------------------------------------------------------------------------------- */

/* Of the block of the grid that an input of a place is in, its column. */
static size_t get_column(const pith_mask_grid *grid, const place *p, size_t a) {
  return (p->begin + a) / grid->inputs;
}

static bool is_removed(const pith_mask_grid *grid, const uint8_t *removed, const place *p, size_t a) {
  return removed[p->row / grid->outputs * grid->columns + get_column(grid, p, a)] != 0;
}

/* What `damp I + F` of a place's inputs that are not gone says. */
typedef struct view {
  size_t count, list[MOST]; /* inputs */
  double w[MOST];
  matrix inverse;           /* L^-1, so that F^-1 = L^-T L^-1 */
  double diagonal[MOST];    /* of F^-1 */
  double least;             /* no eigenvalue of F^-1 is smaller: 1 over the trace of F */
} view;

static void look(const pith_fisher *f, const pith_mask_grid *grid, const uint8_t *removed, const float *w, const place *p, view *v) {
  v->count = 0;
  for (size_t a = 0; a < p->count; a++)
    if (!is_removed(grid, removed, p, a)) {
      v->w[v->count] = (double)w[p->row * f->k + p->begin + a];
      v->list[v->count++] = a;
    }
  if (v->count == 0)
    return;
  gather(f, p, v->list, v->count, v->inverse);
  double trace = 0;
  for (size_t i = 0; i < v->count; i++)
    trace += v->inverse[i][i];
  v->least = 1 / trace;
  factor(v->inverse, v->count, f->damp);
  invert(v->inverse, v->count);
  memset(v->diagonal, 0, v->count * sizeof *v->diagonal);
  for (size_t l = 0; l < v->count; l++)
    for (size_t i = 0; i <= l; i++)
      v->diagonal[i] += v->inverse[l][i] * v->inverse[l][i];
}

/* w_B^T ([F^-1]_BB)^-1 w_B of the inputs first to first + count of those listed. */
static double cost_piece(const view *v, size_t first, size_t count) {
  if (count == 1)
    return v->w[first] * v->w[first] / v->diagonal[first];
  matrix part;
  double x[MOST], cost = 0;
  for (size_t i = 0; i < count; i++) {
    x[i] = v->w[first + i];
    for (size_t j = 0; j <= i; j++) {
      part[i][j] = 0;
      for (size_t l = first + i; l < v->count; l++)
        part[i][j] += v->inverse[l][first + i] * v->inverse[l][first + j];
    }
  }
  factor(part, count, v->least);
  solve(part, count, x);
  for (size_t i = 0; i < count; i++)
    cost += x[i] * v->w[first + i];
  return cost;
}

static void score_place(const pith_fisher *f, const pith_mask_grid *grid, const uint8_t *removed, const float *w, const place *p,
                        float *scores) {
  view v;
  look(f, grid, removed, w, p, &v);
  const size_t row = p->row / grid->outputs;
  for (size_t i = 0, next; i < v.count; i = next) {
    const size_t column = get_column(grid, p, v.list[i]);
    for (next = i + 1; next < v.count && get_column(grid, p, v.list[next]) == column; next++)
      ;
    float *score = &scores[row * grid->columns + column];
    *score = (float)((double)*score +
                     0.5 * cost_piece(&v, i, next - i) / (double)pith_mask_block_elements(grid, row, column));
  }
}

void pith_fisher_score(const pith_fisher *f, const pith_mask_grid *grid, const uint8_t *removed, const float *w, float *scores) {
  memset(scores, 0, pith_mask_grid_count(grid) * sizeof *scores);
  for (size_t row = 0; row < f->n; row++)
    for (size_t column = 0; column < count_columns(f); column++) {
      const place p = get_place(f, row, column);
      score_place(f, grid, removed, w, &p, scores);
    }
}

/* ---- what stays ------------------------------------------------------------------------------------------------------ */

static void compensate_place(const pith_fisher *f, const pith_mask_grid *grid, const uint8_t *before, const uint8_t *after,
                             const place *p, float *w) {
  matrix m;
  size_t stays[MOST], goes[MOST], stay_count = 0, go_count = 0;
  double change[MOST];
  for (size_t a = 0; a < p->count; a++)
    if (!is_removed(grid, after, p, a))
      stays[stay_count++] = a;
    else if (!is_removed(grid, before, p, a))
      goes[go_count++] = a;
  if (stay_count == 0 || go_count == 0)
    return;
  float *wp = w + p->row * f->k + p->begin;
  for (size_t i = 0; i < stay_count; i++) {
    change[i] = 0;
    for (size_t j = 0; j < go_count; j++)
      change[i] += get_value(p, stays[i], goes[j]) * (double)wp[goes[j]];
  }
  gather(f, p, stays, stay_count, m);
  factor(m, stay_count, f->damp);
  solve(m, stay_count, change);
  for (size_t i = 0; i < stay_count; i++)
    wp[stays[i]] = (float)((double)wp[stays[i]] + change[i]);
}

void pith_fisher_compensate(const pith_fisher *f, const pith_mask_grid *grid, const uint8_t *before, const uint8_t *after, float *w) {
  for (size_t row = 0; row < f->n; row++)
    for (size_t column = 0; column < count_columns(f); column++) {
      const place p = get_place(f, row, column);
      compensate_place(f, grid, before, after, &p, w);
    }
}
