/* Chosen layers of a model. */
#include <cjson/cJSON.h>

#include "compiler/history.h"
#include "sparse/structured_internal.h"

static pith_status mark_removed(const uint32_t *kept, uint32_t kept_count, bool *marks, uint32_t count,
                                pith_error *error) {
  for (uint32_t i = 0; i < count; i++)
    marks[i] = true;
  for (uint32_t i = 0; i < kept_count; i++) {
    if (kept[i] >= count)
      return pith_fail(error, PITH_INVALID_ARGUMENT, "layers: the model has 0 to %u, not %u", count - 1, kept[i]);
    if (i > 0 && kept[i] <= kept[i - 1])
      return pith_fail(error, PITH_INVALID_ARGUMENT, "layers: %u after %u: they have to ascend", kept[i], kept[i - 1]);
    marks[kept[i]] = false;
  }
  return kept_count != 0 ? PITH_OK : pith_fail(error, PITH_INVALID_ARGUMENT, "layers: none is left");
}

static cJSON *make_history(const uint32_t *layers, uint32_t count) {
  cJSON *json = cJSON_CreateObject(), *list = json == NULL ? NULL : cJSON_AddArrayToObject(json, "layers");
  bool whole = list != NULL;
  for (uint32_t i = 0; i < count && whole; i++)
    whole = cJSON_AddItemToArray(list, cJSON_CreateNumber(layers[i]));
  if (whole)
    return json;
  cJSON_Delete(json);
  return NULL;
}

static pith_status keep(pith_structured_job *job, const uint32_t *kept, uint32_t kept_count, pith_arena *arena,
                        pith_error *error) {
  const pith_graph *graph = job->model->data.graph;
  pith_structured_layer *layers;
  uint32_t count;
  PITH_TRY(pith_structured_find_layers(graph, &(pith_name_patterns){0}, arena, &layers, &count, error));
  bool *marks = PITH_ARENA_NEW(arena, bool, count), **removed = PITH_ARENA_NEW(arena, bool *, count);
  if (marks == NULL || removed == NULL)
    return pith_fail(error, PITH_OUT_OF_MEMORY, "no memory to choose among %u layers", count);
  PITH_TRY(mark_removed(kept, kept_count, marks, count, error));
  pith_removal removal;
  PITH_TRY(pith_removal_init(&removal, graph, arena, error));
  for (uint32_t i = 0; i < count; i++) {
    removed[i] = &marks[i];
    if (marks[i])
      removal.bypass[layers[i].residual.out] = layers[i].residual.in;
  }
  pith_graph *smaller;
  PITH_TRY(pith_removal_apply(&removal, &job->model->allocator, &smaller, error));
  PITH_TRY(pith_structured_keep_graph(job, smaller, error));
  PITH_TRY(pith_structured_describe_config(job, removed, count, error));
  return pith_history_add(&job->out->data, "layers", make_history(kept, kept_count), &job->out->arena, error);
}

pith_status pith_keep_layers(const pith_model *model, const uint32_t *layers, uint32_t count, pith_structured *out,
                             pith_error *error) {
  *out = (pith_structured){.data = model->data};
  pith_arena_init(&out->arena, &model->allocator);
  out->data.report = NULL; /* measured on other weights */
  out->data.report_count = 0;
  pith_structured_job job = {.model = model, .structure = PITH_STRUCTURE_LAYER, .out = out};
  pith_arena arena;
  pith_arena_init(&arena, &model->allocator);
  const pith_status status = keep(&job, layers, count, &arena, error);
  pith_arena_deinit(&arena);
  return status;
}
