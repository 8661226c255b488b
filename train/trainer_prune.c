/* Masks of a trainer: which weights have one, their memory and their state. */
#include "train/trainer_prune_internal.h"

#include <float.h>
#include <string.h>

#include "sparse/targets.h"
#include "sparse/weights.h"

typedef pith_trainer_mask mask;

static pith_status no_memory(pith_error *error) {
  return pith_fail(error, PITH_OUT_OF_MEMORY, "no memory for the masks of a trainer");
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
    if (p->targets[i] == parameter)
      return true;
  return false;
}

/* The pattern that a weight came with, unless the mask of what it is pruned to keeps it too. */
static bool needs_lock(const pith_trainer *t, const pith_trainer_pruning *p, const pith_training_parameter *parameter) {
  return parameter->pattern.kind != PITH_PATTERN_DENSE && t->training->model->tensors[parameter->model_tensor].rank == 2 &&
         !(is_pruned(p, parameter) && pith_pattern_implies(&parameter->pattern, &p->pattern));
}

static pith_status make_lock(pith_trainer *t, mask *m, const pith_training_parameter *parameter, pith_error *error) {
  *m = (mask){.parameter = parameter, .pattern = parameter->pattern, .grid = make_grid(t, parameter, &parameter->pattern)};
  if (parameter->ids != PITH_NONE)
    return pith_fail(error, PITH_UNSUPPORTED, "'%s' has a pattern of zeros and is looked up by rows: training does not keep it",
                     t->training->model->tensors[parameter->model_tensor].name);
  m->removed = PITH_ARENA_NEW(&t->arena, uint8_t, pith_mask_grid_count(&m->grid));
  if (m->removed == NULL)
    return no_memory(error);
  find_zeros(m, pith_trainer_mask_values(t, m), m->removed);
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

/* Floats for all targets; NULL where they are not wanted. False: no memory. */
static bool allocate(pith_trainer *t, bool wanted, size_t count, float **out) {
  *out = wanted ? PITH_ARENA_NEW(&t->arena, float, count) : NULL;
  return !wanted || *out != NULL;
}

static pith_status allocate_arrays(pith_trainer *t, pith_trainer_pruning *p, pith_error *error) {
  for (uint32_t i = 0; i < p->target_count; i++) {
    const pith_mask_grid *grid = &p->masks[p->lock_count + i].grid;
    p->block_count += pith_mask_grid_count(grid);
    p->element_count += grid->n * grid->k;
    p->fisher_count += p->rule->fisher ? pith_fisher_count(grid->n, grid->k, p->options.fisher_block) : 0;
  }
  p->removed = PITH_ARENA_NEW(&t->arena, uint8_t, p->block_count);
  p->parts = PITH_ARENA_NEW(&t->arena, pith_mask_part, p->target_count);
  if (p->removed == NULL || p->parts == NULL || !allocate(t, true, p->block_count, &p->scores) ||
      !allocate(t, p->rule->regrows, p->element_count, &p->dense) ||
      !allocate(t, p->rule->learned, p->block_count, &p->learned.m) ||
      !allocate(t, p->rule->learned, p->block_count, &p->learned.v) ||
      !allocate(t, p->rule->learned, p->block_count, &p->learned.slopes) ||
      !allocate(t, p->options.rewinds, t->training->trained_values, &p->kept))
    return no_memory(error);
  return allocate(t, p->rule->fisher, p->fisher_count, &p->fisher)
             ? PITH_OK
             : pith_fail(error, PITH_OUT_OF_MEMORY, "no memory for %zu bytes of prune-score obert: a smaller prune-fisher-block takes fewer",
                         p->fisher_count * sizeof *p->fisher);
}

static pith_status allocate_targets(pith_trainer *t, pith_trainer_pruning *p, pith_error *error) {
  PITH_TRY(allocate_arrays(t, p, error));
  uint8_t *fixed = PITH_ARENA_NEW(&t->arena, uint8_t, p->block_count);
  if (fixed == NULL)
    return no_memory(error);
  size_t block = 0, element = 0, fisher = 0;
  for (uint32_t i = 0; i < p->target_count; i++) {
    mask *m = &p->masks[p->lock_count + i];
    m->removed = p->removed + block;
    m->scores = p->scores + block;
    m->fixed = fixed + block;
    m->dense = p->dense == NULL ? NULL : p->dense + element;
    m->slopes = p->learned.slopes == NULL ? NULL : p->learned.slopes + block;
    if (p->fisher != NULL) {
      m->fisher = (pith_fisher){m->grid.n, m->grid.k, p->options.fisher_block, p->options.fisher_damp, p->fisher + fisher};
      fisher += pith_fisher_count(m->grid.n, m->grid.k, p->options.fisher_block);
    }
    block += pith_mask_grid_count(&m->grid);
    element += pith_trainer_mask_elements(m);
    p->parts[i] = (pith_mask_part){.name = t->training->model->tensors[m->parameter->model_tensor].name,
                                   .grid = m->grid,
                                   .scores = m->scores,
                                   .removed = m->removed};
  }
  return PITH_OK;
}

static void begin_scores(const pith_trainer_pruning *p, const mask *m) {
  for (size_t b = 0; b < pith_mask_grid_count(&m->grid) && p->rule->learned; b++)
    m->scores[b] = m->fixed[b] ? -FLT_MAX : pith_learned_get_first(p->options.score);
}

static void begin_targets(const pith_trainer *t, pith_trainer_pruning *p) {
  uint64_t zeros = 0;
  for (uint32_t i = 0; i < p->target_count; i++) {
    mask *m = &p->masks[p->lock_count + i];
    const float *w = pith_trainer_mask_values(t, m);
    find_zeros(m, w, m->removed);
    memcpy(m->fixed, m->removed, pith_mask_grid_count(&m->grid));
    begin_scores(p, m);
    if (m->dense != NULL)
      memcpy(m->dense, w, pith_trainer_mask_elements(m) * sizeof *w);
    for (size_t e = 0; e < pith_trainer_mask_elements(m); e++)
      zeros += w[e] == 0.0f;
  }
  p->before = (double)zeros / (double)p->element_count;
}

/* ---- creating -------------------------------------------------------------------------------------------------------- */

static pith_status find_targets(pith_trainer *t, pith_trainer_pruning *p, pith_error *error) {
  pith_prune_targets targets;
  PITH_TRY(pith_train_prune_check(&p->options, &p->pattern, &p->target, error));
  PITH_TRY(pith_prune_find_targets(t->training->model, &p->options.what.exclude, &t->arena, &targets, error));
  p->rule = pith_score_rule_get(p->options.score);
  p->target_count = find_trained(t, &targets, p->targets);
  return p->target_count != 0 ? PITH_OK
                              : pith_fail(error, PITH_INVALID_ARGUMENT, "every weight that could be pruned is frozen");
}

/* Counts them, and lists what is pruned. */
static pith_status look(pith_trainer *t, pith_trainer_pruning **out, pith_error *error) {
  const pith_training_graph *g = t->training;
  pith_trainer_pruning *p = PITH_ARENA_NEW(&t->arena, pith_trainer_pruning, 1);
  if (p == NULL)
    return no_memory(error);
  p->targets = PITH_ARENA_NEW(&t->arena, const pith_training_parameter *, g->parameter_count);
  if (p->targets == NULL)
    return no_memory(error);
  if (t->options.prune != NULL) {
    p->options = *t->options.prune;
    PITH_TRY(find_targets(t, p, error));
  }
  for (uint32_t i = 0; i < g->parameter_count; i++)
    p->lock_count += needs_lock(t, p, &g->parameters[i]);
  *out = p;
  return PITH_OK;
}

static uint64_t count_target_bytes(const pith_trainer_pruning *p, const pith_mask_grid *grid) {
  const uint64_t of_block = 2 + sizeof(float) * (p->rule->learned ? 4 : 1); /* removed, fixed; scores, slopes and moments */
  return pith_mask_grid_count(grid) * of_block + (p->rule->regrows ? grid->n * grid->k * sizeof(float) : 0) +
         (p->rule->fisher ? pith_fisher_count(grid->n, grid->k, p->options.fisher_block) * sizeof(float) : 0);
}

pith_status pith_trainer_prune_count_bytes(pith_trainer *t, uint64_t *out_bytes, pith_error *error) {
  const pith_training_graph *g = t->training;
  pith_trainer_pruning *p;
  *out_bytes = 0;
  PITH_TRY(look(t, &p, error));
  if (p->options.rewinds)
    *out_bytes += g->trained_values * sizeof(float);
  for (uint32_t i = 0; i < g->parameter_count; i++) {
    const pith_training_parameter *parameter = &g->parameters[i];
    pith_mask_grid grid;
    if (needs_lock(t, p, parameter)) {
      grid = make_grid(t, parameter, &parameter->pattern);
      *out_bytes += pith_mask_grid_count(&grid);
    }
    if (is_pruned(p, parameter)) {
      grid = make_grid(t, parameter, &p->pattern);
      *out_bytes += count_target_bytes(p, &grid);
    }
  }
  return PITH_OK;
}

pith_status pith_trainer_prune_create(pith_trainer *t, pith_error *error) {
  const pith_training_graph *g = t->training;
  pith_trainer_pruning *p;
  PITH_TRY(look(t, &p, error));
  if (p->lock_count + p->target_count == 0)
    return PITH_OK;
  p->masks = PITH_ARENA_NEW(&t->arena, mask, p->lock_count + p->target_count);
  if (p->masks == NULL)
    return no_memory(error);
  for (uint32_t i = 0, at = 0; i < g->parameter_count; i++)
    if (needs_lock(t, p, &g->parameters[i]))
      PITH_TRY(make_lock(t, &p->masks[at++], &g->parameters[i], error));
  for (uint32_t i = 0; i < p->target_count; i++)
    p->masks[p->lock_count + i] = (mask){.parameter = p->targets[i], .pattern = p->pattern, .grid = make_grid(t, p->targets[i], &p->pattern)};
  if (p->target_count != 0) {
    PITH_TRY(allocate_targets(t, p, error));
    begin_targets(t, p);
  }
  t->pruning = p;
  return PITH_OK;
}

/* ---- the model and the state --------------------------------------------------------------------------------------------- */

pith_status pith_trainer_prune_describe(pith_trainer *t, pith_error *error) {
  const pith_trainer_pruning *p = t->pruning;
  for (uint32_t i = 0; i < p->lock_count + p->target_count; i++) {
    const mask *m = &p->masks[i];
    pith_tensor *tensor = &t->training->model->tensors[m->parameter->model_tensor];
    if (i < p->lock_count && is_pruned(p, m->parameter))
      continue; /* the newer pattern is the one that is told */
    PITH_TRY(pith_pattern_count_kept(&m->pattern, m->grid.n, m->grid.k, pith_trainer_mask_values(t, m), true, &tensor->kept, error));
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
  const struct {
    float *values;
    size_t count;
  } arrays[] = {{p->scores, p->block_count},
                {p->dense, p->element_count},
                {p->learned.m, p->block_count},
                {p->learned.v, p->block_count},
                {p->fisher, p->fisher_count},
                {p->kept, t->training->trained_values}};
  for (size_t i = 0; i < sizeof arrays / sizeof *arrays; i++)
    if (arrays[i].values != NULL)
      pieces[count++] = (pith_trainer_piece){arrays[i].values, arrays[i].count * sizeof *arrays[i].values};
  return count;
}

void pith_trainer_prune_state_changed(pith_trainer *t) {
  const pith_trainer_pruning *p = t->pruning;
  for (uint32_t i = p->lock_count; i < p->lock_count + p->target_count && !p->rule->regrows; i++)
    memcpy(p->masks[i].fixed, p->masks[i].removed, pith_mask_grid_count(&p->masks[i].grid));
}
