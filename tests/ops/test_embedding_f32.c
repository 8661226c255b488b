#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ops/embedding/embedding_f32.h"
#include "ops/normalize/layer_norm_f32.h"
#include "tests/ops/quantize_want.h"

#define COUNT(array) (sizeof(array) / sizeof *(array))

typedef struct embedding_case {
  size_t rows, features, gap, tables, vocabulary;
  bool gamma, beta;
} embedding_case;

static const int32_t *make_ids(tester *t, size_t rows, size_t vocabulary) {
  int32_t *ids = tester_memory(t, rows * sizeof *ids, false);
  for (size_t i = 0; i < rows; ++i)
    ids[i] = i == 0 ? (int32_t)vocabulary - 1 : (int32_t)tester_pick(t, vocabulary);
  return ids;
}

/* The sum is exact arithmetic of floats (of products, from s8 tables) in order, and its normalization is layer_norm_f32's, bit for bit. */
static void check_embedding(tester *t, const pith_embedding_f32_args *a) {
  const size_t n = a->features;
  float *sum = calloc(a->rows * n + 1, sizeof *sum);
  assert_non_null(sum);
  for (size_t r = 0; r < a->rows; ++r)
    for (size_t i = 0; i < n; ++i)
      for (size_t k = 0; k < a->table_count; ++k) {
        const size_t id = (size_t)(a->ids[k] ? a->ids[k][r] : 0);
        const volatile float x = a->row_scales[k] ? a->row_scales[k][id] * (float)((const int8_t *)a->tables[k])[id * n + i]
                                                  : ((const float *)a->tables[k])[id * n + i];
        sum[r * n + i] = k == 0 ? x : sum[r * n + i] + x;
      }
  if (a->gamma)
    pith_kernel_run_all(pith_layer_norm_f32_kernels[0],
                        &(pith_layer_norm_f32_args){.x = sum, .y = sum, .gamma = a->gamma, .beta = a->beta, .rows = a->rows,
                                                    .features = n, .x_stride = n, .y_stride = n, .epsilon = a->epsilon},
                        NULL);
  for (size_t r = 0; r < a->rows; ++r)
    for (size_t i = 0; i < n; ++i)
      tester_check_near(t, "y", r, i, (double)a->y[r * a->y_stride + i], (double)sum[r * n + i], 0);
  free(sum);
}

static void run_embedding(tester *t, const embedding_case *c) {
  tester_begin(t, "embedding: %zu rows of %zu, gap %zu, %zu tables of %zu, gamma %d, beta %d", c->rows, c->features, c->gap,
               c->tables, c->vocabulary, c->gamma, c->beta);
  pith_embedding_f32_args a = {.table_count = c->tables, .epsilon = 1e-12f, .rows = c->rows, .features = c->features,
                               .y_stride = c->features + c->gap};
  a.y = tester_output(t, tester_span(c->rows, c->features, a.y_stride));
  for (size_t k = 0; k < c->tables; ++k) {
    if (tester_pick(t, 2)) {
      a.tables[k] = tester_floats(t, c->vocabulary * c->features, -1, 1);
    } else {
      int8_t *table = tester_memory(t, c->vocabulary * c->features, false);
      for (size_t i = 0; i < c->vocabulary * c->features; ++i)
        table[i] = (int8_t)(tester_pick(t, 256) - 128);
      a.tables[k] = table;
      a.row_scales[k] = tester_floats(t, c->vocabulary, 1e-3f, 1e-2f);
    }
    a.ids[k] = k == 2 ? NULL : make_ids(t, c->rows, c->vocabulary);
  }
  a.gamma = c->gamma ? tester_floats(t, c->features, -2, 2) : NULL;
  a.beta = c->beta ? tester_floats(t, c->features, -2, 2) : NULL;
  a.q = want_any_rows(t, c->rows, c->features, c->gap * 3);
  a.q_factors = a.gamma ? want_any_factors(t, &a.q, c->features) : NULL;
  tester_reference(t, &a);
  check_embedding(t, &a);
  want_check_rows(t, &a.q, a.q_factors, a.y, a.y_stride, c->rows, c->features);
  tester_check_gaps(t, a.y, c->rows, c->features, a.y_stride);
  tester_compare(t, &a, NULL);
}

static void test_embedding(void **state) {
  (void)state;
  tester t;
  tester_init(&t, pith_embedding_f32_kernels);
  static const size_t rows[] = {0, 1, 3, 4, 5, 7, 16, 37};
  static const size_t features[] = {1, 15, 16, 17, 48, 101, 384};
  for (size_t i = 0; i < COUNT(rows); ++i)
    for (size_t j = 0; j < COUNT(features); ++j) {
      const size_t tables = 1 + tester_pick(&t, PITH_EMBEDDING_MAX_TABLES), kind = tester_pick(&t, 3);
      run_embedding(&t, &(embedding_case){rows[i], features[j], (i + j) % 3 * 5, tables, 1 + tester_pick(&t, 9), kind > 0, kind > 1});
    }
  for (size_t i = 0; i < 8; ++i)
    run_embedding(&t, &(embedding_case){300, 384, 0, 3, 5, i % 4 > 0, true}); /* several tasks */
  run_embedding(&t, &(embedding_case){5, 16, 0, 1, 1, false, false});
  tester_deinit(&t);
}

static void run_positions(tester *t, const size_t *lengths, size_t sequences, int32_t start, int32_t padding_id) {
  tester_begin(t, "positions: %zu sequences from %zu, start %d, padding %d", sequences, sequences ? lengths[0] : 0, start,
               padding_id);
  int32_t *offsets = tester_memory(t, (sequences + 1) * sizeof *offsets, false);
  offsets[0] = 0;
  for (size_t s = 0; s < sequences; ++s)
    offsets[s + 1] = offsets[s] + (int32_t)lengths[s];
  const size_t tokens = (size_t)offsets[sequences];
  pith_positions_args a = {.offsets = offsets, .sequences = sequences, .start = start, .padding_id = padding_id,
                           .positions = tester_memory(t, tokens * sizeof(int32_t), true)};
  int32_t *ids = tester_memory(t, tokens * sizeof *ids, false);
  for (size_t i = 0; i < tokens; ++i)
    ids[i] = (int32_t)tester_pick(t, 3);
  a.ids = padding_id >= 0 ? ids : NULL;
  tester_reference(t, &a);
  for (size_t s = 0; s < sequences; ++s) {
    int32_t counted = 0;
    for (int32_t i = offsets[s]; i < offsets[s + 1]; ++i) {
      const bool pad = padding_id >= 0 && ids[i] == padding_id;
      assert_int_equal(a.positions[i], pad ? start - 1 : start + counted);
      counted += !pad;
    }
  }
  tester_compare(t, &a, NULL);
}

static void test_positions(void **state) {
  (void)state;
  tester t;
  tester_init(&t, pith_positions_kernels);
  static const size_t lengths[] = {3, 0, 1, 17, 40};
  for (size_t sequences = 0; sequences <= COUNT(lengths); ++sequences)
    for (int32_t padding = -1; padding < 2; ++padding)
      for (int32_t start = 0; start < 3; start += 2)
        run_positions(&t, lengths, sequences, start, padding);
  tester_deinit(&t);
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_embedding), cmocka_unit_test(test_positions)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
