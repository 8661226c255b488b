/* Runs any graph once: for tests of operators, rewrites and whatever else has a graph rather than a model. */
#ifndef PITH_EXEC_RUN_GRAPH_H
#define PITH_EXEC_RUN_GRAPH_H

#include "engine/exec/executor.h"

typedef struct pith_run_options {
  const pith_allocator *allocator;
  pith_cpu_set cpu;               /* features that kernels may use: 0 runs the references */
  struct pthreadpool *threadpool; /* NULL: the calling thread */
  uint32_t rewrites;              /* bits of pith_rewrite_id; 0 runs every node by itself */
} pith_run_options;

/* A graph that was lowered for exactly the sizes of one set of inputs, and run. */
typedef struct pith_graph_run {
  pith_program *program;
  pith_executor *executor;
} pith_graph_run;

/* `feeds`: one per input of the graph, in its order; borrowed during the call. The outputs, in the graph's order, are
 * pith_executor_get_output(out_run->executor, i); they live until pith_graph_run_deinit. `graph` must be verified. */
PITH_WARN_UNUSED pith_status pith_graph_run_init(pith_graph_run *out_run, const pith_graph *graph,
                                                 const pith_run_options *options, const pith_feed *feeds,
                                                 pith_error *error);
void pith_graph_run_deinit(pith_graph_run *run);

#endif
