/* Optimal brain surgeon on one product: the weights that stay are those of least error, and the mask beats magnitude's. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "quant/blas.h"
#include "sparse/reconstruct.h"

enum { N = 20, K = 30, ROWS = 200 };

static uint64_t state = 7;
static double uniform(void) {
  state = state * 6364136223846793005u + 1442695040888963407u;
  return (double)(state >> 11) * 0x1p-53 - 0.5;
}

static double moments[K * K], targets[N * K], weights[N * K];
static float w[N * K], scores[N * K];
static uint8_t fixed[N * K], removed[N * K];

/* Inputs that go together, so that one can stand for another. */
static void make_problem(void) {
  memset(moments, 0, sizeof moments);
  memset(targets, 0, sizeof targets);
  memset(fixed, 0, sizeof fixed);
  for (int r = 0; r < ROWS; r++) {
    double x[K], common = uniform();
    for (int j = 0; j < K; j++)
      x[j] = uniform() * (1 + j % 5) + common * (j % 3);
    for (int a = 0; a < K; a++)
      for (int b = 0; b < K; b++)
        moments[a * K + b] += x[a] * x[b] / ROWS;
  }
  for (int a = 0; a < K; a++)
    moments[a * K + a] += 0.01;
  for (int i = 0; i < N * K; i++)
    weights[i] = uniform();
  for (int i = 0; i < N; i++)
    for (int j = 0; j < K; j++)
      for (int l = 0; l < K; l++)
        targets[i * K + j] += weights[i * K + l] * moments[l * K + j];
}

/* (w - w*) H (w - w*)^T over all outputs, as a share of w* H w*^T. */
static double get_error(void) {
  double error = 0, whole = 0;
  for (int i = 0; i < N; i++)
    for (int a = 0; a < K; a++)
      for (int b = 0; b < K; b++) {
        error += ((double)w[i * K + a] - weights[i * K + a]) * moments[a * K + b] * ((double)w[i * K + b] - weights[i * K + b]);
        whole += weights[i * K + a] * moments[a * K + b] * weights[i * K + b];
      }
  return error / whole;
}

static const pith_pattern patterns[] = {{PITH_PATTERN_ELEMENT, 0, 0}, {PITH_PATTERN_BLOCK, 4, 1},  {PITH_PATTERN_BLOCK, 4, 4},
                                        {PITH_PATTERN_N_OF_M, 2, 4},  {PITH_PATTERN_BLOCK, 3, 7},  {PITH_PATTERN_COLUMN, 0, 0},
                                        {PITH_PATTERN_ROW, 0, 0}};

static void test_least_error(void **unused) {
  (void)unused;
  pith_error error = {0};
  for (size_t p = 0; p < sizeof patterns / sizeof *patterns; p++) {
    make_problem();
    pith_mask_part part = {.name = "w", .grid = pith_mask_grid_make(&patterns[p], N, K), .removed = removed, .scores = scores};
    const pith_reconstruction problem = {moments, targets, fixed, &patterns[p], 0.5, NULL};
    double told;
    if (pith_reconstruct(&problem, &part, w, &told, &error) != PITH_OK)
      fail_msg("%s", error.message);
    const double least = get_error();
    assert_true(fabs(least - told) < 1e-5);
    uint64_t zeros = 0;
    for (int i = 0; i < N; i++)
      for (int j = 0; j < K; j++) {
        const bool gone = removed[(size_t)i / part.grid.outputs * part.grid.columns + (size_t)j / part.grid.inputs];
        zeros += w[i * K + j] == 0;
        assert_int_equal(w[i * K + j] == 0, gone);
        if (gone)
          continue;
        /* The error's derivative by each weight that stays is 0. */
        double slope = 0;
        for (int b = 0; b < K; b++)
          slope += moments[j * K + b] * ((double)w[i * K + b] - weights[i * K + b]);
        assert_true(fabs(slope) < 1e-5);
      }
    assert_int_equal(zeros, part.count);
    assert_true(zeros <= N * K / 2 + N && zeros + N * K / 4 >= N * K / 2); /* N:M of 30 inputs keeps the last two */

    /* By magnitude, and nothing made good. */
    for (int i = 0; i < N * K; i++)
      w[i] = (float)weights[i];
    pith_mask_score_magnitude(&part.grid, w, scores);
    if (patterns[p].kind == PITH_PATTERN_N_OF_M)
      pith_mask_select_n_of_m(&part, &patterns[p]);
    else
      assert_int_equal(pith_mask_select(&part, 1, 0.5, 0, 1, &error), PITH_OK);
    pith_mask_apply(&part.grid, removed, w);
    if (!(least < (patterns[p].kind == PITH_PATTERN_ROW ? 1.0 : 0.85) * get_error())) /* rows: nothing makes them good */
      fail_msg("pattern %zu: error %g, by magnitude %g", p, least, get_error());
  }
}

static void test_fixed(void **unused) {
  (void)unused;
  pith_error error = {0};
  make_problem();
  for (int i = 0; i < N * K; i++)
    fixed[i] = i % 3 == 0;
  const pith_pattern block = {PITH_PATTERN_BLOCK, 4, 1};
  pith_mask_part part = {.name = "w", .grid = pith_mask_grid_make(&block, N, K), .removed = removed};
  const pith_reconstruction problem = {moments, targets, fixed, &block, 0.4, NULL};
  double told;
  assert_int_equal(pith_reconstruct(&problem, &part, w, &told, &error), PITH_OK);
  for (int i = 0; i < N * K; i++)
    assert_true(!fixed[i] || w[i] == 0);
  assert_true(fabs(told - get_error()) < 1e-5);
  /* Nothing to remove: the targets' own weights. */
  memset(fixed, 0, sizeof fixed);
  const pith_reconstruction all = {moments, targets, fixed, &block, 0, NULL};
  assert_int_equal(pith_reconstruct(&all, &part, w, &told, &error), PITH_OK);
  for (int i = 0; i < N * K; i++)
    assert_true(fabs((double)w[i] - weights[i]) < 1e-5);
  moments[0] = -1;
  assert_int_equal(pith_reconstruct(&all, &part, w, &told, &error), PITH_FORMAT);
  assert_non_null(strstr(error.message, "not positive definite"));
}

static void test_products(void **unused) {
  (void)unused;
  const double a[6] = {1, 2, 3, 4, 5, 6}, b[6] = {1, 0, 2, 1, 1, 1}; /* [2, 3] and [2, 3] or [3, 2] */
  double c[4] = {100, 0, 0, 0}, t[9] = {0};
  pith_blas_dgemm(false, true, 2, 2, 3, 2, a, 3, b, 3, c, 2);
  assert_true(c[0] == 114 && c[1] == 12 && c[2] == 32 && c[3] == 30);
  pith_blas_dgemm(true, false, 3, 3, 2, 1, a, 3, b, 3, t, 3);
  assert_true(t[0] == 5 && t[1] == 4 && t[2] == 6 && t[8] == 12);
}

static int load(void **unused) {
  (void)unused;
  pith_error error = {0};
  return pith_blas_load(&error) == PITH_OK ? 0 : 1;
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_products),
      cmocka_unit_test(test_least_error),
      cmocka_unit_test(test_fixed),
  };
  return cmocka_run_group_tests(tests, load, NULL);
}
