/* Filling the parameters of a graph that was built without data. */
#ifndef PITH_COMPILER_WEIGHTS_H
#define PITH_COMPILER_WEIGHTS_H

#include "engine/base/watcher.h"
#include "engine/ir/graph.h"

/* Where the values come from. */
typedef struct pith_weight_source {
  /* The values of a parameter, row-major f32; `count` is the product of its dimensions. */
  pith_status (*read)(void *context, const pith_graph *graph, pith_tensor_id tensor, uint64_t count,
                      float *out_values, pith_error *error);
  void *context;
  const pith_watcher *watcher; /* NULL, or told the bytes that are filled */
} pith_weight_source;

/* Fills every parameter from `source`, in the parameter's stored layout; the data live in `arena`.
 */
PITH_WARN_UNUSED pith_status pith_weights_fill(pith_graph *graph, const pith_weight_source *source,
                                               pith_arena *arena, pith_error *error);

/* A source of random values for pith_weights_fill: scales of LayerNormalization 1, other vectors 0,
 * matrices normal with mean 0 and `deviation`. A value depends on the seed, its tensor's name and
 * its place only. */
typedef struct pith_random_weights {
  uint64_t seed;
  double deviation;
} pith_random_weights;
pith_weight_source pith_random_weights_get_source(pith_random_weights *weights);

#endif
