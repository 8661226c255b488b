#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "tests/ops/dropout_reference.h"
#include "tests/ops/kernel_tester.h"

enum { MAX_SEQUENCES = 8 };

typedef struct dropout_case {
  size_t rows[MAX_SEQUENCES], sequences, features;
  bool packed; /* offsets are given; else each row is a sample, `sequences` of them */
  bool residual, in_place;
  float ratio;
} dropout_case;

static const int32_t *make_key(tester *t) {
  int32_t *key = tester_memory(t, 4 * sizeof *key, false);
  for (size_t i = 0; i < 4; ++i)
    key[i] = (int32_t)tester_random(t);
  return key;
}

static pith_dropout_f32_args make_args(tester *t, const dropout_case *c) {
  tester_begin(t, "%zu sequences of %zu, %zu, .. rows, %zu features, packed %d, residual %d, in place %d, ratio %g", c->sequences,
               c->rows[0], c->rows[1], c->features, c->packed, c->residual, c->in_place, (double)c->ratio);
  pith_dropout_f32_args a = {.features = c->features,
                             .sequences = c->sequences,
                             .rows = c->packed ? 0 : c->sequences,
                             .dropout = {.ratio = c->ratio, .operator_index = tester_random(t)}};
  if (c->packed) {
    int32_t *offsets = tester_memory(t, (c->sequences + 1) * sizeof *offsets, false);
    offsets[0] = 0;
    for (size_t s = 0; s < c->sequences; ++s)
      offsets[s + 1] = (int32_t)(a.rows += c->rows[s]);
    a.offsets = offsets;
  }
  a.y = tester_output(t, a.rows * a.features);
  a.x = c->in_place ? a.y : tester_floats(t, a.rows * a.features, -2, 2);
  a.residual = c->residual ? tester_floats(t, a.rows * a.features, -2, 2) : NULL;
  a.dropout.key = c->ratio > 0 ? make_key(t) : NULL;
  return a;
}

static float want_element(const pith_dropout_f32_args *a, size_t sample, size_t element, float x, float residual) {
  float y = x;
  if (a->dropout.ratio > 0)
    y = reference_keeps(&a->dropout, sample, element / 128, element / 16 % 8, element % 16) ? x * reference_factor(&a->dropout) : 0;
  return a->residual ? residual + y : y;
}

static void run_case(tester *t, const dropout_case *c) {
  pith_dropout_f32_args a = make_args(t, c);
  const size_t count = a.rows * a.features;
  float *x = malloc((count + 1) * sizeof *x);
  assert_non_null(x);
  for (size_t i = 0; i < count; ++i)
    x[i] = c->in_place ? tester_uniform(t, -2, 2) : a.x[i];
  if (c->in_place && count > 0)
    memcpy(a.y, x, count * sizeof *x);
  tester_reference(t, &a);
  size_t first = 0;
  for (size_t s = 0; s < c->sequences; ++s) {
    const size_t size = (c->packed ? c->rows[s] : 1) * a.features;
    for (size_t i = 0; i < size; ++i)
      tester_check_near(t, "y", s, i, (double)a.y[first + i],
                        (double)want_element(&a, s, i, x[first + i], a.residual ? a.residual[first + i] : 0), 0);
    first += size;
  }
  assert_int_equal(first, count);
  tester_compare(t, &a, c->in_place ? x : NULL);
  free(x);
}

static void test_sizes(void **state) {
  (void)state;
  tester t;
  tester_init(&t, pith_dropout_f32_kernels);
  static const size_t features[] = {0, 1, 2, 7, 15, 16, 17, 63, 64, 97, 127, 128, 129, 384};
  static const float ratios[] = {0, 0x1p-18f, 0.1f, 0.25f, 0.5f, 0.9f, 1};
  for (size_t i = 0; i < sizeof features / sizeof *features; ++i)
    for (size_t r = 0; r < sizeof ratios / sizeof *ratios; ++r)
      for (size_t way = 0; way < 8; ++way)
        run_case(&t, &(dropout_case){{3, 0, 1, 13, 2}, 5, features[i], way & 1, way & 2, way & 4, ratios[r]});
  for (size_t i = 0; i < 40; ++i) {
    dropout_case c = {.sequences = tester_pick(&t, MAX_SEQUENCES + 1), .features = tester_pick(&t, 500), .packed = true,
                      .residual = tester_pick(&t, 2), .ratio = 0.3f};
    for (size_t s = 0; s < c.sequences; ++s)
      c.rows[s] = tester_pick(&t, 60);
    run_case(&t, &c);
  }
  tester_deinit(&t);
}

/* Runs the last row that this CPU can. */
static void run_best(const pith_dropout_f32_args *a) {
  pith_kernel_run_all(pith_kernel_select(pith_dropout_f32_kernels, pith_cpu_detect()), a, NULL);
}

enum { MANY = 1 << 20 };
static float *make_mask(pith_dropout dropout, int32_t rows) {
  float *x = malloc(MANY * sizeof *x), *y = malloc(MANY * sizeof *y);
  assert_true(x && y);
  for (size_t i = 0; i < MANY; ++i)
    x[i] = 1;
  const int32_t offsets[2] = {0, rows};
  run_best(&(pith_dropout_f32_args){.x = x, .y = y, .rows = (size_t)rows, .features = MANY / (size_t)rows, .offsets = offsets,
                                    .sequences = 1, .dropout = dropout});
  free(x);
  return y;
}

/* The share that stays is the ratio's, in every lane and row of a group; other numbers of any part of the counter give another,
 * independent mask; how a sample is cut into rows does not matter. */
static void test_share(void **state) {
  (void)state;
  static const float ratios[] = {0.1f, 0.5f};
  for (size_t r = 0; r < 2; ++r) {
    const double p = 1 - (double)ratios[r];
    float *masks[6];
    for (size_t m = 0; m < 6; ++m) {
      const int32_t key[4] = {7 + (m == 1), m == 2, 100 + (m == 3), 5 + (m == 4)};
      masks[m] = make_mask((pith_dropout){.ratio = ratios[r], .operator_index = m == 5, .key = key}, m == 0 ? 1 : 1 << m);
    }
    size_t by_place[128] = {0};
    for (size_t i = 0; i < MANY; ++i) {
      assert_true(masks[0][i] == 0 || fabs((double)masks[0][i] * p - 1) < 1e-5);
      by_place[i % 128] += masks[0][i] != 0;
    }
    size_t sum = 0;
    for (size_t i = 0; i < 128; ++i) {
      sum += by_place[i];
      assert_true(fabs((double)by_place[i] / (MANY / 128) - p) < 5 * sqrt(p * (1 - p) / (MANY / 128)));
    }
    assert_true(fabs((double)sum / MANY - p) < 4 * sqrt(p * (1 - p) / MANY));
    const double agreed = p * p + (1 - p) * (1 - p);
    for (size_t m = 1; m < 6; ++m) {
      size_t same = 0;
      for (size_t i = 0; i < MANY; ++i)
        same += (masks[0][i] != 0) == (masks[m][i] != 0);
      assert_true(fabs((double)same / MANY - agreed) < 5 * sqrt(agreed * (1 - agreed) / MANY));
      free(masks[m]);
    }
    const int32_t key[4] = {7, 0, 100, 5};
    masks[1] = make_mask((pith_dropout){.ratio = ratios[r], .key = key}, 64);
    assert_memory_equal(masks[0], masks[1], MANY * sizeof(float));
    free(masks[0]);
    free(masks[1]);
  }
}

/* A sample loses the same elements in a batch, alone, and in another batch that begins with it. */
static void test_batches(void **state) {
  (void)state;
  enum { FEATURES = 48 };
  const int32_t offsets[] = {0, 13, 13, 14, 40, 51};
  const int32_t key[4] = {1, 2, 3, 1000};
  float x[51 * FEATURES], whole[51 * FEATURES], part[51 * FEATURES];
  for (size_t i = 0; i < sizeof x / sizeof *x; ++i)
    x[i] = 1 + (float)i;
  pith_dropout_f32_args a = {.x = x, .y = whole, .rows = 51, .features = FEATURES, .offsets = offsets, .sequences = 5,
                             .dropout = {.ratio = 0.1f, .operator_index = 9, .key = key}};
  run_best(&a);
  for (int32_t s = 0; s < 5; ++s)
    for (int32_t e = s + 1; e <= 5; ++e) {
      int32_t some[6];
      const int32_t next_key[4] = {1, 2, 3, 1000 + s};
      for (int32_t i = s; i <= e; ++i)
        some[i - s] = offsets[i] - offsets[s];
      const size_t first = (size_t)offsets[s] * FEATURES, rows = (size_t)some[e - s];
      a.x = x + first;
      a.y = part;
      a.rows = rows;
      a.offsets = some;
      a.sequences = (size_t)(e - s);
      a.dropout.key = next_key;
      run_best(&a);
      assert_memory_equal(part, whole + first, rows * FEATURES * sizeof *part);
    }
}

/* y is linear in x with the factors that the mask gives: dropout of dy is the gradient. */
static void test_gradient(void **state) {
  (void)state;
  enum { ROWS = 37, FEATURES = 29, COUNT = ROWS * FEATURES };
  const int32_t offsets[] = {0, 5, ROWS};
  const int32_t key[4] = {4, 3, 2, 1};
  float ones[COUNT], dy[COUNT], mask[COUNT], dx[COUNT];
  for (size_t i = 0; i < COUNT; ++i) {
    ones[i] = 1;
    dy[i] = (float)(i * 37 % 101) - 50.5f;
  }
  pith_dropout_f32_args a = {.x = ones, .y = mask, .rows = ROWS, .features = FEATURES, .offsets = offsets, .sequences = 2,
                             .dropout = {.ratio = 0.3f, .operator_index = 1, .key = key}};
  run_best(&a);
  a.x = dy;
  a.y = dx;
  run_best(&a);
  size_t kept = 0;
  for (size_t i = 0; i < COUNT; ++i) {
    assert_true(dx[i] == dy[i] * mask[i]);
    kept += mask[i] > 0;
  }
  assert_in_range(kept, COUNT * 6 / 10, COUNT * 8 / 10);
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_sizes), cmocka_unit_test(test_share), cmocka_unit_test(test_batches),
                                     cmocka_unit_test(test_gradient)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
