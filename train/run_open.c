/* What a run needs before its first step: model, data, order, trainer. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "compiler/import/new_head.h"
#include "engine/exec/exits.h"
#include "train/exits.h"
#include "train/run_internal.h"
#include "train/training_quantized.h"

static pith_status no_memory(pith_error *error) {
  return pith_fail(error, PITH_OUT_OF_MEMORY, "no memory for a training run");
}

/* ---- the model ------------------------------------------------------------------------------------------------- */

static pith_status parse_numbers(const char *name, const char *const *parts, uint32_t count, double most, double *out_numbers,
                                 pith_error *error) {
  for (uint32_t i = 0; i < count; i++) {
    char *end;
    out_numbers[i] = strtod(parts[i], &end);
    if (end == parts[i] || *end != '\0' || !(out_numbers[i] >= 0 && out_numbers[i] <= most))
      return pith_fail(error, PITH_INVALID_ARGUMENT, "%s has '%.60s': numbers from 0 on, between commas", name, parts[i]);
  }
  return PITH_OK;
}

/* Numbers of layers between commas. */
static pith_status parse_layers(pith_run *r, const char *name, const char *text, uint32_t **out_layers, uint32_t *out_count,
                                pith_error *error) {
  const char *const *parts;
  PITH_TRY(pith_train_split(text, &r->arena, &parts, out_count, error));
  double *numbers = PITH_ARENA_NEW(&r->arena, double, *out_count);
  *out_layers = PITH_ARENA_NEW(&r->arena, uint32_t, *out_count);
  if (numbers == NULL || *out_layers == NULL)
    return no_memory(error);
  PITH_TRY(parse_numbers(name, parts, *out_count, 1e6, numbers, error));
  for (uint32_t i = 0; i < *out_count; i++)
    (*out_layers)[i] = (uint32_t)numbers[i];
  return PITH_OK;
}

static pith_status keep_layers(pith_run *r, pith_error *error) {
  uint32_t *layers, count;
  PITH_TRY(parse_layers(r, "layers", r->options->layers, &layers, &count, error));
  r->has_kept = true;
  PITH_TRY(pith_keep_layers(&r->model, layers, count, &r->kept, error));
  r->model.data = r->kept.data;
  return PITH_OK;
}

static pith_status add_exits(pith_run *r, pith_error *error) {
  uint32_t *layers, count;
  PITH_TRY(parse_layers(r, "exits", r->options->exits, &layers, &count, error));
  PITH_TRY(pith_model_add_exits(&r->model.data, layers, count, NULL, &r->with_exits, error));
  r->model.data.graph = r->with_exits;
  return PITH_OK;
}

static pith_status set_head(pith_run *r, pith_error *error) {
  pith_new_head head = {.name = r->options->head, .seed = r->options->seed};
  PITH_TRY(pith_train_split(r->options->labels, &r->arena, &head.labels, &head.label_count, error));
  PITH_TRY(pith_model_set_head(&r->model.data, &head, NULL, &r->made, error));
  r->has_made = true;
  r->model.data = r->made.data;
  return PITH_OK;
}

static pith_status open_model(pith_run *r, pith_error *error) {
  PITH_TRY(pith_recipe_check_graph(r->options->graph, r->request->model->data.graph, error));
  r->model = *r->request->model;
  if (pith_exits_count(r->model.data.graph) != 0 && (r->options->layers != NULL || r->options->head != NULL))
    return pith_fail(error, PITH_UNSUPPORTED, "%s: the model has exits, which are added last", r->options->layers != NULL ? "layers" : "head");
  if (r->options->layers != NULL)
    PITH_TRY(keep_layers(r, error));
  if (r->options->head != NULL)
    PITH_TRY(set_head(r, error));
  if (r->options->exits != NULL)
    PITH_TRY(add_exits(r, error));
  /* Exits learn from the model's end as a student from a teacher. */
  if (r->options->distill_temperature != pith_train_defaults.distill_temperature && r->options->teacher == NULL &&
      pith_exits_count(r->model.data.graph) == 0)
    return pith_fail(error, PITH_INVALID_ARGUMENT, "distill-temperature needs a teacher, or a model with exits");
  return PITH_OK;
}

/* ---- tasks and data ---------------------------------------------------------------------------------------------- */

static pith_status find_task(const char *name, const pith_eval_task **out_task, pith_error *error) {
  *out_task = pith_eval_task_find(name);
  return *out_task != NULL ? PITH_OK : pith_fail(error, PITH_INVALID_ARGUMENT, "no task '%.60s'", name);
}

static pith_status find_metric(pith_run *r, pith_error *error) {
  if (r->eval_task->metric_count == 0)
    return pith_fail(error, PITH_INVALID_ARGUMENT, "task %s has no metric: eval-task has to say what is measured",
                     r->eval_task->name);
  char known[200] = "";
  for (r->metric = 0; r->metric < r->eval_task->metric_count; r->metric++) {
    const char *name = pith_eval_metric_name(r->eval_task->metrics[r->metric]);
    if (r->options->metric == NULL || strcmp(name, r->options->metric) == 0)
      return PITH_OK;
    snprintf(known + strlen(known), sizeof known - strlen(known), "%s%s", r->metric == 0 ? "" : ", ", name);
  }
  return pith_fail(error, PITH_INVALID_ARGUMENT, "metric is '%.60s'; task %s has %s", r->options->metric, r->eval_task->name,
                   known);
}

static pith_status read_data(pith_run *r, pith_error *error) {
  const pith_train_options *o = r->options;
  const pith_dataset_columns columns = pith_train_get_columns(o);
  PITH_TRY(find_task(o->task, &r->task, error));
  PITH_TRY(find_task(o->eval_task != NULL ? o->eval_task : o->task, &r->eval_task, error));
  if (pith_train_measures(o))
    PITH_TRY(find_metric(r, error));
  const pith_train_data_options options = {.task = r->task,
                                           .path = o->data,
                                           .columns = &columns,
                                           .model = &r->model,
                                           .pool = r->request->pool,
                                           .max_length = o->max_length,
                                           .folder = pith_spool_get_folder(r->request->output, &r->arena),
                                           .labels_optional = o->teacher != NULL && o->distill_weight == 1,
                                           .held_out = o->held_out,
                                           .seed = o->seed,
                                           .watcher = r->request->watcher};
  if (options.folder == NULL)
    return no_memory(error);
  if (o->eval_data != NULL)
    PITH_TRY(pith_dataset_read(o->eval_data, r->eval_task->format, &columns, NULL, &r->eval_data, error));
  PITH_TRY(pith_train_data_read(&r->data, &options, error));
  r->eval_rows = o->eval_data != NULL ? &r->eval_data : o->held_out > 0 ? &r->data.held_out : NULL;
  return PITH_OK;
}

static pith_status make_order(pith_run *r, pith_error *error) {
  const pith_train_options *o = r->options;
  PITH_TRY(pith_order_init(&r->order,
                           &(pith_order_options){.samples = r->data.samples,
                                                 .count = r->data.count,
                                                 .seed = o->seed,
                                                 .batch = o->tokens_per_step != 0 ? 0 : o->batch,
                                                 .tokens = o->tokens_per_step,
                                                 .group = o->group},
                           error));
  r->survey = pith_order_look_ahead(&r->order, &(pith_order_length){o->epochs, o->max_steps, o->accumulate});
  r->rate = (pith_rate){o->schedule, o->rate, pith_rate_get_warmup(o->warmup, r->survey.steps), r->survey.steps};
  if (r->survey.most_tokens > INT32_MAX)
    return pith_fail(error, PITH_LIMIT, "a batch has %llu tokens, over the limit of %d",
                     (unsigned long long)r->survey.most_tokens, INT32_MAX);
  size_t most;
  r->samples = pith_size_multiply(r->survey.most_samples, o->accumulate, &most) ? PITH_ARENA_NEW(&r->arena, uint64_t, most) : NULL;
  r->batch_ends = PITH_ARENA_NEW(&r->arena, uint64_t, o->accumulate);
  if (r->samples == NULL || r->batch_ends == NULL)
    return no_memory(error);
  return pith_batch_room_init(&r->room, &r->data, r->survey.most_tokens, r->survey.most_samples, &r->arena, error);
}

/* ---- the teacher ------------------------------------------------------------------------------------------------- */

static pith_status open_teacher(pith_run *r, pith_error *error) {
  if (r->options->teacher == NULL)
    return PITH_OK;
  const pith_teacher_options options = {
      .path = r->options->teacher,
      .student = &r->model,
      .data = &r->data,
      .most_tokens = r->survey.most_tokens,
      .most_sequences = pith_train_data_count_sequences(&r->data, r->survey.most_samples),
      .most_rows = pith_train_data_count_rows(&r->data, r->survey.most_tokens, r->survey.most_samples),
      .compare = pith_train_get_comparisons(r->options),
      .folder = pith_spool_get_folder(r->request->output, &r->arena),
      .pool = r->request->pool,
  };
  return options.folder == NULL ? no_memory(error) : pith_teacher_open(&r->teacher, &options, error);
}

/* ---- the trainer --------------------------------------------------------------------------------------------------- */

static pith_status parse_class_weights(pith_run *r, const float **out_weights, pith_error *error) {
  *out_weights = NULL;
  if (r->options->class_weights == NULL)
    return PITH_OK;
  const char *const *parts;
  uint32_t count;
  PITH_TRY(pith_train_split(r->options->class_weights, &r->arena, &parts, &count, error));
  if (count != r->model.data.label_count)
    return pith_fail(error, PITH_INVALID_ARGUMENT, "class-weights has %u numbers for %u labels", count, r->model.data.label_count);
  double *numbers = PITH_ARENA_NEW(&r->arena, double, count);
  float *weights = PITH_ARENA_NEW(&r->arena, float, count);
  if (numbers == NULL || weights == NULL)
    return no_memory(error);
  PITH_TRY(parse_numbers("class-weights", parts, count, 1e30, numbers, error));
  for (uint32_t i = 0; i < count; i++)
    weights[i] = (float)numbers[i];
  *out_weights = weights;
  return PITH_OK;
}

static pith_status check_quantized(const pith_train_options *o, bool quantized, pith_error *error) {
  if (!quantized && (o->dequantize || o->ranges != pith_train_defaults.ranges))
    return pith_fail(error, PITH_INVALID_ARGUMENT, "%s goes with an INT8 model, and this one is in floats",
                     o->dequantize ? "dequantize" : "qat-ranges");
  return PITH_OK;
}

static pith_status make_trainer(pith_run *r, pith_error *error) {
  const pith_train_options *o = r->options;
  const bool quantized = pith_training_is_quantized(r->model.data.graph), follows = quantized && !o->dequantize;
  PITH_TRY(check_quantized(o, quantized, error));
  pith_trainer_options t = pith_trainer_defaults;
  t.optimizer = o->optimizer;
  t.beta1 = o->beta1;
  t.beta2 = o->beta2;
  t.epsilon = o->epsilon != PITH_TRAIN_AUTO ? o->epsilon : o->optimizer == PITH_OPTIMIZER_LAMB ? 1e-6 : 1e-8;
  t.momentum = o->momentum;
  t.nesterov = o->nesterov;
  t.weight_decay = o->weight_decay;
  t.clip = o->clip;
  t.layer_decay = o->layer_decay;
  t.ema = o->ema;
  t.dropout = o->dropout;
  t.attention_dropout = o->attention_dropout != PITH_TRAIN_ALIKE ? o->attention_dropout : follows ? 0 : o->dropout;
  t.classifier_dropout = o->classifier_dropout == PITH_TRAIN_ALIKE ? o->dropout : o->classifier_dropout;
  t.label_smoothing = o->label_smoothing;
  PITH_TRY(parse_class_weights(r, &t.class_weights, error));
  t.temperature = o->temperature;
  t.distill_weight = o->teacher != NULL ? o->distill_weight : 0;
  t.distill_temperature = o->distill_temperature;
  t.comparisons = r->teacher.comparisons.count != 0 ? &r->teacher.comparisons : NULL;
  PITH_TRY(pith_train_get_prune(o, r->survey.steps, &r->prune, &r->prunes, error));
  t.prune = r->prunes ? &r->prune : NULL;
  t.contrastive = r->data.kind == PITH_EVAL_PAIRS;
  t.freeze = o->freeze.list;
  t.freeze_count = o->freeze.count;
  t.dequantize = o->dequantize;
  t.ranges = o->ranges;
  t.range_momentum = o->range_momentum;
  t.range_freeze = (uint64_t)ceil(o->range_freeze * (double)r->survey.steps);
  t.seed = o->seed;
  t.max_tokens = r->survey.most_tokens;
  t.max_sequences = pith_train_data_count_sequences(&r->data, r->survey.most_samples);
  t.max_rows = pith_train_data_count_rows(&r->data, r->survey.most_tokens, r->survey.most_samples);
  t.max_memory = o->max_memory;
  t.threadpool = r->request->pool;
  t.profile = r->request->tell_profile != NULL;
  return pith_trainer_create(&r->model, &t, &r->trainer, error);
}

/* ---- all of it ------------------------------------------------------------------------------------------------------- */

pith_status pith_run_open(pith_run *r, const pith_run_request *request, pith_error *error) {
  *r = (pith_run){.request = request, .options = request->options};
  pith_arena_init(&r->arena, NULL);
  PITH_TRY(pith_train_check_options(r->options, error));
  PITH_TRY(open_model(r, error));
  PITH_TRY(read_data(r, error));
  PITH_TRY(make_order(r, error));
  PITH_TRY(open_teacher(r, error));
  return make_trainer(r, error);
}

void pith_run_close(pith_run *r) {
  pith_run_log_close(&r->log);
  pith_trainer_destroy(r->trainer);
  pith_teacher_close(&r->teacher);
  pith_order_deinit(&r->order);
  pith_dataset_deinit(&r->eval_data);
  pith_train_data_deinit(&r->data);
  pith_graph_destroy(r->with_exits);
  if (r->has_made)
    pith_import_deinit(&r->made);
  if (r->has_kept)
    pith_structured_deinit(&r->kept);
  pith_arena_deinit(&r->arena);
}
