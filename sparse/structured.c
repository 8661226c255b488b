#include "sparse/structured.h"

#include <math.h>

#include "sparse/structured_internal.h"

static const char *const structure_names[] = {
#define NAME(structure, text) text,
    PITH_STRUCTURE_LIST(NAME)
#undef NAME
};

pith_structure pith_structure_find(const char *pattern) {
  unsigned s = 0;
  while (s < PITH_STRUCTURE_COUNT && (pattern == NULL || strcmp(pattern, structure_names[s]) != 0))
    s++;
  return (pith_structure)s;
}

const char *pith_structure_get_name(pith_structure structure) {
  return structure < PITH_STRUCTURE_COUNT ? structure_names[structure] : NULL;
}

/* ---- shared with layers ------------------------------------------------------------------------
 */

void pith_structured_show(const pith_structured_job *job) {
  if (job->request->progress != NULL)
    job->request->progress(job->request->context, job->done, job->total);
}

pith_status pith_structured_keep_graph(pith_structured_job *job, pith_graph *graph,
                                       pith_error *error) {
  pith_structured *out = job->out;
  pith_graph **graphs = PITH_ARENA_NEW(&out->arena, pith_graph *, (size_t)out->graph_count + 1);
  if (graphs == NULL) {
    pith_graph_destroy(graph);
    return pith_fail(error, PITH_OUT_OF_MEMORY, "no memory to keep graph %u", out->graph_count);
  }
  if (out->graph_count != 0)
    memcpy(graphs, out->graphs, out->graph_count * sizeof *graphs);
  graphs[out->graph_count++] = graph;
  out->graphs = graphs;
  out->data.graph = graph;
  return PITH_OK;
}

pith_status pith_structured_count(double sparsity, size_t total, const char *what,
                                  size_t *out_count, pith_error *error) {
  const double count = round(sparsity * (double)total);
  if (!(count >= 1))
    return pith_fail(error, PITH_INVALID_ARGUMENT, "sparsity %g of %zu %s is none of them",
                     sparsity, total, what);
  if (!(count < (double)total))
    return pith_fail(error, PITH_INVALID_ARGUMENT,
                     "sparsity %g of %zu %s is all of them: one has to stay", sparsity, total,
                     what);
  *out_count = (size_t)count;
  return PITH_OK;
}

/* ---- the whole ---------------------------------------------------------------------------------
 */

pith_status pith_structured_check_options(const pith_prune_options *options, pith_error *error) {
  const char *pattern = options->pattern == NULL ? "" : options->pattern;
  if (pith_structure_find(options->pattern) == PITH_STRUCTURE_COUNT)
    return pith_fail(error, PITH_INVALID_ARGUMENT,
                     "pattern is '%s'; what leaves whole is head, neuron or layer", pattern);
  if (options->sparsity == PITH_PRUNE_SPARSITY_OF_PATTERN)
    return pith_fail(error, PITH_INVALID_ARGUMENT,
                     "sparsity is missing: pattern %s does not say it", pattern);
  if (!(options->sparsity > 0 && options->sparsity < 1))
    return pith_fail(error, PITH_INVALID_ARGUMENT,
                     "sparsity is %g: some %ss have to leave and some to stay, above 0 and below 1",
                     options->sparsity, pattern);
  if (!(options->minimum <= options->maximum))
    return pith_fail(error, PITH_INVALID_ARGUMENT, "minimum is %g, over the maximum of %g",
                     options->minimum, options->maximum);
  if (options->schedule != PITH_SCHEDULE_ONE_SHOT)
    return pith_fail(error, PITH_INVALID_ARGUMENT,
                     "schedule goes with weights that become 0; %ss leave at once", pattern);
  if (options->method == PITH_PRUNE_SENSITIVITY && pith_structure_find(pattern) == PITH_STRUCTURE_LAYER)
    return pith_fail(error, PITH_INVALID_ARGUMENT, "method sensitivity goes with pattern head or neuron, not layer");
  return PITH_OK;
}

static pith_status check(const pith_structured_job *job, pith_error *error) {
  const pith_prune_options *options = job->request->options;
  PITH_TRY(pith_structured_check_options(options, error));
  if (options->method == PITH_PRUNE_OBS && job->request->source == NULL)
    return pith_fail(error, PITH_INVALID_ARGUMENT, "obs looks at data, and there is none");
  if (options->method == PITH_PRUNE_SENSITIVITY && job->request->measure == NULL)
    return pith_fail(error, PITH_INVALID_ARGUMENT, "sensitivity looks at gradients, and nothing measures them");
  return pith_recipe_check_graph(options->graph, job->model->data.graph, error);
}

pith_status pith_prune_structured(const pith_model *model, const pith_prune_request *request,
                                  pith_structured *out, pith_error *error) {
  *out = (pith_structured){.data = model->data};
  pith_arena_init(&out->arena, &model->allocator);
  out->data.report = NULL; /* measured on other weights */
  out->data.report_count = 0;
  pith_structured_job job = {.model = model,
                             .request = request,
                             .structure = pith_structure_find(request->options->pattern),
                             .out = out};
  PITH_TRY(check(&job, error));
  return job.structure == PITH_STRUCTURE_LAYER ? pith_structured_remove_layers(&job, error)
                                               : pith_structured_remove_groups(&job, error);
}

void pith_structured_deinit(pith_structured *structured) {
  while (structured->graph_count > 0)
    pith_graph_destroy(structured->graphs[--structured->graph_count]);
  pith_arena_deinit(&structured->arena);
}
