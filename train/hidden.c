#include "train/hidden.h"

#include "engine/ir/operator.h"

enum { BEHIND = 2 }; /* of a layer: the first one is behind its attention's residual */

/* What is known of each tensor on the way through the graph. */
typedef struct walk {
  const pith_graph *graph;
  pith_arena arena;
  uint32_t *attentions; /* [tensor_count] most of them on a way to it */
  uint32_t *norms;      /* [node_count + 1] by that number: LayerNormalizations so far */
  pith_tensor_id *states; /* the same: what the second of them gives, or PITH_NONE */
  uint32_t layers;
} walk;

static pith_status go(walk *w, pith_error *error) {
  const pith_graph *graph = w->graph;
  pith_arena_init(&w->arena, NULL);
  w->attentions = PITH_ARENA_NEW(&w->arena, uint32_t, graph->tensor_count);
  w->norms = PITH_ARENA_NEW(&w->arena, uint32_t, graph->node_count + 1);
  w->states = PITH_ARENA_NEW(&w->arena, pith_tensor_id, graph->node_count + 1);
  if (w->attentions == NULL || w->norms == NULL || w->states == NULL)
    return pith_fail(error, PITH_OUT_OF_MEMORY, "no memory to find the layers of graph '%s'", graph->name);
  for (pith_node_id n = 0; n < graph->node_count; n++) {
    const pith_node *node = &graph->nodes[n];
    uint32_t most = 0;
    for (uint32_t i = 0; i < node->input_count; i++)
      if (node->inputs[i] != PITH_NONE && w->attentions[node->inputs[i]] > most)
        most = w->attentions[node->inputs[i]];
    most += node->op->id == PITH_OP_PACKED_ATTENTION;
    for (uint32_t i = 0; i < node->output_count; i++)
      w->attentions[node->outputs[i]] = most;
    if (node->op->id == PITH_OP_LAYER_NORMALIZATION && most > 0 && ++w->norms[most] == BEHIND)
      w->states[most] = node->outputs[0];
    w->layers = most > w->layers ? most : w->layers;
  }
  for (uint32_t layer = 1; layer <= w->layers; layer++)
    if (w->norms[layer] < BEHIND || graph->tensors[w->states[layer]].rank != 2)
      return pith_fail(error, PITH_UNSUPPORTED, "layer %u of graph '%s' has no hidden state that could be learned", layer, graph->name);
  return PITH_OK;
}

pith_status pith_hidden_count_layers(const pith_graph *graph, uint32_t *out_layers, pith_error *error) {
  walk w = {.graph = graph};
  const pith_status status = go(&w, error);
  *out_layers = w.layers;
  pith_arena_deinit(&w.arena);
  return status;
}

pith_status pith_hidden_find(const pith_graph *graph, uint32_t count, pith_tensor_id *out_states, pith_error *error) {
  walk w = {.graph = graph};
  pith_status status = go(&w, error);
  if (status == PITH_OK && w.layers < count)
    status = pith_fail(error, PITH_UNSUPPORTED, "graph '%s' has %u layers, fewer than %u", graph->name, w.layers, count);
  for (uint32_t i = 1; i <= count && status == PITH_OK; i++)
    out_states[i - 1] = w.states[(i * w.layers + count - 1) / count];
  pith_arena_deinit(&w.arena);
  return status;
}
