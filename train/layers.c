#include "train/layers.h"

#include "engine/ir/operator.h"

enum { BEHIND = 2 }; /* of a layer: the first one is behind its attention's residual */

static void set_value(const pith_graph *graph, pith_layer *layer, pith_layer_value value, pith_tensor_id tensor) {
  const pith_tensor *t = &graph->tensors[tensor];
  if (layer->tensors[value] != PITH_NONE || t->rank != 2)
    return;
  layer->tensors[value] = tensor;
  layer->widths[value] = t->dims[1].constant;
}

static void set_attention(const pith_graph *graph, const pith_node *node, pith_layer *layer) {
  for (uint32_t i = 0; i < 3; i++)
    set_value(graph, layer, (pith_layer_value)(PITH_LAYER_QUERY + i), node->inputs[i]);
  layer->heads = pith_node_get_attribute(node, "num_heads")->i;
  layer->scale = pith_node_get_attribute(node, "scale")->f;
  layer->causal = pith_node_get_attribute(node, "causal")->i != 0;
}

/* A layer's number is that of the attentions on the way to it. */
pith_status pith_layers_find(const pith_graph *graph, pith_arena *arena, pith_layers *out_layers, pith_error *error) {
  uint32_t *attentions = PITH_ARENA_NEW(arena, uint32_t, graph->tensor_count); /* most of them on a way to each tensor */
  uint32_t *norms = PITH_ARENA_NEW(arena, uint32_t, graph->node_count + 1);    /* LayerNormalizations of a layer so far */
  pith_layer *layers = PITH_ARENA_NEW(arena, pith_layer, graph->node_count + 1);
  uint32_t count = 0;
  if (attentions == NULL || norms == NULL || layers == NULL)
    return pith_fail(error, PITH_OUT_OF_MEMORY, "no memory to find the layers of graph '%s'", graph->name);
  for (pith_node_id n = 0; n < graph->node_count; n++) {
    const pith_node *node = &graph->nodes[n];
    const bool attends = node->op->id == PITH_OP_PACKED_ATTENTION;
    uint32_t most = 0;
    for (uint32_t i = 0; i < node->input_count; i++)
      if (node->inputs[i] != PITH_NONE && attentions[node->inputs[i]] > most)
        most = attentions[node->inputs[i]];
    most += attends;
    for (uint32_t i = 0; i < node->output_count; i++)
      attentions[node->outputs[i]] = most;
    if (most > count)
      layers[count++] = (pith_layer){.tensors = {PITH_NONE, PITH_NONE, PITH_NONE, PITH_NONE}};
    if (attends)
      set_attention(graph, node, &layers[most - 1]);
    if (most > 0 && node->op->id == PITH_OP_LAYER_NORMALIZATION && ++norms[most] == BEHIND)
      set_value(graph, &layers[most - 1], PITH_LAYER_STATE, node->outputs[0]);
  }
  *out_layers = (pith_layers){layers, count};
  return PITH_OK;
}

void pith_mark_leads(const pith_graph *graph, bool *leads) {
  for (pith_node_id n = graph->node_count; n-- > 0;) {
    const pith_node *node = &graph->nodes[n];
    bool any = false;
    for (uint32_t o = 0; o < node->output_count; o++)
      any |= leads[node->outputs[o]];
    for (uint32_t i = 0; i < node->input_count; i++)
      if (node->inputs[i] != PITH_NONE)
        leads[node->inputs[i]] |= any;
  }
}
