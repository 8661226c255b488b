/* Sessions: the same bits however a sequence is run, and an error that names value and bound for whatever cannot be. */
#include <math.h>
#include <pthreadpool.h>
#include <stdio.h>
#include <string.h>

#include "tests/engine/exec_fixture.h"
#include "engine/exec/session_access.h"

static pith_session *make_session(const pith_model *model, const pith_session_options *options) {
  pith_session *session;
  pith_error error = {PITH_OK, ""};
  if (pith_session_create(model, options, &session, &error) != PITH_OK)
    fail_msg("%s", error.message);
  return session;
}

static pith_session_options limits(size_t tokens, size_t sequences, size_t rows) {
  pith_session_options options = PITH_SESSION_OPTIONS_INIT;
  options.max_tokens = tokens;
  options.max_sequences = sequences;
  options.max_rows = rows;
  return options;
}

static pith_result run(pith_session *session, const pith_batch *batch) {
  pith_result result = {.struct_size = sizeof result};
  pith_error error = {PITH_OK, ""};
  if (pith_session_run(session, batch, &result, &error) != PITH_OK)
    fail_msg("%s", error.message);
  return result;
}

/* ---- row o: alone, in any batch, in any order, on any CPU, with any threads --------------------------------------- */

enum { TEXTS = 12 };
static const size_t keys[TEXTS] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11};
static const size_t lengths[TEXTS] = {1, 2, 70, 3, 16, 17, 64, 31, 5, 48, 33, 7};

static void run_alone(pith_session *session, float (*out_logits)[EXEC_LABELS]) {
  static exec_fixture_batch batch;
  for (size_t i = 0; i < TEXTS; i++) {
    exec_fixture_make_batch(&batch, 1, &keys[i], &lengths[i]);
    pith_result result = run(session, &batch.batch);
    assert_int_equal(result.count, 1);
    assert_string_equal(result.outputs[0].name, "logits");
    assert_int_equal(result.outputs[0].rows, 1);
    assert_int_equal(result.outputs[0].columns, EXEC_LABELS);
    memcpy(out_logits[i], result.outputs[0].data, sizeof out_logits[i]);
  }
}

static void check_batches(pith_session *session, float (*want)[EXEC_LABELS], const char *what) {
  static exec_fixture_batch batch;
  uint64_t random = 11;
  for (int round = 0; round < 6; round++) {
    size_t order[TEXTS], some_keys[TEXTS], some_lengths[TEXTS], count = round == 0 ? TEXTS : 1 + (size_t)round * 2;
    for (size_t i = 0; i < TEXTS; i++)
      order[i] = i;
    for (size_t i = TEXTS; i-- > 1 && round != 0;) {
      size_t j = exec_fixture_random(&random) % (i + 1), swapped = order[i];
      order[i] = order[j];
      order[j] = swapped;
    }
    for (size_t i = 0; i < count; i++) {
      some_keys[i] = keys[order[i]];
      some_lengths[i] = lengths[order[i]];
    }
    exec_fixture_make_batch(&batch, count, some_keys, some_lengths);
    pith_result result = run(session, &batch.batch);
    assert_int_equal(result.outputs[0].rows, count);
    for (size_t i = 0; i < count; i++)
      if (memcmp(result.outputs[0].data + i * EXEC_LABELS, want[order[i]], sizeof want[0]) != 0)
        fail_msg("%s, round %d: sequence %zu (%zu tokens) differs from itself alone", what, round, i,
                 some_lengths[i]);
  }
}

static void test_the_same_bits_everywhere(void **state) {
  (void)state;
  exec_fixture_model fixture;
  exec_fixture_open(&fixture, EXEC_CLASSIFY);
  pthreadpool_t pools[] = {NULL, pthreadpool_create(2), pthreadpool_create(5)};
  const uint64_t have = pith_cpu_features();
  float want[TEXTS][EXEC_LABELS];
  bool first = true;
  size_t cases = 0;
  for (size_t p = 0; p < sizeof pools / sizeof *pools; p++)
    for (uint64_t mask = 0; mask < 1 << 2; mask++) { /* none, without AVX2, without AVX-512, without either */
      pith_session_options options = limits(400, TEXTS, 0);
      options.threadpool = pools[p];
      options.cpu_features_mask = mask & have;
      pith_session *session = make_session(&fixture.model, &options);
      char what[80];
      snprintf(what, sizeof what, "%zu threads, mask %llu", p == 0 ? 1 : pthreadpool_get_threads_count(pools[p]),
               (unsigned long long)mask);
      float alone[TEXTS][EXEC_LABELS];
      run_alone(session, alone);
      if (first)
        memcpy(want, alone, sizeof want);
      else if (memcmp(want, alone, sizeof want) != 0)
        fail_msg("%s: answers differ from those of one thread with all features", what);
      first = false;
      check_batches(session, want, what);
      pith_session_destroy(session);
      cases++;
    }
  assert_int_equal(cases, 12);
  for (size_t i = 0; i + 1 < TEXTS; i++)
    assert_memory_not_equal(want[i], want[i + 1], sizeof want[i]); /* the model tells texts apart */
  for (size_t p = 1; p < sizeof pools / sizeof *pools; p++)
    pthreadpool_destroy(pools[p]);
  exec_fixture_close(&fixture);
}

#if defined(__x86_64__)
/* Creating a session rounds numbers; how the caller's thread rounds must not show. */
static void test_the_same_bits_however_the_caller_rounds(void **state) {
  (void)state;
  enum { TOWARD_ZERO_FLUSHED = 0x1f80 | 3 << 13 | 1 << 15 | 1 << 6 }; /* MXCSR: rounding, FTZ, DAZ */
  exec_fixture_model fixture;
  exec_fixture_open(&fixture, EXEC_CLASSIFY);
  const pith_graph *graph = fixture.model.data.graph;
  for (uint32_t i = 0; i < graph->node_count; i++) /* the nearest f32 to 0.1 is above it */
    if (graph->nodes[i].op->id == PITH_OP_LAYER_NORMALIZATION)
      for (size_t a = 0; graph->nodes[i].op->attributes[a].name != NULL; a++)
        if (strcmp(graph->nodes[i].op->attributes[a].name, "epsilon") == 0)
          graph->nodes[i].attributes[a].f = 0.1;
  pith_session_options options = limits(400, TEXTS, 0);
  float logits[2][TEXTS][EXEC_LABELS];
  for (int changed = 0; changed < 2; changed++) {
    const unsigned saved = __builtin_ia32_stmxcsr();
    if (changed != 0)
      __builtin_ia32_ldmxcsr(TOWARD_ZERO_FLUSHED);
    pith_session *session = make_session(&fixture.model, &options);
    unsigned after = __builtin_ia32_stmxcsr();
    __builtin_ia32_ldmxcsr(saved);
    if (changed != 0)
      assert_int_equal(after & ~0x3fu, TOWARD_ZERO_FLUSHED & ~0x3fu); /* all but the sticky flags is as it was */
    run_alone(session, logits[changed]);
    pith_session_destroy(session);
  }
  assert_memory_equal(logits[0], logits[1], sizeof logits[0]);
  exec_fixture_close(&fixture);
}
#endif

/* Fusion as sessions have it, against every node run by itself on the reference kernels. */
static void test_against_unfused_references(void **state) {
  (void)state;
  static exec_fixture_batch batch;
  exec_fixture_model fixture;
  exec_fixture_open(&fixture, EXEC_VECTORS);
  pith_session_options options = limits(400, TEXTS, 0);
  pith_session *session = make_session(&fixture.model, &options);
  exec_fixture_make_batch(&batch, TEXTS, keys, lengths);
  pith_result result = run(session, &batch.batch);
  assert_int_equal(result.count, 2);
  size_t tokens = (size_t)batch.offsets[TEXTS];
  const pith_feed feeds[3] = {{batch.ids, {tokens}}, {batch.offsets, {TEXTS + 1}}, {batch.type_ids, {tokens}}};
  pith_graph_run plain;
  pith_error error = {PITH_OK, ""};
  if (pith_graph_run_init(&plain, fixture.model.data.graph, &(pith_run_options){.cpu = 0}, feeds, &error) != PITH_OK)
    fail_msg("%s", error.message);
  for (uint32_t i = 0; i < 2; i++) {
    const pith_view *view = pith_executor_get_output(plain.executor, i);
    assert_int_equal(result.outputs[i].rows, i == 0 ? tokens : TEXTS);
    assert_int_equal(result.outputs[i].columns, EXEC_HIDDEN);
    assert_memory_equal(result.outputs[i].data, view->data, pith_view_count(view) * sizeof(float));
  }
  for (size_t i = 0; i < TEXTS; i++) {
    double norm = 0;
    for (size_t j = 0; j < EXEC_HIDDEN; j++)
      norm += pow((double)result.outputs[1].data[i * EXEC_HIDDEN + j], 2);
    assert_true(fabs(norm - 1) < 1e-5);
  }
  pith_graph_run_deinit(&plain);
  pith_session_destroy(session);
  exec_fixture_close(&fixture);
}

/* ---- rows, defaults, sizes of structures -------------------------------------------------------------------------- */

static void test_rows(void **state) {
  (void)state;
  static exec_fixture_batch batch;
  exec_fixture_model fixture;
  exec_fixture_open(&fixture, EXEC_FILL_MASK);
  pith_session_options options = limits(400, TEXTS, 4);
  pith_session *session = make_session(&fixture.model, &options);
  exec_fixture_make_batch(&batch, TEXTS, keys, lengths);
  const int32_t rows[4] = {150, 3, 3, 0}, one[1] = {3};
  batch.batch.rows = rows;
  batch.batch.row_count = 4;
  pith_result result = run(session, &batch.batch);
  assert_int_equal(result.outputs[0].rows, 4);
  assert_int_equal(result.outputs[0].columns, EXEC_VOCABULARY);
  float logits[4][EXEC_VOCABULARY];
  memcpy(logits, result.outputs[0].data, sizeof logits);
  assert_memory_equal(logits[1], logits[2], sizeof logits[0]);
  assert_memory_not_equal(logits[0], logits[1], sizeof logits[0]);
  batch.batch.rows = one;
  batch.batch.row_count = 1;
  result = run(session, &batch.batch);
  assert_int_equal(result.outputs[0].rows, 1);
  assert_memory_equal(result.outputs[0].data, logits[1], sizeof logits[1]);
  batch.batch.row_count = 0;
  batch.batch.rows = NULL;
  assert_int_equal(run(session, &batch.batch).outputs[0].rows, 0);
  pith_session_destroy(session);
  exec_fixture_close(&fixture);
}

static void test_nothing_and_defaults(void **state) {
  (void)state;
  static exec_fixture_batch batch;
  exec_fixture_model fixture;
  exec_fixture_open(&fixture, EXEC_VECTORS);
  pith_session *session = make_session(&fixture.model, NULL);
  assert_int_equal(pith_session_get_max_tokens(session), EXEC_MAX_LENGTH);
  assert_int_equal(pith_session_get_max_sequences(session), 1);
  assert_int_equal(pith_session_get_max_rows(session), 16);
  pith_batch nothing = PITH_BATCH_INIT;
  pith_result result = run(session, &nothing);
  assert_int_equal(result.count, 2);
  assert_int_equal(result.outputs[0].rows, 0);
  assert_int_equal(result.outputs[1].rows, 0);
  assert_int_equal(result.outputs[1].columns, EXEC_HIDDEN);

  /* No type ids are zeros, and a structure of an older, smaller version lacks what it lacks. */
  exec_fixture_make_batch(&batch, 1, &keys[4], &lengths[4]);
  memset(batch.type_ids, 0, sizeof batch.type_ids);
  result = run(session, &batch.batch);
  float with_zeros[EXEC_HIDDEN], without[EXEC_HIDDEN];
  memcpy(with_zeros, result.outputs[1].data, sizeof with_zeros);
  batch.batch.type_ids = NULL;
  result = run(session, &batch.batch);
  memcpy(without, result.outputs[1].data, sizeof without);
  assert_memory_equal(with_zeros, without, sizeof without);
  int cancel = 1;
  batch.batch.cancel = &cancel;
  batch.batch.struct_size = offsetof(pith_batch, cancel);
  result = run(session, &batch.batch);
  assert_memory_equal(result.outputs[1].data, without, sizeof without);
  pith_session_destroy(session);
  pith_session_options small = {.struct_size = offsetof(pith_session_options, max_sequences),
                                .max_tokens = 33,
                                .max_sequences = 9};
  session = make_session(&fixture.model, &small);
  assert_int_equal(pith_session_get_max_tokens(session), 33);
  assert_int_equal(pith_session_get_max_sequences(session), 1);
  const pith_profile_entry *entries;
  size_t count = 1;
  pith_session_profile(session, &entries, &count);
  assert_int_equal(count, 0);
  count = 1;
  pith_session_profile(NULL, &entries, &count);
  assert_int_equal(count, 0);
  pith_session_destroy(session);
  exec_fixture_close(&fixture);
}

/* ---- errors --------------------------------------------------------------------------------------------------------- */

static void expect(pith_session *session, const pith_batch *batch, pith_status status, const char *text) {
  pith_result result = {.struct_size = sizeof result, .count = 9};
  pith_error error = {PITH_OK, ""};
  assert_int_equal(pith_session_run(session, batch, &result, &error), status);
  if (strstr(error.message, text) == NULL)
    fail_msg("'%s' lacks '%s'", error.message, text);
  assert_int_equal(error.status, status);
  assert_int_equal(result.count, 0);
  assert_int_equal(pith_session_run(session, batch, &result, NULL), status);
}

static void test_bad_batches(void **state) {
  (void)state;
  static exec_fixture_batch batch;
  exec_fixture_model fixture;
  exec_fixture_open(&fixture, EXEC_FILL_MASK);
  pith_session_options options = limits(100, 3, 2);
  pith_session *session = make_session(&fixture.model, &options);
  const size_t four[4] = {1, 2, 3, 4}, fives[4] = {5, 6, 7, 8};
#define FRESH(sequences) exec_fixture_make_batch(&batch, sequences, fives, four)
  FRESH(4);
  expect(session, &batch.batch, PITH_LIMIT, "4 sequences, over the session's max_sequences of 3");
  FRESH(3);
  batch.ids[4] = EXEC_VOCABULARY;
  expect(session, &batch.batch, PITH_INVALID_ARGUMENT, "input_ids[4] is 211, outside 0..210");
  batch.ids[4] = -1;
  expect(session, &batch.batch, PITH_INVALID_ARGUMENT, "input_ids[4] is -1, outside 0..210");
  FRESH(3);
  batch.type_ids[5] = 2;
  expect(session, &batch.batch, PITH_INVALID_ARGUMENT, "token_type_ids[5] is 2, outside 0..1");
  FRESH(3);
  batch.offsets[1] = 0;
  expect(session, &batch.batch, PITH_INVALID_ARGUMENT, "offsets[1] is 0 after 0");
  FRESH(3);
  batch.offsets[2] = 9;
  expect(session, &batch.batch, PITH_INVALID_ARGUMENT, "offsets[2] is 9, over the 6 rows");
  FRESH(3);
  batch.offsets[0] = 1;
  expect(session, &batch.batch, PITH_INVALID_ARGUMENT, "offsets[0] is 1, it must be 0");
  FRESH(3);
  batch.offsets[3] = -5;
  expect(session, &batch.batch, PITH_INVALID_ARGUMENT, "offsets[3] is -5, below 0");
  batch.offsets[3] = 101;
  expect(session, &batch.batch, PITH_LIMIT, "101 tokens, over the session's max_tokens of 100");
  const size_t too_long = EXEC_MAX_LENGTH + 1;
  exec_fixture_make_batch(&batch, 1, fives, &too_long);
  expect(session, &batch.batch, PITH_LIMIT, "sequence 0 has 71 tokens, over the limit of 70");
  FRESH(3);
  int32_t rows[3] = {0, 6, 1};
  batch.batch.rows = rows;
  batch.batch.row_count = 2;
  expect(session, &batch.batch, PITH_INVALID_ARGUMENT, "rows[1] is 6, outside 0..5");
  batch.batch.row_count = 3;
  expect(session, &batch.batch, PITH_LIMIT, "3 rows, over the session's max_rows of 2");
  batch.batch.row_count = 1;
  batch.batch.rows = NULL;
  expect(session, &batch.batch, PITH_INVALID_ARGUMENT, "rows is NULL");
  FRESH(3);
  batch.batch.ids = NULL;
  expect(session, &batch.batch, PITH_INVALID_ARGUMENT, "ids is NULL");
  FRESH(3);
  batch.batch.struct_size = 0;
  expect(session, &batch.batch, PITH_INVALID_ARGUMENT, "pith_batch.struct_size is 0");
  FRESH(3);
  int cancel = 1;
  batch.batch.cancel = &cancel;
  expect(session, &batch.batch, PITH_CANCELLED, "cancelled before step 0");
  cancel = 0;
  batch.batch.deadline_ns = 1;
  expect(session, &batch.batch, PITH_DEADLINE, "past the deadline");
  batch.batch.deadline_ns = UINT64_MAX;
  assert_int_equal(run(session, &batch.batch).count, 1); /* and the session still works */
  pith_session_destroy(session);
  exec_fixture_close(&fixture);

  exec_fixture_open(&fixture, EXEC_CLASSIFY);
  session = make_session(&fixture.model, &options);
  FRESH(3);
  batch.batch.rows = rows;
  batch.batch.row_count = 1;
  expect(session, &batch.batch, PITH_INVALID_ARGUMENT, "the model takes none");
  pith_session_destroy(session);
  exec_fixture_close(&fixture);
}

static void expect_create(const pith_model *model, const pith_session_options *options, pith_status status,
                          const char *text) {
  pith_error error = {PITH_OK, ""};
  pith_session *session = (pith_session *)(uintptr_t)1;
  size_t bytes;
  assert_int_equal(pith_session_create(model, options, &session, &error), status);
  if (strstr(error.message, text) == NULL)
    fail_msg("'%s' lacks '%s'", error.message, text);
  assert_null(session);
  assert_int_equal(pith_session_plan_memory(model, options, &bytes, NULL), status);
}

static void test_bad_sessions(void **state) {
  (void)state;
  exec_fixture_model fixture;
  exec_fixture_open(&fixture, EXEC_CLASSIFY);
  pith_session_options options = limits((size_t)INT32_MAX, 1, 1);
  expect_create(&fixture.model, &options, PITH_INVALID_ARGUMENT, "max_tokens is 2147483647, outside 1..2147483646");
  options = limits(10, 1, 1);
  options.struct_size = 3;
  expect_create(&fixture.model, &options, PITH_INVALID_ARGUMENT, "struct_size is 3");
  options = limits(10, 1, 1);
  const pith_allocator half = {pith_default_allocator.allocate, NULL, NULL};
  options.allocator = &half;
  expect_create(&fixture.model, &options, PITH_INVALID_ARGUMENT, "allocator lacks a function");
  fixture.model.data.max_length = 0;
  options = limits(0, 1, 1);
  expect_create(&fixture.model, &options, PITH_INVALID_ARGUMENT, "max_tokens is 0");
  pith_tensor *input = &fixture.model.data.graph->tensors[fixture.model.data.graph->inputs[0]];
  const char *name = input->name;
  input->name = "pixels";
  options = limits(10, 1, 1);
  expect_create(&fixture.model, &options, PITH_UNSUPPORTED, "the model's input 'pixels'");
  input->name = name;
  const char *symbol = fixture.model.data.graph->symbols[0];
  fixture.model.data.graph->symbols[0] = "images";
  expect_create(&fixture.model, &options, PITH_UNSUPPORTED, "the model's size 'images'");
  fixture.model.data.graph->symbols[0] = symbol;
  pith_session_destroy(make_session(&fixture.model, &options));
  assert_int_equal(pith_session_create(NULL, NULL, NULL, NULL), PITH_INVALID_ARGUMENT);
  pith_session_destroy(NULL);
  exec_fixture_close(&fixture);
}

/* ---- profile ---------------------------------------------------------------------------------------------------------- */

static void test_profile(void **state) {
  (void)state;
  static exec_fixture_batch batch;
  exec_fixture_model fixture;
  exec_fixture_open(&fixture, EXEC_CLASSIFY);
  pith_session_options options = limits(400, TEXTS, 1);
  options.profile = 1;
  pith_session *session = make_session(&fixture.model, &options);
  exec_fixture_make_batch(&batch, TEXTS, keys, lengths);
  for (int i = 0; i < 3; i++)
    run(session, &batch.batch);
  const pith_profile_entry *entries;
  size_t count;
  pith_session_profile(session, &entries, &count);
  assert_true(count > 10);
  double flops = 0, pairs = 0;
  for (size_t i = 0; i < count; i++) {
    assert_int_equal(entries[i].calls, 3);
    assert_true(entries[i].bytes > 0);
    assert_true(entries[i].last_end_ns >= entries[i].last_begin_ns);
    assert_true(i == 0 || entries[i].last_begin_ns >= entries[i - 1].last_end_ns);
    assert_non_null(entries[i].name);
    assert_non_null(entries[i].kernel);
    flops += entries[i].flops;
  }
  assert_string_equal(entries[1].operator_name, "Embedding+LayerNorm");
  for (size_t i = 0; i < TEXTS; i++)
    pairs += (double)(lengths[i] * lengths[i]);
  double tokens = batch.offsets[TEXTS];
  double layer = 2 * tokens * (4 * EXEC_HIDDEN * EXEC_HIDDEN + 2 * EXEC_HIDDEN * EXEC_INNER) + 4 * pairs * EXEC_HIDDEN;
  double head = 2.0 * TEXTS * (EXEC_HIDDEN * EXEC_HIDDEN + EXEC_HIDDEN * EXEC_LABELS);
  assert_true(fabs(flops - 3 * (2 * layer + head)) < 1);
  pith_session_destroy(session);
  exec_fixture_close(&fixture);
}

static void test_cpu_features_have_names(void **state) {
  (void)state;
  unsigned bit = 0;
  while (pith_cpu_feature_name(bit) != NULL)
    bit++;
  assert_true(bit > 0 && bit < 64);
  assert_int_equal(pith_cpu_features() >> bit, 0);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_the_same_bits_everywhere), cmocka_unit_test(test_against_unfused_references),
#if defined(__x86_64__)
      cmocka_unit_test(test_the_same_bits_however_the_caller_rounds),
#endif
      cmocka_unit_test(test_rows),                     cmocka_unit_test(test_nothing_and_defaults),
      cmocka_unit_test(test_bad_batches),              cmocka_unit_test(test_bad_sessions),
      cmocka_unit_test(test_profile),                  cmocka_unit_test(test_cpu_features_have_names),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
