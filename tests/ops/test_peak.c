/* The peak loops run where the CPU has their features, and are loops of the kind and speed they claim. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "ops/cpu/peak.h"

static void test_select(void **state) {
  (void)state;
  for (unsigned kind = 0; kind < PITH_PEAK_KIND_COUNT; ++kind)
    assert_null(pith_peak_select((pith_peak_kind)kind, 0));
  for (const pith_peak_loop *const *loop = pith_peak_loops; *loop; ++loop) {
    assert_true((*loop)->kind < PITH_PEAK_KIND_COUNT);
    assert_ptr_equal(pith_peak_select((*loop)->kind, (*loop)->needs), *loop);
  }
}

static void test_measure(void **state) {
  (void)state;
  const pith_cpu_set cpu = pith_cpu_detect();
  for (unsigned kind = 0; kind < PITH_PEAK_KIND_COUNT; ++kind) {
    const double rate = pith_peak_measure((pith_peak_kind)kind, cpu, 3);
    print_message("kind %u: %.1f G operations a second\n", kind, rate * 1e-9);
    if (pith_peak_select((pith_peak_kind)kind, cpu))
      assert_true(rate > 1e8 && rate < 1e13); /* outside, the loop was optimized away or ran on no vector unit */
    else
      assert_true(rate == 0.0);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_select), cmocka_unit_test(test_measure)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
