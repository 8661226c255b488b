/* Runs, on a stand-in for the trainer: steps, rates, measurements, what is written when, going on after any end, options that do not
 * go together. */
#include <math.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cjson/cJSON.h>
#include <cmocka.h>

#include "compiler/import/import.h"
#include "engine/base/mapped_file.h"
#include "engine/exec/model.h"
#include "tests/compiler/import_fixture.h"
#include "tests/train/fake_trainer.h"
#include "train/run.h"

#define GOLDEN PITH_SOURCE_DIR "/tests/golden/"

static pith_error error;
static folder place;
static pith_import import;
static struct pith_model model;
static pith_run_summary summary;

#define MUST(expression)                                                                                   \
  do {                                                                                                     \
    if ((expression) != PITH_OK)                                                                           \
      fail_msg("%s: %s", #expression, error.message);                                                      \
  } while (0)

enum { ROWS = 100 };

/* "FOLDER/name", for the rest of the test. */
static const char *in_place(const char *name) {
  static char paths[32][600];
  for (size_t i = 0;; i++) {
    assert_true(i < 32);
    if (paths[i][0] == '\0')
      snprintf(paths[i], sizeof paths[i], "%s/%s", place.path, name);
    if (strcmp(paths[i] + strlen(place.path) + 1, name) == 0)
      return paths[i];
  }
}

static void write_rows(const char *name, int count, int label_of_all) {
  FILE *file = fopen(in_place(name), "w");
  assert_non_null(file);
  fputs("sentence\tlabel\n", file);
  for (int i = 0; i < count; i++)
    fprintf(file, "a dog%s %d\t%d\n", i % 3 == 0 ? " sat" : "", i, label_of_all >= 0 ? label_of_all : i % 5 == 0 ? 0 : 2);
  fclose(file);
}

static int open_all(void **state) {
  (void)state;
  place = folder_make();
  pith_new_options options = PITH_NEW_OPTIONS_INIT;
  options.tokenizer_directory = GOLDEN "models/cross-encoder";
  MUST(pith_new_model(GOLDEN "models/bert-sequence/config.json", &options, &import, &error));
  model = (struct pith_model){.data = import.data};
  model.allocator = pith_default_allocator;
  write_rows("train.tsv", ROWS, -1);
  write_rows("dev.tsv", 20, -1);
  signal(SIGXFSZ, SIG_IGN);
  return 0;
}

static int close_all(void **state) {
  (void)state;
  pith_import_deinit(&import);
  folder_remove(&place);
  return 0;
}

static int reset(void **state) {
  (void)state;
  fake_trainer = (fake_trainer_knobs){.refuses = false};
  for (int i = 0; i < 2; i++) {
    static const char *const names[] = {"out.pith", "out.pith.best", "out.pith.state.0", "out.pith.state.1", "log.jsonl"};
    for (size_t n = 0; n < sizeof names / sizeof *names; n++)
      unlink(in_place(names[n]));
  }
  return 0;
}

static pith_train_options make_options(void) {
  pith_train_options o = pith_train_defaults;
  o.task = "sst2";
  o.data = in_place("train.tsv");
  o.eval_data = in_place("dev.tsv");
  o.batch = 8;
  o.epochs = 2;
  o.rate = 0.5;
  o.log_every = 5;
  return o;
}

static pith_status run(const pith_train_options *options, bool goes_on) {
  const pith_run_request request = {.options = options, .model = &model, .output = in_place("out.pith"), .resume = goes_on};
  return pith_train_run(&request, &summary, &error);
}

static bool exists(const char *name) {
  return access(in_place(name), F_OK) == 0;
}

static void expect_only_result(void) {
  assert_true(exists("out.pith"));
  assert_false(exists("out.pith.best") || exists("out.pith.state.0") || exists("out.pith.state.1"));
}

/* The bytes of the result; the caller frees them. */
static char *read_result(size_t *out_bytes) {
  return file_read(in_place("out.pith"), out_bytes);
}

/* ---- a run ----------------------------------------------------------------------------------------------------- */

static void test_measured(void **state) {
  (void)state;
  const pith_train_options o = make_options();
  MUST(run(&o, false));
  assert_int_equal(summary.steps, 26); /* 13 batches of 8 an epoch, the last of 4 */
  assert_int_equal(fake_trainer.batches, 26);
  assert_true(fabs(fake_trainer.share_sum - 26) < 1e-9);
  assert_true(summary.measured && !summary.stopped_early && summary.evaluation.n == 20);
  assert_true(summary.best_step == 13 || summary.best_step == 26);
  assert_true(summary.loss > 0 && summary.loss < 1.1 && summary.steps_per_s > 0 && summary.tokens_per_s > summary.steps_per_s);
  assert_true(fabs(fake_trainer.rate - 0.5 * 1.0 / 24) < 1e-12); /* 2 of 26 steps warm up, then down to 0 */
  expect_only_result();
  pith_model *made;
  MUST(pith_model_open(in_place("out.pith"), NULL, &made, &error));
  assert_int_equal(made->data.report_count, 1);
  assert_string_equal(made->data.report[0].metric, "accuracy");
  assert_true(made->data.report[0].value == summary.evaluation.metrics[0].value && made->data.report[0].samples == 20);
  const pith_history_entry *entry = &made->data.history[made->data.history_count - 1];
  assert_string_equal(entry->step, "train");
  cJSON *json = cJSON_Parse(entry->json);
  assert_true(cJSON_GetObjectItem(json, "step")->valuedouble == (double)summary.best_step);
  assert_true(cJSON_GetObjectItem(cJSON_GetObjectItem(json, "recipe"), "lr")->valuedouble == 0.5);
  cJSON_Delete(json);
  /* What is in the file is what was measured. */
  pith_session_options options = PITH_SESSION_OPTIONS_INIT;
  options.max_tokens = 512;
  options.max_sequences = 32;
  pith_session *session;
  pith_dataset data;
  pith_evaluation evaluation;
  MUST(pith_session_create(made, &options, &session, &error));
  MUST(pith_dataset_read(in_place("dev.tsv"), PITH_DATASET_SST2, NULL, NULL, &data, &error));
  MUST(pith_evaluate(session, pith_eval_task_find("sst2"), &data, NULL, NULL, &evaluation, &error));
  assert_true(evaluation.metrics[0].value == summary.evaluation.metrics[0].value);
  pith_dataset_deinit(&data);
  pith_session_destroy(session);
  pith_model_close(made);
}

static void test_not_measured(void **state) {
  (void)state;
  pith_train_options o = make_options();
  o.eval_data = NULL;
  MUST(run(&o, false));
  assert_true(summary.steps == 26 && !summary.measured && summary.evaluation.metric_count == 0);
  expect_only_result();
  pith_model *made;
  MUST(pith_model_open(in_place("out.pith"), NULL, &made, &error));
  assert_int_equal(made->data.report_count, 0);
  pith_model_close(made);
}

static void test_sizes(void **state) {
  (void)state;
  static const struct {
    uint64_t batch, tokens, accumulate, epochs, max_steps;
    uint64_t steps, batches;
  } cases[] = {
      {8, 0, 1, 2, 5, 5, 5},    {8, 0, 1, 2, 30, 30, 30}, /* more than two epochs */
      {8, 0, 4, 2, 0, 8, 26},   {ROWS, 0, 1, 3, 0, 3, 3}, {1000, 0, 2, 3, 0, 3, 3},
  };
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    fake_trainer = (fake_trainer_knobs){.refuses = false};
    pith_train_options o = make_options();
    o.batch = cases[i].batch;
    o.tokens_per_step = cases[i].tokens;
    o.accumulate = cases[i].accumulate;
    o.epochs = cases[i].epochs;
    o.max_steps = cases[i].max_steps;
    MUST(run(&o, false));
    assert_int_equal(summary.steps, cases[i].steps);
    assert_int_equal(fake_trainer.batches, cases[i].batches);
    assert_true(fabs(fake_trainer.share_sum - (double)cases[i].steps) < 1e-9);
  }
  fake_trainer = (fake_trainer_knobs){.refuses = false};
  pith_train_options o = make_options();
  o.batch = pith_train_defaults.batch;
  o.tokens_per_step = 40;
  MUST(run(&o, false));
  assert_true(fake_trainer.options.max_tokens <= 40 && fake_trainer.batches > 20);
}

static void test_trainer_options(void **state) {
  (void)state;
  pith_train_options o = make_options();
  static const char *const freeze[] = {"*embeddings*"};
  o.optimizer = PITH_OPTIMIZER_LAMB;
  o.class_weights = "1,2.5,0";
  o.freeze = (pith_name_patterns){1, {freeze[0]}};
  o.dropout = 0.3;
  o.classifier_dropout = 0.2;
  o.seed = 77;
  o.max_memory = 12345;
  MUST(run(&o, false));
  const pith_trainer_options *t = &fake_trainer.options;
  assert_true(t->optimizer == PITH_OPTIMIZER_LAMB && t->epsilon == 1e-6 && t->beta2 == 0.999);
  assert_true(t->dropout == 0.3 && t->attention_dropout == 0.3 && t->classifier_dropout == 0.2);
  assert_true(t->seed == 77 && t->max_memory == 12345 && !t->contrastive && t->freeze_count == 1);
  assert_true(t->weight_decay == 0.01 && t->clip == 1 && t->layer_decay == 1 && t->ema == 0);
  assert_int_equal(t->max_sequences, 8);
}

/* One label for all: accuracy is as good as it gets at once. */
static void test_patience(void **state) {
  (void)state;
  write_rows("same.tsv", ROWS, 1);
  pith_train_options o = make_options();
  o.data = o.eval_data = in_place("same.tsv");
  o.eval_every = 3;
  o.patience = 2;
  o.epochs = 10;
  o.rate = 50; /* the bias wins over the rest at the first step */
  o.warmup = 0;
  MUST(run(&o, false));
  assert_true(summary.stopped_early && summary.best_step == 3 && summary.steps == 9);
  assert_true(summary.evaluation.metrics[0].value == 1);
  expect_only_result();
}

static void test_held_out(void **state) {
  (void)state;
  pith_train_options o = make_options();
  o.eval_data = NULL;
  o.held_out = 0.25;
  o.batch = 1;
  o.epochs = 1;
  MUST(run(&o, false));
  assert_true(summary.evaluation.n > 10 && summary.evaluation.n < 40);
  assert_int_equal(summary.steps + summary.evaluation.n, ROWS);
}

static void test_head_and_layers(void **state) {
  (void)state;
  pith_train_options o = make_options();
  o.head = "classification";
  o.labels = "bad,so-so,good";
  o.layers = "1";
  MUST(run(&o, false));
  pith_model *made;
  MUST(pith_model_open(in_place("out.pith"), NULL, &made, &error));
  assert_string_equal(made->data.labels[1], "so-so");
  assert_int_equal(made->data.history_count, import.data.history_count + 3); /* layers, head, train */
  assert_int_equal(pith_graph_find_tensor(made->data.graph, "bert.encoder.layer.1.output.dense.weight"), PITH_NONE);
  pith_model_close(made);
}

/* ---- what is told ---------------------------------------------------------------------------------------------------- */

typedef struct told {
  uint64_t steps, measurements, best, last_step;
  double epoch;
} told;

static void count_news(void *context, const pith_run_news *news) {
  told *t = context;
  assert_true(news->steps == 26 && isfinite(news->loss) && news->loss > 0 && news->epoch >= t->epoch);
  t->epoch = news->epoch;
  if (news->evaluation == NULL) {
    assert_int_equal(news->step, t->last_step + 1);
    t->last_step = news->step;
    t->steps++;
  } else {
    assert_int_equal(news->step, t->last_step);
    t->measurements++;
    t->best += news->best;
  }
}

static void test_news(void **state) {
  (void)state;
  pith_train_options o = make_options();
  o.eval_every = 4;
  told t = {0};
  const pith_run_request request = {
      .options = &o, .model = &model, .output = in_place("out.pith"), .tell = count_news, .context = &t};
  MUST(pith_train_run(&request, &summary, &error));
  assert_true(t.steps == 26 && t.measurements == 7 && t.best >= 1 && t.epoch == 2);
}

/* Lines of the log: {"points": .., "evaluations": ..}, each step at most once. */
static void count_lines(const char *name, size_t *out_points, size_t *out_evaluations) {
  FILE *file = fopen(in_place(name), "r");
  assert_non_null(file);
  char line[1000];
  double last_point = 0, last_evaluation = 0;
  *out_points = *out_evaluations = 0;
  while (fgets(line, sizeof line, file) != NULL) {
    cJSON *json = cJSON_Parse(line);
    assert_true(cJSON_IsObject(json));
    const double step = cJSON_GetObjectItem(json, "step")->valuedouble;
    const cJSON *eval = cJSON_GetObjectItem(json, "eval");
    if (eval != NULL) {
      assert_true(step > last_evaluation && cJSON_IsNumber(cJSON_GetObjectItem(eval, "accuracy")));
      last_evaluation = step;
      ++*out_evaluations;
    } else {
      static const char *const keys[] = {"epoch", "loss", "lr", "norm", "steps_per_s", "tokens_per_s"};
      for (size_t k = 0; k < 6; k++)
        assert_true(cJSON_IsNumber(cJSON_GetObjectItem(json, keys[k])));
      assert_true(step > last_point);
      last_point = step;
      ++*out_points;
    }
    cJSON_Delete(json);
  }
  fclose(file);
}

static void test_log(void **state) {
  (void)state;
  pith_train_options o = make_options();
  o.log = in_place("log.jsonl");
  o.tensorboard = in_place("curves");
  MUST(run(&o, false));
  size_t points, evaluations;
  count_lines("log.jsonl", &points, &evaluations);
  assert_true(points == 6 && evaluations == 2); /* 5, 10, .. 25 and the last, 26 */
  char command[700];
  snprintf(command, sizeof command, "test $(cat %s/*tfevents* | wc -c) -gt 1500 && rm -r %s", o.tensorboard, o.tensorboard);
  assert_int_equal(system(command), 0);
  o.log = "/nowhere/log";
  o.tensorboard = NULL;
  assert_int_equal(run(&o, false), PITH_IO);
  o.log = NULL;
  o.tensorboard = "/nowhere/curves";
  assert_int_equal(run(&o, false), PITH_IO);
}

/* ---- ends ------------------------------------------------------------------------------------------------------------ */

static void test_not_finite(void **state) {
  (void)state;
  pith_train_options o = make_options();
  for (int bad_loss = 0; bad_loss < 2; bad_loss++) {
    fake_trainer = (fake_trainer_knobs){.bad_step = 17, .bad_loss = bad_loss == 1};
    assert_int_equal(run(&o, false), PITH_FORMAT);
    if (strstr(error.message, "step 17, epoch 1, batch 3 (lines ") == NULL || strstr(error.message, ", .. of ") != NULL ||
        strstr(error.message, "train.tsv): ") == NULL || strstr(error.message, "the gradient of 'classifier.bias' is not finite") == NULL ||
        (strstr(error.message, "the loss is nan; ") != NULL) != (bad_loss == 1))
      fail_msg("%s", error.message);
    assert_false(exists("out.pith"));
    assert_true(exists("out.pith.best") && exists("out.pith.state.1")); /* of the first epoch */
  }
}

static volatile int stop_flag;

static void stop_at_nine(void *context, const pith_run_news *news) {
  (void)context;
  stop_flag = news->step == 9;
}

static void expect_result(const char *wanted, size_t wanted_bytes) {
  size_t bytes;
  char *is = read_result(&bytes);
  assert_int_equal(bytes, wanted_bytes);
  assert_memory_equal(is, wanted, bytes);
  free(is);
}

static void test_stop_and_resume(void **state) {
  (void)state;
  pith_train_options o = make_options();
  o.log = in_place("log.jsonl");
  o.accumulate = 2;
  MUST(run(&o, false));
  size_t bytes, points, evaluations;
  char *whole = read_result(&bytes);
  count_lines("log.jsonl", &points, &evaluations);
  reset(NULL);
  pith_run_request request = {.options = &o,
                              .model = &model,
                              .output = in_place("out.pith"),
                              .stop = &stop_flag,
                              .tell = stop_at_nine};
  assert_int_equal(pith_train_run(&request, &summary, &error), PITH_CANCELLED);
  assert_non_null(strstr(error.message, "stopped at step 9 of 14"));
  assert_false(exists("out.pith"));
  stop_flag = 0;
  /* Lines that were written after the last checkpoint are taken back. */
  FILE *log = fopen(o.log, "a");
  fputs("{\"step\":99,\"torn", log);
  fclose(log);
  MUST(run(&o, true));
  assert_int_equal(fake_trainer.resumed_at, 9);
  assert_int_equal(summary.steps, 14);
  expect_result(whole, bytes);
  expect_only_result();
  size_t points_again, evaluations_again;
  count_lines("log.jsonl", &points_again, &evaluations_again);
  assert_true(points == points_again && evaluations == evaluations_again);
  /* Without anything to go on from, a run begins. */
  unlink(in_place("out.pith"));
  MUST(run(&o, true));
  expect_result(whole, bytes);
  free(whole);
}

static double now(void) {
  struct timespec time;
  clock_gettime(CLOCK_MONOTONIC, &time);
  return (double)time.tv_sec + (double)time.tv_nsec * 1e-9;
}

static void report_step(void *context, const pith_run_news *news) {
  assert_int_equal(write(*(int *)context, &news->step, sizeof news->step), sizeof news->step);
}

/* Runs in a process of its own, which is killed after so many seconds (0: not). Returns the last step that it told of. */
static uint64_t run_child(const pith_train_options *o, double seconds, bool *out_killed) {
  int report[2];
  assert_int_equal(pipe(report), 0);
  const pid_t child = fork();
  assert_true(child >= 0);
  if (child == 0) {
    fake_trainer.delay_us = 1000;
    const pith_run_request request = {.options = o,
                                      .model = &model,
                                      .output = in_place("out.pith"),
                                      .resume = true,
                                      .tell = report_step,
                                      .context = &report[1]};
    if (pith_train_run(&request, &summary, &error) == PITH_OK)
      _exit(0);
    fprintf(stderr, "%s\n", error.message);
    _exit(1);
  }
  close(report[1]);
  if (seconds > 0) {
    usleep((useconds_t)(seconds * 1e6));
    kill(child, SIGKILL);
  }
  int status;
  uint64_t step, last = 0;
  while (read(report[0], &step, sizeof step) == sizeof step)
    last = step;
  close(report[0]);
  assert_int_equal(waitpid(child, &status, 0), child);
  *out_killed = WIFSIGNALED(status);
  assert_true(*out_killed || status == 0);
  return last;
}

/* kill -9 at twenty moments, uniform in the time that a run takes, checkpoints and measurements included. */
static void test_kill(void **state) {
  (void)state;
  enum { MOMENTS = 20, INTERVAL = 2 };
  pith_train_options o = make_options();
  o.epochs = 3;
  o.group = 4;
  o.eval_every = 4;
  o.save_every = INTERVAL;
  bool killed;
  const double begin = now();
  assert_int_equal(run_child(&o, 0, &killed), 39);
  const double whole_time = now() - begin;
  size_t bytes;
  char *whole = read_result(&bytes);
  uint64_t in_the_middle = 0;
  for (int moment = 0; moment < MOMENTS; moment++) {
    uint64_t reached;
    double after = whole_time * (moment + 0.5) / MOMENTS;
    do { /* a run that was faster than the first one is killed earlier */
      reset(NULL);
      reached = run_child(&o, after, &killed);
      after *= 0.8;
    } while (!killed);
    in_the_middle += reached > INTERVAL;
    MUST(run(&o, true));
    assert_true(fake_trainer.resumed_at + INTERVAL >= reached && fake_trainer.resumed_at <= 39);
    expect_result(whole, bytes);
    expect_only_result();
  }
  assert_true(in_the_middle != 0);
  free(whole);
}

static void test_foreign(void **state) {
  (void)state;
  pith_train_options o = make_options();
  fake_trainer.bad_step = 20;
  assert_int_equal(run(&o, false), PITH_FORMAT);
  fake_trainer.bad_step = 0;
  pith_train_options other = o;
  other.rate = 0.4;
  assert_int_equal(run(&other, true), PITH_INVALID_ARGUMENT);
  assert_non_null(strstr(error.message, "its options differ"));
  write_rows("other.tsv", ROWS, 1);
  other = o;
  other.data = in_place("other.tsv");
  assert_int_equal(run(&other, true), PITH_INVALID_ARGUMENT);
  assert_non_null(strstr(error.message, "its data differ"));
  /* The same rows from another place, and what does not touch the weights. */
  write_rows("copy.tsv", ROWS, -1);
  other = o;
  other.data = in_place("copy.tsv");
  other.save_every = 1;
  other.log = in_place("log.jsonl");
  other.max_memory = 1 << 30;
  MUST(run(&other, true));
  assert_int_equal(fake_trainer.resumed_at, 13);
  /* A run that does not go on begins anew, and what was saved before is not taken for its own. */
  fake_trainer.bad_step = 20;
  assert_int_equal(run(&o, false), PITH_FORMAT);
  fake_trainer = (fake_trainer_knobs){.bad_step = 2};
  assert_int_equal(run(&o, false), PITH_FORMAT);
  assert_false(exists("out.pith.state.0") || exists("out.pith.state.1") || exists("out.pith.best"));
}

static void test_full_disk(void **state) {
  (void)state;
  pith_train_options o = make_options();
  MUST(run(&o, false));
  size_t bytes;
  char *whole = read_result(&bytes);
  reset(NULL);
  struct rlimit was, less;
  assert_int_equal(getrlimit(RLIMIT_FSIZE, &was), 0);
  less = was;
  less.rlim_cur = bytes / 2; /* room for data and state, not for the model */
  assert_int_equal(setrlimit(RLIMIT_FSIZE, &less), 0);
  const pith_status status = run(&o, false);
  assert_int_equal(setrlimit(RLIMIT_FSIZE, &was), 0);
  assert_int_equal(status, PITH_IO);
  assert_non_null(strstr(error.message, "out.pith.best"));
  assert_non_null(strstr(error.message, "File too large"));
  MUST(run(&o, true));
  expect_result(whole, bytes);
  free(whole);
}

static void test_refused(void **state) {
  (void)state;
  fake_trainer.refuses = true;
  pith_train_options o = make_options();
  assert_int_equal(run(&o, false), PITH_UNSUPPORTED);
  fake_trainer.refuses = false;
#define CASE(change, says)                                                                                 \
  do {                                                                                                     \
    o = make_options();                                                                                    \
    change;                                                                                                \
    assert_int_equal(run(&o, false), PITH_INVALID_ARGUMENT);                                               \
    if (strstr(error.message, says) == NULL)                                                               \
      fail_msg("%s: %s", #change, error.message);                                                          \
  } while (0)
  CASE(o.task = NULL, "task is missing");
  CASE(o.data = NULL, "data is missing");
  CASE(o.task = "sst3", "no task 'sst3'");
  CASE(o.eval_task = "pairs", "task pairs has no metric");
  CASE(o.metric = "f1", "metric is 'f1'; task sst2 has accuracy");
  CASE(o.header = true, "header goes with");
  CASE(o.held_out = 0.1, "held-out and eval-data");
  CASE(o.labels = "a,b", "head is missing");
  CASE((o.eval_data = NULL, o.patience = 1), "patience needs eval-data or held-out");
  CASE((o.eval_data = NULL, o.eval_every = 1), "eval-every needs");
  CASE((o.eval_data = NULL, o.metric = "accuracy"), "metric needs");
  CASE((o.eval_data = NULL, o.eval_task = "sst2"), "eval-task needs");
  CASE(o.momentum = 0.5, "momentum is of no use with optimizer adamw");
  CASE((o.optimizer = PITH_OPTIMIZER_SGD, o.beta1 = 0.5), "beta1 is of no use with optimizer sgd");
  CASE((o.optimizer = PITH_OPTIMIZER_SGD, o.nesterov = true, o.momentum = 0), "nesterov needs momentum");
  CASE(o.tokens_per_step = 100, "batch and tokens-per-step");
  CASE(o.warmup = 1.5, "warmup is 1.5");
  CASE(o.rate = 0, "lr is 0");
  CASE(o.temperature = 1, "temperature goes with task pairs");
  CASE(o.class_weights = "1,2", "class-weights has 2 numbers for 3 labels");
  CASE(o.class_weights = "1,2,x", "class-weights has 'x'");
  CASE(o.layers = "7", "layers: the model has 0 to 1, not 7");
  CASE(o.layers = "a", "layers has 'a'");
  CASE((o.head = "classification", o.labels = "a"), "needs labels, at least 2");
  CASE(o.graph = "0123456789abcdef", "the recipe is for another model");
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test_setup(test_measured, reset),       cmocka_unit_test_setup(test_not_measured, reset),
      cmocka_unit_test_setup(test_sizes, reset),          cmocka_unit_test_setup(test_trainer_options, reset),
      cmocka_unit_test_setup(test_patience, reset),       cmocka_unit_test_setup(test_held_out, reset),
      cmocka_unit_test_setup(test_head_and_layers, reset), cmocka_unit_test_setup(test_news, reset),
      cmocka_unit_test_setup(test_log, reset),            cmocka_unit_test_setup(test_not_finite, reset),
      cmocka_unit_test_setup(test_stop_and_resume, reset), cmocka_unit_test_setup(test_kill, reset),
      cmocka_unit_test_setup(test_foreign, reset),        cmocka_unit_test_setup(test_full_disk, reset),
      cmocka_unit_test_setup(test_refused, reset),
  };
  return cmocka_run_group_tests(tests, open_all, close_all);
}
