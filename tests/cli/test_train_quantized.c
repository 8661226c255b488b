/* pith train on an INT8 model as a process: it learns, stays INT8, and ends with the same bits, whatever the threads and however often
 * it was killed. */
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include <cjson/cJSON.h>

#include "tests/cli/command_fixture.h"

static const char config[] =
    "{\"model_type\":\"bert\",\"architectures\":[\"BertForSequenceClassification\"],\"vocab_size\":300,\"hidden_size\":32,"
    "\"num_hidden_layers\":2,\"num_attention_heads\":2,\"intermediate_size\":64,\"hidden_act\":\"gelu\","
    "\"max_position_embeddings\":32,\"type_vocab_size\":2,\"initializer_range\":0.1,\"layer_norm_eps\":1e-12,"
    "\"pad_token_id\":0,\"id2label\":{\"0\":\"low\",\"1\":\"high\"}}";

static char bare[600], integers[600], train[600], dev[600], out[600], other[600];

/* The label says whether the second id is high. */
static void write_rows(const char *path, uint32_t seed, int count) {
  char *text = malloc((size_t)count * 80);
  assert_non_null(text);
  size_t bytes = 0;
  for (int i = 0; i < count; i++) {
    int ids[4];
    for (int t = 0; t < 4; t++) {
      seed = seed * 1664525u + 1013904223u;
      ids[t] = (int)(10 + (seed >> 8) % 50);
    }
    bytes += (size_t)sprintf(text + bytes, "{\"ids\":[1,%d,%d,%d,%d],\"label\":\"%s\"}\n", ids[0], ids[1], ids[2], ids[3],
                             ids[0] >= 35 ? "high" : "low");
  }
  write_text(path, text, bytes);
  free(text);
}

static int make_models(void **state) {
  (void)state;
  const char *from = in_folder("config.json");
  write_text(from, config, sizeof config - 1);
  static const struct {
    char *path;
    const char *name;
  } paths[] = {{bare, "bare.pith"}, {integers, "int8.pith"}, {train, "train.jsonl"}, {dev, "dev.jsonl"}, {out, "out.pith"},
               {other, "other.pith"}};
  for (size_t i = 0; i < sizeof paths / sizeof *paths; i++)
    snprintf(paths[i].path, 600, "%s", in_folder(paths[i].name));
  outcome o = run_pith(NULL, "new", from, "--seed", "3", "-o", bare, NULL);
  assert_success(&o);
  write_rows(train, 1, 600);
  write_rows(dev, 2, 200);
  o = run_pith(NULL, "quantize", bare, "--mode", "static", "--data", train, "-o", integers, NULL);
  if (o.status != 0)
    fail_msg("%s", o.err);
  return 0;
}

static int remove_models(void **state) {
  (void)state;
  remove_folder();
  return 0;
}

static double measure(const char *model) {
  outcome o = run_pith(NULL, "eval", model, "--task", "classification", "--data", dev, "--json", NULL);
  assert_success(&o);
  cJSON *json = cJSON_Parse(o.out);
  const double accuracy = cJSON_GetObjectItem(cJSON_GetObjectItem(json, "metrics"), "accuracy")->valuedouble;
  cJSON_Delete(json);
  return accuracy;
}

static void expect_same_file(const char *a, const char *b) {
  FILE *x = fopen(a, "rb"), *y = fopen(b, "rb");
  assert_true(x != NULL && y != NULL);
  int c;
  long place = 0;
  while ((c = fgetc(x)) == fgetc(y) && c != EOF)
    place++;
  if (c != EOF || !feof(y))
    fail_msg("%s and %s differ from byte %ld on", a, b, place);
  fclose(x);
  fclose(y);
}

#define TASK "--task", "classification", "--data", train, "--eval-data", dev
#define FAST "--lr", "3e-3", "--batch", "20", "--epochs", "4"

/* Learned from nothing, so that all ranges change: they have to go along. */
static void test_learns(void **state) {
  (void)state;
  static const char *const ranges[] = {"ema", "learned"};
  assert_true(measure(integers) < 0.8);
  for (size_t i = 0; i < 2; i++) {
    outcome o = run_pith(NULL, "train", integers, TASK, FAST, "--threads", "1", "--qat-ranges", ranges[i], "-o", out, NULL);
    assert_success(&o);
    const double accuracy = measure(out);
    if (accuracy < 0.9)
      fail_msg("ranges %s: accuracy %g", ranges[i], accuracy);
    o = run_pith(NULL, "verify", out, NULL);
    assert_success(&o);
    o = run_pith(NULL, "inspect", out, NULL);
    assert_success(&o);
    assert_non_null(strstr(o.out, "s8 n16k4_s8: "));
    o = run_pith(NULL, "inspect", out, "--program", NULL);
    assert_success(&o);
    assert_non_null(strstr(o.out, "IntegerAttention"));
  }
}

static pid_t start(const char *output, const char *more) {
  const pid_t child = fork();
  assert_true(child >= 0);
  if (child == 0) {
    const int nowhere = open("/dev/null", O_WRONLY);
    if (nowhere < 0 || dup2(nowhere, STDOUT_FILENO) < 0 || dup2(nowhere, STDERR_FILENO) < 0)
      _exit(126);
    execl(PITH_COMMAND, "pith", "train", integers, TASK, FAST, "--threads", "2", "--qat-ranges", "ema", "--save-every", "5", "-o", output,
          more, NULL);
    _exit(127);
  }
  return child;
}

static void test_same_bits(void **state) {
  (void)state;
  int status;
  outcome o = run_pith(NULL, "train", integers, TASK, FAST, "--threads", "1", "--qat-ranges", "ema", "--save-every", "5", "-o", out, NULL);
  assert_success(&o);
  char state_file[700];
  snprintf(state_file, sizeof state_file, "%s.state.1", other);
  pid_t child = start(other, NULL);
  for (int i = 0; i < 3000 && access(state_file, F_OK) != 0 && access(other, F_OK) != 0; i++)
    usleep(10000);
  kill(child, SIGKILL);
  assert_int_equal(waitpid(child, &status, 0), child);
  child = start(other, "--resume");
  assert_int_equal(waitpid(child, &status, 0), child);
  assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
  expect_same_file(out, other);
}

static void test_dequantize(void **state) {
  (void)state;
  outcome o = run_pith(NULL, "train", integers, TASK, "--dequantize", "--max-steps", "5", "--threads", "1", "-o", out, NULL);
  assert_success(&o);
  o = run_pith(NULL, "inspect", out, "--program", NULL);
  assert_success(&o);
  assert_null(strstr(o.out, "Integer"));
}

static void test_refused(void **state) {
  (void)state;
  outcome o = run_pith(NULL, "train", bare, TASK, "--dequantize", "-o", out, NULL);
  assert_failure(&o, 1, "dequantize goes with an INT8 model");
  o = run_pith(NULL, "train", bare, TASK, "--qat-ranges", "ema", "-o", out, NULL);
  assert_failure(&o, 1, "qat-ranges goes with an INT8 model");
  o = run_pith(NULL, "train", integers, TASK, "--qat-freeze", "0.7", "-o", out, NULL);
  assert_failure(&o, 2, "qat-freeze goes with qat-ranges ema");
  o = run_pith(NULL, "train", integers, TASK, "--attention-dropout", "0.1", "-o", out, NULL);
  assert_failure(&o, 1, "attention dropout has to be 0");
  o = run_pith(NULL, "quantize", bare, "--mode", "dynamic", "-o", other, NULL);
  assert_success(&o);
  o = run_pith(NULL, "train", other, TASK, "-o", out, NULL);
  assert_failure(&o, 1, "training it as floats (dequantize) is possible");
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_learns), cmocka_unit_test(test_same_bits), cmocka_unit_test(test_dequantize),
                                     cmocka_unit_test(test_refused)};
  return cmocka_run_group_tests(tests, make_models, remove_models);
}
