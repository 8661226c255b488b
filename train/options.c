#include "train/options.h"

#include <math.h>
#include <string.h>

#include <cjson/cJSON.h>

const pith_train_options pith_train_defaults = {
    .epochs = 3,
    .batch = 32,
    .accumulate = 1,
    .rate = 5e-5,
    .warmup = 0.06,
    .schedule = PITH_RATE_LINEAR,
    .optimizer = PITH_OPTIMIZER_ADAMW,
    .beta1 = 0.9,
    .beta2 = 0.999,
    .momentum = 0.9,
    .epsilon = PITH_TRAIN_AUTO,
    .weight_decay = 0.01,
    .clip = 1,
    .layer_decay = 1,
    .dropout = 0.1,
    .attention_dropout = PITH_TRAIN_ALIKE,
    .classifier_dropout = PITH_TRAIN_ALIKE,
    .temperature = 0.05,
    .log_every = 50,
};

#define WORD(name, text) text,
static const char *const pith_rate_words[] = {PITH_RATE_LIST(WORD) NULL};
static const char *const pith_optimizer_words[] = {PITH_OPTIMIZER_LIST(WORD) NULL};
#undef WORD
static const char *const pith_train_alike_words[] = {"dropout", NULL}; /* -1 */
static const char *const pith_train_auto_words[] = {"auto", NULL};     /* -1 */

const pith_recipe_key pith_train_keys[] = {
#define ROW(field, name, type, argument, minimum, maximum, words, doc)                                     \
  {name, PITH_RECIPE_##type, offsetof(pith_train_options, field), minimum, maximum, words, doc},
    PITH_TRAIN_KEY_LIST(ROW) PITH_TRAIN_RECIPE_KEY_LIST(ROW)
#undef ROW
    {0}};

pith_dataset_columns pith_train_get_columns(const pith_train_options *options) {
  return (pith_dataset_columns){options->text_column, options->pair_column, options->label_column, options->header};
}

bool pith_train_measures(const pith_train_options *options) {
  return options->eval_data != NULL || options->held_out > 0;
}

/* ---- checking ------------------------------------------------------------------------------------------------ */

static pith_status check_data(const pith_train_options *o, pith_error *error) {
  if (o->task == NULL || o->data == NULL)
    return pith_fail(error, PITH_INVALID_ARGUMENT, "%s is missing", o->task == NULL ? "task" : "data");
  if (o->header && o->text_column == NULL && o->pair_column == NULL && o->label_column == NULL)
    return pith_fail(error, PITH_INVALID_ARGUMENT, "header goes with text-column, pair-column or label-column");
  if (o->held_out > 0 && o->eval_data != NULL)
    return pith_fail(error, PITH_INVALID_ARGUMENT, "held-out and eval-data: one of them is measured on");
  if (o->labels != NULL && o->head == NULL)
    return pith_fail(error, PITH_INVALID_ARGUMENT, "labels are those of a new head: head is missing");
  if (pith_train_measures(o))
    return PITH_OK;
  const struct {
    const char *name;
    bool given;
  } needs[] = {{"eval-task", o->eval_task != NULL},
               {"eval-every", o->eval_every != 0},
               {"patience", o->patience != 0},
               {"metric", o->metric != NULL}};
  for (size_t i = 0; i < sizeof needs / sizeof *needs; i++)
    if (needs[i].given)
      return pith_fail(error, PITH_INVALID_ARGUMENT, "%s needs eval-data or held-out", needs[i].name);
  return PITH_OK;
}

static pith_status check_optimizer(const pith_train_options *o, pith_error *error) {
  const pith_train_options *d = &pith_train_defaults;
  const bool sgd = o->optimizer == PITH_OPTIMIZER_SGD;
  const struct {
    const char *name;
    bool changed, of_sgd;
  } own[] = {{"momentum", o->momentum != d->momentum, true},
             {"nesterov", o->nesterov, true},
             {"beta1", o->beta1 != d->beta1, false},
             {"beta2", o->beta2 != d->beta2, false},
             {"epsilon", o->epsilon != d->epsilon, false}};
  for (size_t i = 0; i < sizeof own / sizeof *own; i++)
    if (own[i].changed && own[i].of_sgd != sgd)
      return pith_fail(error, PITH_INVALID_ARGUMENT, "%s is of no use with optimizer %s", own[i].name,
                       pith_optimizer_words[o->optimizer]);
  if (o->nesterov && o->momentum == 0)
    return pith_fail(error, PITH_INVALID_ARGUMENT, "nesterov needs momentum");
  return PITH_OK;
}

pith_status pith_train_check_options(const pith_train_options *o, pith_error *error) {
  PITH_TRY(check_data(o, error));
  PITH_TRY(check_optimizer(o, error));
  if (o->tokens_per_step != 0 && o->batch != pith_train_defaults.batch)
    return pith_fail(error, PITH_INVALID_ARGUMENT, "batch and tokens-per-step: one of them says how batches are cut");
  if (o->warmup >= 1 && o->warmup != floor(o->warmup))
    return pith_fail(error, PITH_INVALID_ARGUMENT, "warmup is %g: a share below 1, or whole steps", o->warmup);
  if (o->rate == 0)
    return pith_fail(error, PITH_INVALID_ARGUMENT, "lr is 0: nothing would be learned");
  if (strcmp(o->task, "pairs") != 0 && o->temperature != pith_train_defaults.temperature)
    return pith_fail(error, PITH_INVALID_ARGUMENT, "temperature goes with task pairs");
  return PITH_OK;
}

/* ---- texts --------------------------------------------------------------------------------------------------- */

pith_status pith_train_split(const char *text, pith_arena *arena, const char *const **out_parts, uint32_t *out_count,
                             pith_error *error) {
  *out_count = 0;
  uint32_t most = 1;
  for (const char *c = text; c != NULL && *c != '\0'; c++)
    most += *c == ',';
  const char **parts = PITH_ARENA_NEW(arena, const char *, most);
  if (parts == NULL)
    return pith_fail(error, PITH_OUT_OF_MEMORY, "no memory for %u parts", most);
  *out_parts = parts;
  for (const char *begin = text; begin != NULL; begin = strchr(begin, ',') == NULL ? NULL : strchr(begin, ',') + 1) {
    parts[*out_count] = pith_arena_string(arena, begin, strcspn(begin, ","));
    if (parts[(*out_count)++] == NULL)
      return pith_fail(error, PITH_OUT_OF_MEMORY, "no memory for %u parts", most);
  }
  return PITH_OK;
}

pith_status pith_train_describe_options(const pith_train_options *options, pith_arena *arena, const char **out_text,
                                        pith_error *error) {
  /* What data there is says its own hash; the others change nothing of the weights. */
  static const char *const free_ones[] = {"data", "log", "tensorboard", "log-every", "save-every", "max-memory", "graph"};
  cJSON *json = pith_recipe_write(options, pith_train_keys);
  for (size_t i = 0; i < sizeof free_ones / sizeof *free_ones && json != NULL; i++)
    cJSON_DeleteItemFromObjectCaseSensitive(json, free_ones[i]);
  char *text = json == NULL ? NULL : cJSON_PrintUnformatted(json);
  *out_text = text == NULL ? NULL : pith_arena_string(arena, text, strlen(text));
  cJSON_free(text);
  cJSON_Delete(json);
  return *out_text == NULL ? pith_fail(error, PITH_OUT_OF_MEMORY, "no memory for the options as text") : PITH_OK;
}
