#include "sparse/prune_model.h"

#include <stdio.h>

#include <cjson/cJSON.h>

#include "compiler/history.h"
#include "compiler/rewrite/choose.h"
#include "engine/exec/model.h"
#include "sparse/obs.h"
#include "sparse/weights.h"

/* What one call works on. */
typedef struct job {
  const pith_model *model;
  const pith_prune_request *request;
  pith_prune_weights weights;
  pith_obs_state state;
  pith_pruned *out;
} job;

/* ---- history --------------------------------------------------------------------------------------------------------- */

static cJSON *describe(const job *j) {
  const pith_prune_options *options = j->request->options;
  cJSON *json = pith_recipe_describe(options, pith_prune_keys, j->model->data.graph);
  if (json == NULL ||
      cJSON_AddNumberToObject(json, "weights", j->out->summary.weights) == NULL ||
      cJSON_AddNumberToObject(json, "elements", (double)j->out->summary.elements) == NULL ||
      cJSON_AddNumberToObject(json, "zeros", (double)j->out->summary.zeros) == NULL ||
      (j->request->random_ids && options->method == PITH_PRUNE_OBS &&
       cJSON_AddTrueToObject(json, "random_ids") == NULL)) {
    cJSON_Delete(json);
    return NULL;
  }
  return json;
}

/* ---- steps ----------------------------------------------------------------------------------------------------------- */

static pith_status prune_to(job *j, double sparsity, uint64_t step, uint64_t steps, pith_error *error) {
  const pith_prune_options *options = j->request->options;
  PITH_TRY(pith_prune_select_magnitude(&j->weights, options, sparsity, error));
  if (options->method == PITH_PRUNE_OBS)
    return pith_prune_obs(j->model, j->request, &j->weights, step, steps, &j->state, error);
  for (uint32_t i = 0; i < j->weights.targets.count; i++)
    pith_mask_apply(&j->weights.parts[i].grid, j->weights.parts[i].removed, j->weights.values[i]);
  return PITH_OK;
}

static pith_status prune(job *j, pith_error *error) {
  const pith_prune_options *options = j->request->options;
  const pith_graph *graph = j->model->data.graph;
  pith_pattern pattern;
  double sparsity = 0;
  PITH_TRY(pith_prune_check_options(options, &pattern, &sparsity, error));
  PITH_TRY(pith_prune_check_model(&j->model->data, options, error));
  PITH_TRY(pith_prune_weights_init(&j->weights, graph, &options->exclude, &pattern, &j->model->allocator, error));
  const double before = (double)pith_prune_weights_count_zeros(&j->weights) / (double)j->weights.elements;
  const bool one_shot = options->schedule == PITH_SCHEDULE_ONE_SHOT || pattern.kind == PITH_PATTERN_N_OF_M || before >= sparsity;
  const uint64_t steps = one_shot ? 1 : options->steps;
  for (uint64_t step = 1; step <= steps; step++)
    PITH_TRY(prune_to(j, pith_schedule_get(options->schedule, before, sparsity, (double)step / (double)steps), step - 1, steps,
                      error));
  j->out->summary = (pith_prune_summary){.weights = j->weights.targets.count,
                                         .elements = j->weights.elements,
                                         .zeros = pith_prune_weights_count_zeros(&j->weights)};
  PITH_TRY(pith_prune_weights_store(&j->weights, graph, &j->model->allocator, &j->out->graph, error));
  PITH_TRY(pith_sparse_choose_layouts(j->out->graph, &j->out->graph->arena, &j->out->summary.choices, error));
  j->out->data.graph = j->out->graph;
  return pith_history_add(&j->out->data, "prune", describe(j), &j->out->arena, error);
}

pith_status pith_prune_check_model(const pith_model_data *data, const pith_prune_options *options, pith_error *error) {
  pith_pattern pattern;
  double sparsity;
  PITH_TRY(pith_prune_check_options(options, &pattern, &sparsity, error));
  PITH_TRY(pith_recipe_check_graph(options->graph, data->graph, error));
  pith_prune_targets targets;
  pith_arena arena;
  pith_arena_init(&arena, NULL);
  const pith_status status = pith_prune_find_targets(data->graph, &options->exclude, &arena, &targets, error);
  pith_arena_deinit(&arena);
  return status;
}

pith_status pith_prune_model(const pith_model *model, const pith_prune_request *request, pith_pruned *out,
                             pith_error *error) {
  *out = (pith_pruned){.data = model->data};
  pith_arena_init(&out->arena, &model->allocator);
  out->data.report = NULL; /* measured on other weights */
  out->data.report_count = 0;
  job j = {.model = model, .request = request, .out = out};
  pith_arena_init(&j.weights.arena, &model->allocator);
  const pith_status status = prune(&j, error);
  pith_obs_state_close(&j.state);
  pith_prune_weights_deinit(&j.weights);
  return status;
}

void pith_pruned_deinit(pith_pruned *pruned) {
  pith_graph_destroy(pruned->graph);
  pith_arena_deinit(&pruned->arena);
}
