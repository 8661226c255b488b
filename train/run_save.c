/* What a run writes: checkpoints, the best model so far, the result. */
#include <errno.h>
#include <stdio.h>
#include <unistd.h>

#include <cjson/cJSON.h>

#include "engine/base/mapped_file.h"
#include "train/run_internal.h"
#include "train/trainer_model.h"

static pith_status no_memory(pith_error *error) {
  return pith_fail(error, PITH_OUT_OF_MEMORY, "no memory for a training run");
}

/* ---- checkpoints ---------------------------------------------------------------------------------------------------- */

static void add_teacher(pith_run *r) {
  uint8_t teacher[PITH_SHA256_BYTES];
  pith_sha256 hash;
  pith_sha256_digest(r->teacher.model->bytes, r->teacher.model->size, teacher);
  pith_sha256_init(&hash);
  pith_sha256_update(&hash, r->key.options, sizeof r->key.options);
  pith_sha256_update(&hash, teacher, sizeof teacher);
  pith_sha256_finish(&hash, r->key.options);
}

/* The file that the model came from was copied and is read no more but for its tokenizer. */
static void leave_file(const pith_model *model) {
  if (model->mapped)
    pith_mapped_file_leave(&(pith_mapped_file){model->bytes, model->size});
}

static pith_status make_key(pith_run *r, pith_error *error) {
  const pith_model *model = r->request->model;
  if (model->bytes != NULL)
    pith_sha256_digest(model->bytes, model->size, r->key.model);
  else {
    char graph[17];
    pith_recipe_hash_graph(model->data.graph, graph);
    pith_sha256_digest(graph, sizeof graph, r->key.model);
  }
  memcpy(r->key.data, r->data.digest, sizeof r->key.data);
  const char *text;
  PITH_TRY(pith_train_describe_options(r->options, &r->arena, &text, error));
  pith_sha256_digest(text, strlen(text), r->key.options);
  if (r->teacher.model != NULL) /* which it is, not where it stands */
    add_teacher(r);
  return PITH_OK;
}

/* The pieces as they are now: the trainer brings its state up to date to give it. */
static pith_status get_pieces(pith_run *r, const pith_checkpoint_piece **out_pieces, size_t *out_count, pith_error *error) {
  size_t count;
  const pith_trainer_piece *state = pith_trainer_get_state(r->trainer, &count);
  if (r->pieces == NULL)
    r->pieces = PITH_ARENA_NEW(&r->arena, pith_checkpoint_piece, count + 1);
  if (r->pieces == NULL)
    return no_memory(error);
  r->pieces[0] = (pith_checkpoint_piece){&r->state, sizeof r->state};
  for (size_t i = 0; i < count; i++)
    r->pieces[i + 1] = (pith_checkpoint_piece){state[i].data, state[i].bytes};
  *out_pieces = r->pieces;
  *out_count = count + 1;
  return PITH_OK;
}

static pith_status read_checkpoint(pith_run *r, pith_error *error) {
  const pith_checkpoint_piece *pieces;
  size_t count;
  PITH_TRY(get_pieces(r, &pieces, &count, error));
  PITH_TRY(pith_checkpoint_read(r->state_base, &r->key, pieces, count, &r->generation, error));
  if (r->generation == 0)
    return PITH_OK;
  pith_trainer_state_changed(r->trainer);
  pith_order_seek(&r->order, r->state.epoch, r->state.batch);
  return PITH_OK;
}

pith_status pith_run_resume(pith_run *r, pith_error *error) {
  r->state_base = pith_arena_format(&r->arena, "%s.state", r->request->output);
  r->best_path = pith_arena_format(&r->arena, "%s.best", r->request->output);
  if (r->state_base == NULL || r->best_path == NULL)
    return no_memory(error);
  PITH_TRY(make_key(r, error));
  if (r->request->resume) {
    PITH_TRY(read_checkpoint(r, error));
  } else {
    pith_checkpoint_remove(r->state_base);
    (void)unlink(r->best_path);
  }
  leave_file(r->request->model);
  return pith_run_log_open(&r->log, r->options->log, r->options->tensorboard, r->state.log_bytes, r->state.step, error);
}

pith_status pith_run_save(pith_run *r, pith_error *error) {
  r->state.log_bytes = pith_run_log_count_bytes(&r->log);
  const pith_checkpoint_piece *pieces;
  size_t count;
  PITH_TRY(get_pieces(r, &pieces, &count, error));
  PITH_TRY(pith_checkpoint_write(r->state_base, r->generation + 1, &r->key, pieces, count, error));
  r->generation++;
  return PITH_OK;
}

/* ---- models ----------------------------------------------------------------------------------------------------------- */

double pith_run_get_epoch(const pith_run *r) {
  return (double)r->state.epoch + (double)r->state.samples / (double)r->data.count;
}

pith_evaluation pith_run_get_best(const pith_run *r) {
  pith_evaluation best = {.n = r->state.rows, .metric_count = r->state.metric_count};
  for (size_t i = 0; i < best.metric_count; i++) {
    best.metrics[i].name = pith_eval_metric_name(r->eval_task->metrics[i]);
    best.metrics[i].value = r->state.metrics[i];
  }
  return best;
}

/* {"recipe":..,"rows":..,"step":..,"epoch":..} */
static cJSON *make_history(const pith_run *r) {
  cJSON *json = pith_recipe_describe(r->options, pith_train_keys, r->request->model->data.graph);
  if (json == NULL || cJSON_AddNumberToObject(json, "rows", (double)r->data.rows) == NULL ||
      cJSON_AddNumberToObject(json, "step", (double)r->state.step) == NULL ||
      cJSON_AddNumberToObject(json, "epoch", pith_run_get_epoch(r)) == NULL) {
    cJSON_Delete(json);
    return NULL;
  }
  return json;
}

static pith_status write_model(const pith_run *r, const char *path, pith_error *error) {
  const pith_evaluation best = pith_run_get_best(r);
  return pith_trainer_write(r->trainer, path, r->eval_rows == NULL ? NULL : r->eval_task->name,
                            r->eval_rows == NULL ? NULL : &best, make_history(r), error);
}

/* ---- measuring ----------------------------------------------------------------------------------------------------------- */

static void show_rows(void *context, uint64_t done) {
  const pith_run *r = context;
  pith_watcher_tell(r->request->watcher, "eval", done, r->eval_rows->count);
}

/* Keeps it as the best so far where it is. A model that is yet to lose weights is none. */
static bool take(pith_run *r, const pith_evaluation *evaluation) {
  pith_run_state *s = &r->state;
  if (r->prunes && !pith_train_prune_is_done(&r->prune, s->step))
    return false;
  const double value = evaluation->metrics[r->metric].value;
  const bool better = s->measurements == 0 ||
                      (pith_eval_metric_rises(r->eval_task->metrics[r->metric]) ? value > s->best : value < s->best);
  s->measurements++;
  s->without_gain = better ? 0 : s->without_gain + 1;
  if (!better)
    return false;
  s->best = value;
  s->best_step = s->step;
  s->metric_count = evaluation->metric_count;
  s->rows = evaluation->n;
  for (size_t i = 0; i < evaluation->metric_count; i++)
    s->metrics[i] = evaluation->metrics[i].value;
  return true;
}

pith_status pith_run_measure(pith_run *r, pith_error *error) {
  pith_evaluation evaluation;
  PITH_TRY(pith_trainer_measure(r->trainer, &r->model, r->request->pool, r->eval_task, r->eval_rows, show_rows, r, &evaluation,
                                error));
  const double epoch = pith_run_get_epoch(r);
  PITH_TRY(pith_run_log_add_evaluation(&r->log, r->state.step, epoch, &evaluation, error));
  const bool best = take(r, &evaluation);
  if (best)
    PITH_TRY(write_model(r, r->best_path, error));
  r->loss = r->state.since_eval == 0 ? r->loss : r->state.loss_since_eval / (double)r->state.since_eval;
  r->state.since_eval = 0;
  r->state.loss_since_eval = 0;
  if (r->request->tell != NULL)
    r->request->tell(r->request->context, &(pith_run_news){.step = r->state.step,
                                                           .steps = r->survey.steps,
                                                           .epoch = epoch,
                                                           .loss = r->loss,
                                                           .evaluation = &evaluation,
                                                           .best = best});
  return PITH_OK;
}

/* ---- the end ------------------------------------------------------------------------------------------------------------- */

pith_status pith_run_finish(pith_run *r, pith_error *error) {
  const char *output = r->request->output;
  if (r->eval_rows == NULL)
    PITH_TRY(write_model(r, output, error));
  else if (rename(r->best_path, output) != 0 && !(errno == ENOENT && access(output, F_OK) == 0 && r->steps_made == 0))
    return pith_fail(error, PITH_IO, "%s: cannot become %s: %s", r->best_path, output, strerror(errno));
  pith_checkpoint_remove(r->state_base);
  return PITH_OK;
}
