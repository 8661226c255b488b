/* Activations of a graph over a whole data set, computed part by part: what pruning changes in one part is seen by the next, and every
 * operator runs once. Part of libpith-compress.
 *
 * Data stand in batches; of each, the values that later nodes read are kept. */
#ifndef PITH_QUANT_STREAM_H
#define PITH_QUANT_STREAM_H

#include "engine/exec/executor.h"
#include "quant/calibrate.h"

/* One batch: `data` of each tensor that is kept, NULL: not there. */
typedef struct pith_stream_value {
  void *data;
  size_t bytes;
  size_t rows, columns; /* rank 1: one row */
} pith_stream_value;

typedef struct pith_stream {
  const pith_graph *graph;
  const pith_allocator *allocator;
  struct pthreadpool *threadpool;
  pith_cpu_set cpu;
  pith_node_id done;          /* nodes before it have run */
  uint32_t batch_count;
  pith_stream_value **batches; /* [batch_count][graph->tensor_count] */
  const uint32_t *last;       /* [tensor_count] the last node that reads it, or PITH_NONE */
  uint64_t sequences, tokens;
  pith_arena arena;
} pith_stream;

/* Reads all of `source` into batches of at most the session's tokens. PITH_FORMAT where there are none. pith_stream_deinit
 * follows, whether this fails or not. */
PITH_WARN_UNUSED pith_status pith_stream_init(pith_stream *stream, const pith_model *model,
                                              const pith_calibration_source *source, const pith_session_options *options,
                                              pith_error *error);
/* The same data from the beginning, through `graph`, which has inputs of the same names: `from` has not run anything yet. */
PITH_WARN_UNUSED pith_status pith_stream_copy(pith_stream *stream, const pith_graph *graph, const pith_stream *from,
                                              pith_error *error);
void pith_stream_deinit(pith_stream *stream);

/* Runs the nodes before `end` that have not run. `data` [tensor_count] has row-major data in the place of the graph's own, NULL: the
 * graph's. */
PITH_WARN_UNUSED pith_status pith_stream_run(pith_stream *stream, pith_node_id end, const float *const *data,
                                             pith_error *error);
/* A tensor that some node from `done` on reads. */
const pith_stream_value *pith_stream_get(const pith_stream *stream, uint32_t batch, pith_tensor_id tensor);

#endif
