/* What a step does under masks: scores, choosing, gradients and weights. */
#include <float.h>
#include <math.h>
#include <string.h>

#include "engine/exec/parallel.h"
#include "sparse/weights.h"
#include "train/trainer_prune_internal.h"

typedef pith_trainer_mask mask;

/* One task a weight. */
typedef struct step {
  pith_trainer *trainer;
  double rate;
  bool chooses;
  pith_learned_pull pull; /* learned: of all weights together; elements 0: each weight has its own */
} step;

static void run_masks(pith_trainer *t, void (*task)(void *context, size_t i), const step *s) {
  const pith_trainer_pruning *p = t->pruning;
  pith_parallel_for(t->options.threadpool, task, (void *)(uintptr_t)s, p->lock_count + p->target_count);
}

static float *get_gradient(const pith_trainer *t, const mask *m) {
  return m->parameter->gradient == PITH_NONE ? NULL : t->gradients + m->parameter->offset;
}

static bool learns(const pith_trainer_pruning *p, uint64_t at) {
  return p->target_count != 0 && p->rule->learned && at >= p->options.begin && at <= p->options.end;
}

/* ---- scores that are trained --------------------------------------------------------------------------------------------- */

static pith_learned_noise get_noise(const pith_trainer *t, size_t i) {
  return (pith_learned_noise){.seed = t->options.seed, .step = t->step, .weight = (uint32_t)i - t->pruning->lock_count};
}

static double get_target(const pith_trainer_pruning *p, uint64_t at) {
  return pith_train_prune_get_sparsity(&p->options, p->before, p->target, at);
}

static pith_learned_pull make_pull(const pith_trainer_pruning *p, uint64_t kept, uint64_t elements, uint64_t at) {
  return (pith_learned_pull){.density = (double)kept / (double)elements,
                             .target = 1 - get_target(p, at),
                             .penalty = pith_train_prune_get_penalty(&p->options, at),
                             .elements = elements};
}

static pith_learned_pull measure_all(const pith_trainer_pruning *p, uint64_t at) {
  uint64_t kept = 0;
  if (p->options.what.scope == PITH_PRUNE_LAYER)
    return (pith_learned_pull){.elements = 0};
  for (uint32_t i = p->lock_count; i < p->lock_count + p->target_count; i++)
    kept += pith_learned_count(p->options.score, &p->masks[i].grid, p->masks[i].scores);
  return make_pull(p, kept, p->element_count, at);
}

static void differentiate(const step *s, size_t i, const pith_score_args *args) {
  const pith_trainer_pruning *p = s->trainer->pruning;
  const mask *m = &p->masks[i];
  const pith_learned_noise noise = get_noise(s->trainer, i);
  pith_learned_pull pull = s->pull;
  if (pull.elements == 0)
    pull = make_pull(p, pith_learned_count(p->options.score, &m->grid, m->scores), pith_trainer_mask_elements(m), s->trainer->step);
  pith_learned_differentiate(p->options.score, &noise, &pull, args, m->slopes);
}

/* Scores move by AdamW without decay, whatever the optimizer of the weights, at a rate of their own. */
static void train_scores(pith_trainer *t, double rate) {
  const pith_trainer_pruning *p = t->pruning;
  const pith_adamw_options options = {t->options.beta1, t->options.beta2, t->options.epsilon, 0};
  const pith_adamw_f32_args args = {
      .w = p->scores,
      .m = p->learned.m,
      .v = p->learned.v,
      .g = p->learned.slopes,
      .count = p->block_count,
      .step = pith_adamw_step_make(&options, rate * p->options.score_rate, t->step - p->options.begin + 1),
      .options = options,
      .gradient_scale = 1,
  };
  pith_trainer_run_calls(t, &(pith_trainer_call){pith_trainer_select(pith_adamw_f32_kernels), &args}, 1);
}

static void select_learned(void *context, size_t i) {
  const step *s = context;
  const mask *m = &s->trainer->pruning->masks[i];
  if (m->scores != NULL)
    pith_learned_select(s->trainer->pruning->options.score, m->scores, pith_mask_grid_count(&m->grid), m->removed);
}

static void draw(void *context, size_t i) {
  const step *s = context;
  const mask *m = &s->trainer->pruning->masks[i];
  if (m->scores == NULL)
    return;
  const uint32_t saved = pith_cpu_enter_float();
  const pith_learned_noise noise = get_noise(s->trainer, i);
  float *w = pith_trainer_mask_values(s->trainer, m);
  pith_learned_draw(s->trainer->pruning->options.score, &noise, m->scores, pith_mask_grid_count(&m->grid), m->removed);
  memcpy(w, m->dense, pith_trainer_mask_elements(m) * sizeof *w);
  pith_mask_apply(&m->grid, m->removed, w);
  pith_cpu_leave_float(saved);
}

void pith_trainer_prune_draw(pith_trainer *t) {
  const step s = {.trainer = t};
  if (learns(t->pruning, t->step))
    run_masks(t, draw, &s);
}

/* ---- scores ---------------------------------------------------------------------------------------------------------------- */

/* Gradients are counted up to the last choice, from as many steps before the first one as the mean has. */
static void add_to_fisher(const step *s, const mask *m, const float *g) {
  const pith_train_prune *o = &s->trainer->pruning->options;
  const uint64_t at = s->trainer->step, first = o->begin + 1 > o->fisher_gradients ? o->begin + 1 - o->fisher_gradients : 0;
  if (at < first || at > o->end)
    return;
  const uint64_t count = at - first + 1;
  pith_fisher_add(&m->fisher, g, 1 / (double)(count < o->fisher_gradients ? count : o->fisher_gradients));
}

static void update_scores(const step *s, size_t i, const float *g) {
  const pith_trainer_pruning *p = s->trainer->pruning;
  const mask *m = &p->masks[i];
  const pith_score_args args = {.grid = &m->grid,
                                .w = m->dense != NULL ? m->dense : pith_trainer_mask_values(s->trainer, m),
                                .g = g,
                                .rate = s->rate,
                                .scores = m->scores};
  if (p->rule->learned && learns(p, s->trainer->step))
    differentiate(s, i, &args);
  if (p->rule->fisher)
    add_to_fisher(s, m, g);
  if (p->rule->fisher && s->chooses)
    pith_fisher_score(&m->fisher, &m->grid, m->fixed, args.w, m->scores);
  if (!p->rule->accumulates && !s->chooses)
    return;
  if (p->rule->update != NULL)
    p->rule->update(&args);
  for (size_t b = 0; b < pith_mask_grid_count(&m->grid); b++)
    if (m->fixed[b])
      m->scores[b] = -FLT_MAX;
}

/* Scores see the gradient by the masked weight, wherever the mask is; the optimizer does not. */
static void score_and_mask(void *context, size_t i) {
  const step *s = context;
  const pith_trainer_pruning *p = s->trainer->pruning;
  const mask *m = &p->masks[i];
  float *g = get_gradient(s->trainer, m);
  if (g == NULL)
    return;
  const uint32_t saved = pith_cpu_enter_float();
  if (m->scores != NULL)
    update_scores(s, i, g);
  pith_mask_apply(&m->grid, m->removed, g);
  if (m->scores != NULL && p->rule->penalized && p->options.penalty != 0)
    pith_score_add_penalty(&m->grid, pith_trainer_mask_values(s->trainer, m), p->options.penalty, g);
  pith_cpu_leave_float(saved);
}

/* ---- choosing ---------------------------------------------------------------------------------------------------------------- */

static void compensate(void *context, size_t i) {
  const step *s = context;
  const mask *m = &s->trainer->pruning->masks[i];
  if (m->scores == NULL)
    return;
  const uint32_t saved = pith_cpu_enter_float();
  pith_fisher_compensate(&m->fisher, &m->grid, m->fixed, m->removed, pith_trainer_mask_values(s->trainer, m));
  pith_cpu_leave_float(saved);
}

/* What was removed and stays so is so whatever the choice, which may be one of fewer blocks. */
static pith_status choose(pith_trainer *t, const step *s, pith_error *error) {
  pith_trainer_pruning *p = t->pruning;
  const double sparsity = get_target(p, t->step);
  pith_prune_options what = p->options.what;
  what.minimum = fmin(what.minimum, sparsity); /* which is that of the end */
  PITH_TRY(pith_prune_select(p->parts, p->target_count, &p->pattern, &what, sparsity, error));
  for (uint32_t i = p->lock_count; i < p->lock_count + p->target_count; i++)
    for (size_t b = 0; b < pith_mask_grid_count(&p->masks[i].grid); b++)
      p->masks[i].removed[b] |= p->masks[i].fixed[b];
  if (p->rule->fisher && p->options.compensates)
    run_masks(t, compensate, s);
  for (uint32_t i = p->lock_count; i < p->lock_count + p->target_count && !p->rule->regrows; i++)
    memcpy(p->masks[i].fixed, p->masks[i].removed, pith_mask_grid_count(&p->masks[i].grid));
  return PITH_OK;
}

/* ---- around the optimizer ------------------------------------------------------------------------------------------------------ */

/* The optimizer works on what lives under the mask. */
static void lift(void *context, size_t i) {
  const step *s = context;
  const mask *m = &s->trainer->pruning->masks[i];
  if (m->dense != NULL)
    memcpy(pith_trainer_mask_values(s->trainer, m), m->dense, pith_trainer_mask_elements(m) * sizeof(float));
}

static void lay(void *context, size_t i) {
  const step *s = context;
  const mask *m = &s->trainer->pruning->masks[i];
  if (m->parameter->gradient == PITH_NONE) /* nothing has changed it */
    return;
  if (m->dense != NULL)
    memcpy(m->dense, pith_trainer_mask_values(s->trainer, m), pith_trainer_mask_elements(m) * sizeof(float));
  pith_mask_apply(&m->grid, m->removed, pith_trainer_mask_values(s->trainer, m));
  if (s->trainer->average != NULL)
    pith_mask_apply(&m->grid, m->removed, s->trainer->average + m->parameter->offset);
}

pith_status pith_trainer_prune_gradients(pith_trainer *t, double rate, pith_error *error) {
  pith_trainer_pruning *p = t->pruning;
  step s = {.trainer = t, .rate = rate, .chooses = p->target_count != 0 && pith_train_prune_is_due(&p->options, t->step)};
  const bool learning = learns(p, t->step);
  if (learning)
    s.pull = measure_all(p, t->step);
  run_masks(t, score_and_mask, &s);
  if (learning)
    train_scores(t, rate);
  if (learning && !s.chooses)
    run_masks(t, select_learned, &s);
  if (s.chooses)
    PITH_TRY(choose(t, &s, error));
  run_masks(t, lift, &s);
  return PITH_OK;
}

void pith_trainer_prune_weights(pith_trainer *t) {
  const step s = {.trainer = t};
  run_masks(t, lay, &s);
}
