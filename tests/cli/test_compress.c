/* pith compress as a process: stages one after the other, all checked before the first, gone on with where one failed. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include <cjson/cJSON.h>

#include "tests/cli/classifier_fixture.h"

static const char three_stages[] =
    "{\"stages\":[{\"prune\":{\"pattern\":\"4x1\",\"sparsity\":0.5}},"
    "{\"train\":{\"task\":\"$task\",\"data\":\"$data\",\"eval-data\":\"$eval-data\",\"lr\":3e-3,\"batch\":20,\"epochs\":6}},"
    "{\"quantize\":{\"mode\":\"dynamic\",\"eval\":\"$task\",\"eval-data\":\"$eval-data\"}}]}";

static char late[PATH_BYTES];

static int make_models(void **state) {
  (void)state;
  make_classifier();
  set_path(late, "late.jsonl");
  return 0;
}

static void write_recipe(const char *text) {
  write_text(recipe, text, strlen(text));
}

static bool exists(const char *ending) {
  char whole[700];
  snprintf(whole, sizeof whole, "%s%s", out, ending);
  return access(whole, F_OK) == 0;
}

static ino_t get_inode(const char *ending) {
  char whole[700];
  struct stat file;
  snprintf(whole, sizeof whole, "%s%s", out, ending);
  assert_int_equal(stat(whole, &file), 0);
  return file.st_ino;
}

/* The last line of the output: {"stages":[..]}. */
static cJSON *read_last_line(const outcome *o) {
  const char *last = strstr(o->out, "{\"stages\":");
  assert_non_null(last);
  cJSON *json = cJSON_Parse(last);
  assert_non_null(json);
  return json;
}

#define RECIPE "--recipe", recipe, TASK, "--threads", "1"

static void test_stages(void **state) {
  (void)state;
  write_recipe(three_stages);
  outcome o = run_pith(NULL, "compress", bare, RECIPE, "--json", "-o", out, NULL);
  assert_success(&o);
  cJSON *json = read_last_line(&o);
  const cJSON *stages = cJSON_GetObjectItem(json, "stages");
  assert_int_equal(cJSON_GetArraySize(stages), 3);
  static const char *const names[] = {"prune", "train", "quantize"};
  for (int i = 0; i < 3; i++) {
    const cJSON *stage = cJSON_GetArrayItem(stages, i);
    assert_string_equal(cJSON_GetObjectItem(stage, "stage")->valuestring, names[i]);
    assert_true(cJSON_GetObjectItem(stage, "bytes")->valuedouble > 1000);
  }
  const double trained = cJSON_GetObjectItem(cJSON_GetObjectItem(cJSON_GetArrayItem(stages, 1), "metrics"), "accuracy")->valuedouble;
  const cJSON *metrics = cJSON_GetObjectItem(cJSON_GetArrayItem(stages, 2), "metrics");
  assert_true(trained > 0.9);
  assert_true(cJSON_GetObjectItem(metrics, "accuracy_float")->valuedouble == trained);
  assert_true(cJSON_GetObjectItem(metrics, "accuracy")->valuedouble > 0.9);
  cJSON_Delete(json);
  assert_false(exists(".stage.1") || exists(".stage.2") || exists(".stage.3") || exists(".stages"));
  /* The file tells it all. */
  o = run_pith(NULL, "inspect", out, NULL);
  assert_success(&o);
  static const char *const told[] = {"prune (pith", "train (pith", "quantize (pith", "compress (pith", "\"data_sha256\":\"",
                                     "\"eval_data_sha256\":\"", "\"pattern\":\"4x1\"", "\"seconds\":"};
  for (size_t i = 0; i < sizeof told / sizeof *told; i++)
    if (strstr(o.out, told[i]) == NULL)
      fail_msg("'%s' is not in '%s'", told[i], o.out);
}

/* Heads and neurons leave by their gradients, and training goes on with what is left. */
static void test_sensitivity(void **state) {
  (void)state;
  write_recipe("{\"stages\":[{\"prune\":{\"pattern\":\"head\",\"sparsity\":0.25,\"method\":\"sensitivity\",\"data\":\"$data\",\"data-task\":"
               "\"$task\",\"batch\":16}},{\"prune\":{\"pattern\":\"neuron\",\"sparsity\":0.25,\"method\":\"sensitivity\",\"data\":\"$data\","
               "\"data-task\":\"$task\",\"samples\":60,\"seed\":2}},{\"train\":{\"task\":\"$task\",\"data\":\"$data\",\"eval-data\":\"$eval-data\","
               "\"lr\":3e-3,\"batch\":20,\"epochs\":6,\"teacher\":\"$stage.2\",\"distill-weight\":0.1}}]}");
  outcome o = run_pith(NULL, "compress", bare, RECIPE, "--json", "-o", out, NULL);
  assert_success(&o);
  assert_true(measure(out) > 0.9);
  o = run_pith(NULL, "inspect", out, NULL);
  assert_success(&o);
  static const char *const told[] = {"\"teacher\":\"$stage.2\"", "\"pattern\":\"head\"", "\"method\":\"sensitivity\"", "\"batch\":16", "\"tokens\":"};
  for (size_t i = 0; i < sizeof told / sizeof *told; i++)
    if (strstr(o.out, told[i]) == NULL)
      fail_msg("'%s' is not in '%s'", told[i], o.out);
  unlink(out);
}

/* A student of the model's second layer that learns from the model's layers. */
static void test_layers(void **state) {
  (void)state;
  write_recipe("{\"stages\":[{\"train\":{\"task\":\"$task\",\"data\":\"$data\",\"eval-data\":\"$eval-data\",\"teacher\":\"$teacher\",\"layers\":\"1\","
               "\"lr\":3e-3,\"batch\":20,\"max-steps\":30,\"distill-hidden\":1,\"distill-attention\":0.5,\"distill-relations\":1,"
               "\"distill-relation-layer\":2,\"distill-relation-heads\":4}}]}");
  outcome o = run_pith(NULL, "compress", bare, RECIPE, "--json", "-o", out, NULL);
  assert_success(&o);
  cJSON_Delete(read_last_line(&o));
}

/* The data of the second stage comes late: the first one is not made again. */
static void test_resume(void **state) {
  (void)state;
  char text[2000];
  snprintf(text, sizeof text,
           "{\"stages\":[{\"prune\":{\"pattern\":\"4x1\",\"sparsity\":0.5}},{\"train\":{\"task\":\"classification\",\"data\":\"%s\","
           "\"max-steps\":5}}]}", late);
  write_recipe(text);
  unlink(out);
  outcome o = run_pith(NULL, "compress", bare, "--recipe", recipe, "-o", out, NULL);
  assert_int_equal(o.status, 1);
  assert_non_null(strstr(o.err, "late.jsonl"));
  assert_true(exists(".stage.1") && exists(".stages") && !exists(""));
  const ino_t first = get_inode(".stage.1");
  write_rows(late, 1, 100, true);
  /* Another recipe is refused. */
  char other[2000];
  snprintf(other, sizeof other, "%.*s,\"seed\":1}}]}", (int)strlen(text) - 4, text);
  write_recipe(other);
  o = run_pith(NULL, "compress", bare, "--recipe", recipe, "--resume", "-o", out, NULL);
  assert_failure(&o, 1, "is of another model, recipe or data");
  write_recipe(text);
  /* The stage that is done already is not what fails: its input may even be gone. */
  char kept[700], there[700];
  snprintf(there, sizeof there, "%s.stage.1", out);
  snprintf(kept, sizeof kept, "%s.kept", out);
  assert_int_equal(link(there, kept), 0);
  o = run_pith(NULL, "compress", bare, "--recipe", recipe, "--resume", "-o", out, NULL);
  assert_success(&o);
  assert_null(strstr(o.out, "stage 1 of 2"));
  assert_non_null(strstr(o.out, "stage 2 of 2: train"));
  assert_true(exists("") && !exists(".stage.1") && get_inode(".kept") == first);
  unlink(kept);
}

static void test_refusals(void **state) {
  (void)state;
  static const struct {
    const char *text, *says;
    int status;
  } cases[] = {
      {"{\"stages\":[{\"prune\":{\"patern\":\"4x1\"}}]}", "stage 1 (prune): no key 'patern' in recipes of prune, did you mean 'pattern'?", 1},
      {"{\"stages\":[{\"prune\":{\"pattern\":\"4x1\",\"sparsity\":0.5}},{\"tarin\":{}}]}", "stage 2 (tarin): no stage 'tarin', did you mean 'train'?", 1},
      {"{\"stages\":[{\"train\":{\"task\":\"$task\",\"data\":\"$dat\"}}]}", "data is '$dat', which stands for nothing", 1},
      {"{\"stages\":[{\"prune\":{\"pattern\":\"4x1\",\"sparsity\":0.5}},{\"train\":{\"task\":\"$task\",\"data\":\"$data\",\"teacher\":\"$stage.2\"}}]}",
       "teacher is '$stage.2', which is none of the 1 stages before it", 1},
      {"{\"stages\":[{\"train\":{\"task\":\"$task\",\"data\":\"$data\",\"teacher\":\"$stage.0\"}}]}", "'$stage.0'", 1},
      {"{\"stages\":[{\"train\":{\"task\":\"sst2\",\"data\":\"x\",\"lr\":\"fast\"}}]}", "lr takes a number", 1},
      {"{\"stages\":[{\"train\":{\"task\":\"sst3\",\"data\":\"x\"}}]}", "sst3", 2},
      {"{\"stages\":[{\"prune\":{\"pattern\":\"4x1\",\"sparsity\":1.5}}]}", "sparsity is '1.5'", 1},
      {"{\"stages\":[{\"train\":{\"task\":\"$task\",\"data\":\"x\",\"distill-attention\":1}}]}", "distill-attention needs a teacher", 2},
      {"{\"stages\":[]}", "no stages", 1},
      {"{\"stages\":[{\"prune\":{},\"train\":{}}]}", "stage 1 is no object with one technique", 1},
      {"{\"stage\":[]}", "no key 'stage'", 1},
      {"[1]", "", 1},
  };
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    write_recipe(cases[i].text);
    unlink(out);
    outcome o = run_pith(NULL, "compress", bare, RECIPE, "-o", out, NULL);
    assert_failure(&o, cases[i].status, cases[i].says);
    assert_false(exists("") || exists(".stage.1") || exists(".stages"));
  }
  write_recipe(three_stages);
  outcome o = run_pith(NULL, "compress", bare, "--recipe", recipe, "--task", "classification", "--eval-data", dev, "-o", out, NULL);
  assert_failure(&o, 1, "--data is missing: ");
  o = run_pith(NULL, "compress", bare, "-o", out, NULL);
  assert_failure(&o, 2, "--for or --recipe is missing; --for takes distill-int8, ");
  o = run_pith(NULL, "compress", bare, "--for", "speed", "-o", out, NULL);
  assert_failure(&o, 2, "--for is 'speed'; it takes distill-int8, ");
  o = run_pith(NULL, "compress", bare, "--for", "int8", "--recipe", recipe, "-o", out, NULL);
  assert_failure(&o, 2, "do not go together");
  assert_false(exists(".stage.1") || exists(".stages"));
}

/* The recipes that come with pith: stages that exist, and nothing missing but what the command line says. */
static void test_ready(void **state) {
  (void)state;
  char goals[400];
  outcome list = run_pith(NULL, "compress", bare, "--for", "speed", "-o", out, NULL);
  assert_int_equal(sscanf(list.err, "%*[^;]; it takes %399[^\n]", goals), 1);
  int count = 0;
  for (char *goal = strtok(goals, ", "); goal != NULL; goal = strtok(NULL, ", "), count++) {
    outcome o = run_pith(NULL, "compress", bare, "--for", goal, "--task", "classification", "--data", "/nowhere.jsonl", "--eval-data", dev,
                         "-o", out, NULL);
    assert_failure(&o, 1, "/nowhere.jsonl");
  }
  assert_true(count >= 4);
}

/* The schema has the keys of every stage, and is JSON. */
static void test_schema(void **state) {
  (void)state;
  outcome o = run_pith(NULL, "--generate", "schema", NULL);
  assert_success(&o);
  cJSON *schema = cJSON_Parse(o.out);
  assert_non_null(schema);
  const cJSON *stages = cJSON_GetObjectItem(cJSON_GetObjectItem(schema, "properties"), "stages");
  const cJSON *kinds = cJSON_GetObjectItem(cJSON_GetObjectItem(stages, "items"), "oneOf");
  assert_int_equal(cJSON_GetArraySize(kinds), 3);
  static const struct {
    const char *stage, *key, *member;
  } has[] = {{"prune", "sparsity", "maximum"}, {"quantize", "mode", "enum"}, {"train", "lr", "minimum"}};
  for (int i = 0; i < 3; i++) {
    const cJSON *kind = cJSON_GetObjectItem(cJSON_GetObjectItem(cJSON_GetArrayItem(kinds, i), "properties"), has[i].stage);
    const cJSON *key = cJSON_GetObjectItem(cJSON_GetObjectItem(kind, "properties"), has[i].key);
    assert_non_null(cJSON_GetObjectItem(cJSON_GetArrayItem(cJSON_GetObjectItem(key, "anyOf"), 0), has[i].member));
  }
  cJSON_Delete(schema);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_stages),
      cmocka_unit_test(test_sensitivity),
      cmocka_unit_test(test_layers),
      cmocka_unit_test(test_ready),
      cmocka_unit_test(test_schema),
      cmocka_unit_test(test_resume),
      cmocka_unit_test(test_refusals),
  };
  return cmocka_run_group_tests(tests, make_models, remove_models);
}
