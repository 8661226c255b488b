/* Masks of a trainer: which weights have one, scores, choosing, and what a step does under them. */
#include "train/trainer_prune.h"

#include <float.h>
#include <math.h>
#include <string.h>

#include "engine/exec/parallel.h"
#include "sparse/targets.h"
#include "sparse/weights.h"

/* One weight and its mask. */
typedef struct mask {
  const pith_training_parameter *parameter;
  pith_pattern pattern;
  pith_mask_grid grid;
  uint8_t *removed; /* [blocks] */
  uint8_t *fixed;   /* pruned: those that stay removed whatever their score; the same as `removed` where nothing regrows */
  float *scores;    /* pruned: [blocks] */
  float *dense;     /* [n, k] what lives under the mask, which `values` have without; NULL: nothing does */
} mask;

struct pith_trainer_pruning {
  pith_train_prune options; /* without targets of no meaning */
  const pith_score_rule *rule;
  pith_pattern pattern;
  double target, before;   /* sparsity: asked for, of the model as it came */
  uint32_t lock_count, target_count;
  mask *masks;             /* locks, then targets */
  pith_mask_part *parts;   /* [target_count] as pith_prune_select reads them */
  /* Of all targets one after the other, as a checkpoint has them. */
  uint8_t *removed;
  float *scores, *dense;
  size_t block_count, element_count;
};

static pith_status no_memory(pith_error *error) {
  return pith_fail(error, PITH_OUT_OF_MEMORY, "no memory for the masks of a trainer");
}

static float *get_values(const pith_trainer *t, const mask *m) {
  return t->values + m->parameter->offset;
}

static size_t count_elements(const mask *m) {
  return m->grid.n * m->grid.k;
}

/* ---- which weights ----------------------------------------------------------------------------------------------- */

/* Blocks that are 0 as a whole. */
static void find_zeros(const mask *m, const float *w, uint8_t *out_zero) {
  const pith_mask_grid *grid = &m->grid;
  memset(out_zero, 1, pith_mask_grid_count(grid));
  for (size_t i = 0; i < grid->n; i++)
    for (size_t j = 0; j < grid->k; j++)
      if (w[i * grid->k + j] != 0.0f)
        out_zero[i / grid->outputs * grid->columns + j / grid->inputs] = 0;
}

static pith_mask_grid make_grid(const pith_trainer *t, const pith_training_parameter *parameter, const pith_pattern *pattern) {
  const pith_tensor *tensor = &t->training->model->tensors[parameter->model_tensor];
  return pith_mask_grid_make(pattern, (size_t)tensor->dims[0].constant, (size_t)tensor->dims[1].constant);
}

static bool is_pruned(const pith_trainer_pruning *p, const pith_training_parameter *parameter) {
  for (uint32_t i = 0; i < p->target_count; i++)
    if (p->masks[p->lock_count + i].parameter == parameter)
      return true;
  return false;
}

/* The pattern that a weight came with, unless the mask of what it is pruned to keeps it too. */
static bool needs_lock(const pith_trainer *t, const pith_training_parameter *parameter, bool pruned, const pith_pattern *pattern) {
  return parameter->pattern.kind != PITH_PATTERN_DENSE && t->training->model->tensors[parameter->model_tensor].rank == 2 &&
         !(pruned && pith_pattern_implies(&parameter->pattern, pattern));
}

static pith_status make_lock(pith_trainer *t, mask *m, const pith_training_parameter *parameter, pith_error *error) {
  *m = (mask){.parameter = parameter, .pattern = parameter->pattern, .grid = make_grid(t, parameter, &parameter->pattern)};
  if (parameter->ids != PITH_NONE)
    return pith_fail(error, PITH_UNSUPPORTED, "'%s' has a pattern of zeros and is looked up by rows: training does not keep it",
                     t->training->model->tensors[parameter->model_tensor].name);
  m->removed = PITH_ARENA_NEW(&t->arena, uint8_t, pith_mask_grid_count(&m->grid));
  if (m->removed == NULL)
    return no_memory(error);
  find_zeros(m, get_values(t, m), m->removed);
  return PITH_OK;
}

/* ---- what is pruned ------------------------------------------------------------------------------------------------ */

/* Those of the model's targets that are trained, at the beginning of `list`. */
static uint32_t find_trained(const pith_trainer *t, const pith_prune_targets *targets, const pith_training_parameter **list) {
  uint32_t count = 0;
  for (uint32_t i = 0; i < targets->count; i++) {
    const pith_training_parameter *parameter = pith_training_graph_find(t->training, targets->list[i].weight);
    if (parameter != NULL && parameter->gradient != PITH_NONE && parameter->ids == PITH_NONE)
      list[count++] = parameter;
  }
  return count;
}

static pith_status allocate_targets(pith_trainer *t, pith_trainer_pruning *p, pith_error *error) {
  uint8_t *fixed = NULL;
  for (uint32_t i = 0; i < p->target_count; i++) {
    p->block_count += pith_mask_grid_count(&p->masks[p->lock_count + i].grid);
    p->element_count += count_elements(&p->masks[p->lock_count + i]);
  }
  p->removed = PITH_ARENA_NEW(&t->arena, uint8_t, p->block_count);
  p->scores = PITH_ARENA_NEW(&t->arena, float, p->block_count);
  p->parts = PITH_ARENA_NEW(&t->arena, pith_mask_part, p->target_count);
  fixed = PITH_ARENA_NEW(&t->arena, uint8_t, p->block_count);
  p->dense = p->rule->regrows ? PITH_ARENA_NEW(&t->arena, float, p->element_count) : NULL;
  if (p->removed == NULL || p->scores == NULL || p->parts == NULL || fixed == NULL || (p->rule->regrows && p->dense == NULL))
    return no_memory(error);
  size_t block = 0, element = 0;
  for (uint32_t i = 0; i < p->target_count; i++) {
    mask *m = &p->masks[p->lock_count + i];
    m->removed = p->removed + block;
    m->scores = p->scores + block;
    m->fixed = fixed + block;
    m->dense = p->dense == NULL ? NULL : p->dense + element;
    block += pith_mask_grid_count(&m->grid);
    element += count_elements(m);
    p->parts[i] = (pith_mask_part){.name = t->training->model->tensors[m->parameter->model_tensor].name,
                                   .grid = m->grid,
                                   .scores = m->scores,
                                   .removed = m->removed};
  }
  return PITH_OK;
}

static void begin_targets(const pith_trainer *t, pith_trainer_pruning *p) {
  uint64_t zeros = 0;
  for (uint32_t i = 0; i < p->target_count; i++) {
    mask *m = &p->masks[p->lock_count + i];
    const float *w = get_values(t, m);
    find_zeros(m, w, m->removed);
    memcpy(m->fixed, m->removed, pith_mask_grid_count(&m->grid));
    if (m->dense != NULL)
      memcpy(m->dense, w, count_elements(m) * sizeof *w);
    for (size_t e = 0; e < count_elements(m); e++)
      zeros += w[e] == 0.0f;
  }
  p->before = (double)zeros / (double)p->element_count;
}

/* ---- creating -------------------------------------------------------------------------------------------------------- */

static pith_status find_targets(pith_trainer *t, pith_trainer_pruning *p, const pith_training_parameter **list, pith_error *error) {
  pith_prune_targets targets;
  PITH_TRY(pith_train_prune_check(&p->options, &p->pattern, &p->target, error));
  PITH_TRY(pith_prune_find_targets(t->training->model, &p->options.what.exclude, &t->arena, &targets, error));
  p->rule = pith_score_rule_get(p->options.score);
  p->target_count = find_trained(t, &targets, list);
  return p->target_count != 0 ? PITH_OK
                              : pith_fail(error, PITH_INVALID_ARGUMENT, "every weight that could be pruned is frozen");
}

static bool contains(const pith_training_parameter *const *list, uint32_t count, const pith_training_parameter *parameter) {
  for (uint32_t i = 0; i < count; i++)
    if (list[i] == parameter)
      return true;
  return false;
}

/* Counts them, and lists what is pruned. */
static pith_status look(pith_trainer *t, pith_trainer_pruning **out, const pith_training_parameter ***out_list, pith_error *error) {
  const pith_training_graph *g = t->training;
  pith_trainer_pruning *p = PITH_ARENA_NEW(&t->arena, pith_trainer_pruning, 1);
  const pith_training_parameter **list = PITH_ARENA_NEW(&t->arena, const pith_training_parameter *, g->parameter_count);
  if (p == NULL || list == NULL)
    return no_memory(error);
  if (t->options.prune != NULL) {
    p->options = *t->options.prune;
    PITH_TRY(find_targets(t, p, list, error));
  }
  for (uint32_t i = 0; i < g->parameter_count; i++)
    p->lock_count += needs_lock(t, &g->parameters[i], contains(list, p->target_count, &g->parameters[i]), &p->pattern);
  *out = p;
  *out_list = list;
  return PITH_OK;
}

pith_status pith_trainer_prune_count_bytes(pith_trainer *t, uint64_t *out_bytes, pith_error *error) {
  const pith_training_graph *g = t->training;
  pith_trainer_pruning *p;
  const pith_training_parameter **list;
  *out_bytes = 0;
  PITH_TRY(look(t, &p, &list, error));
  for (uint32_t i = 0; i < g->parameter_count; i++) {
    const pith_training_parameter *parameter = &g->parameters[i];
    const bool pruned = contains(list, p->target_count, parameter);
    pith_mask_grid grid;
    if (needs_lock(t, parameter, pruned, &p->pattern)) {
      grid = make_grid(t, parameter, &parameter->pattern);
      *out_bytes += pith_mask_grid_count(&grid);
    }
    if (pruned) { /* removed, fixed, scores, dense */
      grid = make_grid(t, parameter, &p->pattern);
      *out_bytes += pith_mask_grid_count(&grid) * (2 + sizeof(float)) + (p->rule->regrows ? parameter->count * sizeof(float) : 0);
    }
  }
  return PITH_OK;
}

pith_status pith_trainer_prune_create(pith_trainer *t, pith_error *error) {
  const pith_training_graph *g = t->training;
  pith_trainer_pruning *p;
  const pith_training_parameter **list;
  PITH_TRY(look(t, &p, &list, error));
  if (p->lock_count + p->target_count == 0)
    return PITH_OK;
  p->masks = PITH_ARENA_NEW(&t->arena, mask, p->lock_count + p->target_count);
  if (p->masks == NULL)
    return no_memory(error);
  for (uint32_t i = 0, at = 0; i < g->parameter_count; i++)
    if (needs_lock(t, &g->parameters[i], contains(list, p->target_count, &g->parameters[i]), &p->pattern))
      PITH_TRY(make_lock(t, &p->masks[at++], &g->parameters[i], error));
  for (uint32_t i = 0; i < p->target_count; i++)
    p->masks[p->lock_count + i] = (mask){.parameter = list[i], .pattern = p->pattern, .grid = make_grid(t, list[i], &p->pattern)};
  if (p->target_count != 0) {
    PITH_TRY(allocate_targets(t, p, error));
    begin_targets(t, p);
  }
  t->pruning = p;
  return PITH_OK;
}

/* ---- a step ------------------------------------------------------------------------------------------------------------ */

/* One task a weight. */
typedef struct step {
  pith_trainer *trainer;
  double rate;
  bool chooses;
} step;

static void run_masks(pith_trainer *t, void (*task)(void *context, size_t i), const step *s) {
  const pith_trainer_pruning *p = t->pruning;
  pith_parallel_for(t->options.threadpool, task, (void *)(uintptr_t)s, p->lock_count + p->target_count);
}

static float *get_gradient(const pith_trainer *t, const mask *m) {
  return m->parameter->gradient == PITH_NONE ? NULL : t->gradients + m->parameter->offset;
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
  if (m->scores != NULL && (p->rule->accumulates || s->chooses)) {
    const pith_score_args args = {.grid = &m->grid,
                                  .w = m->dense != NULL ? m->dense : get_values(s->trainer, m),
                                  .g = g,
                                  .rate = s->rate,
                                  .scores = m->scores};
    p->rule->update(&args);
    for (size_t b = 0; b < pith_mask_grid_count(&m->grid); b++)
      if (m->fixed[b])
        m->scores[b] = -FLT_MAX;
  }
  pith_mask_apply(&m->grid, m->removed, g);
  if (m->scores != NULL && p->rule->penalized && p->options.penalty != 0)
    pith_score_add_penalty(&m->grid, get_values(s->trainer, m), p->options.penalty, g);
  pith_cpu_leave_float(saved);
}

/* What was removed and stays so is so whatever the choice, which may be one of fewer blocks. */
static pith_status choose(pith_trainer_pruning *p, uint64_t at, pith_error *error) {
  const double sparsity = pith_train_prune_get_sparsity(&p->options, p->before, p->target, at);
  pith_prune_options what = p->options.what;
  what.minimum = fmin(what.minimum, sparsity); /* which is that of the end */
  PITH_TRY(pith_prune_select(p->parts, p->target_count, &p->pattern, &what, sparsity, error));
  for (uint32_t i = 0; i < p->target_count; i++) {
    mask *m = &p->masks[p->lock_count + i];
    const size_t blocks = pith_mask_grid_count(&m->grid);
    for (size_t b = 0; b < blocks; b++)
      m->removed[b] |= m->fixed[b];
    if (!p->rule->regrows)
      memcpy(m->fixed, m->removed, blocks);
  }
  return PITH_OK;
}

/* The optimizer works on what lives under the mask. */
static void lift(void *context, size_t i) {
  const step *s = context;
  const mask *m = &s->trainer->pruning->masks[i];
  if (m->dense != NULL)
    memcpy(get_values(s->trainer, m), m->dense, count_elements(m) * sizeof(float));
}

static void lay(void *context, size_t i) {
  const step *s = context;
  const mask *m = &s->trainer->pruning->masks[i];
  if (m->parameter->gradient == PITH_NONE) /* nothing has changed it */
    return;
  if (m->dense != NULL)
    memcpy(m->dense, get_values(s->trainer, m), count_elements(m) * sizeof(float));
  pith_mask_apply(&m->grid, m->removed, get_values(s->trainer, m));
  if (s->trainer->average != NULL)
    pith_mask_apply(&m->grid, m->removed, s->trainer->average + m->parameter->offset);
}

pith_status pith_trainer_prune_gradients(pith_trainer *t, double rate, pith_error *error) {
  pith_trainer_pruning *p = t->pruning;
  const step s = {.trainer = t, .rate = rate,
                  .chooses = p->target_count != 0 && pith_train_prune_is_due(&p->options, t->step)};
  run_masks(t, score_and_mask, &s);
  if (s.chooses)
    PITH_TRY(choose(p, t->step, error));
  run_masks(t, lift, &s);
  return PITH_OK;
}

void pith_trainer_prune_weights(pith_trainer *t) {
  const step s = {.trainer = t};
  run_masks(t, lay, &s);
}

/* ---- the model and the state --------------------------------------------------------------------------------------------- */

pith_status pith_trainer_prune_describe(pith_trainer *t, pith_error *error) {
  const pith_trainer_pruning *p = t->pruning;
  for (uint32_t i = 0; i < p->lock_count + p->target_count; i++) {
    const mask *m = &p->masks[i];
    pith_tensor *tensor = &t->training->model->tensors[m->parameter->model_tensor];
    if (i < p->lock_count && is_pruned(p, m->parameter))
      continue; /* the newer pattern is the one that is told */
    PITH_TRY(pith_pattern_count_kept(&m->pattern, m->grid.n, m->grid.k, get_values(t, m), true, &tensor->kept, error));
    tensor->pattern = m->pattern;
  }
  return PITH_OK;
}

size_t pith_trainer_prune_get_state(const pith_trainer *t, pith_trainer_piece *pieces) {
  const pith_trainer_pruning *p = t->pruning;
  size_t count = 0;
  if (p->target_count == 0)
    return 0;
  pieces[count++] = (pith_trainer_piece){p->removed, p->block_count};
  pieces[count++] = (pith_trainer_piece){p->scores, p->block_count * sizeof *p->scores};
  if (p->dense != NULL)
    pieces[count++] = (pith_trainer_piece){p->dense, p->element_count * sizeof *p->dense};
  return count;
}

void pith_trainer_prune_state_changed(pith_trainer *t) {
  const pith_trainer_pruning *p = t->pruning;
  for (uint32_t i = p->lock_count; i < p->lock_count + p->target_count && !p->rule->regrows; i++)
    memcpy(p->masks[i].fixed, p->masks[i].removed, pith_mask_grid_count(&p->masks[i].grid));
}
