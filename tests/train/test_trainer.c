/* The trainer on a tiny classifier: losses fall; threads, rows that are put off, layers computed again and a restored state change no
 * bit; batches of one step add up; what cannot go on is refused. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <pthreadpool.h>

#include "tests/engine/ir_fixture.h"
#include "tests/train/trainer_fixture.h"

enum { SEQUENCES = 6, MOST_TOKENS = 60, VOCABULARY = 41, LABELS = 3 };

typedef struct batch {
  int32_t offsets[SEQUENCES + 1], ids[MOST_TOKENS], labels[SEQUENCES];
  pith_train_batch batch;
} batch;

static uint32_t random_below(uint64_t *state, uint32_t bound) {
  *state = *state * 6364136223846793005u + 1442695040888963407u;
  return (uint32_t)(*state >> 33) % bound;
}

/* A batch of sequences whose label is their first id modulo 3. */
static void make_batch(batch *b, uint64_t number, size_t sequences) {
  uint64_t state = number * 2 + 1;
  b->offsets[0] = 0;
  for (size_t i = 0; i < sequences; i++) {
    b->offsets[i + 1] = b->offsets[i] + 1 + (int32_t)random_below(&state, 9);
    for (int32_t j = b->offsets[i]; j < b->offsets[i + 1]; j++)
      b->ids[j] = (int32_t)random_below(&state, VOCABULARY);
    b->labels[i] = b->ids[b->offsets[i]] % LABELS;
  }
  b->batch = (pith_train_batch){.struct_size = sizeof(pith_train_batch), .sequences = sequences, .offsets = b->offsets, .ids = b->ids, .labels = b->labels,
                                .first_sample = number * SEQUENCES};
}

static pith_trainer_options make_options(void) {
  pith_trainer_options options = pith_trainer_defaults;
  options.max_tokens = MOST_TOKENS;
  options.max_sequences = SEQUENCES;
  options.seed = 7;
  return options;
}

static double run_step(pith_trainer *trainer, uint64_t number) {
  batch b;
  double loss;
  pith_error error = {PITH_OK, ""};
  make_batch(&b, number, SEQUENCES);
  if (pith_trainer_forward_backward(trainer, &b.batch, 1, &loss, &error) != PITH_OK ||
      pith_trainer_apply(trainer, trainer->options.optimizer == PITH_OPTIMIZER_SGD ? 2e-2 : 2e-3, NULL, &error) != PITH_OK)
    fail_msg("%s", error.message);
  return loss;
}

static void run_steps(pith_trainer *trainer, uint64_t first, uint64_t count) {
  for (uint64_t i = 0; i < count; i++)
    (void)run_step(trainer, first + i);
}

/* The weights by parameter of the model: their places in the buffer differ with what is put off. */
static void expect_same_weights(pith_trainer *a, pith_trainer *b) {
  pith_model_data x, y;
  assert_int_equal(pith_trainer_get_model(a, &x, NULL), PITH_OK);
  assert_int_equal(pith_trainer_get_model(b, &y, NULL), PITH_OK);
  for (pith_tensor_id i = 0; i < x.graph->tensor_count; i++)
    if (x.graph->tensors[i].kind == PITH_TENSOR_PARAMETER)
      assert_memory_equal(x.graph->tensors[i].data, y.graph->tensors[i].data, x.graph->tensors[i].data_bytes);
}

static bool same_weights(pith_trainer *a, pith_trainer *b) {
  assert_int_equal(a->training->value_count, b->training->value_count);
  return memcmp(a->values, b->values, a->training->value_count * sizeof(float)) == 0;
}

static void test_losses_fall(void **state) {
  (void)state;
  pith_import import = open_golden("bert-sequence");
  for (pith_optimizer_kind kind = 0; kind < PITH_OPTIMIZER_COUNT; kind++) {
    pith_trainer_options options = make_options();
    options.optimizer = kind;
    options.ema = kind == PITH_OPTIMIZER_ADAMW ? 0.5 : 0;
    options.dropout = options.attention_dropout = options.classifier_dropout = 0;
    pith_trainer *trainer = create_trainer(&import.data, &options);
    double first = 0, last = 0;
    for (uint64_t i = 0; i < 150; i++) {
      const double loss = run_step(trainer, i % 10);
      first += i < 10 ? loss : 0;
      last += i >= 140 ? loss : 0;
    }
    if (!(last < 0.75 * first))
      fail_msg("optimizer %d: the loss went from %g to %g", (int)kind, first / 10, last / 10);
    assert_int_equal(pith_trainer_get_step(trainer), 150);
    pith_trainer_destroy(trainer);
  }
  pith_import_deinit(&import);
}

static void test_threads(void **state) {
  (void)state;
  pith_import import = open_golden("bert-sequence");
  pthreadpool_t pool = pthreadpool_create(2);
  pith_trainer_options options = make_options();
  options.dense_rows = 4; /* both of words and of positions by rows; the latter are computed by the graph */
  pith_trainer *alone = create_trainer(&import.data, &options);
  options.threadpool = pool;
  pith_trainer *two = create_trainer(&import.data, &options);
  run_steps(alone, 0, 50);
  run_steps(two, 0, 50);
  pith_trainer_catch_up_all(alone);
  pith_trainer_catch_up_all(two);
  assert_true(same_weights(alone, two));
  options.seed++; /* other dropout, other weights */
  pith_trainer *other = create_trainer(&import.data, &options);
  run_steps(other, 0, 50);
  pith_trainer_catch_up_all(other);
  assert_false(same_weights(alone, other));
  pith_trainer_destroy(other);
  pith_trainer_destroy(two);
  pith_trainer_destroy(alone);
  pthreadpool_destroy(pool);
  pith_import_deinit(&import);
}

/* Tables by rows are what the dense update makes of them, however long rows wait. Clipping would add their squares in another
 * order. */
static void test_rows(void **state) {
  (void)state;
  pith_import import = open_golden("bert-sequence");
  for (pith_optimizer_kind kind = PITH_OPTIMIZER_ADAMW; kind <= PITH_OPTIMIZER_SGD; kind++) {
    pith_trainer_options options = make_options();
    options.optimizer = kind;
    options.clip = 0;
    pith_trainer *dense = create_trainer(&import.data, &options);
    assert_int_equal(dense->table_count, 0);
    options.dense_rows = 4;
    pith_trainer *rows = create_trainer(&import.data, &options);
    assert_int_equal(rows->table_count, 2);
    assert_int_equal(rows->tables[0].input, PITH_TRAINING_INPUT_IDS);
    assert_int_equal(rows->tables[1].input, PITH_TRAINING_INPUT_COUNT);
    for (uint64_t i = 0; i < 30; i++) {
      const double a = run_step(dense, i), b = run_step(rows, i);
      if (a != b)
        fail_msg("optimizer %d, step %d: the losses are %.9g and %.9g", (int)kind, (int)i, a, b);
    }
    assert_true(rows->history_count == 30);
    expect_same_weights(dense, rows);
    pith_trainer_destroy(rows);
    pith_trainer_destroy(dense);
  }
  pith_import_deinit(&import);
}

static void test_shares(void **state) {
  (void)state;
  pith_import import = open_golden("bert-sequence");
  pith_trainer_options options = make_options();
  options.dropout = options.attention_dropout = options.classifier_dropout = 0;
  options.dense_rows = 4;
  pith_trainer *whole = create_trainer(&import.data, &options), *parts = create_trainer(&import.data, &options);
  batch b;
  double loss, part, sum = 0;
  pith_error error = {PITH_OK, ""};
  make_batch(&b, 3, SEQUENCES);
  assert_int_equal(pith_trainer_forward_backward(whole, &b.batch, 1, &loss, &error), PITH_OK);
  for (size_t i = 0; i < SEQUENCES; i += 2) { /* 2 of 6 sequences at a time */
    int32_t offsets[3] = {0, b.offsets[i + 1] - b.offsets[i], b.offsets[i + 2] - b.offsets[i]};
    const pith_train_batch two = {.struct_size = sizeof two, .sequences = 2, .offsets = offsets, .ids = b.ids + b.offsets[i], .labels = b.labels + i,
                                  .first_sample = i};
    assert_int_equal(pith_trainer_forward_backward(parts, &two, 2.0 / SEQUENCES, &part, &error), PITH_OK);
    sum += part * 2 / SEQUENCES;
  }
  assert_true(fabs(sum - loss) < 1e-6 * fabs(loss));
  size_t count, same;
  const float *x = pith_trainer_get_gradients(whole, &count), *y = pith_trainer_get_gradients(parts, &same);
  assert_int_equal(count, same);
  double largest = 0, error_sum = 0;
  for (size_t i = 0; i < count; i++) {
    largest = fmax(largest, fabs((double)x[i]));
    error_sum = fmax(error_sum, fabs((double)x[i] - (double)y[i]));
  }
  assert_true(largest > 0);
  if (!(error_sum < 1e-5 * largest))
    fail_msg("the gradients of parts differ by %g where the largest is %g", error_sum, largest);
  pith_trainer_destroy(parts);
  pith_trainer_destroy(whole);
  pith_import_deinit(&import);
}

static void test_state(void **state) {
  (void)state;
  pith_import import = open_golden("bert-sequence");
  for (int average = 0; average < 2; average++) {
    pith_trainer_options options = make_options();
    options.dense_rows = 4;
    options.ema = average ? 0.9 : 0;
    pith_trainer *first = create_trainer(&import.data, &options), *second = create_trainer(&import.data, &options);
    run_steps(first, 0, 13);
    run_steps(second, 100, 5); /* all of which is replaced */
    copy_state(first, second);
    assert_int_equal(pith_trainer_get_step(second), 13);
    run_steps(first, 13, 12);
    run_steps(second, 13, 12);
    expect_same_weights(first, second);
    pith_trainer_destroy(second);
    pith_trainer_destroy(first);
  }
  pith_import_deinit(&import);
}

static void test_average(void **state) {
  (void)state;
  pith_import import = open_golden("bert-sequence");
  pith_trainer_options options = make_options();
  pith_trainer *plain = create_trainer(&import.data, &options);
  options.ema = 0.75;
  pith_trainer *averaged = create_trainer(&import.data, &options);
  const size_t count = plain->training->trained_values;
  double *want = malloc(count * sizeof *want);
  assert_non_null(want);
  for (size_t i = 0; i < count; i++)
    want[i] = (double)plain->values[i];
  for (uint64_t step = 0; step < 8; step++) {
    pith_model_data model;
    (void)run_step(plain, step);
    (void)run_step(averaged, step);
    for (size_t i = 0; i < count; i++)
      want[i] += 0.25 * ((double)plain->values[i] - want[i]);
    assert_int_equal(pith_trainer_get_model(averaged, &model, NULL), PITH_OK); /* in between, as an evaluation does */
  }
  for (size_t i = 0; i < count; i++)
    if (fabs((double)averaged->values[i] - want[i]) > 1e-6 * (1 + fabs(want[i])))
      fail_msg("average %zu is %g, not %g", i, (double)averaged->values[i], want[i]);
  pith_trainer_use_weights(averaged);
  assert_true(same_weights(plain, averaged));
  free(want);
  pith_trainer_destroy(averaged);
  pith_trainer_destroy(plain);
  pith_import_deinit(&import);
}

static void test_memory(void **state) {
  (void)state;
  pith_import import = open_golden("bert-sequence");
  pith_trainer_options options = make_options();
  pith_trainer *plain = create_trainer(&import.data, &options), *refused = NULL;
  const size_t bytes = pith_trainer_get_memory(plain);
  pith_error error = {PITH_OK, ""};
  uint64_t limit = bytes, least = 0;
  options.max_memory = 1;
  assert_int_equal(pith_trainer_create(&(struct pith_model){.data = import.data}, &options, &refused, &error), PITH_LIMIT);
  const char *digits = strstr(error.message, "takes ");
  assert_non_null(digits);
  least = strtoull(digits + 6, NULL, 10);
  assert_true(least > 0 && least < limit);
  options.max_memory = least;
  pith_trainer *again = create_trainer(&import.data, &options);
  assert_true(again->program->memory_bytes < plain->program->memory_bytes);
  run_steps(plain, 0, 20);
  run_steps(again, 0, 20);
  assert_true(same_weights(plain, again));
  pith_trainer_destroy(again);
  pith_trainer_destroy(plain);
  pith_import_deinit(&import);
}

/* Memory is given back after every other step, and in the middle of one whose gradients wait: the weights are the same. */
static void test_rest(void **state) {
  (void)state;
  pith_import import = open_golden("bert-sequence");
  pith_trainer_options options = make_options();
  options.dense_rows = 4;
  options.max_tokens = 4096; /* activations take many pages */
  pith_trainer *plain = create_trainer(&import.data, &options), *resting = create_trainer(&import.data, &options);
  pith_trainer_rest(resting);
  for (uint64_t step = 0; step < 8; step++) {
    pith_trainer *both[] = {plain, resting};
    batch b[2];
    double loss[2][2];
    make_batch(&b[0], 2 * step, SEQUENCES);
    make_batch(&b[1], 2 * step + 1, SEQUENCES);
    for (int i = 0; i < 2; i++) {
      for (int half = 0; half < 2; half++) {
        assert_int_equal(pith_trainer_forward_backward(both[i], &b[half].batch, 0.5, &loss[i][half], NULL), PITH_OK);
        if (i == 1 && step % 2 == 0)
          pith_trainer_rest(resting);
      }
      assert_int_equal(pith_trainer_apply(both[i], 1e-3, NULL, NULL), PITH_OK);
    }
    assert_memory_equal(loss[0], loss[1], sizeof *loss);
    if (step % 2 == 0)
      continue;
    pith_trainer_rest(resting);
    const size_t page = (size_t)sysconf(_SC_PAGESIZE), bytes = resting->program->buffer_bytes;
    const char *memory = pith_executor_get_memory(resting->executor), *whole = memory + (page - (uintptr_t)memory % page);
    assert_true(bytes > 16 * page);
    for (size_t at = 0; whole + at + page <= memory + bytes; at++) /* what was given back reads as 0 */
      assert_int_equal(whole[at], 0);
  }
  expect_same_weights(plain, resting);
  pith_trainer_destroy(resting);
  pith_trainer_destroy(plain);
  pith_import_deinit(&import);
}

static void expect_entry(const pith_profile_entry *entries, size_t count, const char *name, uint64_t calls) {
  uint64_t found = 0;
  for (size_t i = 0; i < count; i++)
    if (strcmp(entries[i].operator_name, name) == 0) {
      assert_true(entries[i].nanoseconds > 0);
      found += entries[i].calls;
    }
  if (found != calls)
    fail_msg("%s was called %llu times, not %llu", name, (unsigned long long)found, (unsigned long long)calls);
}

static void test_profile(void **state) {
  (void)state;
  pith_import import = open_golden("bert-sequence");
  pith_trainer_options options = make_options();
  pith_trainer *trainer = create_trainer(&import.data, &options);
  size_t count;
  (void)pith_trainer_get_profile(trainer, &count);
  assert_int_equal(count, 0);
  pith_trainer_destroy(trainer);
  options.profile = true;
  trainer = create_trainer(&import.data, &options);
  run_steps(trainer, 0, 3);
  const pith_profile_entry *entries = pith_trainer_get_profile(trainer, &count);
  const uint64_t layers = trainer->training->layer_count;
  expect_entry(entries, count, "update", 3);
  expect_entry(entries, count, "norm of gradients", 3);
  expect_entry(entries, count, "TrainingAttention", 3 * layers);
  expect_entry(entries, count, "TrainingAttentionGrad backward", 3 * layers);
  double products[3] = {0};
  for (size_t i = 0; i < count; i++) {
    const char *name = entries[i].operator_name;
    if (strncmp(name, "Gemm", 4) == 0)
      products[strstr(name, " dx") != NULL ? 1 : strstr(name, " dw") != NULL ? 2 : 0] += entries[i].flops;
  }
  assert_true(products[0] > 0 && products[1] > 0.9 * products[0] && products[1] <= products[0]);
  assert_true(products[2] == products[0]); /* each forward product has one by its weights, all but the first layers' inputs one by x */
  pith_trainer_destroy(trainer);
  pith_import_deinit(&import);
}

static void test_refusals(void **state) {
  (void)state;
  pith_import import = open_golden("bert-sequence");
  pith_trainer_options options = make_options();
  options.dense_rows = 4;
  pith_trainer *trainer = create_trainer(&import.data, &options), *none = NULL;
  pith_error error = {PITH_OK, ""};
  double loss;
  batch b;
  make_batch(&b, 1, SEQUENCES);
  expect_refused(pith_trainer_apply(trainer, 1e-3, NULL, &error), PITH_INVALID_ARGUMENT, &error, "no batch");
  b.ids[2] = VOCABULARY;
  expect_refused(pith_trainer_forward_backward(trainer, &b.batch, 1, &loss, &error), PITH_LIMIT, &error, "id 41 of token 2");
  b.ids[2] = 0;
  b.labels[1] = LABELS;
  assert_int_not_equal(pith_trainer_forward_backward(trainer, &b.batch, 1, &loss, &error), PITH_OK);
  b.labels[1] = 0;
  expect_refused(pith_trainer_forward_backward(trainer, &b.batch, 0, &loss, &error), PITH_INVALID_ARGUMENT, &error, "share");
  b.batch.sequences = SEQUENCES + 1;
  expect_refused(pith_trainer_forward_backward(trainer, &b.batch, 1, &loss, &error), PITH_LIMIT, &error, "7 sequences");
  b.batch.sequences = SEQUENCES;
  assert_int_equal(pith_trainer_forward_backward(trainer, &b.batch, 1, &loss, &error), PITH_OK);
  size_t count;
  pith_trainer_get_gradients(trainer, &count)[trainer->training->parameters[1].offset + 3] = NAN;
  const size_t value_bytes = trainer->training->value_count * sizeof(float);
  float *before = malloc(value_bytes);
  assert_non_null(before);
  memcpy(before, trainer->values, value_bytes);
  expect_refused(pith_trainer_apply(trainer, 1e-3, NULL, &error), PITH_FORMAT, &error,
                 trainer->training->graph->tensors[trainer->training->parameters[1].tensor].name);
  assert_memory_equal(before, trainer->values, value_bytes);
  free(before);
  pith_trainer_destroy(trainer);
  options.momentum = 1;
  expect_refused(pith_trainer_create(&(struct pith_model){.data = import.data}, &options, &none, &error), PITH_INVALID_ARGUMENT, &error, "momentum 1");
  pith_import_deinit(&import);
  import = open_golden("bert-model");
  options = make_options();
  expect_refused(pith_trainer_create(&(struct pith_model){.data = import.data}, &options, &none, &error), PITH_UNSUPPORTED, &error, "no head");
  pith_import_deinit(&import);
}

static void test_no_memory(void **state) {
  (void)state;
  pith_import import = open_golden("bert-sequence");
  pith_trainer_options options = make_options();
  options.dense_rows = 4;
  expect_no_memory(&import.data, options);
  pith_import_deinit(&import);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_losses_fall), cmocka_unit_test(test_threads), cmocka_unit_test(test_rows),
      cmocka_unit_test(test_shares),      cmocka_unit_test(test_state),   cmocka_unit_test(test_average),
      cmocka_unit_test(test_rest),        cmocka_unit_test(test_profile),
      cmocka_unit_test(test_memory),      cmocka_unit_test(test_refusals), cmocka_unit_test(test_no_memory),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
