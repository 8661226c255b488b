#include <float.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ops/attention/attention_f32.h"
#include "tests/ops/kernel_tester.h"

enum { MAX_SEQUENCES = 8 };

typedef struct attention_case {
  const char *name;
  size_t queries[MAX_SEQUENCES], keys[MAX_SEQUENCES], sequences;
  size_t heads, head_size, value_size, gap; /* gap: elements added to each stride, different for each tensor */
  float range;                              /* of queries and keys */
  bool causal;
} attention_case;

static size_t total(const size_t *lengths, size_t count) {
  size_t sum = 0;
  for (size_t i = 0; i < count; ++i)
    sum += lengths[i];
  return sum;
}

static size_t longest(const size_t *lengths, size_t count) {
  size_t max = 0;
  for (size_t i = 0; i < count; ++i)
    max = lengths[i] > max ? lengths[i] : max;
  return max;
}

static int32_t *make_offsets(tester *t, const size_t *lengths, size_t count) {
  int32_t *out = tester_memory(t, (count + 1) * sizeof *out, false);
  out[0] = 0;
  for (size_t i = 0; i < count; ++i)
    out[i + 1] = out[i] + (int32_t)lengths[i];
  return out;
}

static void list(char *out, size_t capacity, const size_t *lengths, size_t count) {
  size_t used = 0;
  out[0] = 0;
  for (size_t i = 0; i < count && used < capacity; ++i)
    used += (size_t)snprintf(out + used, capacity - used, " %zu", lengths[i]);
}

static pith_attention_f32_args make_args(tester *t, const attention_case *c) {
  char queries[128], keys[128];
  list(queries, sizeof queries, c->queries, c->sequences);
  list(keys, sizeof keys, c->keys, c->sequences);
  tester_begin(t, "%s, queries%s, keys%s, %zu heads of %zu and %zu, gap %zu, range %g, causal %d", c->name, queries, keys,
               c->heads, c->head_size, c->value_size, c->gap, (double)c->range, c->causal);
  const size_t nq = total(c->queries, c->sequences), nk = total(c->keys, c->sequences);
  const size_t f = c->heads * c->head_size, g = c->heads * c->value_size;
  pith_attention_f32_args a = {
      .q_stride = f + c->gap,
      .k_stride = f + 2 * c->gap,
      .v_stride = g + 3 * c->gap,
      .y_stride = g + c->gap,
      .q_offsets = make_offsets(t, c->queries, c->sequences),
      .kv_offsets = make_offsets(t, c->keys, c->sequences),
      .sequences = c->sequences,
      .heads = c->heads,
      .head_size = c->head_size,
      .value_size = c->value_size,
      .scale = 1.0f / sqrtf((float)(c->head_size > 0 ? c->head_size : 1)),
      .causal = c->causal,
      .max_keys = longest(c->keys, c->sequences),
  };
  a.y = tester_output(t, tester_span(nq, g, a.y_stride));
  a.q = tester_floats(t, tester_span(nq, f, a.q_stride), -c->range, c->range);
  a.k = tester_floats(t, tester_span(nk, f, a.k_stride), -c->range, c->range);
  a.v = tester_floats(t, tester_span(nk, g, a.v_stride), -1, 1);
  return a;
}

/* One query row in doubles; out: [value_size]. The largest |score| is returned: errors grow with it. */
static double naive_row(const pith_attention_f32_args *a, size_t query, size_t first_key, size_t visible, size_t head,
                        double *out) {
  double *score = malloc((visible + 1) * sizeof *score), max = -INFINITY, sum = 0, largest = 0;
  assert_non_null(score);
  for (size_t j = 0; j < visible; ++j) {
    double dot = 0, size = 0;
    for (size_t f = 0; f < a->head_size; ++f) {
      const double p = (double)a->q[query * a->q_stride + head * a->head_size + f] *
                       (double)a->k[(first_key + j) * a->k_stride + head * a->head_size + f];
      dot += p;
      size += fabs(p);
    }
    score[j] = dot * (double)a->scale;
    largest = fmax(largest, size * (double)a->scale);
    max = fmax(max, score[j]);
  }
  for (size_t j = 0; j < visible; ++j)
    sum += score[j] = exp(score[j] - max);
  for (size_t f = 0; f < a->value_size; ++f) {
    double y = 0;
    for (size_t j = 0; j < visible; ++j)
      y += score[j] * (double)a->v[(first_key + j) * a->v_stride + head * a->value_size + f];
    out[f] = visible > 0 ? y / sum : 0;
  }
  free(score);
  return largest;
}

static size_t visible_keys(const pith_attention_f32_args *a, size_t queries, size_t keys, size_t i) {
  if (!a->causal)
    return keys;
  const ptrdiff_t last = (ptrdiff_t)i + (ptrdiff_t)keys - (ptrdiff_t)queries;
  return last < 0 ? 0 : (size_t)last + 1;
}

static void check_naive(tester *t, const pith_attention_f32_args *a) {
  double *want = malloc((a->value_size + 1) * sizeof *want);
  assert_non_null(want);
  for (size_t s = 0; s < a->sequences; ++s) {
    const size_t q0 = (size_t)a->q_offsets[s], k0 = (size_t)a->kv_offsets[s];
    const size_t queries = (size_t)a->q_offsets[s + 1] - q0, keys = (size_t)a->kv_offsets[s + 1] - k0;
    for (size_t i = 0; i < queries; ++i)
      for (size_t h = 0; h < a->heads; ++h) {
        const double size = naive_row(a, q0 + i, k0, visible_keys(a, queries, keys, i), h, want);
        /* scores err by about 2^-24 sqrt(head_size) of their terms' size, the rest by a few 2^-24 */
        const double limit = 1.2e-7 * (8 + 2 * size * (1 + sqrt((double)a->head_size)));
        for (size_t f = 0; f < a->value_size; ++f)
          tester_check_near(t, "y", q0 + i, h * a->value_size + f, a->y[(q0 + i) * a->y_stride + h * a->value_size + f],
                            want[f], limit);
      }
  }
  free(want);
}

static void run_case(tester *t, const attention_case *c) {
  pith_attention_f32_args a = make_args(t, c);
  tester_reference(t, &a);
  check_naive(t, &a);
  tester_check_gaps(t, a.y, total(c->queries, c->sequences), c->heads * c->value_size, a.y_stride);
  tester_compare(t, &a, NULL);
}

static void test_sizes(void **state) {
  (void)state;
  tester t;
  tester_init(&t, pith_attention_f32_kernels);
  static const size_t lengths[] = {1, 2, 11, 12, 13, 15, 16, 17, 23, 24, 25, 31, 33, 47, 49, 53, 63, 64, 65, 97, 129};
  static const size_t heads[] = {1, 2, 3, 8, 15, 16, 17, 31, 32, 33, 48, 64, 65, 96, 127};
  for (size_t i = 0; i < sizeof lengths / sizeof *lengths; ++i) { /* every length at the two common sizes */
    for (size_t size = 32; size <= 64; size *= 2)
      run_case(&t, &(attention_case){"length", {lengths[i]}, {lengths[i]}, 1, 1, size, size, 0, 2, i % 2});
  }
  for (size_t i = 0; i < sizeof heads / sizeof *heads; ++i) /* every head size, twice: as features, as values */
    for (size_t gap = 0; gap < 2; ++gap) {
      run_case(&t, &(attention_case){"head", {19}, {21}, 1, 2, heads[i], 5, gap * 7, 2, false});
      run_case(&t, &(attention_case){"value", {26}, {18}, 1, 2, 4, heads[i], gap * 5, 2, false});
    }
  for (size_t i = 0; i < 60; ++i) { /* anything */
    attention_case c = {.name = "random", .sequences = 1 + tester_pick(&t, MAX_SEQUENCES), .heads = 1 + tester_pick(&t, 3),
                        .head_size = 1 + tester_pick(&t, 40), .value_size = 1 + tester_pick(&t, 40),
                        .gap = tester_pick(&t, 9), .range = 2, .causal = tester_pick(&t, 2)};
    for (size_t s = 0; s < c.sequences; ++s) {
      c.queries[s] = tester_pick(&t, 40);
      c.keys[s] = tester_pick(&t, 2) ? c.queries[s] : tester_pick(&t, 40);
    }
    run_case(&t, &c);
  }
  tester_deinit(&t);
}

static void test_long(void **state) {
  (void)state;
  tester t;
  tester_init(&t, pith_attention_f32_kernels);
  run_case(&t, &(attention_case){"many parts", {211}, {211}, 1, 1, 32, 32, 0, 2, false});
  run_case(&t, &(attention_case){"many parts", {211}, {223}, 1, 1, 32, 32, 0, 2, true});
  run_case(&t, &(attention_case){"uneven", {3, 150, 1, 40}, {3, 150, 1, 40}, 4, 2, 32, 32, 3, 2, false});
  tester_deinit(&t);
}

static void test_empty(void **state) {
  (void)state;
  tester t;
  tester_init(&t, pith_attention_f32_kernels);
  run_case(&t, &(attention_case){"no sequence", {0}, {0}, 0, 2, 32, 32, 0, 2, false});
  run_case(&t, &(attention_case){"no query", {0, 3}, {5, 3}, 2, 2, 8, 8, 0, 2, false});
  run_case(&t, &(attention_case){"no key: zeros", {4, 3}, {0, 3}, 2, 2, 8, 8, 0, 2, false});
  run_case(&t, &(attention_case){"no head", {4}, {4}, 1, 0, 8, 8, 3, 2, false});
  run_case(&t, &(attention_case){"no feature: the mean", {4}, {5}, 1, 2, 0, 8, 0, 2, false});
  run_case(&t, &(attention_case){"causal, early queries see nothing", {40}, {7}, 1, 2, 8, 8, 0, 2, true});
  tester_deinit(&t);
}

static void test_extremes(void **state) {
  (void)state;
  tester t;
  tester_init(&t, pith_attention_f32_kernels);
  static const float ranges[] = {0, 1e-40f, 1e-20f, 20, 1e4f, 1e17f};
  for (size_t i = 0; i < sizeof ranges / sizeof *ranges; ++i)
    for (int causal = 0; causal < 2; ++causal) {
      const attention_case c = {"extremes", {29, 16}, {29, 16}, 2, 2, 32, 32, 1, ranges[i], causal};
      pith_attention_f32_args a = make_args(&t, &c);
      tester_reference(&t, &a);
      for (size_t row = 0; row < 45; ++row)
        for (size_t f = 0; f < 64; ++f)
          tester_check_near(&t, "|y| <= 1", row, f, a.y[row * a.y_stride + f], 0, 1.000001);
      if (ranges[i] < 1e-10f)
        check_naive(&t, &a); /* all keys weigh the same */
      tester_compare(&t, &a, NULL);
    }
  tester_deinit(&t);
}

/* Every score is far below 0: what stands behind the last key must not be the maximum, for all weights would vanish. */
static void test_low_scores(void **state) {
  (void)state;
  tester t;
  tester_init(&t, pith_attention_f32_kernels);
  static const size_t lengths[] = {1, 15, 21, 40, 53, 75, 127};
  for (size_t i = 0; i < sizeof lengths / sizeof *lengths; ++i)
    for (int causal = 0; causal < 2; ++causal) {
      const attention_case c = {"low", {lengths[i]}, {lengths[i]}, 1, 2, 32, 32, 0, 1, causal};
      pith_attention_f32_args a = make_args(&t, &c);
      float *q = (float *)(uintptr_t)a.q, *k = (float *)(uintptr_t)a.k;
      for (size_t j = 0; j < lengths[i] * 64; ++j) {
        q[j] = 6.0f + q[j];
        k[j] = -6.0f + k[j];
      }
      tester_reference(&t, &a);
      check_naive(&t, &a);
      tester_compare(&t, &a, NULL);
    }
  tester_deinit(&t);
}

/* A NaN stays in its sequence and head. */
static void test_nan(void **state) {
  (void)state;
  tester t;
  tester_init(&t, pith_attention_f32_kernels);
  const attention_case c = {"NaN", {20, 20, 20}, {20, 20, 20}, 3, 2, 32, 32, 0, 2, false};
  pith_attention_f32_args a = make_args(&t, &c);
  float *q = (float *)(uintptr_t)a.q;
  q[25 * a.q_stride + 3] = NAN; /* sequence 1, query 5, head 0 */
  tester_reference(&t, &a);
  for (size_t row = 0; row < 60; ++row)
    for (size_t f = 0; f < 64; ++f)
      if ((isnan(a.y[row * a.y_stride + f]) != 0) != (row == 25 && f < 32))
        tester_fail(&t, "y[%zu, %zu] is %g", row, f, (double)a.y[row * a.y_stride + f]);
  tester_compare(&t, &a, NULL);
  tester_deinit(&t);
}

/* What a query does not see cannot reach it, whatever it is. */
static void test_causal_unseen(void **state) {
  (void)state;
  static const float bad[] = {INFINITY, -INFINITY, NAN, 3e38f};
  tester t;
  tester_init(&t, pith_attention_f32_kernels);
  for (size_t i = 0; i < 2 * sizeof bad / sizeof *bad; ++i)
    for (size_t keys = 41; keys <= 59; keys += 9) { /* fewer keys than queries, as many, more */
      const size_t value_size = i % 2 ? 32 : 83, from = 7 + 3 * i;
      const attention_case c = {"unseen", {50}, {keys}, 1, 2, 32, value_size, 0, 2, true};
      pith_attention_f32_args a = make_args(&t, &c);
      tester_reference(&t, &a);
      float *clean = malloc(50 * a.y_stride * sizeof *clean);
      assert_non_null(clean);
      memcpy(clean, a.y, 50 * a.y_stride * sizeof *clean);
      for (size_t key = from; key < keys; ++key) {
        float *k = (float *)(uintptr_t)a.k + key * a.k_stride, *v = (float *)(uintptr_t)a.v + key * a.v_stride;
        for (size_t f = 0; f < a.v_stride; ++f)
          v[f] = bad[i / 2];
        k[key % a.k_stride] = bad[i / 2];
      }
      tester_reference(&t, &a);
      for (size_t row = 0; row < 50 && visible_keys(&a, 50, keys, row) <= from; ++row)
        if (memcmp(a.y + row * a.y_stride, clean + row * a.y_stride, a.y_stride * sizeof *clean) != 0)
          tester_fail(&t, "row %zu is not what it is without keys from %zu", row, from);
      free(clean);
      tester_compare(&t, &a, NULL);
    }
  tester_deinit(&t);
}

/* Every sequence alone gives the bits that it has in the batch. */
static void test_alone(void **state) {
  (void)state;
  tester t;
  tester_init(&t, pith_attention_f32_kernels);
  for (int causal = 0; causal < 2; ++causal) {
    const attention_case c = {"alone", {17, 64, 5, 90}, {17, 64, 5, 90}, 4, 2, 32, 32, 0, 2, causal};
    pith_attention_f32_args a = make_args(&t, &c);
    tester_reference(&t, &a);
    float *batch = malloc(176 * 64 * sizeof *batch);
    assert_non_null(batch);
    memcpy(batch, a.y, 176 * 64 * sizeof *batch);
    tester_compare(&t, &a, NULL);
    for (size_t s = 0; s < c.sequences; ++s) {
      const size_t first = (size_t)a.q_offsets[s], count = c.queries[s];
      const int32_t offsets[2] = {0, (int32_t)count};
      pith_attention_f32_args one = a;
      one.q += first * a.q_stride;
      one.k += first * a.k_stride;
      one.v += first * a.v_stride;
      one.q_offsets = one.kv_offsets = offsets;
      one.sequences = 1;
      for (size_t row = 0; t.table[row]; ++row) {
        if ((t.table[row]->needs & ~pith_cpu_detect()) != 0)
          continue;
        void *scratch = aligned_alloc(64, (t.table[row]->get_scratch_bytes(&one) + 63) / 64 * 64);
        assert_non_null(scratch);
        pith_kernel_run_all(t.table[row], &one, scratch);
        free(scratch);
        if (memcmp(one.y, batch + first * 64, count * 64 * sizeof(float)) != 0)
          tester_fail(&t, "%s: sequence %zu alone differs", t.table[row]->name, s);
      }
    }
    free(batch);
  }
  tester_deinit(&t);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_sizes), cmocka_unit_test(test_long), cmocka_unit_test(test_empty),
      cmocka_unit_test(test_extremes), cmocka_unit_test(test_low_scores), cmocka_unit_test(test_nan),
      cmocka_unit_test(test_causal_unseen), cmocka_unit_test(test_alone),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
