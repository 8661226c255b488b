#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ops/pool/pool_f32.h"
#include "tests/ops/kernel_tester.h"

#define COUNT(array) (sizeof(array) / sizeof *(array))

static void check_pool(tester *t, const pith_pool_f32_args *a) {
  for (size_t s = 0; s < a->sequences; ++s)
    for (size_t i = 0; i < a->features; ++i) {
      const float *x = a->x + i;
      const size_t first = (size_t)a->offsets[s], end = (size_t)a->offsets[s + 1];
      double sum = 0, size = 0, max = -INFINITY;
      for (size_t token = first; token < end; ++token) {
        const double z = (double)x[token * a->x_stride];
        sum += z;
        size += fabs(z);
        max = fmax(max, z);
      }
      const double count = (double)(end - first);
      double want = sum / count, limit = 0;
      switch (a->mode) {
      case PITH_POOL_F32_MEAN: limit = 6e-8 * (size + fabs(want)) + 0x1p-149; break;
      case PITH_POOL_F32_CLS: want = (double)x[first * a->x_stride]; break;
      case PITH_POOL_F32_MAX: want = max; break;
      case PITH_POOL_F32_LAST: want = (double)x[(end - 1) * a->x_stride]; break;
      }
      tester_check_near(t, "y", s, i, (double)a->y[s * a->y_stride + i], want, limit);
    }
}

static void run_pool(tester *t, const size_t *lengths, size_t sequences, size_t features, size_t gap, pith_pool_mode mode,
                     float low, float high) {
  tester_begin(t, "pool: %zu sequences from %zu, %zu features, gap %zu, mode %d, values %g to %g", sequences,
               sequences ? lengths[0] : 0, features, gap, (int)mode, (double)low, (double)high);
  int32_t *offsets = tester_memory(t, (sequences + 1) * sizeof *offsets, false);
  offsets[0] = 0;
  for (size_t s = 0; s < sequences; ++s)
    offsets[s + 1] = offsets[s] + (int32_t)lengths[s];
  pith_pool_f32_args a = {.offsets = offsets, .sequences = sequences, .features = features, .mode = mode,
                          .x_stride = features + 2 * gap, .y_stride = features + gap};
  a.y = tester_output(t, tester_span(sequences, features, a.y_stride));
  a.x = tester_floats(t, tester_span((size_t)offsets[sequences], features, a.x_stride), low, high);
  tester_reference(t, &a);
  check_pool(t, &a);
  tester_check_gaps(t, a.y, sequences, features, a.y_stride);
  tester_compare(t, &a, NULL);
}

static void test_pool(void **state) {
  (void)state;
  tester t;
  tester_init(&t, pith_pool_f32_kernels);
  static const size_t lengths[] = {7, 1, 2, 53, 128, 16, 3, 40, 90, 64, 100, 77, 128, 128};
  static const size_t features[] = {0, 1, 15, 16, 17, 63, 64, 65, 101, 384};
  for (pith_pool_mode mode = PITH_POOL_F32_MEAN; mode <= PITH_POOL_F32_LAST; ++mode)
    for (size_t sequences = 0; sequences <= COUNT(lengths); sequences += 1 + sequences / 3)
      for (size_t i = 0; i < COUNT(features); ++i) {
        const float low = i % 2 ? -3 : -5, high = i % 3 ? 3 : -1; /* all negative now and then */
        run_pool(&t, lengths, sequences, features[i], i % 3 * 3, mode, low, high);
      }
  for (pith_pool_mode mode = PITH_POOL_F32_MEAN; mode <= PITH_POOL_F32_LAST; ++mode) {
    run_pool(&t, lengths, 4, 33, 0, mode, 1e-42f, 1e-41f);
    run_pool(&t, lengths, 4, 33, 0, mode, -1e35f, 1e35f);
  }
  tester_deinit(&t);
}

/* A feature with a NaN pools to NaN where its token counts, wherever it is; the others stay what they are. */
static void test_nan(void **state) {
  (void)state;
  enum { TOKENS = 5, FEATURES = 85 }; /* four vectors at once, one, a part of one */
  static const int32_t offsets[] = {0, TOKENS};
  tester t;
  tester_init(&t, pith_pool_f32_kernels);
  for (pith_pool_mode mode = PITH_POOL_F32_MEAN; mode <= PITH_POOL_F32_LAST; ++mode)
    for (size_t token = 0; token < TOKENS; ++token) {
      tester_begin(&t, "NaN in token %zu, mode %d", token, (int)mode);
      pith_pool_f32_args a = {.offsets = offsets, .sequences = 1, .features = FEATURES, .mode = mode,
                              .x_stride = FEATURES, .y_stride = FEATURES};
      a.y = tester_output(&t, FEATURES);
      float *x = tester_floats(&t, TOKENS * FEATURES, -3, 3);
      a.x = x;
      for (size_t i = 0; i < FEATURES; i += 3)
        x[token * FEATURES + i] = i % 2 ? -NAN : NAN;
      const bool counts = mode == PITH_POOL_F32_CLS ? token == 0 : mode == PITH_POOL_F32_LAST ? token == TOKENS - 1 : true;
      tester_reference(&t, &a);
      for (size_t i = 0; i < FEATURES; ++i)
        if ((isnan(a.y[i]) != 0) != (counts && i % 3 == 0))
          tester_fail(&t, "y[%zu] is %g", i, (double)a.y[i]);
      tester_compare(&t, &a, NULL);
    }
  tester_deinit(&t);
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_pool), cmocka_unit_test(test_nan)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
