/* Least squares and rounding on one product, against definitions. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>
#include <pthreadpool.h>

#include "quant/fit.h"

enum { N = 70 /* three tasks */, K = 40, ROWS = 300 };

static uint64_t state = 11;
static double uniform(void) {
  state = state * 6364136223846793005u + 1442695040888963407u;
  return (double)(state >> 11) * 0x1p-53 - 0.5;
}

static double moments[K * K], targets[N * K], wanted[N * K];
static float w[N * K], again[N * K], scales[N], scales_again[N];
static uint8_t stays[N * K];

/* Inputs that go together where `common` is not 0; of every five outputs three have all inputs, a pair the same two thirds. */
static void make_problem(double common) {
  memset(moments, 0, sizeof moments);
  memset(targets, 0, sizeof targets);
  for (int r = 0; r < ROWS; r++) {
    double x[K];
    const double shared = common * uniform();
    for (int j = 0; j < K; j++)
      x[j] = uniform() * (1 + j % 5) + shared * (1 + j % 3);
    for (int a = 0; a < K; a++)
      for (int b = 0; b < K; b++)
        if (common != 0 || a == b)
          moments[a * K + b] += x[a] * x[b] / ROWS;
  }
  for (int i = 0; i < N; i++)
    for (int j = 0; j < K; j++) {
      stays[i * K + j] = i % 5 < 3 || (i / 5 + j) % 3 != 0;
      wanted[i * K + j] = uniform() * (1 + i % 7);
    }
  for (int i = 0; i < N; i++)
    for (int j = 0; j < K; j++)
      for (int l = 0; l < K; l++)
        targets[i * K + j] += wanted[i * K + l] * moments[l * K + j];
}

static pith_fit make_fit(bool rounds, struct pthreadpool *pool) {
  return (pith_fit){.name = "w", .n = N, .k = K, .moments = moments, .targets = targets, .stays = stays, .rounds = rounds,
                    .clip = PITH_WEIGHT_CLIP_MSE, .threadpool = pool};
}

static void must_fit(bool rounds, struct pthreadpool *pool, float *out_w, float *out_scales) {
  pith_error error = {0};
  const pith_fit fit = make_fit(rounds, pool);
  if (pith_fit_weights(&fit, out_w, out_scales, &error) != PITH_OK)
    fail_msg("%s", error.message);
}

/* What one output's rounded weights add to the error of the exact ones, which are in `again`. */
static double get_error(int i, const double *of) {
  double sum = 0;
  for (int a = 0; a < K; a++)
    for (int b = 0; b < K; b++)
      sum += (of[a] - (double)again[i * K + a]) * moments[a * K + b] * (of[b] - (double)again[i * K + b]);
  return sum;
}

static double round_to(double value, double scale) {
  return scale * fmin(127, fmax(-127, rint(value / scale)));
}

static void test_least_squares(void **unused) {
  (void)unused;
  make_problem(3);
  must_fit(false, NULL, w, NULL);
  for (int i = 0; i < N; i++)
    for (int j = 0; j < K; j++) {
      double slope = 0; /* the error's, by a weight that stays */
      for (int l = 0; l < K; l++)
        slope += moments[j * K + l] * ((double)w[i * K + l] - wanted[i * K + l]);
      assert_true(stays[i * K + j] ? fabs(slope) < 1e-5 : w[i * K + j] == 0);
    }
}

/* On the grid, zeros kept; by far less error than each to its nearest; the input that is rounded first goes to the nearest, and no
 * step of the one that is rounded last would lower the error. */
static void test_rounding(void **unused) {
  (void)unused;
  make_problem(3);
  must_fit(false, NULL, again, NULL);
  must_fit(true, NULL, w, scales);
  double rounded = 0, nearest = 0;
  for (int i = 0; i < N; i++) {
    const double scale = (double)scales[i];
    double got[K], plain[K];
    int first = -1, last = -1;
    for (int j = 0; j < K; j++) {
      const double q = (double)w[i * K + j] / scale;
      assert_true(fabs(q - rint(q)) < 1e-4 && fabs(q) < 127.001);
      assert_true(stays[i * K + j] || w[i * K + j] == 0);
      got[j] = scale * rint(q);
      plain[j] = round_to((double)again[i * K + j], scale);
      first = stays[i * K + j] && first < 0 ? j : first;
      last = stays[i * K + j] ? j : last;
    }
    assert_true(fabs(got[last] - plain[last]) < 1e-6);
    rounded += get_error(i, got);
    nearest += get_error(i, plain);
    const double kept = got[first], least = get_error(i, got);
    for (int step = -1; step <= 1; step += 2) {
      got[first] = kept + step * scale;
      assert_true(fabs(got[first] / scale) > 127.5 || get_error(i, got) > least - 1e-9);
    }
  }
  if (!(rounded < 0.6 * nearest))
    fail_msg("error %g, to the nearest %g", rounded, nearest);
}

/* Inputs that know nothing of each other: nothing can be moved. */
static void test_independent_inputs(void **unused) {
  (void)unused;
  make_problem(0);
  must_fit(true, NULL, w, scales);
  for (int i = 0; i < N; i++)
    for (int j = 0; j < K; j++)
      assert_true(fabs((double)w[i * K + j] - (stays[i * K + j] ? round_to(wanted[i * K + j], (double)scales[i]) : 0)) < 1e-6);
}

static void test_threads(void **unused) {
  (void)unused;
  pthreadpool_t pool = pthreadpool_create(3);
  make_problem(3);
  must_fit(true, NULL, w, scales);
  must_fit(true, pool, again, scales_again);
  pthreadpool_destroy(pool);
  assert_memory_equal(w, again, sizeof w);
  assert_memory_equal(scales, scales_again, sizeof scales);
}

static void test_edges(void **unused) {
  (void)unused;
  make_problem(3);
  memset(stays, 0, K); /* an output that keeps nothing */
  must_fit(true, NULL, w, scales);
  for (int j = 0; j < K; j++)
    assert_true(w[j] == 0);
  assert_true(scales[0] == 1);
  pith_error error = {0};
  pith_fit fit = make_fit(true, NULL);
  for (int whole = 0; whole < 2; whole++) { /* found in the factor that all share, and in one of a few inputs */
    memset(stays, 0, sizeof stays);
    memset(stays, 1, whole ? K : 1);
    moments[0] = -1;
    assert_int_equal(pith_fit_weights(&fit, w, scales, &error), PITH_FORMAT);
    assert_non_null(strstr(error.message, "tensor 'w': its inputs' second moments are not positive definite"));
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_least_squares), cmocka_unit_test(test_rounding), cmocka_unit_test(test_independent_inputs),
      cmocka_unit_test(test_threads),       cmocka_unit_test(test_edges),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
