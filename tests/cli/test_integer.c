/* What inspect and bench say of a quantized model: which steps are INT8, what stayed and why,
 * shares of the INT8 peak. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include <cjson/cJSON.h>

#include "engine/format/format.h"
#include "tests/cli/command_fixture.h"
#include "tests/engine/exec_fixture.h"

static const char *write_model(exec_fixture_head head, const char *name) {
  const char *path = in_folder(name);
  exec_fixture_model fixture;
  pith_error error = {0};
  exec_fixture_open(&fixture, head);
  fixture.model.data.architecture = fixture.model.data.config_json = "";
  if (pith_format_write(path, &fixture.model.data, &error) != PITH_OK)
    fail_msg("%s", error.message);
  exec_fixture_close(&fixture);
  return path;
}

static cJSON *parse(const outcome *o) {
  assert_success(o);
  cJSON *json = cJSON_Parse(o->out);
  if (json == NULL)
    fail_msg("no JSON: %s", o->out);
  return json;
}

static const char *text_of(const cJSON *object, const char *key) {
  const char *text = cJSON_GetStringValue(cJSON_GetObjectItem(object, key));
  assert_non_null(text);
  return text;
}
static double number_of(const cJSON *object, const char *key) {
  const cJSON *item = cJSON_GetObjectItem(object, key);
  assert_true(cJSON_IsNumber(item));
  return item->valuedouble;
}

static void test_inspect(void **state) {
  (void)state;
  const char *model = write_model(EXEC_DYNAMIC, "dynamic.pith");
  outcome o = run_pith(NULL, "inspect", model, "--program", "--json", NULL);
  cJSON *json = parse(&o);
  const cJSON *step, *note, *notes = cJSON_GetObjectItem(json, "notes");
  int integers = 0, alone = 0;
  cJSON_ArrayForEach(step, cJSON_GetObjectItem(json, "steps")) {
    const char *operator_name = text_of(step, "operator");
    bool is_integer = cJSON_IsTrue(cJSON_GetObjectItem(step, "integer"));
    assert_int_equal(is_integer, strstr(operator_name, "Integer") != NULL);
    integers += is_integer;
    alone += strcmp(operator_name, "DynamicQuantize") == 0;
    assert_true(strlen(text_of(step, "kernel")) > 3);
  }
  assert_int_equal(integers, 2 * 5 + 1);
  assert_int_equal(alone, 3);
  assert_int_equal(cJSON_GetArraySize(notes), alone);
  cJSON_ArrayForEach(note, notes) {
    assert_non_null(strstr(text_of(note, "name"), ".quantize"));
    assert_true(strlen(text_of(note, "reason")) > 10);
  }
  assert_true(number_of(json, "buffer_bytes") > 1000 && number_of(json, "packed_bytes") > 1000);
  cJSON_Delete(json);
  o = run_pith(NULL, "inspect", model, "--program", NULL);
  assert_success(&o);
  assert_non_null(strstr(o.out, "not merged: layer.1.context.quantize: "));
  assert_non_null(strstr(o.out, "goes head by head"));
}

/* Operations of the products, by hand, for `sequences` of `length` tokens. */
static double count_operations(double sequences, double length, double *out_integer) {
  double tokens = sequences * length, hidden = EXEC_HIDDEN;
  double layer = 2 * tokens * (4 * hidden * hidden + 2 * hidden * EXEC_INNER) +
                 4 * sequences * length * length * hidden;
  *out_integer = 2 * layer + 2 * sequences * hidden * EXEC_VOCABULARY;
  return *out_integer + 2 * sequences * hidden * EXEC_LABELS;
}

static void test_bench(void **state) {
  (void)state;
  double integer, all = count_operations(3, 20, &integer);
  for (int head = EXEC_VECTORS; head <= EXEC_DYNAMIC; head++) {
    const char *model = write_model((exec_fixture_head)head, "model.pith");
    outcome o = run_pith(NULL, "bench", model, "--batch", "3", "--seq", "20", "--threads", "1",
                         "--seconds", "0.1", "--json", "--profile", NULL);
    cJSON *json = parse(&o);
    const cJSON *row, *peak = cJSON_GetObjectItem(json, "peak");
    const bool is_integer = head != EXEC_VECTORS;
    assert_string_equal(text_of(json, "fraction_of"), is_integer ? "int8" : "fp32");
    if (is_integer) {
      assert_true(fabs(number_of(json, "integer_fraction") - integer / all) < 2e-6);
      assert_true(number_of(json, "integer_fraction") > 0.99);
      double rate = number_of(json, "samples_per_s") / 3 * all * 1e-9;
      assert_true(fabs(number_of(json, "gflops") - rate) <= 1e-4 * rate);
    } else {
      assert_true(number_of(json, "integer_fraction") == 0);
    }
    double best =
        number_of(peak, is_integer ? "int8_gops" : "fp32_gflops"); /* 0: no loop for this CPU */
    assert_true(fabs(number_of(json, "fraction_of_peak") -
                     (best > 0 ? number_of(json, "gflops") / best : 0)) < 1e-3);
    cJSON_ArrayForEach(row, cJSON_GetObjectItem(json, "profile")) {
      bool product = strstr(text_of(row, "operator"), "Integer") != NULL;
      assert_string_equal(text_of(row, "peak"), product ? "int8" : "fp32");
      best = number_of(peak, product ? "int8_gops" : "fp32_gflops");
      assert_true(fabs(number_of(row, "fraction_of_peak") -
                       (best > 0 ? number_of(row, "gflops") / best : 0)) < 1e-3);
    }
    cJSON_Delete(json);
  }
  const char *model = write_model(EXEC_STATIC, "static.pith");
  /* The peak is that of the features in use: plain C has no loop to compare with. */
  outcome o = run_pith(NULL, "bench", model, "--batch", "1", "--seq", "8", "--seconds", "0.05",
                       "--json", "--without", "avx2,avx512,avx512vnni,avxvnni", NULL);
  cJSON *json = parse(&o);
  assert_true(number_of(cJSON_GetObjectItem(json, "peak"), "int8_gops") == 0);
  assert_true(number_of(json, "fraction_of_peak") == 0);
  cJSON_Delete(json);
  o = run_pith(NULL, "bench", model, "--batch", "1", "--seq", "8", "--seconds", "0.05", NULL);
  assert_success(&o);
  assert_non_null(strstr(o.out, " of INT8 peak "));
  assert_non_null(strstr(o.out, " % of the operations of products are INT8"));
}

static int remove_files(void **state) {
  (void)state;
  remove_folder();
  return 0;
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_inspect), cmocka_unit_test(test_bench)};
  return cmocka_run_group_tests(tests, NULL, remove_files);
}
