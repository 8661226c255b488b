/* What a model's layers compute that another model may learn, by structure: a layer is an attention and what follows it. */
#ifndef PITH_TRAIN_LAYERS_H
#define PITH_TRAIN_LAYERS_H

#include "engine/ir/graph.h"

typedef enum pith_layer_value {
  PITH_LAYER_STATE, /* what the layer gives: the second LayerNormalization behind its attention */
  PITH_LAYER_QUERY, /* what its attention reads */
  PITH_LAYER_KEY,
  PITH_LAYER_VALUE,
  PITH_LAYER_VALUE_COUNT
} pith_layer_value;

typedef struct pith_layer {
  pith_tensor_id tensors[PITH_LAYER_VALUE_COUNT]; /* [tokens, width]; PITH_NONE: there is no such tensor of rank 2 */
  int64_t widths[PITH_LAYER_VALUE_COUNT];
  int64_t heads;
  double scale; /* of attention's scores; 0: 1 / sqrt(head size) */
  bool causal;
} pith_layer;

typedef struct pith_layers {
  const pith_layer *list; /* [count], from the first one on */
  uint32_t count;
} pith_layers;

/* In `arena`. Layers of which something is missing are in the list as well. PITH_OUT_OF_MEMORY. */
PITH_WARN_UNUSED pith_status pith_layers_find(const pith_graph *graph, pith_arena *arena, pith_layers *out_layers, pith_error *error);

/* leads [tensor_count] is true for tensors that lead somewhere: what leads to one of them becomes true as well. */
void pith_mark_leads(const pith_graph *graph, bool *leads);

#endif
