/* pith prune as a process: what it says, what it writes, and what leaves no file. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include <cjson/cJSON.h>

#include "tests/cli/command_fixture.h"

static const char config[] =
    "{\"model_type\":\"bert\",\"architectures\":[\"BertForSequenceClassification\"],\"vocab_size\":300,\"hidden_size\":32,"
    "\"num_hidden_layers\":2,\"num_attention_heads\":2,\"intermediate_size\":64,\"hidden_act\":\"gelu\","
    "\"max_position_embeddings\":32,\"type_vocab_size\":2,\"initializer_range\":0.3,\"layer_norm_eps\":1e-12,"
    "\"pad_token_id\":0,\"num_labels\":2}";
enum { ELEMENTS = 2 * (4 * 32 * 32 + 2 * 32 * 64) };

static char bare[600], rows[600], out[600], recipe[600];

static int make_models(void **state) {
  (void)state;
  const char *from = in_folder("config.json");
  write_text(from, config, sizeof config - 1);
  snprintf(bare, sizeof bare, "%s", in_folder("bare.pith"));
  snprintf(rows, sizeof rows, "%s", in_folder("rows.jsonl"));
  snprintf(out, sizeof out, "%s", in_folder("out.pith"));
  snprintf(recipe, sizeof recipe, "%s", in_folder("recipe.json"));
  outcome o = run_pith(NULL, "new", from, "--seed", "3", "-o", bare, NULL);
  assert_success(&o);
  /* Labels that are the float model's own answers: it is right each time. */
  char text[8000], lines[8000];
  size_t bytes = 0;
  for (int i = 0; i < 60; i++)
    bytes += (size_t)snprintf(text + bytes, sizeof text - bytes, "{\"ids\":[%d,%d,%d,%d]}\n", i, 5 * i % 300, 7 * i % 300,
                              299 - i);
  write_text(rows, text, bytes);
  o = run_pith(NULL, "run", bare, "--input", rows, "--json", NULL);
  assert_success(&o);
  const char *line = o.out;
  bytes = 0;
  for (int i = 0; i < 60; i++) {
    cJSON *answer = cJSON_ParseWithOpts(line, &line, 0);
    assert_non_null(answer);
    bytes += (size_t)snprintf(lines + bytes, sizeof lines - bytes, "{\"ids\":[%d,%d,%d,%d],\"label\":\"%s\"}\n", i, 5 * i % 300,
                              7 * i % 300, 299 - i, cJSON_GetObjectItem(answer, "label")->valuestring);
    cJSON_Delete(answer);
  }
  write_text(rows, lines, bytes);
  return 0;
}

static int remove_models(void **state) {
  (void)state;
  remove_folder();
  return 0;
}

static bool exists(const char *path) {
  struct stat info;
  return stat(path, &info) == 0;
}

static void assert_refused(const outcome *o, int status, const char *says) {
  assert_failure(o, status, says);
  assert_false(exists(out));
}

static cJSON *parse(const outcome *o) {
  assert_success(o);
  cJSON *json = cJSON_Parse(o->out);
  assert_non_null(json);
  return json;
}

static double number(const cJSON *object, const char *name) {
  const cJSON *item = cJSON_GetObjectItem(object, name);
  assert_true(cJSON_IsNumber(item));
  return item->valuedouble;
}

static void test_magnitude(void **state) {
  (void)state;
  outcome o = run_pith(NULL, "prune", bare, "--pattern", "4x1", "--sparsity", "0.75", "--json", "-o", out, NULL);
  cJSON *json = parse(&o);
  assert_true(number(json, "elements") == ELEMENTS);
  assert_true(number(json, "zeros") == 0.75 * ELEMENTS);
  assert_true(number(json, "weights") == 12);
  cJSON_Delete(json);
  o = run_pith(NULL, "verify", out, NULL);
  assert_success(&o);
  o = run_pith(NULL, "inspect", out, NULL);
  assert_success(&o);
  assert_non_null(strstr(o.out, "\"pattern\":\"4x1\",\"sparsity\":0.75,\"method\":\"magnitude\",\"scope\":\"global\""));
  /* Again, from what is pruned: its zeros stay. */
  const char *again = in_folder("again.pith");
  o = run_pith(NULL, "prune", out, "--pattern", "element", "--sparsity", "0.5", "-o", again, NULL);
  assert_success(&o);
  assert_non_null(strstr(o.out, "12288 of 16384 weights in 12 products are 0: sparsity 0.7500, pattern element"));
  unlink(out);
}

static void test_then_int8(void **state) {
  (void)state;
  outcome o = run_pith(NULL, "prune", bare, "--pattern", "4x1", "--sparsity", "0.5", "--quantize", "dynamic", "-o", out, NULL);
  assert_success(&o);
  assert_non_null(strstr(o.out, "products in INT8 (dynamic)"));
  o = run_pith(NULL, "verify", out, NULL);
  assert_success(&o);
  o = run_pith(NULL, "run", out, "--input", rows, NULL);
  assert_success(&o);
  const char *other = in_folder("other.pith");
  o = run_pith(NULL, "prune", out, "--pattern", "4x1", "--sparsity", "0.5", "-o", other, NULL);
  assert_failure(&o, 1, "prune the float model, then quantize");
  assert_false(exists(other));
  unlink(out);
  static const char both[] = "{\"prune\":{\"pattern\":\"2:4\",\"exclude\":[\"*layer.1.*\"]},\"quantize\":{\"mode\":\"static\"}}";
  write_text(recipe, both, sizeof both - 1);
  o = run_pith(NULL, "prune", bare, "--recipe", recipe, "--data", rows, "--json", "-o", out, NULL);
  cJSON *json = parse(&o);
  assert_true(number(json, "elements") == ELEMENTS / 2 && number(json, "zeros") == ELEMENTS / 4);
  assert_true(cJSON_IsTrue(cJSON_GetObjectItem(json, "quantized")));
  cJSON_Delete(json);
  o = run_pith(NULL, "inspect", out, NULL);
  assert_success(&o);
  assert_true(strstr(o.out, "history       prune") < strstr(o.out, "history       quantize"));
  unlink(out);
}

static void test_obs(void **state) {
  (void)state;
  char kept[700];
  snprintf(kept, sizeof kept, "%s.state", out);
  outcome o = run_pith(NULL, "prune", bare, "--pattern", "4x1", "--sparsity", "0.5", "--method", "obs", "--data", rows,
                       "--threads", "2", "--json", "-o", out, NULL);
  cJSON *json = parse(&o);
  assert_true(number(json, "zeros") <= 0.5 * ELEMENTS && number(json, "zeros") > 0.5 * ELEMENTS - 12 * 4);
  cJSON_Delete(json);
  assert_false(exists(kept));
  o = run_pith(NULL, "verify", out, NULL);
  assert_success(&o);
  /* With any number of threads the same. */
  const char *one = in_folder("one.pith");
  o = run_pith(NULL, "prune", bare, "--pattern", "4x1", "--sparsity", "0.5", "--method", "obs", "--data", rows, "--threads", "1",
               "-o", one, NULL);
  assert_success(&o);
  const outcome a = run_pith(NULL, "run", out, "--input", rows, "--json", NULL);
  const outcome b = run_pith(NULL, "run", one, "--input", rows, "--json", NULL);
  assert_success(&a);
  assert_string_equal(a.out, b.out);
  unlink(out);
}

/* How weights are rounded to INT8 after obs, unless told. */
static void test_obs_then_int8(void **state) {
  (void)state;
  static const char nearest[] = "{\"prune\":{\"method\":\"obs\"},\"quantize\":{\"rounding\":\"nearest\"}}";
  static const char corrected[] = "{\"prune\":{\"method\":\"obs\"},\"quantize\":{\"bias-correction\":true}}";
  static const char both[] = "{\"prune\":{\"method\":\"obs\"},\"quantize\":{\"bias-correction\":true,\"rounding\":\"gptq\"}}";
  static const struct {
    const char *recipe, *method, *rounding;
  } cases[] = {{NULL, "obs", "gptq"}, {nearest, "obs", "nearest"}, {corrected, "obs", NULL}, {NULL, "magnitude", NULL}};
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    write_text(recipe, cases[i].recipe == NULL ? "{}" : cases[i].recipe, cases[i].recipe == NULL ? 2 : strlen(cases[i].recipe));
    outcome o = run_pith(NULL, "prune", bare, "--recipe", recipe, "--pattern", "4x1", "--sparsity", "0.5", "--method", cases[i].method,
                         "--quantize", "static", "--data", rows, "-o", out, NULL);
    assert_success(&o);
    o = run_pith(NULL, "verify", out, NULL);
    assert_success(&o);
    o = run_pith(NULL, "inspect", out, NULL);
    char wanted[40];
    snprintf(wanted, sizeof wanted, "\"rounding\":\"%s\"", cases[i].rounding == NULL ? "auto" : cases[i].rounding);
    if (strstr(o.out, wanted) == NULL)
      fail_msg("case %zu: no %s in %s", i, wanted, o.out);
    unlink(out);
  }
  write_text(recipe, both, sizeof both - 1);
  outcome o = run_pith(NULL, "prune", bare, "--recipe", recipe, "--pattern", "4x1", "--sparsity", "0.5", "--data", rows, "-o", out, NULL);
  assert_refused(&o, 2, "quantize: bias-correction does nothing with rounding gptq");
}

static cJSON *find_weight(cJSON *json, const char *part) {
  cJSON *weight;
  cJSON_ArrayForEach(weight, cJSON_GetObjectItem(json, "weights"))
    if (strstr(cJSON_GetObjectItem(weight, "name")->valuestring, part) != NULL)
      return weight;
  fail_msg("no weight '%s'", part);
  return NULL;
}

static const char *text_of(const cJSON *object, const char *name) {
  const cJSON *item = cJSON_GetObjectItem(object, name);
  assert_true(cJSON_IsString(item));
  return item->valuestring;
}

/* What counts, and what each product runs: the first layer pruned in 4x4, the second dense, in floats and in INT8. */
static void test_inspect_sparsity(void **state) {
  (void)state;
  for (int quantized = 0; quantized < 2; quantized++) {
    outcome o = run_pith(NULL, "prune", bare, "--pattern", "4x4", "--sparsity", "0.75", "--exclude", "*layer.1.*", "-o", out,
                         quantized ? "--quantize" : NULL, "dynamic", NULL);
    assert_success(&o);
    o = run_pith(NULL, "inspect", out, "--sparsity", "--json", NULL);
    cJSON *json = parse(&o);
    const cJSON *counted = cJSON_GetObjectItem(json, "counted");
    assert_true(number(counted, "weights") == 12 && number(counted, "elements") == ELEMENTS);
    double zeros = 0, bytes = 0;
    int counting = 0;
    const cJSON *weight;
    cJSON_ArrayForEach(weight, cJSON_GetObjectItem(json, "weights")) {
      const bool counts = cJSON_IsTrue(cJSON_GetObjectItem(weight, "counts"));
      assert_true(counts == (strstr(text_of(weight, "name"), "encoder.layer.") != NULL));
      counting += counts;
      zeros += counts ? number(weight, "zeros") : 0;
      bytes += counts ? number(weight, "bytes") : 0;
    }
    assert_true(counting == 12 && cJSON_GetArraySize(cJSON_GetObjectItem(json, "weights")) == 14);
    assert_true(number(counted, "zeros") == zeros && number(counted, "bytes") == bytes);
    /* Quantizing may make more of them 0. */
    assert_true(quantized ? zeros > 0.375 * ELEMENTS && zeros < 0.42 * ELEMENTS : zeros == 0.375 * ELEMENTS);

    weight = find_weight(json, "layer.0.intermediate");
    const double occupancy = number(cJSON_GetObjectItem(weight, "occupancy"), "4x4");
    assert_true(occupancy > 0.1 && occupancy < 0.4);
    const double left = occupancy - (1 - number(weight, "sparsity")); /* both have 6 digits */
    assert_true(quantized || (left > -3e-6 && left < 3e-6));
    assert_true(number(cJSON_GetObjectItem(weight, "occupancy"), "4x1") <= occupancy);
    assert_string_equal(text_of(weight, "pattern"), "4x4");
    assert_string_equal(text_of(weight, "layout"), quantized ? "b4x4_s8" : "b4x1_f32");
    assert_true(cJSON_IsTrue(cJSON_GetObjectItem(weight, "stored_sparse")));
    assert_true(cJSON_IsTrue(cJSON_GetObjectItem(weight, "runs_sparse")));
    assert_true(strncmp(text_of(weight, "kernel"), quantized ? "sparse_gemm_u8s8_" : "sparse_gemm_f32_", 16) == 0);
    assert_non_null(strstr(text_of(weight, "reason"), "stored sparse: expected to take 0."));

    weight = find_weight(json, "layer.1.intermediate");
    assert_true(number(cJSON_GetObjectItem(weight, "occupancy"), "4x1") == 1);
    assert_true(cJSON_IsFalse(cJSON_GetObjectItem(weight, "runs_sparse")));
    assert_true(strncmp(text_of(weight, "kernel"), quantized ? "gemm_u8s8_" : "gemm_f32", 8) == 0);
    assert_string_equal(text_of(weight, "reason"), "stored dense: no block is all 0");
    cJSON_Delete(json);

    o = run_pith(NULL, "inspect", out, "--sparsity", "--without", "avx512,avx2", NULL);
    assert_success(&o);
    assert_non_null(strstr(o.out, quantized ? "sparse_gemm_u8s8_reference: stored sparse" : "sparse_gemm_f32_reference: stored sparse"));
    assert_non_null(strstr(o.out, "in the 12 weights that count"));
    unlink(out);
  }
  /* Zeros in blocks, stored dense all the same: too few of them. */
  outcome o = run_pith(NULL, "prune", bare, "--pattern", "4x1", "--sparsity", "0.05", "--scope", "layer", "-o", out, NULL);
  assert_success(&o);
  o = run_pith(NULL, "inspect", out, "--sparsity", NULL);
  assert_success(&o);
  assert_non_null(strstr(o.out, "stored dense: 4x1 blocks are expected to take"));
  assert_null(strstr(o.out, "stored sparse"));
  unlink(out);
}

static void test_budget(void **state) {
  (void)state;
  outcome o = run_pith(NULL, "prune", bare, "--pattern", "element", "--sparsity", "0.1", "--eval", "classification", "--eval-data",
                       rows, "--max-loss", "100%", "--json", "-o", out, NULL);
  cJSON *json = parse(&o);
  const cJSON *eval = cJSON_GetObjectItem(json, "eval");
  assert_true(number(cJSON_GetObjectItem(eval, "before"), "accuracy") == 1);
  cJSON_Delete(json);
  unlink(out);
  o = run_pith(NULL, "prune", bare, "--pattern", "element", "--sparsity", "0.98", "--eval", "classification", "--eval-data", rows,
               "--max-loss", "0", "-o", out, NULL);
  assert_refused(&o, 1, "classification accuracy falls from 1.0000 to ");
}

static void test_wrong(void **state) {
  (void)state;
  static const struct {
    const char *options[6];
    int status;
    const char *says;
  } cases[] = {
      {{"--sparsity", "0.5"}, 2, "--pattern is missing"},
      {{"--pattern", "4x1"}, 2, "--sparsity is missing"},
      {{"--pattern", "4x1", "--sparsity", "1.5"}, 2, "--sparsity is '1.5'; it takes a number from 0 to 1"},
      {{"--pattern", "4x1", "--sparsity", "-0.5"}, 2, "--sparsity is '-0.5'"},
      {{"--pattern", "4x1", "--sparsity", "1"}, 2, "--sparsity is 1, outside the minimum and maximum of each weight, 0 to 0.98"},
      {{"--pattern", "4y1", "--sparsity", "0.5"}, 2, "'4y1'"},
      {{"--pattern", "4:2"}, 2, "4:2"},
      {{"--pattern", "2:4", "--sparsity", "0.6"}, 2, "pattern 2:4 leaves a sparsity of 0.5"},
      {{"--pattern", "4x1", "--sparsity", "0.5", "--exclude", "*"}, 1, "exclude leaves no product"},
      {{"--pattern", "4x1", "--sparsity", "0.5", "--exclude", "nothing"}, 1, "exclude pattern 'nothing' matches no product"},
      {{"--pattern", "4x1", "--sparsity", "0.5", "--method", "obd"}, 2, "--method is 'obd'; it takes magnitude, obs"},
      {{"--pattern", "head", "--sparsity", "0.5", "--method", "sensitivity"}, 2, "--method sensitivity needs labelled texts: --data and --data-task"},
      {{"--pattern", "4x1", "--sparsity", "0.5", "--batch", "4"}, 2, "--batch goes with --method sensitivity"},
      {{"--pattern", "4x1", "--sparsity", "0.5", "--method", "sensitivity"}, 2, "--method sensitivity goes with pattern head or neuron, not 4x1"},
      {{"--vocabulary", "x.txt", "--method", "sensitivity", "--data", "y.txt"}, 2, "--method sensitivity goes with --pattern head or neuron"},
      {{"--pattern", "4x1", "--sparsity", "0.5", "--data", "x.txt"}, 2, "--data is of no use with --method magnitude"},
      {{"--pattern", "4x1", "--sparsity", "0.5", "--quantize", "fast"}, 2, "--quantize: mode is 'fast'"},
      {{"--pattern", "4x1", "--sparsity", "0.5", "--max-loss", "1%"}, 2, "--max-loss goes with --eval"},
  };
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    const char *const *a = cases[i].options;
    const outcome o = run_pith(NULL, "prune", bare, "-o", out, a[0], a[1], a[2], a[3], a[4], a[5], NULL);
    assert_refused(&o, cases[i].status, cases[i].says);
  }
  write_text(recipe, "{\"prune\":{\"patern\":\"4x1\"}}", 26);
  outcome o = run_pith(NULL, "prune", bare, "--recipe", recipe, "-o", out, NULL);
  assert_refused(&o, 1, "no key 'patern' in recipes of prune, did you mean 'pattern'?");
  write_text(recipe, "{\"prune\":{\"pattern\":\"2:4\",\"data\":\"a\"},\"quantize\":{\"data\":\"b\"}}", 62);
  o = run_pith(NULL, "prune", bare, "--recipe", recipe, "-o", out, NULL);
  assert_refused(&o, 2, "data is 'a' in prune and 'b' in quantize");
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_magnitude),
      cmocka_unit_test(test_then_int8),
      cmocka_unit_test(test_obs),
      cmocka_unit_test(test_obs_then_int8),
      cmocka_unit_test(test_inspect_sparsity),
      cmocka_unit_test(test_budget),
      cmocka_unit_test(test_wrong),
  };
  return cmocka_run_group_tests(tests, make_models, remove_models);
}
