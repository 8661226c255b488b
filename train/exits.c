#include "train/exits.h"

#include <stdio.h>

#include "engine/exec/exits.h"
#include "engine/ir/operator.h"
#include "train/layers.h"
#include "train/training_quantized.h"

/* The head: nodes from what the last layer gives to the logits. */
typedef struct adder {
  pith_graph *graph;
  uint32_t nodes, tensors; /* of the model */
  pith_layers layers;
  pith_tensor_id state, logits;
  bool *heads;             /* [nodes] */
  pith_tensor_id *map;     /* [tensors] of one exit */
  pith_error *error;
} adder;

static pith_status check(const pith_model_data *model, const pith_layers *layers, const uint32_t *list, uint32_t count, pith_error *error) {
  if (model->task != PITH_TASK_CLASSIFICATION)
    return pith_fail(error, PITH_UNSUPPORTED, "exits are for classification, not for %s", pith_task_name(model->task));
  if (pith_training_is_quantized(model->graph))
    return pith_fail(error, PITH_UNSUPPORTED, "exits: the model is quantized; a float one gets exits, then it is quantized");
  if (pith_exits_count(model->graph) != 0)
    return pith_fail(error, PITH_UNSUPPORTED, "exits: the model has %u already", pith_exits_count(model->graph));
  if (count == 0 || count > PITH_EXITS_MOST)
    return pith_fail(error, PITH_INVALID_ARGUMENT, "exits are %u layers: from 1 to %d", count, PITH_EXITS_MOST);
  for (uint32_t i = 0; i < count; i++) {
    if ((uint64_t)list[i] + 1 >= layers->count)
      return pith_fail(error, PITH_INVALID_ARGUMENT, "exits have layer %u: the model has layers 0 to %u, and ends behind the last one", list[i],
                       layers->count == 0 ? 0 : layers->count - 1);
    if (i != 0 && list[i] <= list[i - 1])
      return pith_fail(error, PITH_INVALID_ARGUMENT, "exits have layer %u behind %u: they ascend", list[i], list[i - 1]);
  }
  return PITH_OK;
}

/* Nodes that the last layer's state leads to and that lead to the logits. */
static pith_status find_head(adder *a, pith_arena *arena) {
  const pith_graph *graph = a->graph;
  bool *follows = PITH_ARENA_NEW(arena, bool, a->tensors), *leads = PITH_ARENA_NEW(arena, bool, a->tensors);
  a->heads = PITH_ARENA_NEW(arena, bool, a->nodes);
  a->map = PITH_ARENA_NEW(arena, pith_tensor_id, a->tensors);
  if (follows == NULL || leads == NULL || a->heads == NULL || a->map == NULL)
    return pith_fail(a->error, PITH_OUT_OF_MEMORY, "no memory for exits of graph '%s'", graph->name);
  follows[a->state] = true;
  leads[a->logits] = true;
  for (pith_node_id n = 0; n < a->nodes; n++)
    for (uint32_t i = 0; i < graph->nodes[n].input_count; i++)
      if (graph->nodes[n].inputs[i] != PITH_NONE && follows[graph->nodes[n].inputs[i]])
        for (uint32_t o = 0; o < graph->nodes[n].output_count; o++)
          follows[graph->nodes[n].outputs[o]] = true;
  pith_mark_leads(graph, leads);
  for (pith_node_id n = 0; n < a->nodes; n++) {
    const pith_node *node = &graph->nodes[n];
    bool any = false;
    for (uint32_t o = 0; o < node->output_count; o++)
      any |= leads[node->outputs[o]];
    a->heads[n] = any && follows[node->outputs[0]] && node->outputs[0] != a->state;
  }
  return follows[a->logits] && a->state != a->logits
             ? PITH_OK
             : pith_fail(a->error, PITH_UNSUPPORTED, "graph '%s': its logits do not come from what its last layer gives", graph->name);
}

static pith_status copy_tensor(adder *a, uint32_t exit, pith_tensor_id id, pith_node_id producer) {
  char name[PITH_MAX_NAME_BYTES + 1];
  pith_tensor tensor = a->graph->tensors[id];
  snprintf(name, sizeof name, "exit_%u.%.230s", exit, tensor.name);
  tensor.name = name;
  tensor.producer = producer;
  return pith_graph_add_tensor(a->graph, &tensor, &a->map[id], a->error);
}

static pith_status copy_node(adder *a, uint32_t exit, pith_node_id n) {
  char name[PITH_MAX_NAME_BYTES + 1];
  pith_tensor_id inputs[PITH_MAX_PORTS], outputs[PITH_MAX_PORTS];
  pith_node node = a->graph->nodes[n];
  for (uint32_t i = 0; i < node.input_count; i++) {
    const pith_tensor_id id = node.inputs[i];
    if (id != PITH_NONE && a->map[id] == id && a->graph->tensors[id].kind == PITH_TENSOR_PARAMETER)
      PITH_TRY(copy_tensor(a, exit, id, PITH_NONE));
    inputs[i] = id == PITH_NONE ? PITH_NONE : a->map[id];
  }
  for (uint32_t o = 0; o < node.output_count; o++) {
    PITH_TRY(copy_tensor(a, exit, node.outputs[o], a->graph->node_count));
    outputs[o] = a->map[node.outputs[o]];
  }
  snprintf(name, sizeof name, "exit_%u.%.230s", exit, node.name);
  node.name = name;
  node.inputs = inputs;
  node.outputs = outputs;
  return pith_graph_add_node(a->graph, &node, NULL, a->error);
}

static pith_status add_exit(adder *a, uint32_t exit, uint32_t layer) {
  for (pith_tensor_id t = 0; t < a->tensors; t++)
    a->map[t] = t;
  a->map[a->state] = a->layers.list[layer].tensors[PITH_LAYER_STATE];
  if (a->map[a->state] == PITH_NONE)
    return pith_fail(a->error, PITH_UNSUPPORTED, "graph '%s': layer %u gives no rows of features", a->graph->name, layer);
  for (pith_node_id n = 0; n < a->nodes; n++)
    if (a->heads[n])
      PITH_TRY(copy_node(a, exit, n));
  return pith_graph_add_output(a->graph, a->map[a->logits], a->error);
}

static pith_status add(adder *a, const pith_model_data *model, const uint32_t *list, uint32_t count, pith_arena *arena) {
  PITH_TRY(pith_layers_find(a->graph, arena, &a->layers, a->error));
  PITH_TRY(check(model, &a->layers, list, count, a->error));
  a->state = a->layers.list[a->layers.count - 1].tensors[PITH_LAYER_STATE];
  a->logits = pith_exits_get_output(a->graph, 0); /* there are no exits */
  if (a->state == PITH_NONE || a->logits == PITH_NONE)
    return pith_fail(a->error, PITH_UNSUPPORTED, "graph '%s' has no %s", a->graph->name, a->state == PITH_NONE ? "hidden state" : "output 'logits'");
  PITH_TRY(find_head(a, arena));
  for (uint32_t i = 0; i < count; i++)
    PITH_TRY(add_exit(a, i + 1, list[i]));
  return pith_graph_verify(a->graph, a->error);
}

pith_status pith_model_add_exits(const pith_model_data *model, const uint32_t *layers, uint32_t count, const pith_allocator *allocator,
                                 pith_graph **out_graph, pith_error *error) {
  pith_arena arena;
  adder a = {.nodes = model->graph->node_count, .tensors = model->graph->tensor_count, .error = error};
  *out_graph = NULL;
  PITH_TRY(pith_graph_clone(model->graph, allocator, &a.graph, error));
  pith_arena_init(&arena, allocator);
  const pith_status status = add(&a, model, layers, count, &arena);
  pith_arena_deinit(&arena);
  if (status != PITH_OK)
    pith_graph_destroy(a.graph);
  else
    *out_graph = a.graph;
  return status;
}
