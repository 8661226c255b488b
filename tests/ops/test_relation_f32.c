/* Relations of tokens: rows of errors against plain doubles, gradients against differences of them, the bits of every kernel. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "ops/loss/relation_f32.h"
#include "tests/ops/finite_difference.h"
#include "tests/ops/kernel_tester.h"

#define COUNT(array) (sizeof(array) / sizeof *(array))

typedef struct relation_case {
  const size_t *lengths;
  size_t sequences, heads, head_size, teacher_size;
  pith_relation_error error;
  bool same; /* x and z are one array */
} relation_case;

/* The operands in double, of which differences move one. */
typedef struct plain {
  const pith_relation_f32_args *a;
  const double *x, *z;
} plain;

static double dot(const double *x, const double *z, size_t n) {
  double sum = 0;
  for (size_t i = 0; i < n; ++i)
    sum += x[i] * z[i];
  return sum;
}

static double teacher_dot(const pith_relation_f32_args *a, size_t i, size_t j, size_t head) {
  const size_t width = a->heads * a->teacher_size;
  double sum = 0;
  for (size_t f = head * a->teacher_size; f < (head + 1) * a->teacher_size; ++f)
    sum += (double)a->teacher_x[i * width + f] * (double)a->teacher_z[j * width + f];
  return (double)a->teacher_scale * sum;
}

static double row_error(const plain *p, size_t sequence, size_t row, size_t head) {
  const pith_relation_f32_args *a = p->a;
  const size_t first = (size_t)a->offsets[sequence], n = (size_t)a->offsets[sequence + 1] - first, width = a->heads * a->head_size;
  double all_p = 0, all_q = 0, moved = 0, squares = 0;
  for (size_t j = 0; j < n; ++j) {
    const double s = (double)a->scale * dot(p->x + (first + row) * width + head * a->head_size,
                                            p->z + (first + j) * width + head * a->head_size, a->head_size);
    const double t = teacher_dot(a, first + row, first + j, head);
    all_p += exp(s);
    all_q += exp(t);
    moved += exp(t) * (t - s);
    squares += (s - t) * (s - t);
  }
  return a->error == PITH_RELATION_KL ? moved / all_q - log(all_q) + log(all_p) : squares / (double)n;
}

/* The sum of all errors, each times its derrors: of x, or of x and of z behind it. */
static double weighted(const double *values, size_t n, const void *context) {
  const pith_relation_f32_args *a = ((const plain *)context)->a;
  const size_t width = a->tokens * a->heads * a->head_size;
  const plain p = {a, values, n == width ? values : values + width};
  double sum = 0;
  for (size_t s = 0; s < a->sequences; ++s)
    for (size_t row = (size_t)a->offsets[s]; row < (size_t)a->offsets[s + 1]; ++row)
      for (size_t h = 0; h < a->heads; ++h)
        sum += (double)a->derrors[row * a->heads + h] * row_error(&p, s, row - (size_t)a->offsets[s], h);
  return sum;
}

static void check_errors(tester *t, const plain *p) {
  const pith_relation_f32_args *a = p->a;
  for (size_t s = 0; s < a->sequences; ++s)
    for (size_t row = (size_t)a->offsets[s]; row < (size_t)a->offsets[s + 1]; ++row)
      for (size_t h = 0; h < a->heads; ++h) {
        const double want = row_error(p, s, row - (size_t)a->offsets[s], h);
        tester_check_near(t, "error", row, h, (double)a->errors[row * a->heads + h], want, 1e-5 * fabs(want) + 1e-6);
      }
}

/* Where x and z are one, its gradient is the sum of both. */
static void check_gradients(tester *t, const plain *p, double *values, size_t n, bool same) {
  const pith_relation_f32_args *a = p->a;
  double size = 1e-3;
  for (size_t i = 0; i < n; ++i)
    size = fmax(size, fmax(fabs((double)a->dx[i]), fabs((double)a->dz[i])));
  for (size_t i = 0; i < (same ? n : 2 * n); ++i) {
    const double want = difference(weighted, values, same ? n : 2 * n, i, p);
    const double got = same ? (double)a->dx[i] + (double)a->dz[i] : i < n ? (double)a->dx[i] : (double)a->dz[i - n];
    tester_check_near(t, i < n ? "dx" : "dz", 0, i % n, got, want, 1e-5 * size + 1e-6); /* of p - q, which nearly cancel */
  }
}

static void run_case(tester *t, bool gradient, const relation_case *c, bool differ) {
  tester_begin(t, "relations: gradient %d, error %d, %zu sequences, %zu heads of %zu and %zu, same %d", gradient, (int)c->error, c->sequences,
               c->heads, c->head_size, c->teacher_size, c->same);
  int32_t *offsets = tester_memory(t, (c->sequences + 1) * sizeof *offsets, false);
  size_t longest = 0;
  offsets[0] = 0;
  for (size_t s = 0; s < c->sequences; ++s) {
    offsets[s + 1] = offsets[s] + (int32_t)c->lengths[s];
    longest = c->lengths[s] > longest ? c->lengths[s] : longest;
  }
  const size_t tokens = (size_t)offsets[c->sequences], n = tokens * c->heads * c->head_size, rows = tokens * c->heads;
  pith_relation_f32_args a = {.offsets = offsets, .tokens = tokens, .sequences = c->sequences, .longest = longest, .heads = c->heads,
                              .head_size = c->head_size, .teacher_size = c->teacher_size, .scale = 0.75f, .teacher_scale = 0.5f,
                              .error = c->error};
  a.x = tester_floats(t, n, -1, 1);
  a.z = c->same ? a.x : tester_floats(t, n, -1, 1);
  a.teacher_x = tester_floats(t, rows * c->teacher_size, -1, 1);
  a.teacher_z = c->same ? a.teacher_x : tester_floats(t, rows * c->teacher_size, -1, 1);
  if (gradient) {
    a.derrors = tester_floats(t, rows, -1, 2);
    a.dx = tester_output(t, n);
    a.dz = tester_output(t, n);
  } else {
    a.errors = tester_output(t, rows);
  }
  double *values = calloc(2 * n + 1, sizeof *values);
  assert_non_null(values);
  for (size_t i = 0; i < n; ++i) {
    values[i] = (double)a.x[i];
    values[n + i] = (double)a.z[i];
  }
  const plain p = {&a, values, values + n};
  tester_reference(t, &a);
  if (!gradient)
    check_errors(t, &p);
  else if (differ)
    check_gradients(t, &p, values, n, c->same);
  tester_compare(t, &a, NULL);
  free(values);
}

static void run_table(bool gradient) {
  static const size_t lengths[] = {7, 1, 2, 17, 16, 33}, many[] = {130, 97, 128, 60, 128, 128, 5, 128};
  static const size_t sizes[][2] = {{1, 1}, {3, 2}, {16, 5}, {17, 8}, {33, 64}};
  tester t;
  tester_init(&t, gradient ? pith_relation_grad_f32_kernels : pith_relation_f32_kernels);
  for (int mode = 0; mode < 4; ++mode) {
    const pith_relation_error error = mode & 1 ? PITH_RELATION_SQUARED : PITH_RELATION_KL;
    const bool same = (mode & 2) != 0;
    for (size_t sequences = 0; sequences <= COUNT(lengths); ++sequences)
      for (size_t i = 0; i < COUNT(sizes); ++i)
        run_case(&t, gradient, &(relation_case){lengths, sequences, 1 + (sequences + i) % 3, sizes[i][0], sizes[i][1], error, same},
                 sequences < 4);
    run_case(&t, gradient, &(relation_case){many, COUNT(many), 3, 32, 64, error, same}, false);
  }
  tester_deinit(&t);
}

static void test_errors(void **state) {
  (void)state;
  run_table(false);
}

static void test_gradients(void **state) {
  (void)state;
  run_table(true);
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_errors), cmocka_unit_test(test_gradients)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
