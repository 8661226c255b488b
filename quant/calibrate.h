/* Running a float model over data and watching its activations. Part of libpith-compress. */
#ifndef PITH_QUANT_CALIBRATE_H
#define PITH_QUANT_CALIBRATE_H

#include "engine/ir/graph.h"
#include "models/heads/feed.h"
#include "quant/options.h"
#include "quant/ranges.h"

/* Texts as token ids, some at a time, so that a set larger than memory can be used. Histogram observers need a second
 * pass. */
typedef struct pith_calibration_source {
  void *context;
  /* The next few sequences, in `arena`; 0 of them at the end. */
  pith_status (*next)(void *context, pith_session *session, pith_arena *arena, const pith_sequence **out_sequences,
                      size_t *out_count, pith_error *error);
  pith_status (*rewind)(void *context, pith_error *error);
} pith_calibration_source;

typedef struct pith_calibrate_options {
  const pith_quant_options *quant;
  const char *const *names; /* [name_count] tensors of the graph to watch */
  uint32_t name_count;
  bool channels; /* per feature statistics too */
  pith_session_options session; /* limits and threads of the runs */
  void (*progress)(void *context, uint32_t pass, uint64_t sequences); /* NULL; passes from 0 */
  void *progress_context;
} pith_calibrate_options;

/* Watches `graph`, NULL: the model's own. PITH_FORMAT where an activation is NaN or infinite (names the tensor) or the source
 * has no token. Same source, options and limits: same ranges, with any number of threads. pith_ranges_deinit follows, whether
 * this fails or not. */
PITH_WARN_UNUSED pith_status pith_calibrate(const pith_model *model, const pith_graph *graph,
                                            const pith_calibration_source *source,
                                            const pith_calibrate_options *options, pith_ranges *out_ranges,
                                            pith_error *error);

#endif
