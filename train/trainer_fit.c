/* What <pith/train.h> has beside single steps: evaluate, save, fit. */
#include <math.h>
#include <string.h>

#include <cjson/cJSON.h>

#include "train/rate.h"
#include "train/trainer_internal.h"
#include "train/trainer_model.h"

/* ---- what comes out ------------------------------------------------------------------------------------- */

pith_status pith_trainer_evaluate(pith_trainer *t, const char *task_name, const char *path, size_t capacity,
                                  pith_metric *out_metrics, size_t *out_count, pith_error *error) {
  const pith_eval_task *task = pith_eval_task_find(task_name);
  if (task == NULL)
    return pith_fail(error, PITH_INVALID_ARGUMENT, "no task '%.60s'", task_name);
  pith_dataset data;
  pith_evaluation evaluation = {0};
  PITH_TRY(pith_dataset_read(path, task->format, NULL, &t->allocator, &data, error));
  const pith_status status =
      pith_trainer_measure(t, &t->source, t->options.threadpool, task, &data, NULL, NULL, &evaluation, error);
  pith_dataset_deinit(&data);
  PITH_TRY(status);
  *out_count = evaluation.metric_count;
  for (size_t i = 0; i < evaluation.metric_count && i < capacity; i++)
    out_metrics[i] = (pith_metric){evaluation.metrics[i].name, evaluation.metrics[i].value};
  return PITH_OK;
}

pith_status pith_trainer_save(pith_trainer *t, const char *path, pith_error *error) {
  cJSON *history = cJSON_CreateObject();
  if (history != NULL && cJSON_AddNumberToObject(history, "step", (double)t->step) == NULL) {
    cJSON_Delete(history);
    history = NULL;
  }
  return pith_trainer_write(t, path, NULL, NULL, history, error);
}

/* ---- many steps ------------------------------------------------------------------------------------------ */

static pith_status check_fit(const pith_fit_options *o, pith_error *error) {
  if (o->data == NULL)
    return pith_fail(error, PITH_INVALID_ARGUMENT, "pith_fit_options.data is NULL: no batches");
  if (!(o->learning_rate >= 0 && isfinite(o->learning_rate) && o->warmup >= 0 && isfinite(o->warmup)))
    return pith_fail(error, PITH_INVALID_ARGUMENT, "learning_rate %g, warmup %g: from 0 on", o->learning_rate, o->warmup);
  if ((unsigned)o->schedule > PITH_RATE_CONSTANT)
    return pith_fail(error, PITH_INVALID_ARGUMENT, "schedule %d is unknown", (int)o->schedule);
  return PITH_OK;
}

static pith_status add_batches(pith_trainer *t, const pith_fit_options *o, double *out_loss, pith_error *error) {
  const uint32_t parts = o->accumulate == 0 ? 1 : o->accumulate;
  *out_loss = 0;
  for (uint32_t i = 0; i < parts; i++) {
    pith_train_batch batch = PITH_TRAIN_BATCH_INIT;
    double loss;
    PITH_TRY(o->data(o->context, t->step * parts + i, &batch, error));
    PITH_TRY(pith_trainer_forward_backward(t, &batch, 1.0 / parts, &loss, error));
    *out_loss += loss / parts;
  }
  if (!isfinite(*out_loss))
    return pith_fail(error, PITH_FORMAT, "the loss of step %llu is %g", (unsigned long long)t->step + 1, *out_loss);
  return PITH_OK;
}

static pith_status fit_step(pith_trainer *t, const pith_fit_options *o, const pith_rate *rate, pith_error *error) {
  pith_fit_progress progress = {.steps = o->steps, .learning_rate = pith_rate_at(rate, t->step)};
  PITH_TRY(add_batches(t, o, &progress.loss, error));
  PITH_TRY(pith_trainer_apply(t, progress.learning_rate, &progress.norm, error));
  progress.step = t->step;
  if (o->progress != NULL && o->progress(o->context, &progress) != 0)
    return pith_fail(error, PITH_CANCELLED, "stopped at step %llu of %llu", (unsigned long long)t->step,
                     (unsigned long long)o->steps);
  if (o->metric != NULL && (t->step == o->steps || (o->measure_every != 0 && t->step % o->measure_every == 0)))
    return o->metric(o->context, t, error);
  return PITH_OK;
}

pith_status pith_trainer_fit(pith_trainer *t, const pith_fit_options *given, pith_error *error) {
  pith_fit_options o;
  PITH_TRY(pith_read_struct(given, &o, sizeof o, "pith_fit_options", error));
  PITH_TRY(check_fit(&o, error));
  const pith_rate rate = {o.schedule, o.learning_rate, pith_rate_get_warmup(o.warmup, o.steps), o.steps};
  while (t->step < o.steps)
    PITH_TRY(fit_step(t, &o, &rate, error));
  return PITH_OK;
}
