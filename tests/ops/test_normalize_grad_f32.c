#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ops/normalize/layer_norm_f32.h"
#include "ops/normalize/layer_norm_grad_f32.h"
#include "ops/normalize/lp_norm_grad_f32.h"
#include "ops/normalize/softmax_grad_f32.h"
#include "tests/ops/finite_difference.h"
#include "tests/ops/kernel_tester.h"

static const size_t row_counts[] = {0, 1, 3, 4, 5, 9, 16, 17};
static const size_t feature_counts[] = {1, 2, 15, 16, 17, 33, 64, 65, 130};
#define COUNT(array) (sizeof(array) / sizeof *(array))
enum { MAX_FEATURES = 768 };

/* Row `row` of a function of rows: its gradient by differences, against dx. The limit is 1e-5 of the row's largest, and 1e-7 of
 * what the terms that cancel may be. */
static void check_row(tester *t, difference_function *f, const void *context, double *x, size_t n, size_t row, const float *dx,
                      double terms) {
  double want[MAX_FEATURES], size = 0;
  for (size_t i = 0; i < n; ++i) {
    want[i] = difference(f, x, n, i, context);
    size = fmax(size, fabs(want[i]));
  }
  for (size_t i = 0; i < n; ++i)
    tester_check_near(t, "dx", row, i, (double)dx[i], want[i], 1e-5 * size + 1e-7 * terms);
}

/* ---- layer_norm ---------------------------------------------------------------------------------------------------- */

typedef struct layer_norm_context {
  const float *gamma, *dy;
  double epsilon;
} layer_norm_context;

static double layer_norm(const double *x, size_t n, const void *context) {
  const layer_norm_context *c = context;
  double mean = 0, variance = 0, sum = 0;
  for (size_t i = 0; i < n; ++i)
    mean += x[i] / (double)n;
  for (size_t i = 0; i < n; ++i)
    variance += (x[i] - mean) * (x[i] - mean) / (double)n;
  for (size_t i = 0; i < n; ++i)
    sum += (double)c->dy[i] * (double)c->gamma[i] * (x[i] - mean) / sqrt(variance + c->epsilon);
  return sum;
}

enum { NOT_IN_PLACE, IN_PLACE_X, IN_PLACE_RESIDUAL, IN_PLACE_DY };

static void run_rows(tester *t, size_t rows, size_t features, size_t gap, bool residual, int in_place) {
  tester_begin(t, "layer_norm: %zu rows of %zu, gap %zu, residual %d, in place %d", rows, features, gap, residual, in_place);
  pith_layer_norm_grad_f32_args a = {.rows = rows, .features = features, .epsilon = 1e-3f};
  a.dx_stride = features + gap;
  a.x_stride = in_place == IN_PLACE_X ? a.dx_stride : features + 2 * gap;
  a.residual_stride = in_place == IN_PLACE_RESIDUAL ? a.dx_stride : features + 3 * gap;
  a.dy_stride = in_place == IN_PLACE_DY ? a.dx_stride : features + 4 * gap;
  const size_t out = tester_span(rows, features, a.dx_stride);
  a.dx = tester_output(t, out);
  a.mean = tester_output(t, rows);
  a.inverse = tester_output(t, rows);
  const float *x = tester_floats(t, tester_span(rows, features, a.x_stride), -2, 3);
  const float *r = tester_floats(t, tester_span(rows, features, a.residual_stride), -2, 3);
  const float *dy = tester_floats(t, tester_span(rows, features, a.dy_stride), -1, 1);
  a.gamma = tester_floats(t, features, -2, 2);
  a.x = in_place == IN_PLACE_X ? a.dx : x;
  a.residual = !residual ? NULL : in_place == IN_PLACE_RESIDUAL ? a.dx : r;
  a.dy = in_place == IN_PLACE_DY ? a.dx : dy;
  const float *initial = in_place == IN_PLACE_X ? x : in_place == IN_PLACE_RESIDUAL ? r : in_place == IN_PLACE_DY ? dy : NULL;
  if (initial && out > 0)
    memcpy(a.dx, initial, out * sizeof(float));
  tester_reference(t, &a);
  for (size_t row = 0; row < rows; ++row) {
    double z[MAX_FEATURES];
    for (size_t i = 0; i < features; ++i)
      z[i] = (double)(x[row * a.x_stride + i] + (residual ? r[row * a.residual_stride + i] : 0.0f));
    const layer_norm_context c = {a.gamma, dy + row * a.dy_stride, (double)a.epsilon};
    check_row(t, layer_norm, &c, z, features, row, a.dx + row * a.dx_stride, 60);
  }
  if (!initial)
    tester_check_gaps(t, a.dx, rows, features, a.dx_stride);
  tester_compare(t, &a, initial);
}

static void test_rows(void **state) {
  (void)state;
  tester t;
  tester_init(&t, pith_layer_norm_grad_f32_kernels);
  for (size_t i = 0; i < COUNT(row_counts); ++i)
    for (size_t j = 0; j < COUNT(feature_counts); ++j) {
      const int in_place = (int)tester_pick(&t, 4);
      run_rows(&t, row_counts[i], feature_counts[j], (i + j) % 3 * 5, in_place == IN_PLACE_RESIDUAL || (i + j) % 2, in_place);
    }
  run_rows(&t, 103, 256, 0, true, NOT_IN_PLACE); /* several tasks */
  tester_deinit(&t);
}

/* mean and inverse are those with which forward made y: y = (z - mean) * inverse, bit for bit. */
static void test_statistics(void **state) {
  (void)state;
  enum { ROWS = 7, FEATURES = 77 };
  tester t;
  tester_init(&t, pith_layer_norm_grad_f32_kernels);
  tester_begin(&t, "statistics");
  pith_layer_norm_grad_f32_args a = {.rows = ROWS, .features = FEATURES, .epsilon = 1e-5f, .x_stride = FEATURES,
                                     .residual_stride = FEATURES, .dy_stride = FEATURES, .dx_stride = FEATURES};
  a.dx = tester_output(&t, ROWS * FEATURES);
  a.mean = tester_output(&t, ROWS);
  a.inverse = tester_output(&t, ROWS);
  a.x = tester_floats(&t, ROWS * FEATURES, -2, 3);
  a.residual = tester_floats(&t, ROWS * FEATURES, -2, 3);
  a.dy = tester_floats(&t, ROWS * FEATURES, -1, 1);
  a.gamma = tester_floats(&t, FEATURES, 1, 1);
  tester_reference(&t, &a);
  float y[ROWS * FEATURES];
  pith_kernel_run_all(pith_layer_norm_f32_kernels[0],
                      &(pith_layer_norm_f32_args){.x = a.x, .residual = a.residual, .gamma = a.gamma, .y = y, .rows = ROWS,
                                                  .features = FEATURES, .x_stride = FEATURES, .residual_stride = FEATURES,
                                                  .y_stride = FEATURES, .epsilon = a.epsilon}, NULL);
  for (size_t i = 0; i < ROWS * FEATURES; ++i)
    assert_true((a.x[i] + a.residual[i] - a.mean[i / FEATURES]) * a.inverse[i / FEATURES] == y[i]);
  tester_compare(&t, &a, NULL);
  tester_deinit(&t);
}

static void run_columns(tester *t, size_t rows, size_t features, size_t gap, bool residual, bool beta) {
  tester_begin(t, "columns: %zu rows of %zu, gap %zu, residual %d, beta %d", rows, features, gap, residual, beta);
  pith_layer_norm_grad_columns_f32_args a = {.rows = rows, .features = features, .x_stride = features + gap,
                                             .residual_stride = features + 2 * gap, .dy_stride = features + 3 * gap};
  a.dgamma = tester_output(t, features);
  a.dbeta = beta ? tester_output(t, features) : NULL;
  a.x = tester_floats(t, tester_span(rows, features, a.x_stride), -2, 3);
  a.residual = residual ? tester_floats(t, tester_span(rows, features, a.residual_stride), -2, 3) : NULL;
  a.dy = tester_floats(t, tester_span(rows, features, a.dy_stride), -1, 1);
  a.mean = tester_floats(t, rows, -1, 1);
  a.inverse = tester_floats(t, rows, 0.5f, 2);
  tester_reference(t, &a);
  for (size_t i = 0; i < features; ++i) { /* y = u gamma + beta is linear in both: their derivatives need no differences */
    double gamma = 0, sum = 0, size = 0;
    for (size_t r = 0; r < rows; ++r) {
      const float z = a.x[r * a.x_stride + i] + (residual ? a.residual[r * a.residual_stride + i] : 0.0f);
      const double dy = (double)a.dy[r * a.dy_stride + i], term = dy * ((double)z - (double)a.mean[r]) * (double)a.inverse[r];
      gamma += term;
      sum += dy;
      size += fabs(term) + fabs(dy);
    }
    tester_check_near(t, "dgamma", 0, i, (double)a.dgamma[i], gamma, 1e-6 * size);
    if (beta)
      tester_check_near(t, "dbeta", 0, i, (double)a.dbeta[i], sum, 1e-6 * size);
  }
  tester_compare(t, &a, NULL);
}

static void test_columns(void **state) {
  (void)state;
  tester t;
  tester_init(&t, pith_layer_norm_grad_columns_f32_kernels);
  for (size_t i = 0; i < COUNT(row_counts); ++i)
    for (size_t j = 0; j < COUNT(feature_counts); ++j)
      run_columns(&t, row_counts[i], feature_counts[j], (i + j) % 3 * 5, (i + j) % 2, (i + j) % 4 < 3);
  run_columns(&t, 900, 384, 0, true, true);
  tester_deinit(&t);
}

/* ---- softmax ------------------------------------------------------------------------------------------------------- */

static double softmax(const double *x, size_t n, const void *context) {
  const float *dy = context;
  double max = x[0], sum = 0, out = 0;
  for (size_t i = 0; i < n; ++i)
    max = fmax(max, x[i]);
  for (size_t i = 0; i < n; ++i)
    sum += exp(x[i] - max);
  for (size_t i = 0; i < n; ++i)
    out += (double)dy[i] * exp(x[i] - max) / sum;
  return out;
}

static void run_softmax(tester *t, size_t rows, size_t features, size_t gap, int in_place) {
  tester_begin(t, "softmax: %zu rows of %zu, gap %zu, in place %d", rows, features, gap, in_place);
  pith_softmax_grad_f32_args a = {.rows = rows, .features = features, .dx_stride = features + gap};
  a.y_stride = in_place == 1 ? a.dx_stride : features + 2 * gap;
  a.dy_stride = in_place == 2 ? a.dx_stride : features + 3 * gap;
  const size_t out = tester_span(rows, features, a.dx_stride);
  a.dx = tester_output(t, out);
  float *y = tester_floats(t, tester_span(rows, features, a.y_stride), -4, 4); /* x at first */
  const float *dy = tester_floats(t, tester_span(rows, features, a.dy_stride), -1, 1);
  double *x = calloc(rows * features + 1, sizeof *x);
  assert_non_null(x);
  for (size_t i = 0; i < rows * features; ++i)
    x[i] = (double)y[i / features * a.y_stride + i % features];
  for (size_t r = 0; r < rows; ++r) {
    double max = -INFINITY, sum = 0;
    for (size_t i = 0; i < features; ++i)
      max = fmax(max, x[r * features + i]);
    for (size_t i = 0; i < features; ++i)
      sum += exp(x[r * features + i] - max);
    for (size_t i = 0; i < features; ++i)
      y[r * a.y_stride + i] = (float)(exp(x[r * features + i] - max) / sum);
  }
  a.y = in_place == 1 ? a.dx : y;
  a.dy = in_place == 2 ? a.dx : dy;
  const float *initial = in_place == 1 ? y : in_place == 2 ? dy : NULL;
  if (initial && out > 0)
    memcpy(a.dx, initial, out * sizeof(float));
  tester_reference(t, &a);
  for (size_t r = 0; r < rows; ++r)
    check_row(t, softmax, dy + r * a.dy_stride, x + r * features, features, r, a.dx + r * a.dx_stride, 1);
  free(x);
  if (!initial)
    tester_check_gaps(t, a.dx, rows, features, a.dx_stride);
  tester_compare(t, &a, initial);
}

static void test_softmax(void **state) {
  (void)state;
  tester t;
  tester_init(&t, pith_softmax_grad_f32_kernels);
  for (size_t i = 0; i < COUNT(row_counts); ++i)
    for (size_t j = 0; j < COUNT(feature_counts); ++j)
      run_softmax(&t, row_counts[i], feature_counts[j], (i + j) % 3 * 5, (int)tester_pick(&t, 3));
  run_softmax(&t, 301, 200, 0, 0);
  tester_deinit(&t);
}

/* ---- lp_norm ------------------------------------------------------------------------------------------------------- */

typedef struct lp_norm_context {
  const float *dy;
  int p;
  double epsilon;
} lp_norm_context;

static double lp_norm(const double *x, size_t n, const void *context) {
  const lp_norm_context *c = context;
  double norm = 0, sum = 0;
  for (size_t i = 0; i < n; ++i) {
    norm += c->p == 1 ? fabs(x[i]) : x[i] * x[i];
    sum += (double)c->dy[i] * x[i];
  }
  norm = c->p == 1 ? norm : sqrt(norm);
  return sum / fmax(norm, c->epsilon);
}

/* zeros: all of x but every third is 0. */
static void run_lp_norm(tester *t, size_t rows, size_t features, size_t gap, int in_place, int p, float epsilon, bool zeros) {
  tester_begin(t, "lp_norm: %zu rows of %zu, gap %zu, in place %d, p %d, epsilon %g, zeros %d", rows, features, gap, in_place, p,
               (double)epsilon, zeros);
  pith_lp_norm_grad_f32_args a = {.rows = rows, .features = features, .dx_stride = features + gap, .p = p, .epsilon = epsilon};
  a.x_stride = in_place == 1 ? a.dx_stride : features + 2 * gap;
  a.dy_stride = in_place == 2 ? a.dx_stride : features + 3 * gap;
  const size_t out = tester_span(rows, features, a.dx_stride);
  a.dx = tester_output(t, out);
  float *x = tester_floats(t, tester_span(rows, features, a.x_stride), 0.5f, 3);
  const float *dy = tester_floats(t, tester_span(rows, features, a.dy_stride), -1, 1);
  for (size_t i = 0; i < tester_span(rows, features, a.x_stride); ++i)
    x[i] = zeros && i % 3 != 0 ? (i % 2 ? -0.0f : 0.0f) : tester_pick(t, 2) ? -x[i] : x[i];
  a.x = in_place == 1 ? a.dx : x;
  a.dy = in_place == 2 ? a.dx : dy;
  const float *initial = in_place == 1 ? x : in_place == 2 ? dy : NULL;
  if (initial && out > 0)
    memcpy(a.dx, initial, out * sizeof(float));
  tester_reference(t, &a);
  for (size_t r = 0; r < rows; ++r) {
    double z[MAX_FEATURES];
    for (size_t i = 0; i < features; ++i)
      z[i] = (double)x[r * a.x_stride + i];
    const lp_norm_context c = {dy + r * a.dy_stride, p, (double)epsilon};
    check_row(t, lp_norm, &c, z, features, r, a.dx + r * a.dx_stride, 1);
  }
  if (!initial)
    tester_check_gaps(t, a.dx, rows, features, a.dx_stride);
  tester_compare(t, &a, initial);
}

static void test_lp_norm(void **state) {
  (void)state;
  tester t;
  tester_init(&t, pith_lp_norm_grad_f32_kernels);
  for (size_t i = 0; i < COUNT(row_counts); ++i)
    for (size_t j = 0; j < COUNT(feature_counts); ++j)
      run_lp_norm(&t, row_counts[i], feature_counts[j], (i + j) % 3 * 5, (int)tester_pick(&t, 3), 1 + (int)((i + j) % 2), 1e-3f,
                  false);
  for (int p = 1; p <= 2; ++p) {
    run_lp_norm(&t, 301, 128, 0, 0, p, 1e-12f, false);
    run_lp_norm(&t, 5, 50, 3, 0, p, 1000, false); /* epsilon bounds it */
  }
  run_lp_norm(&t, 5, 50, 3, 0, 2, 1e-12f, true);
  tester_deinit(&t);
}

static void test_lp_norm_zeros(void **state) { /* by p 1 a 0 moves nothing but itself; a row of zeros is divided by epsilon */
  (void)state;
  tester t;
  tester_init(&t, pith_lp_norm_grad_f32_kernels);
  tester_begin(&t, "lp_norm: zeros");
  pith_lp_norm_grad_f32_args a = {.rows = 2, .features = 3, .x_stride = 3, .dy_stride = 3, .dx_stride = 3, .p = 1,
                                  .epsilon = 0.25f};
  a.dx = tester_output(&t, 6);
  float *x = tester_floats(&t, 6, 0, 0), *dy = tester_floats(&t, 6, 0, 0);
  static const float xs[6] = {2, 0, -2, 0, 0, 0}, dys[6] = {1, 2, 3, 4, 5, 6}, want[6] = {0.5f, 0.5f, 0.5f, 16, 20, 24};
  memcpy(x, xs, sizeof xs);
  memcpy(dy, dys, sizeof dys);
  a.x = x;
  a.dy = dy;
  tester_reference(&t, &a);
  assert_memory_equal(a.dx, want, sizeof want);
  tester_compare(&t, &a, NULL);
  tester_deinit(&t);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_rows),    cmocka_unit_test(test_statistics), cmocka_unit_test(test_columns),
      cmocka_unit_test(test_softmax), cmocka_unit_test(test_lp_norm),    cmocka_unit_test(test_lp_norm_zeros),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
