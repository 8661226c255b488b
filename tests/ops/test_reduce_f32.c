#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "ops/reduce/reduce_sum_f32.h"
#include "tests/ops/kernel_tester.h"

#define COUNT(array) (sizeof(array) / sizeof *(array))

static void run_sum(tester *t, size_t outer, size_t axis, size_t inner) {
  tester_begin(t, "sum: [%zu, %zu, %zu]", outer, axis, inner);
  pith_reduce_sum_f32_args a = {.outer = outer, .axis = axis, .inner = inner, .y = tester_output(t, outer * inner)};
  a.x = tester_floats(t, outer * axis * inner, -2, 3);
  tester_reference(t, &a);
  for (size_t o = 0; o < outer; ++o)
    for (size_t i = 0; i < inner; ++i) {
      double sum = 0, size = 0;
      for (size_t j = 0; j < axis; ++j) {
        const double x = (double)a.x[(o * axis + j) * inner + i];
        sum += x;
        size += fabs(x);
      }
      tester_check_near(t, "y", o, i, (double)a.y[o * inner + i], sum, 1e-6 * size);
    }
  tester_compare(t, &a, NULL);
}

static void test_sum(void **state) {
  (void)state;
  tester t;
  tester_init(&t, pith_reduce_sum_f32_kernels);
  static const size_t axes[] = {0, 1, 7, 8, 9, 16, 17, 31}, inners[] = {0, 1, 2, 15, 16, 17, 63, 64, 65, 101, 384};
  for (size_t outer = 0; outer <= 3; ++outer)
    for (size_t i = 0; i < COUNT(axes); ++i)
      for (size_t j = 0; j < COUNT(inners); ++j)
        run_sum(&t, outer, axes[i], inners[j]);
  run_sum(&t, 1, 1000, 384); /* several tasks of each kind */
  run_sum(&t, 3, 400, 300);
  run_sum(&t, 1000, 200, 1);
  run_sum(&t, 1, 200003, 1);
  tester_deinit(&t);
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_sum)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
