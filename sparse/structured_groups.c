/* Heads and neurons leave, layer after layer. */
#include <math.h>
#include <stdio.h>

#include "quant/tap.h"
#include "quant/moments.h"
#include "sparse/structured_internal.h"
#include "sparse/structured_solve.h"

typedef pith_structured_plan plan;

static bool has_data(const plan *p) {
  return p->job->request->source != NULL;
}

static bool uses_obs(const plan *p) {
  return p->job->request->options->method == PITH_PRUNE_OBS;
}

/* ---- what the data says of a block -------------------------------------------------------------
 */

typedef struct observation {
  pith_structured_job *job;
  const pith_tap *tap;
  pith_moments moments;
} observation;

static pith_status see(void *context, const uint32_t *order, const int32_t *offsets, size_t count,
                       const pith_result *result, pith_error *error) {
  (void)order;
  (void)result;
  observation *o = context;
  const pith_view *view = pith_tap_get(o->tap, 0);
  const float *x = view->data;
  for (size_t i = 0; i < view->rows * view->columns; i++)
    if (!isfinite(x[i]))
      return pith_fail(error, PITH_FORMAT,
                       "an activation is %g at token %zu of a batch: nothing can be fitted to it",
                       (double)x[i], i / view->columns);
  pith_moments_add(&o->moments, x, view->rows);
  if (o->job->done == 0) {
    o->job->out->texts += count;
    o->job->out->tokens += (uint64_t)offsets[count];
  }
  return PITH_OK;
}

/* The second moments of a block's last product's input, in the model as it is now. */
static pith_status observe(plan *p, const pith_structured_block *block, pith_arena *arena,
                           pith_moments *out_moments, pith_error *error) {
  pith_structured_job *job = p->job;
  const pith_prune_request *request = job->request;
  pith_graph *graph;
  const char *name = p->removal.graph->tensors[block->last->inputs[0]].name;
  PITH_TRY(pith_removal_apply(&p->removal, &job->model->allocator, &graph, error));
  pith_tap tap;
  observation o = {.job = job, .tap = &tap};
  pith_status status = pith_tap_init(&tap, job->model, graph, &name, 1, &request->session, error);
  if (status == PITH_OK)
    status = pith_moments_init(&o.moments, block->groups * block->size, arena, error);
  if (status == PITH_OK)
    status = pith_tap_run(&tap, request->source, see, &o, NULL, error);
  if (status == PITH_OK && o.moments.rows == 0)
    status = pith_fail(error, PITH_FORMAT, "the calibration data has no text");
  pith_tap_deinit(&tap);
  pith_graph_destroy(graph);
  PITH_TRY(status);
  job->done++;
  pith_structured_show(job);
  pith_moments_finish(&o.moments, pith_structured_get_bias(block->last) != PITH_NONE, request->options->damping);
  *out_moments = o.moments;
  return PITH_OK;
}

static pith_status order_by_error(plan *p, uint32_t b, const pith_moments *moments, size_t count,
                                  pith_error *error) {
  const pith_structured_block *block = &p->blocks[b];
  const float *w = pith_rewriter_read(&p->reader, block->last->inputs[1]);
  if (w == NULL)
    return p->reader.builder.status;
  const pith_group_problem problem = {block->n, block->groups, block->size, moments->products, w};
  return pith_groups_order(&problem, count, p->order[b], p->costs[b], error);
}

/* The last product's weights and bias, fitted to what it gave. */
static pith_status fit(plan *p, uint32_t b, const pith_moments *moments, pith_kept inputs,
                       pith_structured_row *row, pith_error *error) {
  const pith_structured_block *block = &p->blocks[b];
  const pith_tensor_id weight = block->last->inputs[1], bias = pith_structured_get_bias(block->last);
  const size_t n = block->n, k = block->groups * block->size;
  float *fitted = PITH_ARENA_NEW(&p->arena, float, n *inputs.count);
  float *new_bias = PITH_ARENA_NEW(&p->arena, float, n);
  if (fitted == NULL || new_bias == NULL)
    return pith_fail(error, PITH_OUT_OF_MEMORY, "no memory to fit '%s'", block->last->name);
  const float *old_bias = bias == PITH_NONE ? NULL : pith_rewriter_read(&p->reader, bias);
  if (old_bias != NULL)
    memcpy(new_bias, old_bias, n * sizeof *new_bias);
  const float *w = pith_rewriter_read(&p->reader, weight);
  PITH_TRY(p->reader.builder.status);
  const pith_group_problem problem = {n, block->groups, block->size, moments->products, w};
  pith_group_errors errors;
  PITH_TRY(pith_groups_compensate(&problem, inputs, true, fitted, &errors, error));
  row->plain_error = errors.plain;
  row->error = errors.compensated;
  p->removal.values[weight] = fitted;
  if (bias == PITH_NONE)
    return PITH_OK;
  for (size_t r = 0; r < n; r++) { /* the means stay what they were */
    double mean = 0;
    for (size_t j = 0; j < k; j++)
      mean += (double)w[r * k + j] * moments->sums[j];
    for (size_t j = 0; j < inputs.count; j++)
      mean -= (double)fitted[r * inputs.count + j] * moments->sums[inputs.places[j]];
    new_bias[r] += (float)(mean / (double)moments->rows);
  }
  p->removal.values[bias] = new_bias;
  return PITH_OK;
}

/* ---- removing ----------------------------------------------------------------------------------
 */

/* Marks of groups as places of features, `size` of them a group. */
static pith_status keep_features(plan *p, const bool *removed, size_t groups, size_t size,
                                 pith_kept *out_kept, pith_error *error) {
  bool *marks = PITH_ARENA_NEW(&p->arena, bool, groups *size);
  for (size_t i = 0; i < groups * size && marks != NULL; i++)
    marks[i] = removed[i / size];
  *out_kept = marks == NULL ? (pith_kept){0} : pith_kept_without(marks, groups * size, &p->arena);
  if (out_kept->places == NULL)
    return pith_fail(error, PITH_OUT_OF_MEMORY, "no memory to remove of %zu features",
                     groups * size);
  return PITH_OK;
}

/* Rows of a product that leave; the features of what it gives shrink with them. */
static pith_status shrink_outputs(plan *p, const pith_node *product, const bool *removed,
                                  size_t groups, pith_error *error) {
  const size_t rows = (size_t)p->removal.graph->tensors[product->inputs[1]].dims[0].constant;
  pith_kept kept;
  PITH_TRY(keep_features(p, removed, groups, rows / groups, &kept, error));
  p->removal.rows[product->inputs[1]] = kept;
  if (pith_structured_get_bias(product) != PITH_NONE)
    p->removal.rows[pith_structured_get_bias(product)] = kept;
  p->removal.features[product->outputs[0]] = (int64_t)kept.count;
  return PITH_OK;
}

static pith_status remove_groups(plan *p, uint32_t b, const pith_moments *moments,
                                 pith_structured_row *row, pith_error *error) {
  const pith_structured_block *block = &p->blocks[b];
  const bool *removed = p->removed[b];
  const size_t left = block->groups - p->leave[b];
  pith_kept inputs;
  PITH_TRY(keep_features(p, removed, block->groups, block->size, &inputs, error));
  p->removal.columns[block->last->inputs[1]] = inputs;
  if (moments != NULL)
    PITH_TRY(fit(p, b, moments, inputs, row, error));
  for (uint32_t i = 0; i < block->chain.count; i++)
    p->removal.features[block->chain.between[i]->outputs[0]] = (int64_t)inputs.count;
  PITH_TRY(shrink_outputs(p, block->chain.first, removed, block->groups, error));
  if (p->job->structure != PITH_STRUCTURE_HEAD)
    return PITH_OK;
  p->removal.attributes[block->attention.attention - p->removal.graph->nodes] =
      (pith_attribute_change){"num_heads", (int64_t)left};
  PITH_TRY(shrink_outputs(p, block->attention.query, removed, block->groups, error));
  return shrink_outputs(p, block->attention.key, removed, block->groups, error);
}

static pith_status remove_from_block(plan *p, uint32_t b, pith_structured_row *row,
                                     pith_error *error) {
  pith_arena arena;
  pith_arena_init(&arena, &p->job->model->allocator);
  pith_moments moments;
  pith_status status = PITH_OK;
  if (has_data(p))
    status = observe(p, &p->blocks[b], &arena, &moments, error);
  if (status == PITH_OK && uses_obs(p))
    status = order_by_error(p, b, &moments, p->leave[b], error);
  for (size_t i = 0; i < p->leave[b]; i++)
    p->removed[b][p->order[b][i]] = true;
  if (status == PITH_OK)
    status = remove_groups(p, b, has_data(p) ? &moments : NULL, row, error);
  pith_arena_deinit(&arena);
  return status;
}

/* ---- how many leave where ----------------------------------------------------------------------
 */

/* Costs of every removal, in shares of what the block gives. */
static pith_status rank_by_error(plan *p, uint32_t b, pith_error *error) {
  const pith_structured_block *block = &p->blocks[b];
  pith_arena arena;
  pith_arena_init(&arena, &p->job->model->allocator);
  pith_moments moments;
  pith_status status = observe(p, block, &arena, &moments, error);
  if (status == PITH_OK)
    status = order_by_error(p, b, &moments, block->groups - 1, error);
  const float *w =
      status == PITH_OK ? pith_rewriter_read(&p->reader, block->last->inputs[1]) : NULL;
  if (w != NULL) {
    const pith_group_problem problem = {block->n, block->groups, block->size, moments.products, w};
    const double whole = pith_groups_measure(&problem);
    for (size_t i = 0; i + 1 < block->groups; i++)
      p->costs[b][i] /= whole > 0 ? whole : 1;
  }
  pith_arena_deinit(&arena);
  return status;
}

static pith_status share_globally(plan *p, size_t leaving, pith_error *error) {
  const pith_prune_options *options = p->job->request->options;
  for (uint32_t b = 0; b < p->count && uses_obs(p); b++)
    if (!p->blocks[b].stays)
      PITH_TRY(rank_by_error(p, b, error));
  /* What every block has to give first. */
  for (uint32_t b = 0; b < p->count; b++) {
    const size_t least = (size_t)ceil(options->minimum * (double)p->blocks[b].groups - 1e-9);
    p->leave[b] = p->blocks[b].stays ? 0 : least;
    leaving -= p->leave[b] < leaving ? p->leave[b] : leaving;
  }
  for (; leaving > 0; leaving--) {
    uint32_t best = UINT32_MAX;
    for (uint32_t b = 0; b < p->count; b++) {
      const size_t groups = p->blocks[b].groups, next = p->leave[b] + 1;
      if (!p->blocks[b].stays && next < groups &&
          (double)next <= options->maximum * (double)groups + 1e-9 &&
          (best == UINT32_MAX || p->costs[b][p->leave[b]] < p->costs[best][p->leave[best]]))
        best = b;
    }
    if (best == UINT32_MAX)
      return pith_fail(
          error, PITH_INVALID_ARGUMENT,
          "sparsity %g and a maximum of %g leave no layer from which %zu more %ss could leave",
          options->sparsity, options->maximum, leaving, pith_structure_get_name(p->job->structure));
    p->leave[best]++;
  }
  return PITH_OK;
}

static pith_status share(plan *p, pith_error *error) {
  const pith_prune_options *options = p->job->request->options;
  char what[64];
  snprintf(what, sizeof what, "%ss", pith_structure_get_name(p->job->structure));
  size_t total = 0;
  for (uint32_t b = 0; b < p->count; b++) {
    if (p->blocks[b].stays)
      continue;
    total += p->blocks[b].groups;
    if (options->scope == PITH_PRUNE_LAYER)
      PITH_TRY(
          pith_structured_count(options->sparsity, p->blocks[b].groups, what, &p->leave[b], error));
  }
  if (!uses_obs(p))
    PITH_TRY(pith_structured_order(p, error));
  if (options->scope == PITH_PRUNE_LAYER)
    return PITH_OK;
  size_t leaving;
  PITH_TRY(pith_structured_count(options->sparsity, total, what, &leaving, error));
  return share_globally(p, leaving, error);
}

/* ---- the whole ---------------------------------------------------------------------------------
 */

static pith_status plan_init(plan *p, pith_error *error) {
  const pith_graph *graph = p->job->model->data.graph;
  PITH_TRY(pith_rewriter_init(&p->reader, graph, &p->job->model->allocator, error));
  PITH_TRY(pith_structured_find_blocks(graph, p->job->structure, &p->job->request->options->exclude,
                                       &p->arena, &p->blocks, &p->count, error));
  PITH_TRY(pith_removal_init(&p->removal, graph, &p->arena, error));
  p->leave = PITH_ARENA_NEW(&p->arena, size_t, p->count);
  p->order = PITH_ARENA_NEW(&p->arena, uint32_t *, p->count);
  p->costs = PITH_ARENA_NEW(&p->arena, double *, p->count);
  p->removed = PITH_ARENA_NEW(&p->arena, bool *, p->count);
  bool whole = p->leave != NULL && p->order != NULL && p->costs != NULL && p->removed != NULL;
  for (uint32_t b = 0; b < p->count && whole; b++) {
    p->order[b] = PITH_ARENA_NEW(&p->arena, uint32_t, p->blocks[b].groups);
    p->costs[b] = PITH_ARENA_NEW(&p->arena, double, p->blocks[b].groups);
    p->removed[b] = PITH_ARENA_NEW(&p->arena, bool, p->blocks[b].groups);
    whole = p->order[b] != NULL && p->costs[b] != NULL && p->removed[b] != NULL;
  }
  return whole ? PITH_OK : pith_fail(error, PITH_OUT_OF_MEMORY, "no memory to choose what leaves");
}

static pith_status remove_from_blocks(plan *p, pith_error *error) {
  pith_structured_job *job = p->job;
  PITH_TRY(plan_init(p, error));
  uint32_t changing = 0;
  for (uint32_t b = 0; b < p->count; b++)
    changing += !p->blocks[b].stays;
  const bool ranks = uses_obs(p) && job->request->options->scope == PITH_PRUNE_GLOBAL;
  job->total = (uint64_t)changing * (has_data(p) ? 1u + ranks : 0u);
  PITH_TRY(share(p, error));
  pith_structured_row *rows = PITH_ARENA_NEW(&job->out->arena, pith_structured_row, p->count);
  if (rows == NULL)
    return pith_fail(error, PITH_OUT_OF_MEMORY, "no memory for %u rows", p->count);
  job->out->rows = rows;
  job->out->row_count = p->count;
  for (uint32_t b = 0; b < p->count; b++) {
    const char *name = p->blocks[b].last->name;
    rows[b] = (pith_structured_row){.name = pith_arena_string(&job->out->arena, name, strlen(name)),
                                    .before = (uint32_t)p->blocks[b].groups,
                                    .after = (uint32_t)(p->blocks[b].groups - p->leave[b])};
    if (rows[b].name == NULL)
      return pith_fail(error, PITH_OUT_OF_MEMORY, "no memory for row '%s'", name);
    if (p->leave[b] != 0)
      PITH_TRY(remove_from_block(p, b, &rows[b], error));
  }
  pith_graph *graph;
  PITH_TRY(pith_removal_apply(&p->removal, &job->model->allocator, &graph, error));
  PITH_TRY(pith_structured_keep_graph(job, graph, error));
  return pith_structured_describe(job, p->removed, p->count, error);
}

pith_status pith_structured_remove_groups(pith_structured_job *job, pith_error *error) {
  plan p = {.job = job};
  pith_arena_init(&p.arena, &job->model->allocator);
  const pith_status status = remove_from_blocks(&p, error);
  if (p.reader.from != NULL)
    pith_rewriter_deinit(&p.reader);
  pith_arena_deinit(&p.arena);
  return status;
}
