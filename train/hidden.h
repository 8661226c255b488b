/* Hidden states of a model, by structure: what a layer gives is the second LayerNormalization behind its attention. */
#ifndef PITH_TRAIN_HIDDEN_H
#define PITH_TRAIN_HIDDEN_H

#include <pith/train.h>

#include "engine/ir/graph.h"

/* Layers of the graph that have a hidden state. */
PITH_WARN_UNUSED pith_status pith_hidden_count_layers(const pith_graph *graph, uint32_t *out_layers, pith_error *error);

/* Those of `count` layers, evenly spread, the last one among them: layer i * layers / count, rounded up, for i of 1 .. count, each
 * [tokens, features]. 1 <= count <= PITH_HIDDEN_MOST. PITH_UNSUPPORTED where the graph has fewer layers. */
PITH_WARN_UNUSED pith_status pith_hidden_find(const pith_graph *graph, uint32_t count, pith_tensor_id *out_states,
                                              pith_error *error);

#endif
