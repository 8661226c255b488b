/* Keys of pruning: each there and back, one row each in the documentation; sections of recipes. */
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
#include "sparse/options.h"

static char path[64];

static pith_status read_text(const char *text, pith_recipe_section *sections, pith_arena *arena, pith_error *error) {
  FILE *file = fopen(path, "w");
  assert_non_null(file);
  fputs(text, file);
  assert_int_equal(fclose(file), 0);
  return pith_recipe_read(path, sections, 2, arena, error);
}

static const char all_keys[] =
    "{\"pattern\":\"4x1\",\"sparsity\":0.75,\"method\":\"magnitude\",\"scope\":\"layer\",\"schedule\":\"cubic\",\"steps\":7,"
    "\"exclude\":[\"a*\"],\"minimum\":0.25,\"maximum\":0.5,\"damping\":0.125,\"data\":\"a.txt\",\"data-task\":\"sst2\","
    "\"samples\":9,\"batch\":5,\"seed\":3,\"vocabulary\":\"v.txt\",\"vocabulary-size\":77,\"eval\":\"stsb\",\"eval-data\":\"b.csv\",\"max-loss\":\"1%\",\"graph\":\"0123\"}";

static void test_sections(void **unused) {
  (void)unused;
  pith_arena arena;
  pith_arena_init(&arena, NULL);
  pith_error error = {0};
  pith_prune_options prune = pith_prune_defaults;
  pith_quant_options quant = pith_quant_defaults;
  pith_recipe_section sections[2] = {{.name = "prune", .keys = pith_prune_keys, .options = &prune},
                                     {.name = "quantize", .keys = pith_quant_keys, .options = &quant}};
  assert_int_equal(read_text(all_keys, sections, &arena, &error), PITH_OK);
  assert_true(sections[0].given && !sections[1].given);
  cJSON *json = pith_recipe_write(&prune, pith_prune_keys);
  char *written = cJSON_PrintUnformatted(json);
  assert_string_equal(written, all_keys);
  int keys = 0;
  for (const pith_recipe_key *key = pith_prune_keys; key->name != NULL; key++)
    keys++;
  assert_int_equal(cJSON_GetArraySize(json), keys);
  cJSON_free(written);
  cJSON_Delete(json);

  assert_int_equal(read_text("{\"quantize\":{\"mode\":\"dynamic\"},\"prune\":{\"pattern\":\"2:4\"}}", sections, &arena, &error),
                   PITH_OK);
  assert_true(sections[0].given && sections[1].given);
  assert_int_equal(quant.mode, PITH_QUANT_DYNAMIC);
  assert_string_equal(prune.pattern, "2:4");
  static const struct {
    const char *text, *says;
  } wrong[] = {
      {"{\"prune\":{\"sparsty\":0.5}}", "no key 'sparsty' in recipes of prune, did you mean 'sparsity'?"},
      {"{\"prun\":{\"sparsity\":0.5}}", "'prun' is no section of this recipe, did you mean 'prune'?"},
      {"{\"prune\":{},\"mode\":\"dynamic\"}", "'mode' is no section of this recipe"},
      {"{\"prune\":{},\"prune\":{}}", "'prune' stands twice"},
      {"{\"sparsity\":1.5}", "sparsity is '1.5'; it takes a number from 0 to 1"},
      {"{\"steps\":0}", "steps is '0'; it takes a whole number from 1"},
      {"{\"method\":\"gradient\"}", "method is 'gradient'; it takes magnitude"},
  };
  for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
    assert_int_not_equal(read_text(wrong[i].text, sections, &arena, &error), PITH_OK);
    if (strstr(error.message, wrong[i].says) == NULL || strstr(error.message, path) == NULL)
      fail_msg("%s: '%s' has no '%s'", wrong[i].text, error.message, wrong[i].says);
  }
  pith_arena_deinit(&arena);
}

static void test_options(void **unused) {
  (void)unused;
  static const struct {
    const char *pattern;
    double sparsity, minimum, maximum;
    const char *says;
  } wrong[] = {
      {NULL, 0.5, 0, 1, "pattern is missing"},
      {"4by1", 0.5, 0, 1, "4by1"},
      {"head", 0.5, 0, 1, "pattern is 'head'; weights are set to 0 by"},
      {"4x1", PITH_PRUNE_SPARSITY_OF_PATTERN, 0, 1, "sparsity is missing"},
      {"2:4", 0.6, 0, 1, "sparsity is 0.6, but pattern 2:4 leaves a sparsity of 0.5"},
      {"4x1", 1, 0, 0.98, "sparsity is 1, outside the minimum and maximum of each weight, 0 to 0.98"},
      {"4x1", 0.5, 0.7, 0.6, "minimum is 0.7, over the maximum of 0.6"},
  };
  for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
    pith_prune_options options = pith_prune_defaults;
    options.pattern = wrong[i].pattern;
    options.sparsity = wrong[i].sparsity;
    options.minimum = wrong[i].minimum;
    options.maximum = wrong[i].maximum;
    pith_error error = {0};
    pith_pattern pattern;
    double sparsity;
    assert_int_equal(pith_prune_check_options(&options, &pattern, &sparsity, &error), PITH_INVALID_ARGUMENT);
    if (strstr(error.message, wrong[i].says) == NULL)
      fail_msg("'%s' has no '%s'", error.message, wrong[i].says);
  }
  pith_prune_options options = pith_prune_defaults;
  options.pattern = "1:4";
  pith_error error = {0};
  pith_pattern pattern;
  double sparsity;
  assert_int_equal(pith_prune_check_options(&options, &pattern, &sparsity, &error), PITH_OK);
  assert_true(sparsity == 0.75 && pattern.kind == PITH_PATTERN_N_OF_M);
}

/* Every row of the documentation's table is a key and every key has a row. */
static void test_docs(void **unused) {
  (void)unused;
  static char text[64000];
  FILE *file = fopen(PITH_SOURCE_DIR "/docs/sparsity.md", "r");
  assert_non_null(file);
  text[fread(text, 1, sizeof text - 1, file)] = '\0';
  fclose(file);
  const char *table = strstr(text, "| key | default | what |");
  assert_non_null(table);
  cJSON *defaults = pith_recipe_write(&pith_prune_defaults, pith_prune_keys);
  for (const pith_recipe_key *key = pith_prune_keys; key->name != NULL; key++) {
    const cJSON *item = cJSON_GetObjectItemCaseSensitive(defaults, key->name);
    char *value = item == NULL ? NULL : cJSON_PrintUnformatted(item), row[400];
    snprintf(row, sizeof row, "| `%s` | %s%s%s | %s |\n", key->name, value == NULL ? "" : "`", value == NULL ? "" : value,
             value == NULL ? "" : "`", key->doc);
    if (strstr(table, row) == NULL)
      fail_msg("docs/sparsity.md has no row %s", row);
    cJSON_free(value);
  }
  cJSON_Delete(defaults);
}

static int remove_file(void **unused) {
  (void)unused;
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
      cmocka_unit_test(test_sections),
      cmocka_unit_test(test_options),
      cmocka_unit_test(test_docs),
  };
  return cmocka_run_group_tests(tests, NULL, remove_file);
}
