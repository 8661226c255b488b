/* Keys of training: each there and back, one row each in the documentation, its default there too. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cjson/cJSON.h>
#include <cmocka.h>

#include "train/options.h"

static const char all_keys[] =
    "{\"task\":\"sst2\",\"data\":\"a.tsv\",\"eval-data\":\"b.tsv\",\"eval-task\":\"mrpc\",\"text-column\":\"t\",\"pair-column\":\"p\","
    "\"label-column\":\"3\",\"header\":true,\"held-out\":0.25,\"max-length\":7,\"head\":\"regression\",\"labels\":\"x,y\",\"layers\":\"1,2\",\"exits\":\"0,3\","
    "\"epochs\":4,\"max-steps\":900719925474,\"batch\":5,\"tokens-per-step\":6,\"accumulate\":8,\"group\":9,\"lr\":0.5,\"warmup\":0.125,"
    "\"schedule\":\"cosine\",\"optimizer\":\"lamb\",\"beta1\":0.5,\"beta2\":0.25,\"epsilon\":0.0625,\"momentum\":0.75,\"nesterov\":true,"
    "\"weight-decay\":0.375,\"clip\":2,\"layer-decay\":0.875,\"ema\":0.5,\"dropout\":0.25,\"attention-dropout\":\"dropout\","
    "\"classifier-dropout\":0,\"label-smoothing\":0.5,\"class-weights\":\"1,2\",\"temperature\":0.5,\"freeze\":[\"a*\",\"b?\"],\"dequantize\":true,\"qat-ranges\":\"ema\","
    "\"qat-momentum\":0.5,\"qat-freeze\":0.75,\"seed\":9007199254740992,"
    "\"max-memory\":11,\"eval-every\":12,\"save-every\":13,\"patience\":14,\"metric\":\"f1\",\"log\":\"l.jsonl\",\"tensorboard\":\"d\",\"log-every\":15,"
    "\"teacher\":\"t.pith\",\"distill-weight\":0.5,\"distill-temperature\":4,\"distill-hidden\":8,\"distill-attention\":3,\"distill-relations\":0.5,"
    "\"distill-relation-heads\":48,\"distill-relation-layer\":21,\"prune-pattern\":\"4x1\",\"prune-sparsity\":0.75,"
    "\"prune-score\":\"movement\",\"prune-scope\":\"layer\",\"prune-schedule\":\"linear\",\"prune-begin\":0.25,\"prune-end\":100,"
    "\"prune-every\":16,\"prune-exclude\":[\"c*\"],\"prune-minimum\":0.125,\"prune-maximum\":0.875,\"prune-lasso\":0.5,"
    "\"prune-fisher-gradients\":17,\"prune-fisher-block\":18,\"prune-fisher-damp\":0.0625,\"prune-no-update\":true,"
    "\"prune-score-rate\":32,\"prune-penalty\":64,\"prune-rewind\":0.125,\"graph\":\"0123\"}";

static void test_all(void **state) {
  (void)state;
  char path[300];
  const char *folder = getenv("TMPDIR");
  snprintf(path, sizeof path, "%s/pith-recipe-%d.json", folder == NULL ? "/tmp" : folder, (int)getpid());
  FILE *file = fopen(path, "w");
  assert_non_null(file);
  fputs(all_keys, file);
  fclose(file);
  pith_arena arena;
  pith_arena_init(&arena, NULL);
  pith_error error = {0};
  pith_train_options options = pith_train_defaults;
  pith_recipe_section section = {.name = "train", .keys = pith_train_keys, .options = &options};
  const pith_status status = pith_recipe_read(path, &section, 1, &arena, &error);
  unlink(path);
  if (status != PITH_OK)
    fail_msg("%s", error.message);
  cJSON *json = pith_recipe_write(&options, pith_train_keys);
  char *written = cJSON_PrintUnformatted(json);
  assert_string_equal(written, all_keys);
  int keys = 0;
  for (const pith_recipe_key *key = pith_train_keys; key->name != NULL; key++)
    keys++;
  assert_int_equal(cJSON_GetArraySize(json), keys);
  cJSON_free(written);
  cJSON_Delete(json);
  /* What tells two runs apart: everything but where it is written and read. */
  const char *text, *other;
  assert_int_equal(pith_train_describe_options(&options, &arena, &text, &error), PITH_OK);
  options.data = options.log = options.tensorboard = options.teacher = "elsewhere";
  options.save_every = options.log_every = options.max_memory = 1;
  assert_int_equal(pith_train_describe_options(&options, &arena, &other, &error), PITH_OK);
  assert_string_equal(text, other);
  options.seed--;
  assert_int_equal(pith_train_describe_options(&options, &arena, &other, &error), PITH_OK);
  assert_string_not_equal(text, other);
  pith_arena_deinit(&arena);
}

/* What goes with an INT8 model's ranges. */
static void test_ranges(void **state) {
  (void)state;
  const struct {
    bool dequantize;
    pith_range_training ranges;
    double momentum, freeze;
    const char *message;
  } cases[] = {{false, PITH_RANGE_TRAINING_EMA, 0.5, 0.25, NULL},
               {true, PITH_RANGE_TRAINING_FIXED, 0.99, 0.5, NULL},
               {true, PITH_RANGE_TRAINING_EMA, 0.99, 0.5, "qat-ranges does nothing with dequantize"},
               {false, PITH_RANGE_TRAINING_FIXED, 0.5, 0.5, "qat-momentum goes with qat-ranges ema"},
               {false, PITH_RANGE_TRAINING_LEARNED, 0.99, 0.25, "qat-freeze goes with qat-ranges ema"}};
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    pith_train_options options = pith_train_defaults;
    pith_error error = {PITH_OK, ""};
    options.task = "sst2";
    options.data = "a.tsv";
    options.dequantize = cases[i].dequantize;
    options.ranges = cases[i].ranges;
    options.range_momentum = cases[i].momentum;
    options.range_freeze = cases[i].freeze;
    const pith_status status = pith_train_check_options(&options, &error);
    assert_int_equal(status, cases[i].message == NULL ? PITH_OK : PITH_INVALID_ARGUMENT);
    if (cases[i].message != NULL)
      assert_string_equal(error.message, cases[i].message);
  }
}

/* What goes with some scores alone. */
static void test_scores(void **state) {
  (void)state;
  const struct {
    pith_prune_score score;
    const char *key, *value, *message;
  } cases[] = {{PITH_PRUNE_SCORE_OBERT, "prune-fisher-block", "8", NULL},
               {PITH_PRUNE_SCORE_OBERT, "prune-no-update", "true", NULL},
               {PITH_PRUNE_SCORE_RB, "prune-score-rate", "10", NULL},
               {PITH_PRUNE_SCORE_SOFT_MOVEMENT, "prune-penalty", "10", NULL},
               {PITH_PRUNE_SCORE_SNIP, "prune-fisher-block", "8", "prune-fisher-block goes with prune-score obert"},
               {PITH_PRUNE_SCORE_RB, "prune-no-update", "true", "prune-no-update goes with prune-score obert"},
               {PITH_PRUNE_SCORE_RB, "prune-fisher-damp", "1", "prune-fisher-damp goes with prune-score obert"},
               {PITH_PRUNE_SCORE_RB, "prune-fisher-gradients", "1", "prune-fisher-gradients goes with prune-score obert"},
               {PITH_PRUNE_SCORE_RB, "prune-penalty", "10", "prune-penalty goes with prune-score soft_movement"},
               {PITH_PRUNE_SCORE_RB, "prune-every", "5", "prune-every goes with prune-score other than rb and soft_movement"},
               {PITH_PRUNE_SCORE_OBERT, "prune-score-rate", "5", "prune-score-rate goes with prune-score rb or soft_movement"},
               {PITH_PRUNE_SCORE_RB, "prune-score-rate", "0", "prune-score-rate is 0: scores would never change"},
               {PITH_PRUNE_SCORE_OBERT, "prune-lasso", "1", "prune-lasso goes with prune-score group_lasso"},
               {PITH_PRUNE_SCORE_RB, "prune-pattern", "2:4", "prune-score rb learns which of all weights stay, and prune-pattern 2:4 says how "
                "many of each few: it goes with other patterns"}};
  pith_arena arena;
  pith_arena_init(&arena, NULL);
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    pith_train_options options = pith_train_defaults;
    pith_error error = {PITH_OK, ""};
    options.task = "sst2";
    options.data = "a.tsv";
    options.prune_pattern = "4x1";
    options.prune_score = cases[i].score;
    options.prune_sparsity = 0.5;
    assert_int_equal(pith_recipe_set(&options, pith_recipe_key_find(pith_train_keys, cases[i].key), cases[i].value, &arena, &error), PITH_OK);
    const pith_status status = pith_train_check_options(&options, &error);
    if (cases[i].message != NULL)
      assert_string_equal(error.message, cases[i].message);
    assert_int_equal(status, cases[i].message == NULL ? PITH_OK : PITH_INVALID_ARGUMENT);
  }
  pith_arena_deinit(&arena);
}

static void test_split(void **state) {
  (void)state;
  pith_arena arena;
  pith_arena_init(&arena, NULL);
  const char *const *parts;
  uint32_t count;
  assert_int_equal(pith_train_split(NULL, &arena, &parts, &count, NULL), PITH_OK);
  assert_int_equal(count, 0);
  assert_int_equal(pith_train_split("a,,b c,", &arena, &parts, &count, NULL), PITH_OK);
  assert_int_equal(count, 4);
  assert_string_equal(parts[0], "a");
  assert_string_equal(parts[1], "");
  assert_string_equal(parts[2], "b c");
  assert_string_equal(parts[3], "");
  pith_arena_deinit(&arena);
}

/* Every row of the documentation's table is a key and every key has a row. */
static void test_docs(void **state) {
  (void)state;
  static char text[64000];
  FILE *file = fopen(PITH_SOURCE_DIR "/docs/training.md", "r");
  assert_non_null(file);
  text[fread(text, 1, sizeof text - 1, file)] = '\0';
  fclose(file);
  const char *at = strstr(text, "| key | default | what |");
  assert_non_null(at);
  cJSON *defaults = pith_recipe_write(&pith_train_defaults, pith_train_keys);
  for (const pith_recipe_key *key = pith_train_keys; key->name != NULL; key++) {
    const cJSON *item = cJSON_GetObjectItemCaseSensitive(defaults, key->name);
    char row[400], *value = item == NULL ? NULL : cJSON_PrintUnformatted(item);
    snprintf(row, sizeof row, "\n| `%s` | %s%s%s | %s |\n", key->name, value == NULL ? "" : "`", value == NULL ? "" : value,
             value == NULL ? "" : "`", key->doc);
    cJSON_free(value);
    const char *found = strstr(at, row);
    if (found == NULL)
      fail_msg("docs/training.md has no row %s", row + 1);
    at = found + 1;
  }
  cJSON_Delete(defaults);
  assert_null(strstr(at, "\n| `"));
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_all), cmocka_unit_test(test_ranges), cmocka_unit_test(test_scores), cmocka_unit_test(test_split), cmocka_unit_test(test_docs)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
