/* Observers against ranges computed from the values themselves, by another way than the histogram's. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "quant/observer.h"
#include "quant/recipe.h"

enum { COUNT = 40000, BATCHES = 8 };
static float values[COUNT];

/* Sum of four uniform numbers, cubed: many small ones and long tails, more of them above 0. */
static void make_values(void) {
  uint64_t state = 12345;
  for (int i = 0; i < COUNT; i++) {
    double sum = 0;
    for (int j = 0; j < 4; j++) {
      state = state * UINT64_C(6364136223846793005) + 1442695040888963407u;
      sum += (double)(state >> 40) / (double)(1 << 24) - 0.5;
    }
    values[i] = (float)(sum * sum * sum + 0.1 * sum + 0.05);
  }
}

static void observe(pith_observer_kind kind, bool is_signed, int batches, float *low, float *high) {
  pith_quant_options options = pith_quant_defaults;
  options.observer = kind;
  options.percentile = 99.5;
  options.averaging = 0.25;
  pith_observer observer;
  pith_observer_init(&observer, &options, is_signed);
  const int size = COUNT / batches;
  uint64_t bad;
  for (int b = 0; b < batches; b++)
    assert_true(pith_observer_see_range(&observer, values + b * size, (uint64_t)size, &bad));
  static uint64_t bins[PITH_OBSERVER_BINS];
  for (int i = 0; i < PITH_OBSERVER_BINS; i++)
    bins[i] = 0;
  if (pith_observer_needs_histogram(kind)) {
    pith_observer_begin_histogram(&observer, bins);
    for (int b = 0; b < batches; b++)
      pith_observer_see_values(&observer, values + b * size, (uint64_t)size);
  }
  pith_observer_choose(&observer, low, high);
}

static int compare(const void *a, const void *b) {
  const float x = *(const float *)a, y = *(const float *)b;
  return (x > y) - (x < y);
}

static void sort_values(float sorted[COUNT]) {
  for (int i = 0; i < COUNT; i++)
    sorted[i] = values[i];
  qsort(sorted, COUNT, sizeof *sorted, compare);
}

static float sorted[COUNT];

static void test_min_max(void **state) {
  (void)state;
  float low, high;
  observe(PITH_OBSERVER_MIN_MAX, false, BATCHES, &low, &high);
  assert_true(low == sorted[0] && high == sorted[COUNT - 1]);
}

static void find_batch(int b, float *low, float *high) {
  *low = *high = values[b * (COUNT / BATCHES)];
  for (int i = b * (COUNT / BATCHES); i < (b + 1) * (COUNT / BATCHES); i++) {
    *low = fminf(*low, values[i]);
    *high = fmaxf(*high, values[i]);
  }
}

static void test_means(void **state) {
  (void)state;
  double sum[2] = {0, 0}, moving[2] = {0, 0};
  for (int b = 0; b < BATCHES; b++) {
    float batch[2];
    find_batch(b, &batch[0], &batch[1]);
    for (int side = 0; side < 2; side++) {
      sum[side] += (double)batch[side];
      moving[side] = b == 0 ? (double)batch[side] : 0.75 * moving[side] + 0.25 * (double)batch[side];
    }
  }
  float low, high;
  observe(PITH_OBSERVER_MEAN_MIN_MAX, false, BATCHES, &low, &high);
  assert_true(fabs((double)low - sum[0] / BATCHES) < 1e-6 && fabs((double)high - sum[1] / BATCHES) < 1e-6);
  observe(PITH_OBSERVER_MOVING_AVERAGE, false, BATCHES, &low, &high);
  assert_true(fabs((double)low - moving[0]) < 1e-6 && fabs((double)high - moving[1]) < 1e-6);
  assert_true(fabs(moving[1] - sum[1] / BATCHES) > 1e-4); /* the two are told apart */
}

static void test_percentile(void **state) {
  (void)state;
  const float bin = (sorted[COUNT - 1] - sorted[0]) / PITH_OBSERVER_BINS;
  float low, high;
  observe(PITH_OBSERVER_PERCENTILE, false, 1, &low, &high);
  const float want_low = sorted[COUNT / 200], want_high = sorted[COUNT - 1 - COUNT / 200];
  if (fabsf(low - want_low) > 2 * bin || fabsf(high - want_high) > 2 * bin)
    fail_msg("%g .. %g, wanted %g .. %g", (double)low, (double)high, (double)want_low, (double)want_high);
  assert_true(high < 0.9f * sorted[COUNT - 1]);
}

/* Squared error of the values themselves, rounded to u8 or s8 over a range. */
static double measure(double low, double high, bool is_signed) {
  if (is_signed) {
    high = fmax(-low, high);
    low = -high;
  }
  const double step = is_signed ? high / 127 : (high - low) / 255;
  double error = 0;
  for (int i = 0; i < COUNT; i++) {
    const double x = (double)values[i], clipped = fmin(fmax(x, low), high);
    error += pow(x - step * rint(clipped / step), 2);
  }
  return error;
}

static void test_mse(void **state) {
  (void)state;
  for (int is_signed = 0; is_signed < 2; is_signed++) {
    float low, high;
    observe(PITH_OBSERVER_MSE, is_signed, 1, &low, &high);
    double least = INFINITY;
    for (int i = 1; i <= 50; i++)
      for (int j = 1; j <= 50; j++)
        least = fmin(least, measure((double)sorted[0] * i / 50, (double)sorted[COUNT - 1] * j / 50, is_signed));
    const double got = measure((double)low, (double)high, is_signed);
    const double whole = measure((double)sorted[0], (double)sorted[COUNT - 1], is_signed);
    if (!(got <= 1.05 * least && got < whole))
      fail_msg("signed %d: error %g over %g .. %g, the least is %g, of all %g", is_signed, got, (double)low,
               (double)high, least, whole);
  }
}

/* Divergence by its definition over the sorted values' histogram, each level's mass spread over its bins that are used. */
static double diverge(const double *p, int first, int last) {
  double q[PITH_OBSERVER_BINS] = {0}, reference[PITH_OBSERVER_BINS] = {0}, total = 0, inside = 0, sum = 0;
  for (int i = 0; i < PITH_OBSERVER_BINS; i++) {
    const int place = i < first ? first : i >= last ? last - 1 : i;
    reference[place] += p[i];
    total += p[i];
    inside += i == place ? p[i] : 0;
  }
  for (int level = 0; level < 256; level++) {
    const int begin = first + (last - first) * level / 256, end = first + (last - first) * (level + 1) / 256;
    double mass = 0, used = 0;
    for (int i = begin; i < end; i++) {
      mass += p[i];
      used += p[i] > 0;
    }
    for (int i = begin; i < end; i++)
      q[i] = p[i] > 0 ? mass / used : 0;
  }
  for (int i = first; i < last; i++)
    if (reference[i] > 0)
      sum += reference[i] / total * log(reference[i] / total / (q[i] > 0 ? q[i] / inside : 1e-9));
  return sum;
}

static void test_kl(void **state) {
  (void)state;
  static double p[PITH_OBSERVER_BINS];
  const double origin = (double)sorted[0], width = ((double)sorted[COUNT - 1] - origin) / PITH_OBSERVER_BINS;
  for (int i = 0; i < COUNT; i++)
    p[(int)fmin(((double)values[i] - origin) / width, PITH_OBSERVER_BINS - 1)]++;
  float low, high;
  observe(PITH_OBSERVER_KL, false, 1, &low, &high);
  const int first = (int)rint(((double)low - origin) / width), last = (int)rint(((double)high - origin) / width);
  const double got = diverge(p, first, last), whole = diverge(p, 0, PITH_OBSERVER_BINS);
  double least = INFINITY;
  const int zero = (int)(-origin / width);
  for (int i = 0; i < 24; i++)
    for (int j = 0; j < 24; j++)
      least = fmin(least, diverge(p, zero * i / 24, PITH_OBSERVER_BINS - (PITH_OBSERVER_BINS - zero) * j / 24));
  if (!(got <= least * 1.05 + 1e-6 && got <= whole))
    fail_msg("divergence %g of bins %d .. %d, the least is %g, of all %g", got, first, last, least, whole);
}

/* Batches change only what averages over them. */
static void test_streaming(void **state) {
  (void)state;
  static const pith_observer_kind kinds[] = {PITH_OBSERVER_MIN_MAX, PITH_OBSERVER_PERCENTILE, PITH_OBSERVER_KL,
                                             PITH_OBSERVER_MSE};
  for (size_t k = 0; k < sizeof kinds / sizeof *kinds; k++) {
    float low[2], high[2];
    observe(kinds[k], false, 1, &low[0], &high[0]);
    observe(kinds[k], false, BATCHES, &low[1], &high[1]);
    assert_true(low[0] == low[1] && high[0] == high[1]);
  }
}

static void test_wrong_values(void **state) {
  (void)state;
  pith_observer observer;
  uint64_t bad = 9;
  float some[3] = {1, NAN, 2};
  pith_observer_init(&observer, &pith_quant_defaults, false);
  assert_false(pith_observer_see_range(&observer, some, 3, &bad));
  assert_int_equal(bad, 1);
  some[1] = -INFINITY;
  assert_false(pith_observer_see_range(&observer, some, 3, &bad));
  /* Constant: every observer gives 0 .. x. */
  for (int kind = 0; kind < PITH_OBSERVER_COUNT; kind++) {
    pith_quant_options options = pith_quant_defaults;
    options.observer = (pith_observer_kind)kind;
    float constant[2] = {3, 3}, low, high;
    uint64_t bins[PITH_OBSERVER_BINS] = {0};
    pith_observer_init(&observer, &options, false);
    assert_true(pith_observer_see_range(&observer, constant, 2, &bad));
    pith_observer_begin_histogram(&observer, bins);
    pith_observer_see_values(&observer, constant, 2);
    pith_observer_choose(&observer, &low, &high);
    assert_true(low == 0 && high == 3);
  }
}

/* Ranges by NumPy (tests/golden/observers/make.py) on its own data. */
enum { GOLDEN_SETS = 3, GOLDEN_BATCHES = 6, GOLDEN_SIZE = 1500 };
static float golden_values[GOLDEN_SETS][GOLDEN_BATCHES * GOLDEN_SIZE];

static void observe_golden(const float *set, pith_observer_kind kind, bool is_signed, float *low, float *high) {
  pith_quant_options options = pith_quant_defaults;
  options.observer = kind;
  options.percentile = 99.5;
  options.averaging = 0.25;
  pith_observer observer;
  pith_observer_init(&observer, &options, is_signed);
  uint64_t bad;
  for (int b = 0; b < GOLDEN_BATCHES; b++)
    assert_true(pith_observer_see_range(&observer, set + b * GOLDEN_SIZE, GOLDEN_SIZE, &bad));
  uint64_t bins[PITH_OBSERVER_BINS] = {0};
  if (pith_observer_needs_histogram(kind)) {
    pith_observer_begin_histogram(&observer, bins);
    pith_observer_see_values(&observer, set, GOLDEN_BATCHES * GOLDEN_SIZE);
  }
  pith_observer_choose(&observer, low, high);
}

static void test_golden(void **state) {
  (void)state;
  static const char *const sets[GOLDEN_SETS] = {"tails", "gelu", "shifted"};
#define WORD(name, text) text,
  static const char *const observers[] = {PITH_OBSERVER_LIST(WORD)};
#undef WORD
  FILE *file = fopen(PITH_SOURCE_DIR "/tests/golden/observers/values.f32", "rb");
  assert_non_null(file);
  assert_int_equal(fread(golden_values, sizeof golden_values, 1, file), 1);
  fclose(file);
  file = fopen(PITH_SOURCE_DIR "/tests/golden/observers/golden.txt", "r");
  assert_non_null(file);
  char set[32], observer[32];
  int is_signed, rows = 0;
  unsigned seen = 0;
  double low, high, tolerance;
  while (fscanf(file, "%31s %31s %d %lf %lf %lf", set, observer, &is_signed, &low, &high, &tolerance) == 6) {
    int s = 0, o = 0;
    while (s < GOLDEN_SETS && strcmp(sets[s], set) != 0)
      s++;
    while (o < PITH_OBSERVER_COUNT && strcmp(observers[o], observer) != 0)
      o++;
    assert_true(s < GOLDEN_SETS && o < PITH_OBSERVER_COUNT);
    float found_low, found_high;
    observe_golden(golden_values[s], (pith_observer_kind)o, is_signed != 0, &found_low, &found_high);
    tolerance += 1e-6 * fmax(-low, high); /* nine digits of a float */
    double off = fmax(fabs((double)found_low - low), fabs((double)found_high - high));
    if (is_signed) /* the larger end alone decides */
      off = fabs(fmax((double)-found_low, (double)found_high) - high);
    if (!(off <= tolerance))
      fail_msg("%s, %s%s: %.9g to %.9g, NumPy's %.9g to %.9g, tolerance %.3g", set, observer, is_signed ? ", signed" : "",
               (double)found_low, (double)found_high, low, high, tolerance);
    seen |= 1u << o;
    rows++;
  }
  fclose(file);
  assert_int_equal(rows, GOLDEN_SETS * (PITH_OBSERVER_COUNT + 1));
  assert_int_equal(seen, (1u << PITH_OBSERVER_COUNT) - 1);
}

int main(void) {
  make_values();
  sort_values(sorted);
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_golden),
      cmocka_unit_test(test_min_max), cmocka_unit_test(test_means),     cmocka_unit_test(test_percentile),
      cmocka_unit_test(test_mse),     cmocka_unit_test(test_kl),        cmocka_unit_test(test_streaming),
      cmocka_unit_test(test_wrong_values),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
