/* pith train as a process: it learns, what it says, what it writes, however it ends. */
#include <math.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <fcntl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include <cjson/cJSON.h>

#include "tests/cli/classifier_fixture.h"

static char curve[PATH_BYTES];

static int make_models(void **state) {
  (void)state;
  make_classifier();
  set_path(curve, "log.jsonl");
  return 0;
}

static double number(const cJSON *object, const char *key) {
  const cJSON *item = cJSON_GetObjectItemCaseSensitive(object, key);
  if (!cJSON_IsNumber(item))
    fail_msg("no number '%s'", key);
  return item->valuedouble;
}

static bool exists(const char *path, const char *ending) {
  char whole[700];
  snprintf(whole, sizeof whole, "%s%s", path, ending);
  return access(whole, F_OK) == 0;
}

#define FAST "--lr", "3e-3", "--batch", "20", "--epochs", "4", "--threads", "1"

static void test_learns(void **state) {
  (void)state;
  outcome o = run_pith(NULL, "eval", bare, "--task", "classification", "--data", dev, "--json", NULL);
  assert_success(&o);
  cJSON *json = cJSON_Parse(o.out);
  const double before = number(cJSON_GetObjectItem(json, "metrics"), "accuracy");
  cJSON_Delete(json);
  assert_true(before < 0.8);
  o = run_pith(NULL, "train", bare, TASK, FAST, "--log", curve, "--log-every", "10", "--json", "-o", out, NULL);
  assert_success(&o);
  const char *line = o.out;
  double best = 0, loss = 10;
  for (int epoch = 1; epoch <= 4; epoch++) {
    json = cJSON_ParseWithOpts(line, &line, 0);
    assert_int_equal((int)number(json, "step"), 30 * epoch);
    assert_true(number(json, "epoch") == epoch);
    const double accuracy = number(cJSON_GetObjectItem(json, "metrics"), "accuracy");
    assert_true(cJSON_IsTrue(cJSON_GetObjectItem(json, "best")) == (accuracy > best));
    best = accuracy > best ? accuracy : best;
    assert_true(number(json, "loss") < loss + 0.1);
    loss = number(json, "loss");
    cJSON_Delete(json);
  }
  json = cJSON_ParseWithOpts(line, &line, 0);
  assert_true(number(json, "steps") == 120 && number(json, "steps_per_s") > 0 && number(json, "tokens_per_s") > 0);
  assert_true(number(json, "loss") == loss && number(cJSON_GetObjectItem(json, "metrics"), "accuracy") == best);
  assert_true(best > 0.95 && loss < 0.3);
  cJSON_Delete(json);
  assert_string_equal(line, "\n");
  assert_false(exists(out, ".best") || exists(out, ".state.0") || exists(out, ".state.1"));
  o = run_pith(NULL, "eval", out, "--task", "classification", "--data", dev, "--json", NULL);
  assert_success(&o);
  json = cJSON_Parse(o.out);
  assert_true(number(cJSON_GetObjectItem(json, "metrics"), "accuracy") == best);
  cJSON_Delete(json);
  o = run_pith(NULL, "verify", out, NULL);
  assert_success(&o);
  o = run_pith(NULL, "inspect", out, NULL);
  assert_success(&o);
  assert_non_null(strstr(o.out, "report        classification accuracy"));
  assert_non_null(strstr(o.out, "f32 n64_f32: ")); /* stored as products read it */
}

/* The same file with one thread and with two, from options and from a recipe. */
static void test_same_bits(void **state) {
  (void)state;
  outcome o = run_pith(NULL, "train", bare, TASK, "--max-steps", "50", "--lr", "0.001", "--threads", "1", "-o", out, NULL);
  assert_success(&o);
  assert_non_null(strstr(o.out, "50 steps\t"));
  o = run_pith(NULL, "train", bare, TASK, "--max-steps", "50", "--lr", "0.001", "--threads", "2", "-o", other, NULL);
  assert_success(&o);
  expect_same_file(out, other);
  char text[2000];
  const int bytes = snprintf(text, sizeof text, "{\"task\":\"classification\",\"data\":\"%s\",\"eval-data\":\"%s\",\"max-steps\":9,\"lr\":0.001}",
                             train, dev);
  write_text(recipe, text, (size_t)bytes);
  o = run_pith(NULL, "train", bare, "--recipe", recipe, "--max-steps", "50", "--threads", "1", "-o", other, NULL);
  assert_success(&o);
  expect_same_file(out, other);
}

static void test_profile(void **state) {
  (void)state;
  outcome o = run_pith(NULL, "train", bare, TASK, "--max-steps", "5", "--profile", "--json", "-o", out, NULL);
  assert_success(&o);
  const char *begin = strstr(o.out, "{\"profile\":");
  assert_non_null(begin);
  cJSON *json = cJSON_ParseWithOpts(begin, NULL, 0);
  const cJSON *row, *rows = cJSON_GetObjectItem(json, "profile");
  double share = 0, updates = 0;
  cJSON_ArrayForEach(row, rows) {
    share += number(row, "share_of_time");
    if (strcmp(cJSON_GetStringValue(cJSON_GetObjectItem(row, "operator")), "update") == 0)
      updates = number(row, "calls");
  }
  assert_true(fabs(share - 1) < 1e-3 && updates == 5);
  cJSON_Delete(json);
  o = run_pith(NULL, "train", bare, TASK, "--max-steps", "5", "-o", other, NULL);
  assert_success(&o);
  assert_null(strstr(o.out, "update"));
  expect_same_file(out, other); /* timing changes nothing */
}

static pid_t start(const char *output, const char *more) {
  const pid_t child = fork();
  assert_true(child >= 0);
  if (child == 0) {
    const int nowhere = open("/dev/null", O_WRONLY), err = open(in_folder("child"), O_WRONLY | O_CREAT | O_TRUNC, 0666);
    if (nowhere < 0 || err < 0 || dup2(nowhere, STDOUT_FILENO) < 0 || dup2(err, STDERR_FILENO) < 0)
      _exit(126);
    execl(PITH_COMMAND, "pith", "train", bare, TASK, FAST, "--eval-every", "10", "--save-every", "5", "-o", output, more, NULL);
    _exit(127);
  }
  return child;
}

static int wait_for(pid_t child) {
  int status;
  assert_int_equal(waitpid(child, &status, 0), child);
  return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

static void wait_for_file(const char *path, const char *ending) {
  for (int i = 0; i < 3000 && !exists(path, ending); i++)
    usleep(10000);
  assert_true(exists(path, ending));
}

static double now(void) {
  struct timespec time;
  clock_gettime(CLOCK_MONOTONIC, &time);
  return (double)time.tv_sec + (double)time.tv_nsec * 1e-9;
}

/* Ctrl-C once, then kill -9 at moments of the rest; each time --resume. */
static void test_ends(void **state) {
  (void)state;
  const double begin = now();
  assert_int_equal(wait_for(start(out, NULL)), 0);
  const double whole = now() - begin;
  unlink(other);
  pid_t child = start(other, NULL);
  wait_for_file(other, ".state.1");
  kill(child, SIGINT);
  const int status = wait_for(child);
  if (status != 0) { /* else it was done before the signal came */
    assert_int_equal(status, 1);
    char text[600] = "";
    FILE *file = fopen(in_folder("child"), "r");
    assert_non_null(file);
    text[fread(text, 1, sizeof text - 1, file)] = '\0';
    fclose(file);
    if (strstr(text, "pith train: stopped at step ") == NULL || strstr(text, "of 120") == NULL || strstr(text, "--resume") == NULL)
      fail_msg("%s", text);
    assert_false(exists(other, ""));
  }
  for (int kills = 0; kills < 6; kills++) {
    child = start(other, "--resume");
    usleep((useconds_t)(1e6 * whole * (kills + 1) / 12));
    kill(child, SIGKILL);
    (void)wait_for(child);
  }
  assert_int_equal(wait_for(start(other, "--resume")), 0);
  expect_same_file(out, other);
  assert_false(exists(other, ".best") || exists(other, ".state.0") || exists(other, ".state.1"));
}

/* Mean loss of the first and of the last five steps in a log that has each of them. */
static void read_losses(const char *path, double *out_first, double *out_last) {
  FILE *file = fopen(path, "r");
  assert_non_null(file);
  char line[1000];
  double losses[200];
  size_t count = 0;
  while (fgets(line, sizeof line, file) != NULL) {
    cJSON *json = cJSON_Parse(line);
    if (cJSON_GetObjectItem(json, "eval") == NULL) {
      assert_true(count < 200);
      losses[count++] = number(json, "loss");
    }
    cJSON_Delete(json);
  }
  fclose(file);
  assert_true(count >= 10);
  *out_first = *out_last = 0;
  for (size_t i = 0; i < 5; i++) {
    *out_first += losses[i] / 5;
    *out_last += losses[count - 1 - i] / 5;
  }
}

/* Every kind of task, on the heads that learn it: the loss falls, and what is written holds. */
static void test_kinds(void **state) {
  (void)state;
#define GOLDEN PITH_SOURCE_DIR "/tests/golden/"
  static const char *const sources[] = {"heads/bert-question", "heads/bert-token", "heads/bert-masked",
                                        "models/sentence-mean-normalize", "models/cross-encoder-4"};
  enum { QUESTION, TOKEN, MASKED, SENTENCE, SEQUENCE, ROWS = 48 };
  char models[5][600], files[6][600], text[12000];
  for (size_t i = 0; i < 5; i++) {
    char from[600], name[40];
    snprintf(from, sizeof from, GOLDEN "%s", sources[i]);
    snprintf(name, sizeof name, "kind%zu.pith", i);
    snprintf(models[i], sizeof models[i], "%s", in_folder(name));
    outcome o = run_pith(NULL, "import", from, "-o", models[i], NULL);
    assert_success(&o);
  }
  static const char *const names[] = {"q.json", "t.txt", "m.txt", "s.csv", "p.tsv", "l.jsonl"};
  for (size_t f = 0; f < 6; f++) {
    size_t bytes = 0;
#define ADD(...) bytes += (size_t)snprintf(text + bytes, sizeof text - bytes, __VA_ARGS__)
    if (f == 0)
      ADD("{\"data\":[{\"paragraphs\":[{\"context\":\"Anna Keller moved from Basel to Odense\",\"qas\":[");
    if (f == 4)
      ADD("text\tpair\n");
    for (int i = 0; i < ROWS; i++)
      switch (f) {
      case 0:
        ADD("%s{\"question\":\"where?\",\"answers\":[{\"text\":\"Basel\",\"answer_start\":23}]}", i == 0 ? "" : ",");
        break;
      case 1:
        ADD("%s O\nOdense B-LOC\n\n", i % 2 ? "boats" : "harbour");
        break;
      case 2:
        ADD("the old harbour of Odense %s\n", i % 2 ? "where she built boats" : "in the quiet dawn");
        break;
      case 3:
        ADD("a dog%s,the cat,%d\n", i % 2 ? " sat" : "", i % 2 ? 5 : 0);
        break;
      case 4:
        ADD("a %s\tthe %s\n", i % 2 ? "dog" : "film", i % 2 ? "dog" : "film");
        break;
      default:
        ADD("{\"text\":\"a %s\",\"labels\":[%s]}\n", i % 2 ? "dog" : "film", i % 2 ? "\"a\"" : "\"a\",\"b\"");
      }
    if (f == 0)
      ADD("]}]}]}");
    assert_true(bytes < sizeof text);
    snprintf(files[f], sizeof files[f], "%s", in_folder(names[f]));
    write_text(files[f], text, bytes);
  }
  static const struct {
    int model;
    const char *task;
    int file;
    const char *head, *labels;
  } cases[] = {
      {QUESTION, "squad", 0, NULL, NULL},          {TOKEN, "entities", 1, NULL, NULL},
      {MASKED, "fill-mask", 2, NULL, NULL},        {SENTENCE, "stsb", 3, NULL, NULL},
      {SENTENCE, "pairs", 4, NULL, NULL},          {SEQUENCE, "stsb", 3, "regression", NULL},
      {SEQUENCE, "stsb", 3, "ranking", NULL},      {SEQUENCE, "multi-label", 5, "multi-label", "a,b"},
      {TOKEN, "squad", 0, "question-answering", NULL}, {QUESTION, "entities", 1, "entities", "O,B-LOC"},
  };
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    unlink(curve);
    const char *head = cases[i].head == NULL ? NULL : "--head", *labels = cases[i].labels == NULL ? NULL : "--labels";
    outcome o = run_pith(NULL, "train", models[cases[i].model], "--task", cases[i].task, "--data", files[cases[i].file], "--lr", "3e-3",
                         "--batch", "8", "--epochs", "8", "--dropout", "0", "--threads", "1", "--log", curve, "--log-every", "1", "-o",
                         out, head, cases[i].head, labels, cases[i].labels, NULL);
    if (o.status != 0)
      fail_msg("%s on %s: %s", cases[i].task, sources[cases[i].model], o.err);
    double first, last;
    read_losses(curve, &first, &last);
    if (!(last < first))
      fail_msg("%s on %s: the loss goes from %g to %g", cases[i].task, sources[cases[i].model], first, last);
    o = run_pith(NULL, "verify", out, NULL);
    assert_success(&o);
  }
}

static void test_new_head(void **state) {
  (void)state;
  outcome o = run_pith(NULL, "train", bare, "--task", "regression", "--data", train, "--head", "regression", "-o", out, NULL);
  assert_failure(&o, 1, "train.jsonl: line 1: no number as its label");
  o = run_pith(NULL, "train", bare, TASK, "--head", "classification", "--labels", "high,low", "--layers", "0", "--max-steps", "3",
               "--threads", "1", "-o", out, NULL);
  assert_success(&o);
  o = run_pith(NULL, "inspect", out, "--json", NULL);
  assert_success(&o);
  assert_non_null(strstr(o.out, "\"labels\":[\"high\",\"low\"]"));
  assert_null(strstr(o.out, "encoder.layer.1."));
}

static void test_refused(void **state) {
  (void)state;
  outcome o = run_pith(NULL, "train", bare, "-o", out, NULL);
  assert_failure(&o, 2, "--task is missing");
  o = run_pith(NULL, "train", bare, "--task", "sst3", "--data", train, "-o", out, NULL);
  assert_failure(&o, 2, "did you mean sst2");
  o = run_pith(NULL, "train", bare, TASK, NULL);
  assert_failure(&o, 2, "--output OUT.pith is missing");
  o = run_pith(NULL, "train", bare, TASK, "--lr", "fast", "-o", out, NULL);
  assert_failure(&o, 2, "--lr is 'fast'");
  o = run_pith(NULL, "train", bare, TASK, "--epoch", "3", "-o", out, NULL);
  assert_failure(&o, 2, "did you mean '--epochs'?");
  o = run_pith(NULL, "train", bare, TASK, "--freeze", "nothing*", "-o", out, NULL);
  assert_failure(&o, 1, "nothing*");
  o = run_pith(NULL, "train", bare, "--task", "squad", "--data", train, "-o", out, NULL);
  assert_failure(&o, 1, "cannot learn task squad");
  o = run_pith(NULL, "train", bare, TASK, "--max-steps", "2", "-o", "/nowhere/out.pith", NULL);
  assert_failure(&o, 1, "/nowhere");
  /* A rate that no weights survive: the step, lines of the batch and a parameter are named. */
  unlink(out);
  o = run_pith(NULL, "train", bare, TASK, "--lr", "1e3", "--clip", "0", "--warmup", "0", "--optimizer", "sgd", "--epochs", "50", "--threads",
               "1", "-o", out, NULL);
  assert_int_equal(o.status, 1);
  const char *step = strstr(o.err, "step ");
  if (step == NULL || strstr(o.err, "train.jsonl): ") == NULL || strstr(o.err, "(lines ") == NULL || strstr(o.err, "bert.") == NULL)
    fail_msg("%s", o.err);
  assert_false(exists(out, ""));
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_learns),   cmocka_unit_test(test_same_bits),
                                      cmocka_unit_test(test_profile), cmocka_unit_test(test_ends),
                                     cmocka_unit_test(test_kinds),    cmocka_unit_test(test_new_head),  cmocka_unit_test(test_refused)};
  return cmocka_run_group_tests(tests, make_models, remove_models);
}
