/* pith train --exits as a process: what comes out answers early where it is asked to, may be trained on, quantized, pruned and packed, and goes on
 * after it was killed; pith eval says where rows were done. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <cjson/cJSON.h>

#include "tests/cli/classifier_fixture.h"

static char exits[PATH_BYTES];

#define TASK_DATA "--task", "classification", "--data", dev
#define FAST "--lr", "3e-3", "--batch", "20", "--epochs", "4"

static int make_models(void **state) {
  (void)state;
  make_classifier();
  set_path(exits, "exits.pith");
  outcome o = run_pith(NULL, "train", bare, TASK, FAST, "--exits", "0", "--threads", "1", "-o", exits, NULL);
  assert_success(&o);
  return 0;
}

/* Rows done at the exit and at the end, and the accuracy. */
static double evaluate(const char *model, const char *threshold, int *out_early, int *out_end) {
  outcome o = run_pith(NULL, "eval", model, TASK_DATA, "--exit-threshold", threshold, "--json", NULL);
  assert_success(&o);
  cJSON *json = cJSON_Parse(o.out);
  assert_non_null(json);
  const cJSON *counts = cJSON_GetObjectItem(json, "exits");
  assert_int_equal(cJSON_GetArraySize(counts), 2);
  *out_early = cJSON_GetArrayItem(counts, 0)->valueint;
  *out_end = cJSON_GetArrayItem(counts, 1)->valueint;
  assert_int_equal(*out_early + *out_end, cJSON_GetObjectItem(json, "n")->valueint);
  assert_true(cJSON_GetObjectItem(json, "rows_per_s")->valuedouble > 0);
  const double accuracy = cJSON_GetObjectItem(cJSON_GetObjectItem(json, "metrics"), "accuracy")->valuedouble;
  cJSON_Delete(json);
  return accuracy;
}

/* Everything goes to the end at 1, nothing at a half; the surer, the more. */
static void expect_exits(const char *model) {
  int early, end, before = 1 << 30;
  static const char *const thresholds[] = {"0.5", "0.9", "0.999", "1"};
  for (int i = 0; i < 4; i++) {
    const double accuracy = evaluate(model, thresholds[i], &early, &end);
    assert_true(early <= before);
    before = early;
    if (i == 0)
      assert_int_equal(end, 0);
    if (i == 3)
      assert_true(early == 0 && accuracy == measure(model));
    assert_true(accuracy > 0.85);
  }
}

static void test_exits(void **state) {
  (void)state;
  assert_true(measure(exits) > 0.95);
  expect_exits(exits);
  /* The same label for a text that is done early, whatever stands beside it. */
  outcome whole = run_pith(NULL, "run", exits, "--input", dev, NULL);
  assert_success(&whole);
  outcome early = run_pith(NULL, "run", exits, "--input", dev, "--exit-threshold", "0.9", "--threads", "2", NULL);
  assert_success(&early);
  char *first = strdup(early.out);
  early = run_pith(NULL, "run", exits, "--input", dev, "--exit-threshold", "0.9", "--batch", "1", "--threads", "1", NULL);
  assert_success(&early);
  assert_string_equal(first, early.out);
  free(first);
  outcome o = run_pith(NULL, "eval", exits, TASK_DATA, "--exit-threshold", "0.9", NULL);
  assert_success(&o);
  assert_non_null(strstr(o.out, "\nexit 1\t"));
  assert_non_null(strstr(o.out, "\nend\t"));
  assert_non_null(strstr(o.out, "\nrows/s\t"));
}

/* Two threads give the same file, and so does a run that goes on; a teacher goes with exits; a model that has exits keeps and trains them. */
static void test_trained(void **state) {
  (void)state;
  outcome o = run_pith(NULL, "train", bare, TASK, FAST, "--exits", "0", "--threads", "2", "-o", other, NULL);
  assert_success(&o);
  expect_same_file(exits, other);
  o = run_pith(NULL, "train", exits, TASK, FAST, "--distill-temperature", "3", "--max-steps", "20", "-o", out, NULL);
  assert_success(&o);
  expect_exits(out);
  o = run_pith(NULL, "train", bare, TASK, FAST, "--teacher", exits, "--exits", "0", "--distill-relations", "1", "--prune-pattern", "4x1",
               "--prune-sparsity", "0.5", "--prune-end", "0.4", "-o", out, NULL);
  assert_success(&o);
  expect_exits(out);
}

/* INT8, static and dynamic; trained as INT8; packed. */
static void test_techniques(void **state) {
  (void)state;
  char quantized[PATH_BYTES];
  set_path(quantized, "quantized.pith");
  outcome o = run_pith(NULL, "quantize", exits, "--mode", "dynamic", "-o", quantized, NULL);
  assert_success(&o);
  expect_exits(quantized);
  o = run_pith(NULL, "quantize", exits, "--mode", "static", "--data", train, "-o", quantized, NULL);
  assert_success(&o);
  expect_exits(quantized);
  o = run_pith(NULL, "train", quantized, TASK, "--lr", "1e-4", "--max-steps", "20", "-o", out, NULL);
  assert_success(&o);
  expect_exits(out);
  o = run_pith(NULL, "verify", out, NULL);
  assert_success(&o);
  o = run_pith(NULL, "pack", quantized, "-o", out, NULL);
  assert_success(&o);
  expect_exits(out);
  o = run_pith(NULL, "prune", exits, "--pattern", "4x1", "--sparsity", "0.25", "-o", out, NULL);
  assert_success(&o);
  expect_exits(out);
}

static void test_recipe(void **state) {
  (void)state;
  static const char stages[] = "{\"stages\":[{\"train\":{\"task\":\"$task\",\"data\":\"$data\",\"eval-data\":\"$eval-data\",\"exits\":\"0\",\"lr\":3e-3,"
                               "\"batch\":20,\"epochs\":4}},{\"quantize\":{\"mode\":\"static\",\"data\":\"$data\",\"data-task\":\"$task\"}}]}";
  write_text(recipe, stages, sizeof stages - 1);
  outcome o = run_pith(NULL, "compress", bare, "--recipe", recipe, TASK, "-o", out, NULL);
  assert_success(&o);
  expect_exits(out);
}

static void test_refused(void **state) {
  (void)state;
  const struct {
    const char *model, *key, *value, *says;
    int status;
  } cases[] = {{bare, "--exits", "1", "exits have layer 1: the model has layers 0 to 1, and ends behind the last one", 1},
               {bare, "--exits", "a", "exits has 'a': numbers from 0 on, between commas", 1},
               {exits, "--exits", "0", "exits: the model has 1 already", 1},
               {exits, "--layers", "0", "layers: the model has exits, which are added last", 1}};
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    outcome o = run_pith(NULL, "train", cases[i].model, TASK, cases[i].key, cases[i].value, "-o", out, NULL);
    assert_failure(&o, cases[i].status, cases[i].says);
  }
  outcome o = run_pith(NULL, "eval", bare, TASK_DATA, "--exit-threshold", "0.9", NULL);
  assert_failure(&o, 1, "the model has no exits");
  o = run_pith(NULL, "eval", exits, TASK_DATA, "--exit-threshold", "1.5", NULL);
  assert_failure(&o, 1, "exit_threshold is 1.5, outside 0 to 1");
  o = run_pith(NULL, "eval", exits, TASK_DATA, "--exit-threshold", "0.9", "--ranges", NULL);
  assert_failure(&o, 2, "--ranges are of the whole model");
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_exits), cmocka_unit_test(test_trained), cmocka_unit_test(test_techniques),
                                     cmocka_unit_test(test_recipe), cmocka_unit_test(test_refused)};
  return cmocka_run_group_tests(tests, make_models, remove_models);
}
