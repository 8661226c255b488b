/* The body of both layer_norm_grad kernels; included after a v16 header.
 *
 * Rows: two side by side, in three passes. d = z - mean; mean and inverse by the operations of layer_norm_f32_body.h, so with
 * its bits; dx = d * (-inverse^3 / n * sum of g d) + (g * inverse - inverse / n * sum of g), each product fused with its sum.
 * Columns: a few rows at a time go through dgamma and dbeta, which stay in the first cache, so that rows are read from one
 * end to the other. */
#include <stdbool.h>

#include "ops/normalize/layer_norm_grad_f32.h"
#include "ops/normalize/normalize_internal.h"
#include "ops/split.h"

enum {
  GRAD_ROWS = 2,         /* side by side */
  GRAD_COLUMN_ROWS = 8,  /* that go through the sums at once */
  GRAD_COLUMN_GRAIN = 64 /* columns that tasks are made of */
};

V16_INLINE v16 grad_load(const float *p, bool whole, m16 tail) {
  return whole ? v16_load(p) : v16_load_masked(tail, p);
}
V16_INLINE void grad_store(float *p, v16 x, bool whole, m16 tail) {
  if (whole)
    v16_store(p, x);
  else
    v16_store_masked(tail, p, x);
}

V16_INLINE v16 grad_load_z(const pith_layer_norm_grad_f32_args *a, bool residual, size_t r, size_t i, bool whole, m16 tail) {
  const v16 z = grad_load(a->x + r * a->x_stride + i, whole, tail);
  return residual ? v16_add(z, grad_load(a->residual + r * a->residual_stride + i, whole, tail)) : z;
}

typedef struct grad_row {
  v16 mean, inverse;
  v16 g, gd, dd; /* sums of g, g d and d d; then what g is added to and d is multiplied with */
} grad_row;

V16_INLINE void grad_add(const pith_layer_norm_grad_f32_args *a, bool residual, size_t r, size_t i, bool whole, m16 tail,
                         grad_row *row) {
  const v16 d = v16_sub(grad_load_z(a, residual, r, i, whole, tail), row->mean);
  const v16 g = v16_mul(grad_load(a->gamma + i, whole, tail), grad_load(a->dy + r * a->dy_stride + i, whole, tail));
  row->g = v16_add(row->g, g); /* of lanes that are not there g is 0 */
  row->gd = v16_fma(g, d, row->gd);
  row->dd = whole ? v16_fma(d, d, row->dd) : v16_select(tail, v16_fma(d, d, row->dd), row->dd);
}

V16_INLINE void grad_write(const pith_layer_norm_grad_f32_args *a, bool residual, size_t r, size_t i, bool whole, m16 tail,
                           const grad_row *row) {
  const v16 d = v16_sub(grad_load_z(a, residual, r, i, whole, tail), row->mean);
  const v16 g = v16_mul(grad_load(a->gamma + i, whole, tail), grad_load(a->dy + r * a->dy_stride + i, whole, tail));
  grad_store(a->dx + r * a->dx_stride + i, v16_fma(d, row->gd, v16_fma(g, row->inverse, row->g)), whole, tail);
}

/* rows and residual are constants where this is expanded. */
V16_INLINE void grad_rows(const pith_layer_norm_grad_f32_args *a, size_t rows, bool residual) {
  const size_t n = a->features, whole = n / 16 * 16;
  const m16 tail = m16_first(n - whole);
  const v16 zero = v16_set(0.0f), one = v16_set(1.0f), count = v16_set((float)n);
  grad_row row[GRAD_ROWS];
  PITH_UNROLL
  for (size_t r = 0; r < rows; ++r)
    row[r] = (grad_row){zero, zero, zero, zero, zero};
  for (size_t i = 0; i < whole; i += 16)
    PITH_UNROLL
    for (size_t r = 0; r < rows; ++r)
      row[r].mean = v16_add(row[r].mean, grad_load_z(a, residual, r, i, true, tail));
  if (whole < n)
    PITH_UNROLL
    for (size_t r = 0; r < rows; ++r)
      row[r].mean = v16_add(row[r].mean, grad_load_z(a, residual, r, whole, false, tail));
  PITH_UNROLL
  for (size_t r = 0; r < rows; ++r)
    row[r].mean = v16_div(v16_set(v16_sum(row[r].mean)), count);
  for (size_t i = 0; i < whole; i += 16)
    PITH_UNROLL
    for (size_t r = 0; r < rows; ++r)
      grad_add(a, residual, r, i, true, tail, &row[r]);
  if (whole < n)
    PITH_UNROLL
    for (size_t r = 0; r < rows; ++r)
      grad_add(a, residual, r, whole, false, tail, &row[r]);
  PITH_UNROLL
  for (size_t r = 0; r < rows; ++r) {
    const v16 variance = v16_div(v16_set(v16_sum(row[r].dd)), count);
    row[r].inverse = v16_div(one, v16_sqrt(v16_add(variance, v16_set(a->epsilon))));
    v16_store_masked(m16_first(1), a->mean + r, row[r].mean);
    v16_store_masked(m16_first(1), a->inverse + r, row[r].inverse);
    const v16 minus = v16_sub(zero, v16_div(row[r].inverse, count));
    row[r].g = v16_mul(minus, v16_set(v16_sum(row[r].g)));
    row[r].gd = v16_mul(v16_mul(minus, v16_set(v16_sum(row[r].gd))), v16_mul(row[r].inverse, row[r].inverse));
  }
  for (size_t i = 0; i < whole; i += 16)
    PITH_UNROLL
    for (size_t r = 0; r < rows; ++r)
      grad_write(a, residual, r, i, true, tail, &row[r]);
  if (whole < n)
    PITH_UNROLL
    for (size_t r = 0; r < rows; ++r)
      grad_write(a, residual, r, whole, false, tail, &row[r]);
}

static size_t grad_units(const pith_layer_norm_grad_f32_args *a) {
  return (a->rows + GRAD_ROWS - 1) / GRAD_ROWS;
}

static size_t grad_count(const void *args, size_t threads) {
  const pith_layer_norm_grad_f32_args *a = args;
  return a->features == 0 ? 0 : pith_split_count(grad_units(a), GRAD_ROWS * 2 * a->features, threads);
}

static pith_layer_norm_grad_f32_args grad_from(pith_layer_norm_grad_f32_args a, size_t rows) {
  a.x += rows * a.x_stride;
  if (a.residual)
    a.residual += rows * a.residual_stride;
  a.dy += rows * a.dy_stride;
  a.dx += rows * a.dx_stride;
  a.mean += rows;
  a.inverse += rows;
  return a;
}

static void grad_run(const void *args, size_t threads, size_t task, void *scratch) {
  (void)scratch;
  const pith_layer_norm_grad_f32_args *whole = args;
  const size_t units = grad_units(whole), count = grad_count(args, threads);
  const size_t begin = pith_split_begin(units, count, task) * GRAD_ROWS;
  size_t end = pith_split_begin(units, count, task + 1) * GRAD_ROWS;
  end = end < whole->rows ? end : whole->rows;
  pith_layer_norm_grad_f32_args a = grad_from(*whole, begin);
  for (size_t rows = end - begin; rows > 0;) {
    const size_t step = rows >= GRAD_ROWS ? GRAD_ROWS : 1;
    if (step > 1 && a.residual)
      grad_rows(&a, GRAD_ROWS, true);
    else if (step > 1)
      grad_rows(&a, GRAD_ROWS, false);
    else if (a.residual)
      grad_rows(&a, 1, true);
    else
      grad_rows(&a, 1, false);
    rows -= step;
    a = grad_from(a, step);
  }
}

const pith_kernel V16_NAME(pith_layer_norm_grad_f32) = {
    .name = "layer_norm_grad_f32_" V16_ISA_TEXT,
    .needs = V16_NEEDS,
    .count_tasks = grad_count,
    .run = grad_run,
};

/* ---- columns ------------------------------------------------------------------------------------------------------- */

static size_t grad_columns_units(const pith_layer_norm_grad_columns_f32_args *a) {
  return (a->features + GRAD_COLUMN_GRAIN - 1) / GRAD_COLUMN_GRAIN;
}

static size_t grad_columns_count(const void *args, size_t threads) {
  const pith_layer_norm_grad_columns_f32_args *a = args;
  return pith_split_count(grad_columns_units(a), GRAD_COLUMN_GRAIN * 2 * a->rows, threads);
}

/* Rows `row` to row + rows - 1 of features i to i + 15. */
V16_INLINE void grad_columns_step(const pith_layer_norm_grad_columns_f32_args *a, bool residual, size_t row, size_t rows,
                                  size_t i, bool whole, m16 tail) {
  const v16 zero = v16_set(0.0f);
  v16 gamma = row == 0 ? zero : grad_load(a->dgamma + i, whole, tail);
  v16 beta = row == 0 || !a->dbeta ? zero : grad_load(a->dbeta + i, whole, tail);
  for (size_t r = row; r < row + rows; ++r) {
    const v16 x = grad_load(a->x + r * a->x_stride + i, whole, tail);
    const v16 z = residual ? v16_add(x, grad_load(a->residual + r * a->residual_stride + i, whole, tail)) : x;
    const v16 u = v16_mul(v16_sub(z, v16_set(a->mean[r])), v16_set(a->inverse[r]));
    const v16 dy = grad_load(a->dy + r * a->dy_stride + i, whole, tail);
    gamma = v16_fma(dy, u, gamma);
    beta = v16_add(beta, dy);
  }
  grad_store(a->dgamma + i, gamma, whole, tail);
  if (a->dbeta)
    grad_store(a->dbeta + i, beta, whole, tail);
}

static void grad_columns_rows(const pith_layer_norm_grad_columns_f32_args *a, size_t row, size_t rows, size_t begin, size_t end) {
  const size_t whole = begin + (end - begin) / 16 * 16;
  const m16 tail = m16_first(end - whole);
  for (size_t i = begin; i < whole; i += 16)
    if (a->residual)
      grad_columns_step(a, true, row, rows, i, true, tail);
    else
      grad_columns_step(a, false, row, rows, i, true, tail);
  if (whole < end && a->residual)
    grad_columns_step(a, true, row, rows, whole, false, tail);
  else if (whole < end)
    grad_columns_step(a, false, row, rows, whole, false, tail);
}

static void grad_columns_run(const void *args, size_t threads, size_t task, void *scratch) {
  (void)scratch;
  const pith_layer_norm_grad_columns_f32_args *a = args;
  const size_t units = grad_columns_units(a), count = grad_columns_count(args, threads);
  const size_t begin = pith_split_begin(units, count, task) * GRAD_COLUMN_GRAIN;
  size_t end = pith_split_begin(units, count, task + 1) * GRAD_COLUMN_GRAIN;
  end = end < a->features ? end : a->features;
  size_t row = 0;
  do { /* no row: the sums are 0 */
    const size_t rows = a->rows - row < GRAD_COLUMN_ROWS ? a->rows - row : GRAD_COLUMN_ROWS;
    grad_columns_rows(a, row, rows, begin, end);
    row += rows;
  } while (row < a->rows);
}

const pith_kernel V16_NAME(pith_layer_norm_grad_columns_f32) = {
    .name = "layer_norm_grad_columns_f32_" V16_ISA_TEXT,
    .needs = V16_NEEDS,
    .count_tasks = grad_columns_count,
    .run = grad_columns_run,
};
