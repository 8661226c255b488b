#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ops/elementwise/elementwise_f32.h"
#include "tests/ops/kernel_tester.h"

#define COUNT(array) (sizeof(array) / sizeof *(array))

/* ---- unary: accuracy over all floats is test_math.c's; here which function, where, and nothing else ------------- */

static double naive_unary(pith_unary function, double x) {
  switch (function) {
  case PITH_UNARY_RELU: return x > 0 ? x : 0;
  case PITH_UNARY_GELU: return 0.5 * x * erfc(-x * sqrt(0.5));
  case PITH_UNARY_GELU_TANH: return 0.5 * x * (1 + tanh(0.79788456080286535588 * (x + 0.044715 * x * x * x)));
  case PITH_UNARY_TANH: return tanh(x);
  case PITH_UNARY_SIGMOID: return 1 / (1 + exp(-x));
  case PITH_UNARY_ERF: return erf(x);
  case PITH_UNARY_COUNT: break;
  }
  return NAN;
}

static void run_unary(tester *t, pith_unary function, size_t count, bool in_place, float range) {
  tester_begin(t, "unary: function %d, %zu elements, in place %d, range %g", (int)function, count, in_place, (double)range);
  pith_unary_f32_args a = {.count = count, .function = function, .y = tester_output(t, count)};
  const float *x = tester_floats(t, count, -range, range);
  a.x = in_place ? a.y : x;
  if (in_place && count > 0)
    memcpy(a.y, x, count * sizeof(float));
  tester_reference(t, &a);
  for (size_t i = 0; i < count; ++i) {
    const double want = naive_unary(function, (double)x[i]);
    tester_check_near(t, "y", 0, i, (double)a.y[i], want,
                      6e-7 * fmax(fabs(want), range < 1 ? (double)range : 1) + 0x1p-149);
  }
  tester_compare(t, &a, in_place ? x : NULL);
}

static void test_unary(void **state) {
  (void)state;
  tester t;
  tester_init(&t, pith_unary_f32_kernels);
  static const size_t counts[] = {0, 1, 15, 16, 17, 31, 33, 101, 1023, 1024, 1025, 2048, 20011};
  static const float ranges[] = {6, 0.1f, 100, 1e-39f};
  for (pith_unary f = 0; f < PITH_UNARY_COUNT; ++f) {
    for (size_t i = 0; i < COUNT(counts); ++i)
      for (int in_place = 0; in_place < 2; ++in_place)
        run_unary(&t, f, counts[i], in_place, ranges[i % COUNT(ranges)]);
    run_unary(&t, f, 70001, false, 6); /* several tasks */
  }
  tester_deinit(&t);
}

static void test_unary_special(void **state) {
  (void)state;
  static const float x[] = {0.0f, -0.0f, 1, -1, 0x1p-149f, -0x1p-149f, 0x1p-126f, -0x1p-126f, 0x1.fffffep127f,
                            -0x1.fffffep127f, INFINITY, -INFINITY, NAN, 1e-30f, 89, -89, 104, -104, 5.75f, -5.75f, 12, -12};
  tester t;
  tester_init(&t, pith_unary_f32_kernels);
  for (pith_unary f = 0; f < PITH_UNARY_COUNT; ++f) {
    tester_begin(&t, "unary: function %d, special values", (int)f);
    pith_unary_f32_args a = {.count = COUNT(x), .function = f, .y = tester_output(&t, COUNT(x))};
    float *in = tester_floats(&t, COUNT(x), 0, 0);
    memcpy(in, x, sizeof x);
    a.x = in;
    tester_reference(&t, &a);
    for (size_t i = 0; i < COUNT(x); ++i) {
      double want = naive_unary(f, (double)x[i]);
      if (isnan(want) && !isnan(x[i])) /* GELU of an infinity, by its limit */
        want = x[i] > 0 ? (double)x[i] : 0;
      if (isnan(x[i]))
        want = (double)x[i];
      if (isinf(want))
        assert_true((double)a.y[i] == want);
      else
        tester_check_near(&t, "y", 0, i, (double)a.y[i], want, 4e-7 * fabs(want) + (fabs((double)x[i]) > 4 ? 1e-10 : 0x1p-149));
    }
    tester_compare(&t, &a, NULL);
  }
  tester_deinit(&t);
}

/* ---- binary ------------------------------------------------------------------------------------------------ */

static float naive_binary(pith_binary function, float a, float b) {
  switch (function) {
  case PITH_BINARY_ADD: return a + b;
  case PITH_BINARY_SUB: return a - b;
  case PITH_BINARY_MUL: return a * b;
  case PITH_BINARY_DIV: return a / b;
  case PITH_BINARY_COUNT: break;
  }
  return NAN;
}

typedef struct operand { /* of [rows, columns] */
  size_t row_stride, column_stride, count;
} operand;

enum { WHOLE, WIDE, ONE_ROW, ONE_COLUMN, ONE_VALUE, SHAPE_COUNT };

static operand make_operand(int shape, size_t rows, size_t columns) {
  switch (shape) {
  case WHOLE: return (operand){columns, 1, rows * columns};
  case WIDE: return (operand){columns + 3, 1, tester_span(rows, columns, columns + 3)};
  case ONE_ROW: return (operand){0, 1, columns};
  case ONE_COLUMN: return (operand){1, 0, rows};
  default: return (operand){0, 0, 1};
  }
}

/* in_place: 0 none, 1 y is a, 2 y is b (those must be WHOLE). */
static void run_binary(tester *t, pith_binary function, size_t rows, size_t columns, int a_shape, int b_shape, int in_place) {
  tester_begin(t, "binary: function %d, %zu x %zu, shapes %d and %d, in place %d", (int)function, rows, columns, a_shape,
               b_shape, in_place);
  const operand oa = make_operand(a_shape, rows, columns), ob = make_operand(b_shape, rows, columns);
  pith_binary_f32_args a = {.rows = rows, .columns = columns, .function = function, .y = tester_output(t, rows * columns),
                            .a_row_stride = oa.row_stride, .a_column_stride = oa.column_stride,
                            .b_row_stride = ob.row_stride, .b_column_stride = ob.column_stride};
  const float *pa = tester_floats(t, oa.count, -3, 3), *pb = tester_floats(t, ob.count, -3, 3);
  a.a = in_place == 1 ? a.y : pa;
  a.b = in_place == 2 ? a.y : pb;
  const float *initial = in_place == 1 ? pa : in_place == 2 ? pb : NULL;
  if (initial && rows * columns > 0)
    memcpy(a.y, initial, rows * columns * sizeof(float));
  tester_reference(t, &a);
  for (size_t r = 0; r < rows; ++r)
    for (size_t c = 0; c < columns; ++c) {
      const float want = naive_binary(function, pa[r * oa.row_stride + c * oa.column_stride],
                                      pb[r * ob.row_stride + c * ob.column_stride]);
      tester_check_near(t, "y", r, c, (double)a.y[r * columns + c], (double)want, 0);
    }
  tester_compare(t, &a, initial);
}

static void test_binary(void **state) {
  (void)state;
  tester t;
  tester_init(&t, pith_binary_f32_kernels);
  static const size_t sizes[][2] = {{0, 5}, {5, 0}, {1, 1}, {1, 15}, {3, 16}, {2, 17}, {7, 1}, {5, 101}, {67, 1031}};
  for (pith_binary f = 0; f < PITH_BINARY_COUNT; ++f)
    for (size_t i = 0; i < COUNT(sizes); ++i) {
      for (int a = 0; a < SHAPE_COUNT; ++a)
        for (int b = 0; b < SHAPE_COUNT; ++b)
          if (i + 1 < COUNT(sizes) || a + b <= 2)
            run_binary(&t, f, sizes[i][0], sizes[i][1], a, b, 0);
      for (int b = 0; b < SHAPE_COUNT; ++b) {
        run_binary(&t, f, sizes[i][0], sizes[i][1], WHOLE, b, 1);
        run_binary(&t, f, sizes[i][0], sizes[i][1], b, WHOLE, 2);
      }
    }
  tester_deinit(&t);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_unary),
      cmocka_unit_test(test_unary_special),
      cmocka_unit_test(test_binary),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
