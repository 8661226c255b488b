#include <math.h>
#include <string.h>

#include "ops/gemm/gemm_f32.h"
#include "tests/ops/kernel_tester.h"

static const size_t sizes[] = {0, 1, 3, 4, 5, 15, 16, 17, 31, 32, 33, 61};
enum { SIZES = sizeof sizes / sizeof *sizes };

static void check_reference(tester *t, const pith_matmul_f32_args *m) {
  for (size_t i = 0; i < m->m; ++i)
    for (size_t j = 0; j < m->n; ++j) {
      double sum = 0;
      float chain = 0;
      for (size_t k = 0; k < m->k; ++k) {
        const float a = m->a[i * m->a_stride + k], b = m->b[k * m->b_stride + j];
        sum += (double)a * (double)b;
        chain = fmaf(a, b, chain);
      }
      const float got = m->y[i * m->y_stride + j];
      if (memcmp(&got, &chain, sizeof got) != 0)
        tester_fail(t, "[%zu, %zu]: got %a, one chain gives %a", i, j, (double)got, (double)chain);
      tester_check_near(t, "y", i, j, (double)got, sum, 6e-8 * (double)(m->k * m->k + 1));
    }
  tester_check_gaps(t, m->y, m->m, m->n, m->y_stride);
}

static void test_sizes(void **state) {
  (void)state;
  tester t;
  tester_init(&t, pith_matmul_f32_kernels);
  for (size_t i = 0; i < SIZES; ++i)
    for (size_t j = 0; j < SIZES; ++j)
      for (size_t l = 0; l < SIZES; ++l) {
        pith_matmul_f32_args m = {.m = sizes[i], .n = sizes[j], .k = sizes[l]};
        const size_t gap = tester_pick(&t, 4);
        tester_begin(&t, "m %zu, n %zu, k %zu, gap %zu", m.m, m.n, m.k, gap);
        m.a_stride = m.k + gap;
        m.b_stride = m.n + 2 * gap;
        m.y_stride = m.n + 3 * gap;
        m.a = tester_floats(&t, tester_span(m.m, m.k, m.a_stride), -1, 1);
        m.b = tester_floats(&t, tester_span(m.k, m.n, m.b_stride), -1, 1);
        m.y = tester_output(&t, tester_span(m.m, m.n, m.y_stride));
        tester_reference(&t, &m);
        check_reference(&t, &m);
        tester_compare(&t, &m, NULL);
      }
  tester_deinit(&t);
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_sizes)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
