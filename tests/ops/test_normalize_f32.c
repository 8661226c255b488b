#include <float.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ops/normalize/layer_norm_f32.h"
#include "tests/ops/quantize_want.h"

static const size_t row_counts[] = {0, 1, 3, 4, 5, 8, 15, 16, 17, 31};
static const size_t feature_counts[] = {1, 2, 15, 16, 17, 31, 32, 33, 63, 64, 65, 96, 127, 128, 313, 384};
#define COUNT(array) (sizeof(array) / sizeof *(array))

/* ---- layer_norm_f32 ---------------------------------------------------------------------------------------- */

enum { NO_RESIDUAL, RESIDUAL, IN_PLACE_X, IN_PLACE_RESIDUAL };

typedef struct layer_norm_case {
  size_t rows, features, gap;
  int mode;
  bool beta;
  float range, offset;
} layer_norm_case;

static void check_layer_norm(tester *t, const pith_layer_norm_f32_args *a, const float *x, const float *residual) {
  const double n = (double)a->features;
  for (size_t r = 0; r < a->rows; ++r) {
    double mean = 0, variance = 0, size = 0;
    for (size_t i = 0; i < a->features; ++i) {
      const float z = x[r * a->x_stride + i] + (residual ? residual[r * a->residual_stride + i] : 0);
      mean += (double)z / n;
      size = fmax(size, fabs((double)z));
    }
    for (size_t i = 0; i < a->features; ++i) {
      const float z = x[r * a->x_stride + i] + (residual ? residual[r * a->residual_stride + i] : 0);
      variance += ((double)z - mean) * ((double)z - mean) / n;
    }
    const double deviation = sqrt(variance + (double)a->epsilon);
    for (size_t i = 0; i < a->features; ++i) {
      const float z = x[r * a->x_stride + i] + (residual ? residual[r * a->residual_stride + i] : 0);
      const double unit = ((double)z - mean) / deviation, gamma = (double)a->gamma[i];
      const double want = unit * gamma + (a->beta ? (double)a->beta[i] : 0);
      /* the mean errs by a few 2^-24 of the largest value, the rest by a few 2^-24 of itself */
      const double limit = 6e-8 * (8 * fabs(gamma) * (size / deviation + fabs(unit)) + fabs(want)) +
                           0x1p-148 * fabs(gamma) / deviation;
      tester_check_near(t, "y", r, i, (double)a->y[r * a->y_stride + i], want, limit);
    }
  }
}

static void run_layer_norm(tester *t, const layer_norm_case *c) {
  tester_begin(t, "layer_norm: %zu rows of %zu, gap %zu, mode %d, beta %d, range %g, offset %g", c->rows, c->features,
               c->gap, c->mode, c->beta, (double)c->range, (double)c->offset);
  pith_layer_norm_f32_args a = {.rows = c->rows, .features = c->features, .epsilon = 1e-12f};
  a.y_stride = c->features + c->gap;
  a.x_stride = c->mode == IN_PLACE_X ? a.y_stride : c->features + 2 * c->gap;
  a.residual_stride = c->mode == IN_PLACE_RESIDUAL ? a.y_stride : c->features + 3 * c->gap;
  const size_t out = tester_span(c->rows, c->features, a.y_stride);
  a.y = tester_output(t, out);
  const float low = c->offset - c->range, high = c->offset + c->range;
  const float *x = tester_floats(t, tester_span(c->rows, c->features, a.x_stride), low, high);
  const float *residual = tester_floats(t, tester_span(c->rows, c->features, a.residual_stride), low, high);
  if (c->mode == NO_RESIDUAL)
    residual = NULL;
  a.gamma = tester_floats(t, c->features, -2, 2);
  a.beta = c->beta ? tester_floats(t, c->features, -1, 1) : NULL;
  const float *initial = c->mode == IN_PLACE_X ? x : c->mode == IN_PLACE_RESIDUAL ? residual : NULL;
  a.x = c->mode == IN_PLACE_X ? a.y : x;
  a.residual = c->mode == IN_PLACE_RESIDUAL ? a.y : residual;
  a.q = want_any_rows(t, c->rows, c->features, c->gap * 4);
  a.q_factors = want_any_factors(t, &a.q, c->features);
  if (initial && out > 0)
    memcpy(a.y, initial, out * sizeof(float));
  tester_reference(t, &a);
  check_layer_norm(t, &a, x, residual);
  want_check_rows(t, &a.q, a.q_factors, a.y, a.y_stride, c->rows, c->features);
  if (!initial)
    tester_check_gaps(t, a.y, c->rows, c->features, a.y_stride);
  tester_compare(t, &a, initial);
}

static void test_layer_norm(void **state) {
  (void)state;
  tester t;
  tester_init(&t, pith_layer_norm_f32_kernels);
  for (size_t i = 0; i < COUNT(row_counts); ++i)
    for (size_t j = 0; j < COUNT(feature_counts); ++j) {
      const size_t pick = tester_pick(&t, 4);
      run_layer_norm(&t, &(layer_norm_case){row_counts[i], feature_counts[j], (i + j) % 3 * 5, (int)pick, (i + j) % 2, 2, 1});
    }
  for (int mode = NO_RESIDUAL; mode <= IN_PLACE_RESIDUAL; ++mode) {
    run_layer_norm(&t, &(layer_norm_case){301, 384, 0, mode, true, 2, 0}); /* several tasks */
    run_layer_norm(&t, &(layer_norm_case){7, 65, 1, mode, true, 0, 3});    /* all equal: variance 0 */
    run_layer_norm(&t, &(layer_norm_case){7, 65, 1, mode, false, 1e-42f, 0});
    run_layer_norm(&t, &(layer_norm_case){7, 65, 1, mode, false, 1e18f, 0});
  }
  tester_deinit(&t);
}

/* A row's result does not depend on the rows beside it. */
static void test_layer_norm_alone(void **state) {
  (void)state;
  tester t;
  tester_init(&t, pith_layer_norm_f32_kernels);
  tester_begin(&t, "layer_norm: 11 rows of 77, one by one");
  pith_layer_norm_f32_args a = {.rows = 11, .features = 77, .x_stride = 77, .y_stride = 77, .epsilon = 1e-5f};
  a.y = tester_output(&t, 11 * 77);
  a.x = tester_floats(&t, 11 * 77, -3, 3);
  a.gamma = a.beta = tester_floats(&t, 77, -3, 3);
  tester_reference(&t, &a);
  float together[11 * 77];
  memcpy(together, a.y, sizeof together);
  tester_compare(&t, &a, NULL);
  for (size_t row = 0; row < 11; ++row) {
    pith_layer_norm_f32_args one = a;
    one.rows = 1;
    one.x += row * 77;
    for (size_t k = 0; t.table[k]; ++k)
      if ((t.table[k]->needs & ~pith_cpu_detect()) == 0) {
        pith_kernel_run_all(t.table[k], &one, NULL);
        assert_memory_equal(one.y, together + row * 77, 77 * sizeof(float));
      }
  }
  tester_deinit(&t);
}

/* Rows that hold NaN and infinity become NaN whole, which has its place in 8 bits too; a row of zeros has a scale. */
static void test_layer_norm_nan(void **state) {
  (void)state;
  tester t;
  tester_init(&t, pith_layer_norm_f32_kernels);
  for (size_t turn = 0; turn < 40; ++turn) {
    tester_begin(&t, "layer_norm: NaN, infinity, huge gamma, turn %zu", turn);
    pith_layer_norm_f32_args a = {.rows = 5, .features = 37, .x_stride = 37, .y_stride = 37, .epsilon = 1e-5f};
    a.y = tester_output(&t, 5 * 37);
    float *x = tester_floats(&t, 5 * 37, -3, 3), *gamma = tester_floats(&t, 37, -3, 3);
    x[3] = NAN;
    x[37 + 36] = INFINITY;
    for (size_t i = 2 * 37; i < 3 * 37; ++i)
      x[i] = 0;
    gamma[7] = 3e38f; /* some overflow */
    a.x = x;
    a.gamma = gamma;
    a.q = want_any_rows(&t, 5, 37, 3);
    tester_reference(&t, &a);
    assert_true(isnan(a.y[0]) && isnan(a.y[37]) && a.y[2 * 37] == 0 && !isnan(a.y[3 * 37]));
    want_check_rows(&t, &a.q, a.q_factors, a.y, 37, 5, 37);
    tester_compare(&t, &a, NULL);
  }
  tester_deinit(&t);
}

/* ---- lp_norm_f32 ------------------------------------------------------------------------------------------- */

static void run_lp_norm(tester *t, size_t rows, size_t features, size_t gap, int p, bool in_place, float range) {
  tester_begin(t, "lp_norm: %zu rows of %zu, gap %zu, p %d, in place %d, range %g", rows, features, gap, p, in_place,
               (double)range);
  pith_lp_norm_f32_args a = {.rows = rows, .features = features, .p = p, .epsilon = 1e-12f};
  a.y_stride = features + gap;
  a.x_stride = in_place ? a.y_stride : features + 2 * gap;
  const size_t out = tester_span(rows, features, a.y_stride);
  a.y = tester_output(t, out);
  const float *x = tester_floats(t, tester_span(rows, features, a.x_stride), -range, range);
  a.x = in_place ? a.y : x;
  if (in_place && out > 0)
    memcpy(a.y, x, out * sizeof(float));
  tester_reference(t, &a);
  for (size_t r = 0; r < rows; ++r) {
    double sum = 0;
    for (size_t i = 0; i < features; ++i) {
      const double z = (double)x[r * a.x_stride + i];
      sum += p == 1 ? fabs(z) : z * z;
    }
    const double norm = fmax(p == 1 ? sum : sqrt(sum), (double)a.epsilon);
    for (size_t i = 0; i < features; ++i) {
      const double want = (double)x[r * a.x_stride + i] / norm;
      tester_check_near(t, "y", r, i, (double)a.y[r * a.y_stride + i], want, 1e-6 * fabs(want) + 0x1p-149);
    }
  }
  if (!in_place)
    tester_check_gaps(t, a.y, rows, features, a.y_stride);
  tester_compare(t, &a, in_place ? x : NULL);
}

static void test_lp_norm(void **state) {
  (void)state;
  tester t;
  tester_init(&t, pith_lp_norm_f32_kernels);
  for (size_t i = 0; i < COUNT(row_counts); ++i)
    for (size_t j = 0; j < COUNT(feature_counts); ++j)
      run_lp_norm(&t, row_counts[i], feature_counts[j], (i + j) % 3 * 5, 1 + (int)((i + j) % 2), tester_pick(&t, 2), 3);
  for (int p = 1; p <= 2; ++p) {
    run_lp_norm(&t, 400, 384, 0, p, false, 1);
    run_lp_norm(&t, 5, 50, 3, p, false, 0); /* epsilon bounds it */
    run_lp_norm(&t, 5, 50, 3, p, false, 1e-40f);
    run_lp_norm(&t, 5, 50, 3, p, true, 1e18f);
  }
  tester_deinit(&t);
}

/* ---- softmax_f32 ------------------------------------------------------------------------------------------- */

static void run_softmax(tester *t, size_t rows, size_t features, size_t gap, bool in_place, float range) {
  tester_begin(t, "softmax: %zu rows of %zu, gap %zu, in place %d, range %g", rows, features, gap, in_place, (double)range);
  pith_softmax_f32_args a = {.rows = rows, .features = features};
  a.y_stride = features + gap;
  a.x_stride = in_place ? a.y_stride : features + 2 * gap;
  const size_t out = tester_span(rows, features, a.y_stride);
  a.y = tester_output(t, out);
  const float *x = tester_floats(t, tester_span(rows, features, a.x_stride), -range, range);
  a.x = in_place ? a.y : x;
  if (in_place && out > 0)
    memcpy(a.y, x, out * sizeof(float));
  tester_reference(t, &a);
  for (size_t r = 0; r < rows; ++r) {
    const float *row = x + r * a.x_stride;
    double max = -INFINITY, sum = 0;
    for (size_t i = 0; i < features; ++i)
      max = fmax(max, (double)row[i]);
    for (size_t i = 0; i < features; ++i)
      sum += exp((double)row[i] - max);
    for (size_t i = 0; i < features; ++i) {
      const double d = (double)row[i] - max, want = exp(d) / sum;
      tester_check_near(t, "y", r, i, (double)a.y[r * a.y_stride + i], want, 6e-8 * (12 - d) * want + 0x1p-148);
    }
  }
  if (!in_place)
    tester_check_gaps(t, a.y, rows, features, a.y_stride);
  tester_compare(t, &a, in_place ? x : NULL);
}

static void test_softmax(void **state) {
  (void)state;
  tester t;
  tester_init(&t, pith_softmax_f32_kernels);
  for (size_t i = 0; i < COUNT(row_counts); ++i)
    for (size_t j = 0; j < COUNT(feature_counts); ++j)
      run_softmax(&t, row_counts[i], feature_counts[j], (i + j) % 3 * 5, tester_pick(&t, 2), 8);
  run_softmax(&t, 67, 384, 0, false, 8);
  static const float ranges[] = {0, 1e-40f, 60, 120, 1e30f, FLT_MAX / 2};
  for (size_t i = 0; i < COUNT(ranges); ++i)
    run_softmax(&t, 5, 50, 3, i % 2, ranges[i]);
  tester_deinit(&t);
}

static void test_softmax_infinite(void **state) {
  (void)state;
  tester t;
  tester_init(&t, pith_softmax_f32_kernels);
  tester_begin(&t, "softmax: rows with -inf, all -inf, NaN");
  pith_softmax_f32_args a = {.rows = 3, .features = 20, .x_stride = 20, .y_stride = 20};
  a.y = tester_output(&t, 60);
  float *x = tester_floats(&t, 60, -1, 1);
  x[3] = x[19] = -INFINITY;
  for (size_t i = 20; i < 40; ++i)
    x[i] = -INFINITY;
  x[45] = NAN;
  a.x = x;
  tester_reference(&t, &a);
  assert_true(a.y[3] == 0 && a.y[19] == 0 && a.y[0] > 0);
  for (size_t i = 20; i < 40; ++i)
    assert_true(a.y[i] == 0 && isnan(a.y[i + 20]));
  tester_compare(&t, &a, NULL);
  tester_deinit(&t);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_layer_norm), cmocka_unit_test(test_layer_norm_alone), cmocka_unit_test(test_layer_norm_nan),
      cmocka_unit_test(test_lp_norm),
      cmocka_unit_test(test_softmax),    cmocka_unit_test(test_softmax_infinite),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
