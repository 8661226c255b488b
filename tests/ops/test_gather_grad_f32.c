#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ops/embedding/gather_grad_f32.h"
#include "tests/ops/kernel_tester.h"

#define COUNT(array) (sizeof(array) / sizeof *(array))

static void run_gather(tester *t, size_t outer, size_t axis, size_t count, size_t inner, int index_bytes, bool add) {
  tester_begin(t, "gather: %zu x [%zu, %zu], %zu indices of %d bytes, add %d", outer, axis, inner, count, index_bytes, add);
  pith_gather_grad_f32_args a = {.outer = outer, .axis = axis, .count = count, .inner = inner, .index_bytes = index_bytes,
                                 .add = add};
  const size_t out = outer * axis * inner;
  a.dx = tester_output(t, out);
  a.dy = tester_floats(t, outer * count * inner, -2, 3);
  const float *initial = tester_floats(t, out, -2, 3);
  void *indices = tester_memory(t, count * (size_t)index_bytes, false);
  size_t *plain = calloc(count + 1, sizeof *plain);
  double *want = calloc(out + 1, sizeof *want), *size = calloc(out + 1, sizeof *size);
  assert_true(plain && want && size);
  for (size_t i = 0; i < count; ++i) {
    plain[i] = tester_pick(t, axis);
    if (index_bytes == 8)
      ((int64_t *)indices)[i] = (int64_t)plain[i];
    else
      ((int32_t *)indices)[i] = (int32_t)plain[i];
  }
  a.indices = indices;
  for (size_t i = 0; add && i < out; ++i)
    size[i] = fabs(want[i] = (double)initial[i]);
  for (size_t o = 0; o < outer; ++o)
    for (size_t i = 0; i < count * inner; ++i) {
      const size_t at = (o * axis + plain[i / inner]) * inner + i % inner;
      const double dy = (double)a.dy[o * count * inner + i];
      want[at] += dy;
      size[at] += fabs(dy);
    }
  if (add && out > 0)
    memcpy(a.dx, initial, out * sizeof(float));
  tester_reference(t, &a);
  for (size_t i = 0; i < out; ++i)
    tester_check_near(t, "dx", i / inner, i % inner, (double)a.dx[i], want[i], 1e-6 * size[i]);
  free(plain);
  free(want);
  free(size);
  tester_compare(t, &a, add ? initial : NULL);
}

static void test_gather(void **state) {
  (void)state;
  tester t;
  tester_init(&t, pith_gather_grad_f32_kernels);
  static const size_t counts[] = {0, 1, 5, 40}, inners[] = {0, 1, 15, 16, 17, 64, 65, 200};
  for (size_t i = 0; i < COUNT(counts); ++i)
    for (size_t j = 0; j < COUNT(inners); ++j)
      for (int add = 0; add < 2; ++add)
        run_gather(&t, (i + j) % 3, 1 + i * 7, counts[i], inners[j], add == (int)(j % 2) ? 4 : 8, add);
  run_gather(&t, 1, 500, 700, 384, 4, false); /* several tasks */
  run_gather(&t, 1, 500, 700, 384, 4, true);
  tester_deinit(&t);
}

/* Rows that no index names are not read or written: adding would make a NaN of another bit pattern, or 0 of -0. */
static void test_untouched(void **state) {
  (void)state;
  tester t;
  tester_init(&t, pith_gather_grad_f32_kernels);
  tester_begin(&t, "gather: untouched rows");
  pith_gather_grad_f32_args a = {.outer = 1, .axis = 3, .count = 1, .inner = 17, .index_bytes = 4, .add = true};
  a.dx = tester_output(&t, 3 * 17);
  float *initial = tester_floats(&t, 3 * 17, -0.0f, -0.0f);
  a.dy = tester_floats(&t, 17, 1, 2);
  a.indices = memset(tester_memory(&t, 4, false), 0, 4);
  memcpy(a.dx, initial, 3 * 17 * sizeof(float));
  tester_reference(&t, &a);
  for (size_t i = 17; i < 3 * 17; ++i)
    assert_true(a.dx[i] == 0 && signbit(a.dx[i]) == signbit(initial[i]));
  tester_compare(&t, &a, initial);
  tester_deinit(&t);
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_gather), cmocka_unit_test(test_untouched)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
