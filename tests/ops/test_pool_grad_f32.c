#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ops/pool/pool_grad_f32.h"
#include "tests/ops/finite_difference.h"
#include "tests/ops/kernel_tester.h"

#define COUNT(array) (sizeof(array) / sizeof *(array))

typedef struct pool_context {
  pith_pool_mode mode;
  double dy;
} pool_context;

/* One feature of one sequence. */
static double pool(const double *x, size_t n, const void *context) {
  const pool_context *c = context;
  double sum = 0, max = x[0];
  for (size_t t = 0; t < n; ++t) {
    sum += x[t] / (double)n;
    max = fmax(max, x[t]);
  }
  switch (c->mode) {
  case PITH_POOL_F32_MEAN: return c->dy * sum;
  case PITH_POOL_F32_CLS: return c->dy * x[0];
  case PITH_POOL_F32_MAX: return c->dy * max;
  case PITH_POOL_F32_LAST: break;
  }
  return c->dy * x[n - 1];
}

static void run_pool(tester *t, const size_t *lengths, size_t sequences, size_t features, size_t gap, pith_pool_mode mode) {
  tester_begin(t, "pool: %zu sequences, %zu features, gap %zu, mode %d", sequences, features, gap, (int)mode);
  int32_t *offsets = tester_memory(t, (sequences + 1) * sizeof *offsets, false);
  offsets[0] = 0;
  for (size_t s = 0; s < sequences; ++s)
    offsets[s + 1] = offsets[s] + (int32_t)lengths[s];
  const size_t tokens = (size_t)offsets[sequences];
  pith_pool_grad_f32_args a = {.offsets = offsets, .sequences = sequences, .features = features, .mode = mode,
                               .x_stride = features + 2 * gap, .dy_stride = features + gap, .dx_stride = features + 3 * gap};
  a.dx = tester_output(t, tester_span(tokens, features, a.dx_stride));
  float *x = tester_floats(t, tester_span(tokens, features, a.x_stride), -3, 3);
  for (size_t i = 0; i < tester_span(tokens, features, a.x_stride); ++i)
    x[i] = rintf(x[i] * 8) / 8; /* no two nearer than the steps of differences, but equal ones */
  a.x = mode == PITH_POOL_F32_MAX ? x : NULL;
  a.dy = tester_floats(t, tester_span(sequences, features, a.dy_stride), 0.5f, 2);
  tester_reference(t, &a);
  for (size_t s = 0; s < sequences; ++s)
    for (size_t i = 0; i < features; ++i) {
      double column[128], max = -INFINITY;
      for (size_t token = 0; token < lengths[s]; ++token) {
        column[token] = (double)x[((size_t)offsets[s] + token) * a.x_stride + i];
        if (column[token] == max)
          column[token] -= 0.0625; /* the first of equal ones is the maximum */
        max = fmax(max, column[token]);
      }
      const pool_context c = {mode, (double)a.dy[s * a.dy_stride + i]};
      for (size_t token = 0; token < lengths[s]; ++token)
        tester_check_near(t, "dx", (size_t)offsets[s] + token, i,
                          (double)a.dx[((size_t)offsets[s] + token) * a.dx_stride + i],
                          difference(pool, column, lengths[s], token, &c), 1e-6);
    }
  tester_check_gaps(t, a.dx, tokens, features, a.dx_stride);
  tester_compare(t, &a, NULL);
}

static void test_pool(void **state) {
  (void)state;
  tester t;
  tester_init(&t, pith_pool_grad_f32_kernels);
  static const size_t lengths[] = {7, 1, 2, 53, 128, 16, 3, 40, 90};
  static const size_t features[] = {0, 1, 15, 16, 17, 64, 101};
  for (pith_pool_mode mode = PITH_POOL_F32_MEAN; mode <= PITH_POOL_F32_LAST; ++mode) {
    for (size_t sequences = 0; sequences <= COUNT(lengths); sequences += 1 + sequences / 3)
      for (size_t i = 0; i < COUNT(features); ++i)
        run_pool(&t, lengths, sequences, features[i], i % 3 * 3, mode);
    run_pool(&t, lengths, COUNT(lengths), 384, 0, mode); /* several tasks */
  }
  tester_deinit(&t);
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_pool)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
