/* Running a float model over data and watching its activations. Part of libpith-compress. */
#ifndef PITH_QUANT_CALIBRATE_H
#define PITH_QUANT_CALIBRATE_H

#include "engine/ir/graph.h"
#include "quant/options.h"
#include "quant/ranges.h"

/* Batches of token ids, as pith_batch has them, one after the other, any number of times (`rewind`): histogram observers pass
 * twice where the range grows. Streaming: a set larger than memory is fine. */
typedef struct pith_calibration_source {
  void *context;
  /* out_batch borrowed until the next call; *out_done at the end. */
  pith_status (*next)(void *context, struct pith_batch *out_batch, bool *out_done, pith_error *error);
  pith_status (*rewind)(void *context, pith_error *error);
} pith_calibration_source;

typedef struct pith_calibrate_options {
  const pith_quant_options *quant;
  const char *const *names; /* [name_count] tensors of the graph to watch */
  uint32_t name_count;
  bool channels;            /* per feature statistics too */
  const pith_allocator *allocator;
  struct pthreadpool *threadpool;
  void (*progress)(void *context, uint64_t tokens_done);
  void *progress_context;
} pith_calibrate_options;

/* PITH_FORMAT where an activation is NaN or infinite, or constant where it must not be: names the tensor; where the source has
 * no token. Same source, options and seed: same ranges, with any number of threads. */
PITH_WARN_UNUSED pith_status pith_calibrate(const pith_graph *graph, const pith_calibration_source *source,
                                            const pith_calibrate_options *options, pith_ranges *out_ranges,
                                            pith_error *error);

#endif
