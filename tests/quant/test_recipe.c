/* Recipes: every key there and back, and what is said of wrong ones. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include <cjson/cJSON.h>

#include "quant/recipe.h"
#include "quant/source.h"

static char path[64];

static pith_status read_text(const char *text, pith_arena *arena, pith_quant_options *options, pith_error *error) {
  FILE *file = fopen(path, "w");
  assert_non_null(file);
  fputs(text, file);
  assert_int_equal(fclose(file), 0);
  *options = pith_quant_defaults;
    pith_recipe_section section = {.name = "quantize", .keys = pith_quant_keys, .options = options};
  return pith_recipe_read(path, &section, 1, arena, error);
}

static void test_there_and_back(void **state) {
  (void)state;
  static const char text[] =
      "{\"mode\":\"dynamic\",\"data\":\"a.txt\",\"data-task\":\"sst2\",\"samples\":7,\"seed\":9007199254740991,"
      "\"observer\":\"kl\",\"percentile\":99.5,\"averaging\":0.25,\"weight-clip\":\"min_max\",\"rounding\":\"gptq\",\"smoothquant\":\"auto\","
      "\"equalize\":true,\"bias-correction\":true,\"keep-float\":[\"a*\",\"b?\"],\"float-embeddings\":true,"
      "\"float-attention\":true,\"eval\":\"stsb\",\"eval-data\":\"b.csv\",\"max-loss\":\"1%\",\"graph\":\"0123\"}";
  pith_arena arena;
  pith_arena_init(&arena, NULL);
  pith_quant_options options;
  pith_error error = {0};
  if (read_text(text, &arena, &options, &error) != PITH_OK)
    fail_msg("%s", error.message);
  assert_int_equal(options.mode, PITH_QUANT_DYNAMIC);
  assert_int_equal(options.observer, PITH_OBSERVER_KL);
  assert_true(options.smoothquant == PITH_SMOOTHQUANT_AUTO && options.seed == 9007199254740991u);
  assert_int_equal(options.keep_float.count, 2);
  assert_string_equal(options.keep_float.list[1], "b?");
  cJSON *json = pith_recipe_write(&options, pith_quant_keys);
  char *written = cJSON_PrintUnformatted(json);
  assert_string_equal(written, text);
  int keys = 0;
  for (const pith_recipe_key *key = pith_quant_keys; key->name != NULL; key++)
    keys++;
  assert_int_equal(cJSON_GetArraySize(json), keys); /* the text above has them all */
  cJSON_free(written);
  cJSON_Delete(json);
  pith_arena_deinit(&arena);
}

static void test_wrong(void **state) {
  (void)state;
  static const struct {
    const char *text, *says;
  } cases[] = {
      {"{\"obsrver\":\"kl\"}", "no key 'obsrver' in recipes of quantize, did you mean 'observer'?"},
      {"{\"colour\":1}", "no key 'colour' in recipes of quantize"},
      {"{\"observer\":\"klm\"}", "observer is 'klm'; it takes min_max, moving_average"},
      {"{\"observer\":3}", "observer takes text"},
      {"{\"equalize\":1}", "equalize takes true or false"},
      {"{\"percentile\":101}", "percentile is '101'; it takes a number from 50 to 100"},
      {"{\"smoothquant\":1.5}", "smoothquant is '1.5'; it takes a number from 0 to 1, auto, off, free"},
      {"{\"smoothquant\":\"on\"}", "smoothquant takes a number"},
      {"{\"samples\":1.5}", "samples is '1.5'; it takes a whole number"},
      {"{\"samples\":-1}", "samples is '-1'"},
      {"{\"keep-float\":[1]}", "keep-float takes a list of texts"},
      {"{\"keep-float\":[]}", "keep-float has an empty pattern"},
      {"{\"mode\":\"static\",\"mode\":\"dynamic\"}", "key 'mode' stands twice"},
      {"[1]", "object"},
      {"{\"mode\":", "recipe"},
  };
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    pith_arena arena;
    pith_arena_init(&arena, NULL);
    pith_quant_options options;
    pith_error error = {0};
    assert_int_not_equal(read_text(cases[i].text, &arena, &options, &error), PITH_OK);
    if (strstr(error.message, cases[i].says) == NULL || strstr(error.message, path) == NULL)
      fail_msg("%s: '%s' has no '%s'", cases[i].text, error.message, cases[i].says);
    pith_arena_deinit(&arena);
  }
}

/* Every row of the documentation's table is a key and every key has a row. */
static void test_docs(void **state) {
  (void)state;
  static char text[64000];
  FILE *file = fopen(PITH_SOURCE_DIR "/docs/quantization.md", "r");
  assert_non_null(file);
  text[fread(text, 1, sizeof text - 1, file)] = '\0';
  fclose(file);
  const char *table = strstr(text, "| key | default | what |");
  assert_non_null(table);
  cJSON *defaults = pith_recipe_write(&pith_quant_defaults, pith_quant_keys);
  for (const pith_recipe_key *key = pith_quant_keys; key->name != NULL; key++) {
    const cJSON *item = cJSON_GetObjectItemCaseSensitive(defaults, key->name);
    char *value = item == NULL ? NULL : cJSON_PrintUnformatted(item), row[400];
    snprintf(row, sizeof row, "| `%s` | %s%s%s | %s |\n", key->name, value == NULL ? "" : "`",
             value == NULL ? "" : value, value == NULL ? "" : "`", key->doc);
    if (strstr(table, row) == NULL)
      fail_msg("docs/quantization.md has no row %s", row);
    cJSON_free(value);
  }
  cJSON_Delete(defaults);
}

/* Samples: the first ones; by seed others, all different, the same for the same seed, late texts as likely as early ones. */
static void test_samples(void **state) {
  (void)state;
  enum { TEXTS = 1000, SAMPLE = 100 };
  uint64_t late = 0;
  for (uint64_t seed = 0; seed < 21; seed++) {
    uint64_t chosen[SAMPLE], again[SAMPLE];
    for (uint64_t i = 0; i < TEXTS; i++) {
      const uint64_t place = pith_sample_place(i, SAMPLE, seed), same = pith_sample_place(i, SAMPLE, seed);
      assert_true(place == same && place <= SAMPLE);
      if (place < SAMPLE)
        chosen[place] = again[place] = i;
    }
    for (int i = 0; i < SAMPLE; i++) {
      assert_true(seed != 0 || chosen[i] == (uint64_t)i);
      late += seed != 0 && chosen[i] >= TEXTS / 2;
      for (int j = 0; j < i; j++)
        assert_true(again[i] != again[j]);
    }
  }
  assert_in_range(late, 900, 1100); /* of 2,000 draws; deviation 21 */
}

static int remove_file(void **state) {
  (void)state;
  unlink(path);
  return 0;
}

int main(void) {
  const char *base = getenv("TMPDIR");
  snprintf(path, sizeof path, "%.20s/recipe-XXXXXX", base == NULL ? "/tmp" : base);
  const int fd = mkstemp(path);
  if (fd < 0)
    return 1;
  close(fd);
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_there_and_back),
      cmocka_unit_test(test_wrong),
      cmocka_unit_test(test_docs),
      cmocka_unit_test(test_samples),
  };
  return cmocka_run_group_tests(tests, NULL, remove_file);
}
