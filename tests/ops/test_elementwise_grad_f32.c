#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ops/elementwise/unary_grad_f32.h"
#include "tests/ops/finite_difference.h"
#include "tests/ops/kernel_tester.h"

#define COUNT(array) (sizeof(array) / sizeof *(array))

static double unary(const double *at, size_t n, const void *context) {
  const pith_unary function = *(const pith_unary *)context;
  const double x = *at;
  (void)n;
  switch (function) {
  case PITH_UNARY_RELU: return x > 0 ? x : 0;
  case PITH_UNARY_GELU: return 0.5 * x * erfc(-x * sqrt(0.5));
  case PITH_UNARY_GELU_TANH: return 0.5 * x * (1 + tanh(0.79788456080286535588 * (x + 0.044715 * x * x * x)));
  case PITH_UNARY_TANH: return tanh(x);
  case PITH_UNARY_SIGMOID: return 1 / (1 + exp(-x));
  case PITH_UNARY_ERF: return erf(x);
  case PITH_UNARY_COUNT: break;
  }
  return (double)NAN;
}

static void check(tester *t, const pith_unary_grad_f32_args *a, const float *x, const float *dy) {
  for (size_t i = 0; i < a->count; ++i) {
    double at = (double)x[i], want = difference(unary, &at, 1, 0, &a->function);
    if (a->function == PITH_UNARY_RELU && fabs(at) < 0.01)
      want = at > 0;
    tester_check_near(t, "dx", 0, i, (double)a->dx[i], want * (double)dy[i], 1e-6 * fabs((double)dy[i]) + 0x1p-148);
  }
}

/* in_place: 0 none, 1 dx is x, 2 dx is dy. */
static void run(tester *t, pith_unary function, size_t count, int in_place, float range) {
  tester_begin(t, "function %d, %zu elements, in place %d, range %g", (int)function, count, in_place, (double)range);
  pith_unary_grad_f32_args a = {.count = count, .function = function, .dx = tester_output(t, count)};
  const float *x = tester_floats(t, count, -range, range), *dy = tester_floats(t, count, -2, 2);
  a.x = in_place == 1 ? a.dx : x;
  a.dy = in_place == 2 ? a.dx : dy;
  const float *initial = in_place == 1 ? x : in_place == 2 ? dy : NULL;
  if (initial && count > 0)
    memcpy(a.dx, initial, count * sizeof(float));
  tester_reference(t, &a);
  check(t, &a, x, dy);
  tester_compare(t, &a, initial);
}

static void test_unary_grad(void **state) {
  (void)state;
  tester t;
  tester_init(&t, pith_unary_grad_f32_kernels);
  static const size_t counts[] = {0, 1, 15, 16, 17, 33, 101, 1023, 1024, 1025, 20011};
  static const float ranges[] = {6, 0.1f, 100, 1e-39f};
  for (pith_unary f = 0; f < PITH_UNARY_COUNT; ++f) {
    for (size_t i = 0; i < COUNT(counts); ++i)
      for (int in_place = 0; in_place < 3; ++in_place)
        run(&t, f, counts[i], in_place, ranges[i % COUNT(ranges)]);
    run(&t, f, 70001, 0, 6); /* several tasks */
  }
  tester_deinit(&t);
}

static void test_special(void **state) {
  (void)state;
  static const float x[] = {0.0f,  -0.0f, 0x1p-149f, -0x1p-149f, 0x1.fffffep127f, -0x1.fffffep127f, INFINITY, -INFINITY, NAN,
                            7.24f, 7.26f, -7.24f,    -7.26f,     104,             -104,             89,       -89};
  tester t;
  tester_init(&t, pith_unary_grad_f32_kernels);
  for (pith_unary f = 0; f < PITH_UNARY_COUNT; ++f) {
    tester_begin(&t, "function %d, special values", (int)f);
    pith_unary_grad_f32_args a = {.count = COUNT(x), .function = f, .dx = tester_output(&t, COUNT(x))};
    float *in = tester_floats(&t, COUNT(x), 0, 0), *dy = tester_floats(&t, COUNT(x), 1, 1);
    memcpy(in, x, sizeof x);
    a.x = in;
    a.dy = dy;
    tester_reference(&t, &a);
    for (size_t i = 0; i < COUNT(x); ++i) {
      const bool line = f == PITH_UNARY_GELU || f == PITH_UNARY_GELU_TANH || f == PITH_UNARY_RELU; /* to the right */
      if (isnan(x[i]))
        assert_true(f == PITH_UNARY_RELU ? a.dx[i] == 0 : isnan(a.dx[i]));
      else if (fabsf(x[i]) > 7)
        tester_check_near(&t, "dx", 0, i, (double)a.dx[i], line && x[i] > 0, f == PITH_UNARY_SIGMOID ? 1e-3 : 3e-6);
    }
    tester_compare(&t, &a, NULL);
  }
  tester_deinit(&t);
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_unary_grad), cmocka_unit_test(test_special)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
