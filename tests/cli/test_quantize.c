/* pith quantize and pith eval --ranges as processes: what they say, what they write, and what leaves no file. */
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

static char bare[600], embedder[600], texts[600], rows[600], out[600];

static int make_models(void **state) {
  (void)state;
  const char *from = in_folder("config.json");
  write_text(from, config, sizeof config - 1);
  snprintf(bare, sizeof bare, "%s", in_folder("bare.pith"));
  snprintf(embedder, sizeof embedder, "%s", in_folder("embedder.pith"));
  snprintf(texts, sizeof texts, "%s", in_folder("texts.txt"));
  snprintf(rows, sizeof rows, "%s", in_folder("rows.jsonl"));
  snprintf(out, sizeof out, "%s", in_folder("out.pith"));
  outcome o = run_pith(NULL, "new", from, "--seed", "3", "-o", bare, NULL);
  assert_success(&o);
  o = run_pith(NULL, "import", PITH_SOURCE_DIR "/tests/golden/models/sentence-mean-normalize", "-o", embedder, NULL);
  assert_success(&o);
  write_text(texts, "a first text\n\nthe second one\nand a third\n", 41);
  char text[8000];
  size_t bytes = 0;
  for (int i = 0; i < 60; i++) /* labels that the model cannot know: any accuracy may come out */
    bytes += (size_t)snprintf(text + bytes, sizeof text - bytes, "{\"ids\":[%d,%d,%d,%d],\"label\":%d}\n", i, 5 * i % 300,
                              7 * i % 300, 299 - i, i % 2);
  write_text(rows, text, bytes);
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
  assert_int_equal(o->status, 0);
  cJSON *json = cJSON_Parse(o->out);
  if (json == NULL)
    fail_msg("no JSON: '%s'", o->out);
  return json;
}

static double number(const cJSON *json, const char *key) {
  const cJSON *item = cJSON_GetObjectItemCaseSensitive(json, key);
  if (!cJSON_IsNumber(item))
    fail_msg("no number '%s'", key);
  return item->valuedouble;
}

static void test_random_ids(void **state) {
  (void)state;
  outcome o = run_pith(NULL, "quantize", bare, "--mode", "static", "--seed", "5", "--json", "-o", out, NULL);
  assert_string_equal(o.err, "pith quantize: no data: calibrating on 300 sequences of random token ids, seed 5\n");
  cJSON *json = parse(&o);
  assert_true(number(json, "products") == 12 && number(json, "products_float") == 2 && number(json, "tables") == 3);
  assert_true(number(json, "texts") == 300 && cJSON_IsTrue(cJSON_GetObjectItem(json, "random_ids")));
  cJSON_Delete(json);
  o = run_pith(NULL, "verify", out, NULL);
  assert_success(&o);
  o = run_pith(NULL, "inspect", out, NULL);
  assert_success(&o);
  assert_non_null(strstr(o.out, "\"random_sequences\":300"));
  assert_non_null(strstr(o.out, "\"seed\":5"));
  o = run_pith(NULL, "quantize", out, "--mode", "dynamic", "-o", in_folder("twice.pith"), NULL);
  assert_failure(&o, 1, "the model is quantized already");
  assert_false(exists(in_folder("twice.pith")));
  unlink(out);
}

static void test_texts(void **state) {
  (void)state;
  outcome o = run_pith(NULL, "quantize", embedder, "--data", texts, "--report", "-o", out, NULL);
  assert_success(&o);
  assert_non_null(strstr(o.out, "calibrated on 3 texts"));
  assert_non_null(strstr(o.out, "\tactivation\t"));
  o = run_pith(NULL, "eval", out, "--ranges", "--data", texts, NULL);
  assert_success(&o);
  assert_non_null(strstr(o.out, "0.0000%"));
  o = run_pith(NULL, "eval", out, "--ranges", "--data", texts, "--json", NULL);
  cJSON *json = parse(&o);
  assert_true(cJSON_GetArraySize(cJSON_GetObjectItem(json, "ranges")) > 5);
  cJSON_Delete(json);
  o = run_pith(NULL, "eval", embedder, "--ranges", "--data", texts, NULL);
  assert_failure(&o, 1, "no calibrated ranges");
  /* All texts as a stream, on standard input even: the same file. */
  o = run_pith(NULL, "quantize", embedder, "--data", texts, "--samples", "0", "--observer", "min_max", "--json", "-o",
               in_folder("stream.pith"), NULL);
  json = parse(&o);
  assert_true(number(json, "texts") == 3);
  cJSON_Delete(json);
  o = run_pith("one\ntwo\n", "quantize", embedder, "--data", "-", "--samples", "0", "--smoothquant", "off", "-o", out, NULL);
  assert_success(&o);
  unlink(out);
  o = run_pith("one\ntwo\n", "quantize", embedder, "--data", "-", "--samples", "0", "-o", out, NULL);
  assert_refused(&o, 1, "standard input cannot be read twice");
}

static void test_wrong_data(void **state) {
  (void)state;
  const char *empty = in_folder("empty.txt"), *line = in_folder("line.txt");
  write_text(empty, "\n \n", 3);
  write_text(line, "only this\n", 10);
  outcome o = run_pith(NULL, "quantize", embedder, "--mode", "static", "-o", out, NULL);
  assert_refused(&o, 1, "--data is missing");
  o = run_pith(NULL, "quantize", embedder, "--data", texts, "--percentile", "99", "-o", out, NULL);
  assert_refused(&o, 2, "percentile 99 does nothing with observer min_max: it goes with percentile");
  o = run_pith(NULL, "quantize", embedder, "--data", empty, "-o", out, NULL);
  assert_refused(&o, 1, "empty.txt: has no text");
  o = run_pith(NULL, "quantize", embedder, "--data", line, "-o", out, NULL);
  assert_refused(&o, 1, "line.txt: has one text: ranges need at least 2");
  o = run_pith(NULL, "quantize", embedder, "--data", line, "--samples", "0", "-o", out, NULL);
  assert_refused(&o, 1, "has one text");
  o = run_pith(NULL, "quantize", bare, "--data", texts, "-o", out, NULL);
  assert_refused(&o, 1, "tokenizer");
  o = run_pith(NULL, "quantize", embedder, "--data", in_folder("absent.txt"), "-o", out, NULL);
  assert_refused(&o, 1, "absent.txt");
  o = run_pith(NULL, "quantize", embedder, "--mode", "dynamic", "--data", texts, "-o", out, NULL);
  assert_refused(&o, 2, "--data is of no use");
  o = run_pith(NULL, "quantize", embedder, "--mode", "fast", "-o", out, NULL);
  assert_refused(&o, 2, "--mode is 'fast'; it takes static, dynamic");
  o = run_pith(NULL, "quantize", embedder, "--mode", "dynamic", "--keep-float", "no.such.*", "-o", out, NULL);
  assert_refused(&o, 1, "keep-float pattern 'no.such.*' matches no operator");
}

static void test_recipe(void **state) {
  (void)state;
  const char *recipe = in_folder("recipe.json");
  write_text(recipe, "{\"mode\":\"dynamic\",\"float-embeddings\":true}", 42);
  outcome o = run_pith(NULL, "quantize", bare, "--recipe", recipe, "--json", "-o", out, NULL);
  assert_success(&o);
  cJSON *json = parse(&o);
  assert_true(number(json, "tables") == 0 && number(json, "activations") == 0);
  cJSON_Delete(json);
  unlink(out);
  write_text(recipe, "{\"mod\":\"dynamic\"}", 17);
  o = run_pith(NULL, "quantize", bare, "--recipe", recipe, "-o", out, NULL);
  assert_refused(&o, 1, "no key 'mod' in recipes of quantize, did you mean 'mode'?");
  write_text(recipe, "{\"mode\":\"dynamic\",\"graph\":\"0123456789abcdef\"}", 46);
  o = run_pith(NULL, "quantize", bare, "--recipe", recipe, "-o", out, NULL);
  assert_refused(&o, 1, "the recipe is for another model");
}

static void test_budget(void **state) {
  (void)state;
  outcome o = run_pith(NULL, "quantize", bare, "--mode", "dynamic", "--eval", "classification", "--eval-data", rows,
                       "--max-loss", "100%", "--json", "-o", out, NULL);
  assert_success(&o);
  cJSON *json = parse(&o);
  const cJSON *eval = cJSON_GetObjectItem(json, "eval");
  assert_true(number(eval, "n") == 60);
  const double after = number(cJSON_GetObjectItem(eval, "after"), "accuracy");
  cJSON_Delete(json);
  o = run_pith(NULL, "inspect", out, "--json", NULL);
  json = parse(&o);
  const cJSON *report = cJSON_GetObjectItem(json, "report");
  assert_int_equal(cJSON_GetArraySize(report), 6); /* three metrics, before and after */
  const cJSON *last = cJSON_GetArrayItem(report, 3);
  assert_string_equal(cJSON_GetObjectItem(last, "metric")->valuestring, "accuracy");
  assert_true(number(last, "value") == after);
  cJSON_Delete(json);
  unlink(out);

  o = run_pith(NULL, "quantize", bare, "--mode", "dynamic", "--max-loss", "1%", "-o", out, NULL);
  assert_refused(&o, 2, "--max-loss goes with --eval");
  o = run_pith(NULL, "quantize", bare, "--mode", "dynamic", "--eval", "classification", "-o", out, NULL);
  assert_refused(&o, 2, "--eval and --eval-data go together");
  o = run_pith(NULL, "quantize", bare, "--mode", "dynamic", "--eval", "clasification", "--eval-data", rows, "-o", out, NULL);
  assert_refused(&o, 2, "did you mean classification");
  o = run_pith(NULL, "quantize", bare, "--mode", "dynamic", "--eval", "classification", "--eval-data", rows,
               "--max-loss", "much", "-o", out, NULL);
  assert_refused(&o, 2, "--max-loss takes a share such as 1% or a difference");
}

/* Labels that are the float model's own answers: it is right each time, so that anything lost is over a budget of 0. */
static void test_over_budget(void **state) {
  (void)state;
  char lines[16000];
  size_t bytes = 0;
  outcome o = run_pith(NULL, "run", bare, "--input", rows, "--json", NULL);
  assert_success(&o);
  const char *line = o.out;
  for (int i = 0; i < 60; i++) {
    cJSON *answer = cJSON_ParseWithOpts(line, &line, 0);
    assert_non_null(answer);
    const char *label = cJSON_GetObjectItem(answer, "label")->valuestring;
    bytes += (size_t)snprintf(lines + bytes, sizeof lines - bytes, "{\"ids\":[%d,%d,%d,%d],\"label\":\"%s\"}\n", i, 5 * i % 300,
                              7 * i % 300, 299 - i, label);
    cJSON_Delete(answer);
  }
  const char *own = in_folder("own.jsonl");
  write_text(own, lines, bytes);
  /* Ranges of two sequences, cut in half: answers change. */
  const char *few = in_folder("few.jsonl");
  write_text(few, "{\"ids\":[1,2]}\n{\"ids\":[3,4]}\n", 28);
  o = run_pith(NULL, "quantize", bare, "--data", few, "--observer", "percentile", "--percentile", "60", "--eval", "classification", "--eval-data",
               own, "--max-loss", "0", "-o", out, NULL);
  assert_refused(&o, 1, "classification accuracy falls from 1.0000 to ");
  assert_non_null(strstr(o.err, "over the budget of 0 by 0."));
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_random_ids), cmocka_unit_test(test_texts),  cmocka_unit_test(test_wrong_data),
      cmocka_unit_test(test_recipe),     cmocka_unit_test(test_budget), cmocka_unit_test(test_over_budget),
  };
  return cmocka_run_group_tests(tests, make_models, remove_models);
}
