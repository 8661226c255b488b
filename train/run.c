#include "train/run.h"

#include <math.h>
#include <stdio.h>
#include <time.h>

#include "train/run_internal.h"

static double seconds_now(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return (double)now.tv_sec + (double)now.tv_nsec * 1e-9;
}

/* ---- a step --------------------------------------------------------------------------------------------------- */

/* The batches of the next step, their samples one after the other in r->samples. */
static uint64_t take_batches(pith_run *r, uint64_t *out_batches, bool *out_ends_epoch) {
  uint64_t count = 0;
  *out_ends_epoch = false;
  for (*out_batches = 0; *out_batches < r->options->accumulate && !*out_ends_epoch;) {
    const pith_order_batch batch = pith_order_next(&r->order);
    memcpy(r->samples + count, batch.samples, batch.count * sizeof *r->samples);
    count += batch.count;
    r->batch_ends[(*out_batches)++] = count;
    *out_ends_epoch = batch.ends_epoch;
  }
  return count;
}

/* One batch of a step: its place in the epoch, its samples. */
typedef struct step_batch {
  uint64_t place;
  pith_order_batch samples;
} step_batch;

/* "step 13, epoch 0, batch 12 (lines 4, 77, .. of train.tsv): the loss is nan; gradient ..". Which tensor it is that is not finite, the
 * optimizer says, which leaves the weights as they are. */
static pith_status fail_not_finite(const pith_run *r, const step_batch *batch, double loss, const char *reason, pith_error *error) {
  enum { SHOWN = 8 };
  char lines[120] = "", what[40] = "";
  const size_t count = batch->samples.count;
  for (size_t i = 0; i < count && i < SHOWN; i++)
    snprintf(lines + strlen(lines), sizeof lines - strlen(lines), "%s%u", i == 0 ? "" : ", ",
             r->data.samples[batch->samples.samples[i]].row);
  if (!isfinite(loss))
    snprintf(what, sizeof what, "the loss is %g; ", loss);
  return pith_fail(error, PITH_FORMAT, "step %llu, epoch %llu, batch %llu (lines %s%s of %.100s): %s%s",
                   (unsigned long long)r->state.step + 1, (unsigned long long)r->state.epoch, (unsigned long long)batch->place, lines,
                   count > SHOWN ? ", .." : "", r->data.path, what, reason);
}

static pith_status fail_loss(const pith_run *r, const step_batch *batch, double loss, pith_error *error) {
  pith_error reason = {0};
  const bool finite = pith_trainer_apply(r->trainer, 0, NULL, &reason) == PITH_OK;
  return fail_not_finite(r, batch, loss, finite ? "every gradient is finite" : reason.message, error);
}

/* `first`: samples of the epoch before these. */
static pith_status run_batch(pith_run *r, const pith_order_batch *samples, uint64_t first, double share, double *out_loss,
                             pith_error *error) {
  pith_train_batch batch;
  pith_train_data_gather(&r->data, samples, r->options->seed, r->state.epoch, &r->room, &batch);
  batch.first_sample = first * r->data.sequences;
  if (r->options->teacher != NULL)
    PITH_TRY(pith_teacher_answer(&r->teacher, samples, &batch, error));
  PITH_TRY(pith_trainer_forward_backward(r->trainer, &batch, share, out_loss, error));
  r->tokens += (uint64_t)batch.offsets[batch.sequences];
  return PITH_OK;
}

static pith_status make_step(pith_run *r, double *out_loss, pith_error *error) {
  uint64_t batches;
  bool ends_epoch;
  step_batch batch = {.place = r->order.batch};
  const uint64_t first_batch = r->order.batch, count = take_batches(r, &batches, &ends_epoch);
  *out_loss = 0;
  for (uint64_t b = 0; b < batches; b++) {
    const uint64_t begin = b == 0 ? 0 : r->batch_ends[b - 1];
    batch = (step_batch){first_batch + b, {.samples = r->samples + begin, .count = r->batch_ends[b] - begin}};
    const double share = (double)batch.samples.count / (double)count;
    double loss;
    PITH_TRY(run_batch(r, &batch.samples, r->state.samples + begin, share, &loss, error));
    *out_loss += share * loss;
    if (!isfinite(loss))
      return fail_loss(r, &batch, loss, error);
  }
  pith_error reason = {0};
  const pith_status status = pith_trainer_apply(r->trainer, pith_rate_at(&r->rate, r->state.step), &r->norm, &reason);
  if (status == PITH_FORMAT)
    return fail_not_finite(r, &batch, *out_loss, reason.message, error);
  if (status != PITH_OK)
    return pith_fail(error, status, "%s", reason.message);
  r->state.step++;
  r->state.epoch = r->order.epoch;
  r->state.batch = r->order.batch;
  r->state.samples = ends_epoch ? 0 : r->state.samples + count;
  return PITH_OK;
}

/* ---- what is told of it ----------------------------------------------------------------------------------------- */

static pith_status add_point(pith_run *r, double loss, pith_error *error) {
  const double seconds = r->seconds - r->log_seconds;
  const pith_run_point point = {.step = r->state.step,
                                .epoch = pith_run_get_epoch(r),
                                .loss = loss,
                                .rate = pith_rate_at(&r->rate, r->state.step - 1),
                                .norm = r->norm,
                                .steps_per_s = (double)(r->steps_made - r->log_steps_made) / seconds,
                                .tokens_per_s = (double)(r->tokens - r->log_tokens) / seconds};
  r->log_steps_made = r->steps_made;
  r->log_tokens = r->tokens;
  r->log_seconds = r->seconds;
  return pith_run_log_add_point(&r->log, &point, error);
}

static pith_status tell_step(pith_run *r, double loss, pith_error *error) {
  pith_run_state *s = &r->state;
  s->loss_since_log += loss;
  s->loss_since_eval += loss;
  s->since_log++;
  s->since_eval++;
  const double mean = s->loss_since_log / (double)s->since_log;
  if (s->step % r->options->log_every == 0 || s->step == r->survey.steps) {
    PITH_TRY(add_point(r, mean, error));
    if (r->eval_rows == NULL)
      r->loss = mean;
    s->loss_since_log = 0;
    s->since_log = 0;
  }
  if (r->request->tell != NULL)
    r->request->tell(r->request->context, &(pith_run_news){.step = s->step,
                                                           .steps = r->survey.steps,
                                                           .epoch = pith_run_get_epoch(r),
                                                           .loss = mean});
  return PITH_OK;
}

/* ---- the run ------------------------------------------------------------------------------------------------------ */

static bool is_due(uint64_t every, uint64_t step, bool otherwise) {
  return every != 0 ? step % every == 0 : otherwise;
}

static bool is_over(pith_run *r) {
  r->stopped_early = r->options->patience != 0 && r->state.without_gain >= r->options->patience;
  return r->stopped_early || r->state.step == r->survey.steps;
}

static pith_status advance(pith_run *r, pith_error *error) {
  const double begin = seconds_now();
  double loss;
  PITH_TRY(make_step(r, &loss, error));
  r->seconds += seconds_now() - begin;
  r->steps_made++;
  PITH_TRY(tell_step(r, loss, error));
  const bool epoch_ended = r->state.batch == 0, last = r->state.step == r->survey.steps;
  bool measured = false;
  if (r->eval_rows != NULL && (last || is_due(r->options->eval_every, r->state.step, epoch_ended))) {
    PITH_TRY(pith_run_measure(r, error));
    measured = true;
  }
  return is_over(r) || is_due(r->options->save_every, r->state.step, measured || (r->eval_rows == NULL && epoch_ended))
             ? pith_run_save(r, error)
             : PITH_OK;
}

static bool is_stopped(const pith_run *r) {
  return r->request->stop != NULL && *r->request->stop != 0;
}

static pith_status stop(pith_run *r, pith_error *error) {
  PITH_TRY(pith_run_save(r, error));
  return pith_fail(error, PITH_CANCELLED, "stopped at step %llu of %llu, which is saved: --resume goes on",
                   (unsigned long long)r->state.step, (unsigned long long)r->survey.steps);
}

static pith_status run(pith_run *r, pith_error *error) {
  PITH_TRY(pith_run_resume(r, error));
  while (!is_over(r)) {
    if (is_stopped(r))
      return stop(r, error);
    PITH_TRY(advance(r, error));
  }
  return pith_run_finish(r, error);
}

static void summarize(const pith_run *r, pith_run_summary *out) {
  *out = (pith_run_summary){.steps = r->state.step,
                            .best_step = r->state.best_step,
                            .steps_per_s = r->seconds > 0 ? (double)r->steps_made / r->seconds : 0,
                            .tokens_per_s = r->seconds > 0 ? (double)r->tokens / r->seconds : 0,
                            .loss = r->loss,
                            .measured = r->eval_rows != NULL,
                            .stopped_early = r->stopped_early,
                            .evaluation = pith_run_get_best(r)};
}

pith_status pith_train_run(const pith_run_request *request, pith_run_summary *out_summary, pith_error *error) {
  pith_run r;
  pith_status status = pith_run_open(&r, request, error);
  if (status == PITH_OK)
    status = run(&r, error);
  if (status == PITH_OK)
    summarize(&r, out_summary);
  if (status == PITH_OK && request->tell_profile != NULL) {
    size_t count;
    const pith_profile_entry *entries = pith_trainer_get_profile(r.trainer, &count);
    request->tell_profile(request->context, entries, count);
  }
  pith_run_close(&r);
  return status;
}
