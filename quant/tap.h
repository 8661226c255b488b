/* A model whose runs also give chosen inner tensors: for calibration, error reports and checks of ranges. */
#ifndef PITH_QUANT_TAP_H
#define PITH_QUANT_TAP_H

#include "engine/exec/executor.h"
#include "engine/exec/model.h"
#include "quant/calibrate.h"

typedef struct pith_tap {
  pith_model model; /* the given one with `graph` below */
  pith_graph *graph;
  pith_session *session;
  pith_arena arena;
  uint32_t count;
  const uint32_t *outputs; /* [count] of the program */
} pith_tap;

/* `graph` NULL: the model's own; `names`: tensors of it, any computed ones. The model (its data, its tokenizer) and `graph`'s data
 * stay borrowed. PITH_INVALID_ARGUMENT names a tensor that is not there. pith_tap_deinit follows, whether this fails or not. */
PITH_WARN_UNUSED pith_status pith_tap_init(pith_tap *tap, const pith_model *model, const pith_graph *graph,
                                           const char *const *names, uint32_t count,
                                           const pith_session_options *options, pith_error *error);
void pith_tap_deinit(pith_tap *tap);

/* Runs the whole source, from its beginning, and calls `see` after each batch. `progress` may be NULL; `sequences` are those that
 * were run. Errors: the source's, those of runs, and those of `see`. */
PITH_WARN_UNUSED pith_status pith_tap_run(const pith_tap *tap, const pith_calibration_source *source, pith_feed_consume see,
                                          void *context, void (*progress)(void *context, uint64_t sequences),
                                          pith_error *error);

/* A tensor of the session's last run, by its place in `names`. */
const pith_view *pith_tap_get(const pith_tap *tap, uint32_t index);

#endif
