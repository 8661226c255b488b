/* pith train with a teacher and with pruning, as a process: what it learns and writes, however it ends. */
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

static char unlabelled[PATH_BYTES], teacher[PATH_BYTES], bare_wide[PATH_BYTES], wide[PATH_BYTES];

#define FAST "--lr", "3e-3", "--batch", "20", "--epochs", "4"

static int make_models(void **state) {
  (void)state;
  make_classifier();
  set_path(unlabelled, "unlabelled.jsonl");
  set_path(teacher, "teacher.pith");
  set_path(bare_wide, "bare-wide.pith");
  set_path(wide, "wide.pith");
  write_rows(unlabelled, 5, 600, false);
  outcome o = run_pith(NULL, "train", bare, TASK, FAST, "-o", teacher, NULL);
  assert_success(&o);
  return 0;
}

/* Zeros among the encoder's products, as pith inspect says; of INT8 a few more round to 0. */
static void expect_zeros_within(const char *path, double want, double more, const char *pattern) {
  outcome o = run_pith(NULL, "inspect", path, "--sparsity", "--json", NULL);
  assert_success(&o);
  cJSON *json = cJSON_Parse(o.out);
  const cJSON *item, *counted = cJSON_GetObjectItem(json, "counted");
  int patterns = 0;
  cJSON_ArrayForEach(item, cJSON_GetObjectItem(json, "weights"))
    patterns += cJSON_IsTrue(cJSON_GetObjectItem(item, "counts")) &&
                strcmp(cJSON_GetObjectItem(item, "pattern")->valuestring, pattern) == 0;
  assert_int_equal(patterns, cJSON_GetObjectItem(counted, "weights")->valueint);
  const double zeros = cJSON_GetObjectItem(counted, "sparsity")->valuedouble;
  if (patterns == 0 || !(zeros > want - 2e-3 && zeros < want + more))
    fail_msg("%s is not %g zeros: %.300s", path, want, o.out);
  cJSON_Delete(json);
  o = run_pith(NULL, "verify", path, NULL);
  assert_success(&o);
}

static void expect_zeros(const char *path, double want, const char *pattern) {
  expect_zeros_within(path, want, 2e-3, pattern);
}

/* A student that never sees a label answers as the teacher does. */
static void test_unlabelled(void **state) {
  (void)state;
  assert_true(measure(teacher) > 0.95 && measure(bare) < 0.8);
  outcome o = run_pith(NULL, "train", bare, "--task", "classification", "--data", unlabelled, "--eval-data", dev, FAST, "--teacher", teacher,
                       "--distill-weight", "1", "--layers", "0", "-o", out, NULL);
  assert_success(&o);
  assert_true(measure(out) > 0.93);
  o = run_pith(NULL, "train", bare, "--task", "classification", "--data", unlabelled, FAST, "--teacher", teacher, "-o", other, NULL);
  assert_failure(&o, 1, "unlabelled.jsonl: line 1: no label");
}

/* An INT8 teacher is as good as a float one, and its answers are others. */
static void test_quantized_teacher(void **state) {
  (void)state;
  char quantized[600];
  snprintf(quantized, sizeof quantized, "%s", in_folder("quantized.pith"));
  outcome o = run_pith(NULL, "quantize", teacher, "--mode", "dynamic", "-o", quantized, NULL);
  assert_success(&o);
  o = run_pith(NULL, "train", bare, TASK, FAST, "--teacher", quantized, "--distill-temperature", "3", "-o", out, NULL);
  assert_success(&o);
  assert_true(measure(out) > 0.95);
}

/* Of a student that has the teacher's second layer alone, and of teachers that have no such states. */
static void test_hidden(void **state) {
  (void)state;
  outcome o = run_pith(NULL, "train", teacher, TASK, FAST, "--teacher", teacher, "--layers", "1", "--distill-hidden", "5", "--threads", "1",
                       "-o", out, NULL);
  assert_success(&o);
  assert_true(measure(out) > 0.9);
  char *text = strdup(classifier_config);
  assert_non_null(text);
  memcpy(strstr(text, "\"hidden_size\":32"), "\"hidden_size\":48", 16);
  write_text(in_folder("config.json"), text, strlen(text));
  o = run_pith(NULL, "new", in_folder("config.json"), "--seed", "3", "-o", bare_wide, NULL);
  assert_success(&o);
  strcpy(text, classifier_config);
  memcpy(strstr(text, "\"num_hidden_layers\":2"), "\"num_hidden_layers\":1", 21);
  write_text(in_folder("config.json"), text, strlen(text));
  o = run_pith(NULL, "new", in_folder("config.json"), "--seed", "3", "-o", other, NULL);
  assert_success(&o);
  o = run_pith(NULL, "train", bare, TASK, "--teacher", other, "--distill-hidden", "1", "-o", out, NULL);
  assert_failure(&o, 1, "it has 1 layers, fewer than the 2 that distill-hidden compares");
  strcpy(text, classifier_config);
  memcpy(strstr(text, "\"num_attention_heads\":2"), "\"num_attention_heads\":4", 23);
  write_text(in_folder("config.json"), text, strlen(text));
  o = run_pith(NULL, "new", in_folder("config.json"), "--seed", "3", "-o", other, NULL);
  assert_success(&o);
  o = run_pith(NULL, "train", bare, TASK, "--teacher", other, "--distill-attention", "1", "-o", out, NULL);
  assert_failure(&o, 1, "its attention has 4 heads, the student's 2");
  o = run_pith(NULL, "train", bare, TASK, "--teacher", other, "--distill-relations", "1", "--distill-relation-heads", "5", "-o", out, NULL);
  assert_failure(&o, 1, "5 relation heads (distill-relation-heads) do not divide the student's width 32");
  o = run_pith(NULL, "train", bare, TASK, "--teacher", other, "--distill-relations", "1", "--distill-relation-layer", "3", "-o", out, NULL);
  assert_failure(&o, 1, "it has 2 layers, distill-relation-layer is 3");
  free(text);
}

#define LAYERS "--distill-hidden", "0.5", "--distill-attention", "0.1", "--distill-relations", "0.5", "--distill-relation-heads", "4"

/* Of a teacher with wider layers: what it teaches does not hinder; what came out has none of the training's own parameters; one and two
 * threads give the same file; an INT8 student learns alike. */
static void test_layers(void **state) {
  (void)state;
  char quantized[PATH_BYTES];
  set_path(quantized, "student8.pith");
  outcome o = run_pith(NULL, "train", bare_wide, TASK, FAST, "-o", wide, NULL);
  assert_success(&o);
  o = run_pith(NULL, "train", bare, TASK, FAST, "--teacher", wide, LAYERS, "--threads", "1", "-o", out, NULL);
  assert_success(&o);
  assert_true(measure(out) > 0.95);
  o = run_pith(NULL, "inspect", out, "--json", NULL);
  assert_success(&o);
  assert_null(strstr(o.out, "distill."));
  o = run_pith(NULL, "train", bare, TASK, FAST, "--teacher", wide, LAYERS, "--threads", "2", "-o", other, NULL);
  assert_success(&o);
  assert_true(same_file(out, other));
  o = run_pith(NULL, "quantize", out, "--mode", "static", "--data", unlabelled, "-o", quantized, NULL);
  assert_success(&o);
  o = run_pith(NULL, "train", quantized, TASK, FAST, "--teacher", wide, LAYERS, "--threads", "1", "-o", out, NULL);
  assert_success(&o);
  assert_true(measure(out) > 0.95);
  o = run_pith(NULL, "inspect", out, "--json", NULL);
  assert_null(strstr(o.out, "distill."));
  o = run_pith(NULL, "train", bare, TASK, FAST, "--teacher", quantized, LAYERS, "--distill-weight", "0", "-o", out, NULL);
  assert_success(&o);
}

#define PRUNE "--prune-pattern", "4x1", "--prune-sparsity", "0.75", "--prune-end", "0.4"

/* 80 % in the middle of the run, after which training makes it good; one and two threads give the same file; and training what came out
 * once more keeps its zeros. */
static void test_prune(void **state) {
  (void)state;
  outcome o = run_pith(NULL, "train", teacher, TASK, FAST, PRUNE, "--teacher", teacher, "--threads", "1", "--json", "-o", out, NULL);
  assert_success(&o);
  const char *line = o.out; /* a model that is not pruned yet is not the best one, however good it is */
  for (int epoch = 1; epoch <= 4; epoch++) {
    cJSON *json = cJSON_ParseWithOpts(line, &line, 0);
    assert_non_null(json);
    assert_true(epoch > 1 || !cJSON_IsTrue(cJSON_GetObjectItem(json, "best")));
    cJSON_Delete(json);
  }
  expect_zeros(out, 0.75, "4x1");
  assert_true(measure(out) > 0.9);
  o = run_pith(NULL, "train", teacher, TASK, FAST, PRUNE, "--teacher", teacher, "--threads", "2", "-o", other, NULL);
  assert_success(&o);
  assert_true(same_file(out, other));
  o = run_pith(NULL, "train", out, TASK, "--max-steps", "30", "-o", other, NULL);
  assert_success(&o);
  expect_zeros(other, 0.75, "4x1");
  o = run_pith(NULL, "train", out, TASK, "--max-steps", "30", "--prune-pattern", "4x1", "--prune-sparsity", "0.9", "-o", other, NULL);
  assert_success(&o);
  expect_zeros(other, 0.9, "4x1");
}

/* Of an INT8 model, whose weights are pruned, trained and rounded at once; and one that was pruned before keeps its zeros. */
static void test_prune_int8(void **state) {
  (void)state;
  char quantized[600];
  snprintf(quantized, sizeof quantized, "%s", in_folder("int8.pith"));
  outcome o = run_pith(NULL, "quantize", teacher, "--mode", "static", "--data", unlabelled, "-o", quantized, NULL);
  assert_success(&o);
  o = run_pith(NULL, "train", quantized, TASK, FAST, PRUNE, "--teacher", teacher, "--threads", "1", "-o", out, NULL);
  assert_success(&o);
  expect_zeros_within(out, 0.75, 0.02, "4x1");
  assert_true(measure(out) > 0.9);
  o = run_pith(NULL, "train", out, TASK, "--max-steps", "20", "--threads", "1", "-o", other, NULL);
  assert_success(&o);
  expect_zeros_within(other, 0.75, 0.02, "4x1");
  static const char *const scores[] = {"obert", "rb", "soft_movement"};
  for (size_t i = 0; i < sizeof scores / sizeof *scores; i++) {
    o = run_pith(NULL, "train", quantized, TASK, "--max-steps", "20", PRUNE, "--prune-score", scores[i], "--threads", "1", "-o", out, NULL);
    assert_success(&o);
    expect_zeros_within(out, 0.75, 0.02, "4x1");
  }
}

static pid_t start(const char *output, const char *more) {
  const pid_t child = fork();
  assert_true(child >= 0);
  if (child == 0) {
    const int nowhere = open("/dev/null", O_WRONLY);
    if (nowhere < 0 || dup2(nowhere, STDOUT_FILENO) < 0 || dup2(nowhere, STDERR_FILENO) < 0)
      _exit(126);
    execl(PITH_COMMAND, "pith", "train", bare, "--recipe", recipe, "-o", output, more, NULL);
    _exit(127);
  }
  return child;
}

static int wait_for(pid_t child) {
  int status;
  assert_int_equal(waitpid(child, &status, 0), child);
  return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

static double now(void) {
  struct timespec time;
  clock_gettime(CLOCK_MONOTONIC, &time);
  return (double)time.tv_sec + (double)time.tv_nsec * 1e-9;
}

/* Killed at moments of the run, each time going on; another teacher is another run. */
static void end_often(const char *keys, const char *model) {
  char text[2400];
  const int bytes = snprintf(text, sizeof text,
                             "{\"task\":\"classification\",\"data\":\"%s\",\"eval-data\":\"%s\",\"lr\":3e-3,\"batch\":20,\"epochs\":4,"
                             "%s,\"teacher\":\"%s\",\"eval-every\":10,\"save-every\":5}",
                             train, dev, keys, model);
  write_text(recipe, text, (size_t)bytes);
  const double begin = now();
  assert_int_equal(wait_for(start(out, NULL)), 0);
  const double whole = now() - begin;
  for (int kills = 0; kills < 6; kills++) {
    const pid_t child = start(other, kills == 0 ? NULL : "--resume");
    usleep((useconds_t)(1e6 * whole * (kills + 1) / 10));
    kill(child, SIGKILL);
    (void)wait_for(child);
    if (kills == 3 && access(in_folder("other.pith.state.1"), F_OK) == 0) {
      outcome o = run_pith(NULL, "train", bare, "--recipe", recipe, "--teacher", bare, "--resume", "-o", other, NULL);
      assert_failure(&o, 1, "options differ");
    }
  }
  assert_int_equal(wait_for(start(other, "--resume")), 0);
  assert_true(same_file(out, other));
}

static void test_ends(void **state) {
  (void)state;
  end_often("\"prune-pattern\":\"4x1\",\"prune-sparsity\":0.75,\"prune-end\":0.4,\"prune-score\":\"rb\",\"prune-score-rate\":100", teacher);
  expect_zeros(out, 0.75, "4x1");
  end_often("\"distill-hidden\":1,\"distill-attention\":0.2,\"distill-relations\":1", wide);
}

static void test_refused(void **state) {
  (void)state;
  static const struct {
    const char *key, *value, *says;
    int status;
  } cases[] = {
      {"--distill-weight", "0.5", "--distill-weight needs a teacher", 2},
      {"--distill-temperature", "3", "distill-temperature needs a teacher, or a model with exits", 1},
      {"--distill-hidden", "3", "--distill-hidden needs a teacher", 2},
      {"--distill-attention", "3", "--distill-attention needs a teacher", 2},
      {"--distill-relations", "3", "--distill-relations needs a teacher", 2},
      {"--distill-relation-heads", "3", "--distill-relation-heads needs a teacher", 2},
      {"--distill-relation-layer", "3", "--distill-relation-layer needs a teacher", 2},
      {"--teacher", "/nowhere.pith", "/nowhere.pith", 1},
      {"--prune-sparsity", "0.5", "--prune-sparsity needs prune-pattern", 2},
      {"--prune-score", "movement", "--prune-score needs prune-pattern", 2},
      {"--prune-rewind", "3", "--prune-rewind needs prune-pattern", 2},
      {"--prune-pattern", "4x1", "--prune-sparsity is missing", 2},
      {"--prune-pattern", "head", "--prune-pattern", 2},
      {"--prune-pattern", "4x", "--prune-pattern: '4x' is no pattern", 2},
  };
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    outcome o = run_pith(NULL, "train", bare, TASK, cases[i].key, cases[i].value, "-o", out, NULL);
    assert_failure(&o, cases[i].status, cases[i].says);
  }
  outcome o = run_pith(NULL, "train", bare, TASK, "--teacher", teacher, "--distill-weight", "0", "-o", out, NULL);
  assert_failure(&o, 2, "--distill-weight is 0");
  o = run_pith(NULL, "train", bare, TASK, "--teacher", teacher, "--distill-relation-heads", "2", "-o", out, NULL);
  assert_failure(&o, 2, "--distill-relation-heads needs distill-relations");
  o = run_pith(NULL, "train", bare, TASK, PRUNE, "--prune-lasso", "0.1", "-o", out, NULL);
  assert_failure(&o, 2, "--prune-lasso goes with prune-score group_lasso");
  o = run_pith(NULL, "train", bare, TASK, PRUNE, "--max-steps", "20", "--prune-begin", "20", "-o", out, NULL);
  assert_failure(&o, 1, "prune-begin is step 20, behind prune-end, step 8");
  o = run_pith(NULL, "train", bare, TASK, "--prune-pattern", "4x1", "--prune-sparsity", "0.5", "--max-steps", "20", "--prune-end", "20", "-o",
               out, NULL);
  assert_failure(&o, 1, "prune-end is step 20 of a run of 20");
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_unlabelled), cmocka_unit_test(test_quantized_teacher),
                                     cmocka_unit_test(test_hidden), cmocka_unit_test(test_layers), cmocka_unit_test(test_prune),
                                     cmocka_unit_test(test_prune_int8),
                                     cmocka_unit_test(test_ends), cmocka_unit_test(test_refused)};
  return cmocka_run_group_tests(tests, make_models, remove_models);
}
