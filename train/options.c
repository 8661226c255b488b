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
    .range_momentum = 0.99,
    .range_freeze = 0.5,
    .log_every = 50,
    .distill_weight = 0.9,
    .distill_temperature = 2,
    .prune_sparsity = PITH_PRUNE_SPARSITY_OF_PATTERN,
    .prune_score = PITH_PRUNE_SCORE_SNIP_MOMENTUM,
    .prune_scope = PITH_PRUNE_GLOBAL,
    .prune_schedule = PITH_SCHEDULE_CUBIC,
    .prune_begin = 0.05,
    .prune_end = 0.6,
    .prune_every = 10,
    .prune_maximum = 0.98,
    .prune_lasso = 1e-4,
    .prune_penalty = 100,
    .prune_rewind = PITH_TRAIN_NEVER,
    .prune_score_rate = 1000,
    .prune_fisher_gradients = 1024,
    .prune_fisher_block = 50,
    .prune_fisher_damp = 1e-7,
};

#define WORD(name, text) text,
static const char *const pith_rate_words[] = {PITH_RATE_LIST(WORD) NULL};
static const char *const pith_optimizer_words[] = {PITH_OPTIMIZER_LIST(WORD) NULL};
static const char *const pith_train_ranges_words[] = {PITH_RANGE_TRAINING_LIST(WORD) NULL};
#undef WORD
static const char *const pith_train_alike_words[] = {"dropout", NULL}; /* -1 */
static const char *const pith_train_auto_words[] = {"auto", NULL};     /* -1 */
static const char *const pith_train_never_words[] = {"never", NULL};   /* -1 */

const pith_recipe_key pith_train_keys[] = {
#define ROW(field, name, type, argument, minimum, maximum, words, doc)                                     \
  {name, PITH_RECIPE_##type, offsetof(pith_train_options, field), minimum, maximum, words, doc},
    PITH_TRAIN_KEY_LIST(ROW) PITH_TRAIN_RECIPE_KEY_LIST(ROW)
#undef ROW
    {0}};

pith_compare_options pith_train_get_comparisons(const pith_train_options *options) {
  return (pith_compare_options){.hidden = options->distill_hidden,
                                .attention = options->distill_attention,
                                .relations = options->distill_relations,
                                .relation_heads = options->relation_heads,
                                .relation_layer = options->relation_layer,
                                .seed = options->seed};
}

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

static pith_status check_teacher(const pith_train_options *o, pith_error *error) {
  const pith_train_options *d = &pith_train_defaults;
  const struct {
    const char *name;
    bool given, of_relations;
  } needs[] = {{"distill-weight", o->distill_weight != d->distill_weight, false},
               {"distill-hidden", o->distill_hidden != 0, false},
               {"distill-attention", o->distill_attention != 0, false},
               {"distill-relations", o->distill_relations != 0, false},
               {"distill-relation-heads", o->relation_heads != 0, true},
               {"distill-relation-layer", o->relation_layer != 0, true}};
  for (size_t i = 0; i < sizeof needs / sizeof *needs; i++) {
    if (needs[i].given && o->teacher == NULL)
      return pith_fail(error, PITH_INVALID_ARGUMENT, "%s needs a teacher", needs[i].name);
    if (needs[i].given && needs[i].of_relations && o->distill_relations == 0)
      return pith_fail(error, PITH_INVALID_ARGUMENT, "%s needs distill-relations", needs[i].name);
  }
  if (o->teacher != NULL && o->distill_weight == 0 && o->distill_hidden == 0 && o->distill_attention == 0 && o->distill_relations == 0)
    return pith_fail(error, PITH_INVALID_ARGUMENT, "distill-weight is 0: nothing would be learned from the teacher");
  if (o->teacher != NULL && o->distill_weight == 1 && (o->label_smoothing != 0 || o->class_weights != NULL))
    return pith_fail(error, PITH_INVALID_ARGUMENT, "%s is of no use with distill-weight 1: labels are not learned from",
                     o->label_smoothing != 0 ? "label-smoothing" : "class-weights");
  return PITH_OK;
}

/* ---- pruning --------------------------------------------------------------------------------------------------- */

pith_status pith_train_get_prune(const pith_train_options *o, uint64_t steps, pith_train_prune *out, bool *out_prunes,
                                 pith_error *error) {
  pith_pattern pattern;
  double sparsity;
  *out_prunes = o->prune_pattern != NULL;
  *out = (pith_train_prune){.what = pith_prune_defaults,
                            .score = o->prune_score,
                            .penalty = o->prune_score == PITH_PRUNE_SCORE_SOFT_MOVEMENT ? o->prune_penalty : o->prune_lasso,
                            .score_rate = o->prune_score_rate,
                            .fisher_gradients = o->prune_fisher_gradients,
                            .fisher_block = o->prune_fisher_block,
                            .fisher_damp = o->prune_fisher_damp,
                            .compensates = !o->prune_no_update,
                            .rewinds = o->prune_rewind != PITH_TRAIN_NEVER,
                            .rewind = o->prune_rewind == PITH_TRAIN_NEVER ? 0 : pith_rate_get_warmup(o->prune_rewind, steps),
                            .begin = pith_rate_get_warmup(o->prune_begin, steps),
                            .end = pith_rate_get_warmup(o->prune_end, steps),
                            .every = o->prune_every};
  out->what.pattern = o->prune_pattern;
  out->what.sparsity = o->prune_sparsity;
  out->what.scope = o->prune_scope;
  out->what.schedule = o->prune_schedule;
  out->what.exclude = o->prune_exclude;
  out->what.minimum = o->prune_minimum;
  out->what.maximum = o->prune_maximum;
  if (!*out_prunes)
    return PITH_OK;
  if (out->what.schedule == PITH_SCHEDULE_ONE_SHOT && !pith_score_rule_get(out->score)->regrows)
    out->end = out->begin;
  PITH_TRY(pith_train_prune_check(out, &pattern, &sparsity, error));
  return out->end < steps ? PITH_OK
                          : pith_fail(error, PITH_INVALID_ARGUMENT, "prune-%s is step %llu of a run of %llu",
                                      out->end == out->begin ? "begin" : "end", (unsigned long long)out->end,
                                      (unsigned long long)steps);
}

/* Keys of some scores alone. */
static pith_status check_prune_scores(const pith_train_options *o, pith_error *error) {
  const pith_train_options *d = &pith_train_defaults;
  const pith_score_rule *rule = pith_score_rule_get(o->prune_score);
  const struct {
    const char *name, *scores;
    bool given, read;
  } own[] = {{"prune-lasso", "group_lasso", o->prune_lasso != d->prune_lasso, rule->penalized},
             {"prune-penalty", "soft_movement", o->prune_penalty != d->prune_penalty, o->prune_score == PITH_PRUNE_SCORE_SOFT_MOVEMENT},
             {"prune-score-rate", "rb or soft_movement", o->prune_score_rate != d->prune_score_rate, rule->learned},
             {"prune-every", "other than rb and soft_movement", o->prune_every != d->prune_every, !rule->learned},
             {"prune-fisher-gradients", "obert", o->prune_fisher_gradients != d->prune_fisher_gradients, rule->fisher},
             {"prune-fisher-block", "obert", o->prune_fisher_block != d->prune_fisher_block, rule->fisher},
             {"prune-fisher-damp", "obert", o->prune_fisher_damp != d->prune_fisher_damp, rule->fisher},
             {"prune-no-update", "obert", o->prune_no_update, rule->fisher}};
  for (size_t i = 0; i < sizeof own / sizeof *own; i++)
    if (own[i].given && !own[i].read)
      return pith_fail(error, PITH_INVALID_ARGUMENT, "%s goes with prune-score %s", own[i].name, own[i].scores);
  return PITH_OK;
}

/* Keys that only mean something beside others. What depends on the number of steps comes later. */
static pith_status check_prune(const pith_train_options *o, pith_error *error) {
  const pith_train_options *d = &pith_train_defaults;
  const struct {
    const char *name;
    bool given;
  } needs[] = {{"prune-sparsity", o->prune_sparsity != d->prune_sparsity}, {"prune-score", o->prune_score != d->prune_score},
               {"prune-scope", o->prune_scope != d->prune_scope},          {"prune-schedule", o->prune_schedule != d->prune_schedule},
               {"prune-begin", o->prune_begin != d->prune_begin},          {"prune-end", o->prune_end != d->prune_end},
               {"prune-every", o->prune_every != d->prune_every},          {"prune-exclude", o->prune_exclude.count != 0},
               {"prune-minimum", o->prune_minimum != d->prune_minimum},    {"prune-maximum", o->prune_maximum != d->prune_maximum},
               {"prune-rewind", o->prune_rewind != d->prune_rewind}};
  for (size_t i = 0; i < sizeof needs / sizeof *needs && o->prune_pattern == NULL; i++)
    if (needs[i].given)
      return pith_fail(error, PITH_INVALID_ARGUMENT, "%s needs prune-pattern", needs[i].name);
  PITH_TRY(check_prune_scores(o, error));
  if (o->prune_scope == PITH_PRUNE_LAYER && (o->prune_minimum != d->prune_minimum || o->prune_maximum != d->prune_maximum))
    return pith_fail(error, PITH_INVALID_ARGUMENT, "%s goes with prune-scope global",
                     o->prune_minimum != d->prune_minimum ? "prune-minimum" : "prune-maximum");
  pith_train_options whole = *o;
  pith_train_prune prune;
  bool prunes;
  whole.prune_begin = whole.prune_end = 0;
  whole.prune_rewind = whole.prune_rewind == PITH_TRAIN_NEVER ? PITH_TRAIN_NEVER : 0;
  return pith_train_get_prune(&whole, 1, &prune, &prunes, error);
}

static pith_status check_ranges(const pith_train_options *o, pith_error *error) {
  const pith_train_options *d = &pith_train_defaults;
  if (o->dequantize && o->ranges != d->ranges)
    return pith_fail(error, PITH_INVALID_ARGUMENT, "qat-ranges does nothing with dequantize");
  if (o->ranges != PITH_RANGE_TRAINING_EMA && (o->range_momentum != d->range_momentum || o->range_freeze != d->range_freeze))
    return pith_fail(error, PITH_INVALID_ARGUMENT, "%s goes with qat-ranges %s",
                     o->range_momentum != d->range_momentum ? "qat-momentum" : "qat-freeze",
                     pith_train_ranges_words[PITH_RANGE_TRAINING_EMA]);
  return PITH_OK;
}

pith_status pith_train_check_options(const pith_train_options *o, pith_error *error) {
  PITH_TRY(check_data(o, error));
  PITH_TRY(check_optimizer(o, error));
  PITH_TRY(check_teacher(o, error));
  PITH_TRY(check_prune(o, error));
  PITH_TRY(check_ranges(o, error));
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
  static const char *const free_ones[] = {"data", "teacher", "log", "tensorboard", "log-every", "save-every", "max-memory", "graph"};
  cJSON *json = pith_recipe_write(options, pith_train_keys);
  for (size_t i = 0; i < sizeof free_ones / sizeof *free_ones && json != NULL; i++)
    cJSON_DeleteItemFromObjectCaseSensitive(json, free_ones[i]);
  char *text = json == NULL ? NULL : cJSON_PrintUnformatted(json);
  *out_text = text == NULL ? NULL : pith_arena_string(arena, text, strlen(text));
  cJSON_free(text);
  cJSON_Delete(json);
  return *out_text == NULL ? pith_fail(error, PITH_OUT_OF_MEMORY, "no memory for the options as text") : PITH_OK;
}
