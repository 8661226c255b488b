#include "engine/exec/run_graph.h"

#include "engine/exec/parallel.h"

/* The sizes of these inputs are the limits: a dimension that is one symbol gives it. Anything else is left to the
 * executor, which solves and checks all dimensions. */
static void read_limits(const pith_graph *graph, const pith_feed *feeds, int64_t *limits) {
  for (uint32_t s = 0; s < graph->symbol_count; s++)
    limits[s] = 0;
  for (uint32_t i = 0; i < graph->input_count; i++) {
    const pith_tensor *input = &graph->tensors[graph->inputs[i]];
    for (uint32_t d = 0; d < input->rank; d++) {
      const pith_dim *dim = &input->dims[d];
      if (dim->term_count != 1 || feeds[i].dims[d] > PITH_MAX_DIM)
        continue;
      int64_t size = ((int64_t)feeds[i].dims[d] - dim->constant) / dim->terms[0].coefficient;
      if (limits[dim->terms[0].symbol] < size)
        limits[dim->terms[0].symbol] = size;
    }
  }
}

static pith_status create(pith_graph_run *run, const pith_graph *graph, const pith_run_options *options,
                          const pith_feed *feeds, pith_arena *temporary, pith_error *error) {
  int64_t *limits = PITH_ARENA_NEW(temporary, int64_t, graph->symbol_count);
  if (limits == NULL)
    return pith_fail(error, PITH_OUT_OF_MEMORY, "no memory to run the graph");
  read_limits(graph, feeds, limits);
  pith_lower_options lowering = {
      .allocator = options->allocator,
      .cpu = options->cpu,
      .threads = pith_parallel_count_threads(options->threadpool),
      .symbol_limits = limits,
      .rewrites = options->rewrites,
  };
  pith_executor_options execution = {.allocator = options->allocator, .threadpool = options->threadpool};
  PITH_TRY(pith_program_create(graph, &lowering, &run->program, error));
  PITH_TRY(pith_executor_create(run->program, &execution, &run->executor, error));
  return pith_executor_run(run->executor, feeds, NULL, 0, error);
}

pith_status pith_graph_run_init(pith_graph_run *out_run, const pith_graph *graph, const pith_run_options *options,
                                const pith_feed *feeds, pith_error *error) {
  *out_run = (pith_graph_run){NULL, NULL};
  pith_arena temporary;
  pith_arena_init(&temporary, options->allocator);
  pith_status status = create(out_run, graph, options, feeds, &temporary, error);
  pith_arena_deinit(&temporary);
  if (status != PITH_OK)
    pith_graph_run_deinit(out_run);
  return status;
}

void pith_graph_run_deinit(pith_graph_run *run) {
  pith_executor_destroy(run->executor);
  pith_program_destroy(run->program);
  *run = (pith_graph_run){NULL, NULL};
}
