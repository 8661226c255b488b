/* Training by the public interface: many steps by callbacks, machines that share gradients, what is measured and written. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "tests/train/trainer_fixture.h"
#include "train/rate.h"

enum { SEQUENCES = 6, LONGEST = 9, MOST_TOKENS = SEQUENCES * LONGEST, VOCABULARY = 41, LABELS = 3, STEPS = 12 };

typedef struct feed {
  int32_t offsets[SEQUENCES + 1], ids[MOST_TOKENS], labels[SEQUENCES];
} feed;

/* Sequences whose label is their first id modulo 3; the numbers follow from `number` alone. */
static void fill(feed *f, uint64_t number) {
  uint64_t state = number * 2 + 1;
  f->offsets[0] = 0;
  for (size_t i = 0; i < SEQUENCES; i++) {
    f->offsets[i + 1] = f->offsets[i] + 1 + (int32_t)((number + i * 5) % LONGEST);
    for (int32_t j = f->offsets[i]; j < f->offsets[i + 1]; j++) {
      state = state * 6364136223846793005u + 1442695040888963407u;
      f->ids[j] = (int32_t)((state >> 33) % VOCABULARY);
    }
    f->labels[i] = f->ids[f->offsets[i]] % LABELS;
  }
}

static pith_train_batch take(const feed *f, uint64_t number) {
  pith_train_batch batch = PITH_TRAIN_BATCH_INIT;
  batch.sequences = SEQUENCES;
  batch.offsets = f->offsets;
  batch.ids = f->ids;
  batch.labels = f->labels;
  batch.first_sample = number * SEQUENCES;
  return batch;
}

static pith_trainer_options make_options(void) {
  pith_trainer_options options = PITH_TRAINER_OPTIONS_INIT;
  options.max_tokens = MOST_TOKENS;
  options.max_sequences = SEQUENCES;
  options.dense_rows = 4; /* tables are put off where they may be */
  return options;
}

static void expect_same(const pith_trainer *a, const pith_trainer *b) {
  assert_int_equal(a->training->value_count, b->training->value_count);
  assert_memory_equal(a->values, b->values, a->training->value_count * sizeof(float));
}

/* ---- many steps ------------------------------------------------------------------------------------------ */

typedef struct watch {
  feed feed;
  uint64_t stop_at, batches, measured[STEPS], measurements;
  double losses[STEPS + 1];
} watch;

static pith_status give(void *context, uint64_t number, pith_train_batch *out_batch, pith_error *error) {
  watch *w = context;
  if (number == 1000)
    return pith_fail(error, PITH_IO, "no batch %llu", (unsigned long long)number);
  fill(&w->feed, number);
  *out_batch = take(&w->feed, number);
  w->batches++;
  return PITH_OK;
}

static pith_status measure(void *context, pith_trainer *trainer, pith_error *error) {
  (void)error;
  watch *w = context;
  w->measured[w->measurements++] = pith_trainer_get_step(trainer);
  return PITH_OK;
}

static int show(void *context, const pith_fit_progress *progress) {
  watch *w = context;
  assert_int_equal(progress->steps, STEPS);
  w->losses[progress->step] = progress->loss;
  return progress->step == w->stop_at;
}

static pith_fit_options make_fit(watch *w) {
  pith_fit_options fit = PITH_FIT_OPTIONS_INIT;
  fit.steps = STEPS;
  fit.accumulate = 2;
  fit.learning_rate = 2e-3;
  fit.warmup = 0.25;
  fit.schedule = PITH_RATE_COSINE;
  fit.context = w;
  fit.data = give;
  fit.metric = measure;
  fit.measure_every = 5;
  fit.progress = show;
  return fit;
}

static void test_fit(void **state) {
  (void)state;
  pith_import import = open_golden("bert-sequence");
  const pith_trainer_options options = make_options();
  pith_trainer *whole = create_trainer(&import.data, &options), *stopped = create_trainer(&import.data, &options), *by_hand = create_trainer(&import.data, &options);
  watch w = {0}, other = {.stop_at = 7};
  pith_error error = {PITH_OK, ""};
  pith_fit_options fit = make_fit(&w);
  if (pith_trainer_fit(whole, &fit, &error) != PITH_OK)
    fail_msg("%s", error.message);
  assert_int_equal(w.batches, 2 * STEPS);
  assert_int_equal(w.measurements, 3);
  assert_int_equal(w.measured[0], 5);
  assert_int_equal(w.measured[1], 10);
  assert_int_equal(w.measured[2], STEPS);
  /* Stopped, and gone on with. */
  fit = make_fit(&other);
  assert_int_equal(pith_trainer_fit(stopped, &fit, &error), PITH_CANCELLED);
  assert_string_equal(error.message, "stopped at step 7 of 12");
  other.stop_at = 0;
  assert_int_equal(pith_trainer_fit(stopped, &fit, &error), PITH_OK);
  expect_same(whole, stopped);
  /* The same steps one by one. */
  const pith_rate rate = {PITH_RATE_COSINE, 2e-3, 3, STEPS};
  for (uint64_t step = 0; step < STEPS; step++) {
    double loss, sum = 0;
    for (uint64_t i = 0; i < 2; i++) {
      fill(&other.feed, 2 * step + i);
      const pith_train_batch batch = take(&other.feed, 2 * step + i);
      assert_int_equal(pith_trainer_forward_backward(by_hand, &batch, 0.5, &loss, &error), PITH_OK);
      sum += loss / 2;
    }
    assert_true(sum == w.losses[step + 1]);
    assert_int_equal(pith_trainer_apply(by_hand, pith_rate_at(&rate, step), NULL, &error), PITH_OK);
  }
  expect_same(whole, by_hand);
  pith_trainer_destroy(whole);
  pith_trainer_destroy(stopped);
  pith_trainer_destroy(by_hand);
  pith_import_deinit(&import);
}

static void test_refusals(void **state) {
  (void)state;
  pith_import import = open_golden("bert-sequence");
  pith_trainer_options options = make_options();
  pith_trainer *trainer = create_trainer(&import.data, &options), *none = NULL;
  watch w = {0};
  pith_error error = {PITH_OK, ""};
  pith_fit_options fit = make_fit(&w);
  fit.data = NULL;
  expect_refused(pith_trainer_fit(trainer, &fit, &error), PITH_INVALID_ARGUMENT, &error, "no batches");
  fit = make_fit(&w);
  fit.learning_rate = NAN;
  expect_refused(pith_trainer_fit(trainer, &fit, &error), PITH_INVALID_ARGUMENT, &error, "learning_rate nan");
  fit = make_fit(&w);
  fit.schedule = (pith_rate_kind)9;
  expect_refused(pith_trainer_fit(trainer, &fit, &error), PITH_INVALID_ARGUMENT, &error, "schedule 9");
  fit = make_fit(&w);
  fit.struct_size = 3;
  expect_refused(pith_trainer_fit(trainer, &fit, &error), PITH_INVALID_ARGUMENT, &error, "pith_fit_options.struct_size is 3");
  fit = make_fit(&w);
  fit.accumulate = 1000;
  expect_refused(pith_trainer_fit(trainer, &fit, &error), PITH_IO, &error, "no batch 1000");
  pith_metric metric;
  size_t count;
  expect_refused(pith_trainer_evaluate(trainer, "sst3", "x", 1, &metric, &count, &error), PITH_INVALID_ARGUMENT, &error, "sst3");
  expect_refused(pith_trainer_evaluate(trainer, "sst2", "/nowhere.tsv", 1, &metric, &count, &error), PITH_IO, &error, "/nowhere.tsv");
  expect_refused(pith_trainer_save(trainer, "/nowhere/m.pith", &error), PITH_IO, &error, "/nowhere/");
  pith_trainer_destroy(trainer);
  expect_refused(pith_trainer_create(NULL, &options, &none, &error), PITH_INVALID_ARGUMENT, &error, "model");
  options.struct_size = 0;
  expect_refused(pith_trainer_create(&(struct pith_model){.data = import.data}, &options, &none, &error), PITH_INVALID_ARGUMENT, &error,
                 "pith_trainer_options.struct_size is 0");
  pith_import_deinit(&import);
}

/* ---- several machines ------------------------------------------------------------------------------------- */

typedef struct machines {
  float *mean; /* of all machines' gradients */
  size_t count, calls;
  bool fails;
} machines;

static pith_status reduce(void *context, float *gradients, size_t count, pith_error *error) {
  machines *m = context;
  if (m->fails)
    return pith_fail(error, PITH_IO, "a machine is gone");
  assert_int_equal(count, m->count);
  memcpy(gradients, m->mean, count * sizeof *gradients);
  m->calls++;
  return PITH_OK;
}

/* Two trainers on half of a batch each go the way of one on the whole batch. */
static void test_machines(void **state) {
  (void)state;
  pith_import import = open_golden("bert-sequence");
  machines shared = {0};
  pith_trainer_options options = make_options();
  options.dropout = options.attention_dropout = options.classifier_dropout = 0;
  pith_trainer *alone = create_trainer(&import.data, &options);
  options.reduce = reduce;
  options.context = &shared;
  pith_trainer *pair[2] = {create_trainer(&import.data, &options), create_trainer(&import.data, &options)};
  pith_error error = {PITH_OK, ""};
  (void)pith_trainer_get_gradients(pair[0], &shared.count);
  shared.mean = malloc(shared.count * sizeof(float));
  assert_non_null(shared.mean);
  for (uint64_t step = 0; step < STEPS; step++) {
    feed f;
    double loss;
    fill(&f, step);
    const pith_train_batch whole = take(&f, step);
    assert_int_equal(pith_trainer_forward_backward(alone, &whole, 1, &loss, &error), PITH_OK);
    memset(shared.mean, 0, shared.count * sizeof(float));
    for (int i = 0; i < 2; i++) {
      pith_train_batch half = whole;
      int32_t offsets[SEQUENCES / 2 + 1];
      half.sequences = SEQUENCES / 2;
      for (size_t j = 0; j <= half.sequences; j++)
        offsets[j] = f.offsets[(size_t)i * half.sequences + j] - f.offsets[(size_t)i * half.sequences];
      half.offsets = offsets;
      half.ids += f.offsets[(size_t)i * half.sequences];
      half.labels += (size_t)i * half.sequences;
      size_t count;
      assert_int_equal(pith_trainer_forward_backward(pair[i], &half, 1, &loss, &error), PITH_OK);
      const float *gradients = pith_trainer_get_gradients(pair[i], &count);
      for (size_t j = 0; j < count; j++)
        shared.mean[j] += gradients[j] / 2;
    }
    assert_int_equal(pith_trainer_apply(alone, 2e-3, NULL, &error), PITH_OK);
    for (int i = 0; i < 2; i++)
      assert_int_equal(pith_trainer_apply(pair[i], 2e-3, NULL, &error), PITH_OK);
  }
  assert_int_equal(shared.calls, 2 * STEPS);
  expect_same(pair[0], pair[1]);
  pith_model_data one, many;
  assert_int_equal(pith_trainer_get_model(alone, &one, NULL), PITH_OK);
  assert_int_equal(pith_trainer_get_model(pair[0], &many, NULL), PITH_OK);
  size_t far = 0, compared = 0;
  for (pith_tensor_id i = 0; i < one.graph->tensor_count; i++) {
    const pith_tensor *a = &one.graph->tensors[i], *b = &many.graph->tensors[i];
    if (a->kind != PITH_TENSOR_PARAMETER || strstr(a->name, ".key.bias") != NULL) /* whose gradient is rounding alone */
      continue;
    for (size_t j = 0; j < a->data_bytes / sizeof(float); j++, compared++)
      far += !(fabs((double)((const float *)a->data)[j] - (double)((const float *)b->data)[j]) <= 1e-4);
  }
  assert_true(compared > 1000 && far * 1000 <= compared);
  shared.fails = true;
  feed f;
  double loss;
  fill(&f, 0);
  const pith_train_batch batch = take(&f, 0);
  assert_int_equal(pith_trainer_forward_backward(pair[1], &batch, 1, &loss, &error), PITH_OK);
  expect_refused(pith_trainer_apply(pair[1], 2e-3, NULL, &error), PITH_IO, &error, "a machine is gone");
  expect_same(pair[0], pair[1]);
  free(shared.mean);
  pith_trainer_destroy(alone);
  pith_trainer_destroy(pair[0]);
  pith_trainer_destroy(pair[1]);
  pith_import_deinit(&import);
}

/* ---- what comes out --------------------------------------------------------------------------------------- */

static double evaluate(pith_trainer *trainer, const char *data) {
  pith_metric metrics[2] = {{0}};
  size_t count = 0;
  pith_error error = {PITH_OK, ""};
  if (pith_trainer_evaluate(trainer, "classification", data, 2, metrics, &count, &error) != PITH_OK)
    fail_msg("%s", error.message);
  assert_int_equal(count, 3);
  assert_string_equal(metrics[0].name, "accuracy");
  assert_string_equal(metrics[1].name, "f1");
  return metrics[0].value;
}

/* What was learnt is measured, written, and measured again by whoever opens the file. */
static void test_evaluate_and_save(void **state) {
  (void)state;
  const char *folder = getenv("TMPDIR");
  char data[600], path[600];
  snprintf(data, sizeof data, "%s/pith-fit-%d.jsonl", folder == NULL ? "/tmp" : folder, (int)getpid());
  snprintf(path, sizeof path, "%s/pith-fit-%d.pith", folder == NULL ? "/tmp" : folder, (int)getpid());
  FILE *file = fopen(data, "w");
  assert_non_null(file);
  feed f;
  for (uint64_t number = 0; number < 8; number++) {
    fill(&f, number);
    for (size_t i = 0; i < SEQUENCES; i++) {
      fprintf(file, "{\"ids\":[");
      for (int32_t j = f.offsets[i]; j < f.offsets[i + 1]; j++)
        fprintf(file, "%s%d", j == f.offsets[i] ? "" : ",", f.ids[j]);
      fprintf(file, "],\"label\":%d}\n", f.labels[i]);
    }
  }
  fclose(file);
  pith_import import = open_golden("bert-sequence");
  pith_trainer_options options = make_options();
  options.dropout = options.attention_dropout = options.classifier_dropout = 0;
  pith_trainer *trainer = create_trainer(&import.data, &options);
  pith_error error = {PITH_OK, ""};
  const double before = evaluate(trainer, data);
  for (uint64_t step = 0; step < 160; step++) {
    double loss;
    fill(&f, step % 8);
    const pith_train_batch batch = take(&f, step % 8);
    assert_int_equal(pith_trainer_forward_backward(trainer, &batch, 1, &loss, &error), PITH_OK);
    assert_int_equal(pith_trainer_apply(trainer, 2e-3, NULL, &error), PITH_OK);
  }
  const double after = evaluate(trainer, data);
  assert_true(before < 0.6 && after > 0.95);
  if (pith_trainer_save(trainer, path, &error) != PITH_OK)
    fail_msg("%s", error.message);
  pith_trainer_destroy(trainer);
  pith_model *model;
  assert_int_equal(pith_model_open(path, NULL, &model, &error), PITH_OK);
  assert_int_equal(pith_trainer_create(model, &options, &trainer, &error), PITH_OK);
  assert_true(evaluate(trainer, data) == after);
  assert_string_equal(model->data.history[model->data.history_count - 1].step, "train");
  pith_trainer_destroy(trainer);
  pith_model_close(model);
  pith_import_deinit(&import);
  unlink(data);
  unlink(path);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_fit),
      cmocka_unit_test(test_refusals),
      cmocka_unit_test(test_machines),
      cmocka_unit_test(test_evaluate_and_save),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
