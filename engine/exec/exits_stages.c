/* A graph with exits, cut into graphs that run one after the other. */
#include <stdio.h>
#include <string.h>

#include "engine/exec/exits_internal.h"
#include "engine/ir/operator.h"

static const char *const input_names[] = {
    [PITH_STAGE_IDS] = "input_ids", [PITH_STAGE_TYPE_IDS] = "token_type_ids", [PITH_STAGE_OFFSETS] = "offsets"};

static pith_tensor_id find_output(const pith_graph *graph, const char *name) {
  for (uint32_t i = 0; i < graph->output_count; i++)
    if (strcmp(graph->tensors[graph->outputs[i]].name, name) == 0)
      return graph->outputs[i];
  return PITH_NONE;
}

pith_tensor_id pith_exits_get_output(const pith_graph *graph, uint32_t index) {
  const uint32_t count = pith_exits_count(graph);
  char name[32];
  snprintf(name, sizeof name, PITH_EXIT_NAME, index + 1);
  return index > count ? PITH_NONE : find_output(graph, index == count ? "logits" : name);
}

uint32_t pith_exits_count(const pith_graph *graph) {
  uint32_t count = 0;
  char name[32];
  do
    snprintf(name, sizeof name, PITH_EXIT_NAME, ++count);
  while (count <= PITH_EXITS_MOST && find_output(graph, name) != PITH_NONE);
  return count - 1;
}

/* ---- cutting ------------------------------------------------------------------------------------------------------------- */

typedef struct cutter {
  const pith_graph *graph;
  const pith_allocator *allocator;
  pith_arena *arena;
  pith_stages *stages;
  uint32_t *sources;     /* [tensor_count] of this stage's inputs */
  bool *needed;          /* [node_count] by this stage */
  uint32_t *stage_of;    /* [node_count] the first one that needs it; PITH_NONE: none did so far */
  bool *is_data;         /* [node_count] it reads data only, and may run in every stage that needs it */
  pith_tensor_id *map;   /* [tensor_count] in this stage's graph */
  pith_error *error;
} cutter;

static bool is_data(const cutter *c, pith_tensor_id tensor) {
  const pith_tensor *t = &c->graph->tensors[tensor];
  return pith_tensor_is_data(t) || (t->kind == PITH_TENSOR_VALUE && c->is_data[t->producer]);
}

static void mark_data(cutter *c) {
  for (pith_node_id n = 0; n < c->graph->node_count; n++) {
    const pith_node *node = &c->graph->nodes[n];
    c->is_data[n] = true;
    for (uint32_t i = 0; i < node->input_count; i++)
      c->is_data[n] &= node->inputs[i] == PITH_NONE || is_data(c, node->inputs[i]);
  }
}

/* Nodes that lead to an exit and were no earlier stage's. */
static void mark_stage(cutter *c, uint32_t stage, pith_tensor_id exit) {
  memset(c->needed, 0, c->graph->node_count * sizeof *c->needed);
  c->needed[c->graph->tensors[exit].producer] = true;
  for (pith_node_id n = c->graph->node_count; n-- > 0;) {
    const pith_node *node = &c->graph->nodes[n];
    if (c->needed[n] && c->stage_of[n] != PITH_NONE && !c->is_data[n]) /* it was made, and with it what leads to it */
      c->needed[n] = false;
    if (!c->needed[n])
      continue;
    if (c->stage_of[n] == PITH_NONE)
      c->stage_of[n] = stage;
    for (uint32_t i = 0; i < node->input_count; i++)
      if (node->inputs[i] != PITH_NONE && c->graph->tensors[node->inputs[i]].kind == PITH_TENSOR_VALUE)
        c->needed[c->graph->tensors[node->inputs[i]].producer] = true;
  }
}

static pith_status find_row_bytes(const cutter *c, const pith_tensor *tensor, size_t *out_bytes) {
  const pith_symbol_id tokens = pith_graph_find_symbol(c->graph, "tokens");
  const pith_dim *rows = &tensor->dims[0];
  if (tensor->rank != 2 || rows->constant != 0 || rows->term_count != 1 || rows->terms[0].symbol != tokens ||
      rows->terms[0].coefficient != 1 || !pith_dim_is_constant(&tensor->dims[1]))
    return pith_fail(c->error, PITH_UNSUPPORTED, "graph '%s': '%s' is read behind an exit that stands before it, and has no row for each token",
                     c->graph->name, tensor->name);
  *out_bytes = (size_t)tensor->dims[1].constant * pith_dtype_get_info(tensor->dtype)->bits / 8;
  return PITH_OK;
}

/* A value of an earlier stage: an output of that, an input of this. */
static pith_status carry(cutter *c, uint32_t stage, pith_tensor_id tensor, uint32_t *out_index) {
  pith_stages *s = c->stages;
  uint32_t i = 0;
  while (i < s->carried_count && s->carried[i].tensor != tensor)
    i++;
  *out_index = i;
  if (i == s->carried_count) {
    const pith_tensor *t = &c->graph->tensors[tensor];
    pith_carried carried = {.tensor = tensor, .made = c->stage_of[t->producer]};
    PITH_TRY(find_row_bytes(c, t, &carried.row_bytes));
    s->carried[s->carried_count++] = carried;
  }
  s->carried[i].last = stage;
  return PITH_OK;
}

static pith_status find_source(cutter *c, uint32_t stage, pith_tensor_id tensor, uint32_t *out_source) {
  const pith_tensor *t = &c->graph->tensors[tensor];
  if (t->kind == PITH_TENSOR_VALUE) {
    PITH_TRY(carry(c, stage, tensor, out_source));
    *out_source += PITH_STAGE_CARRIED;
    return PITH_OK;
  }
  for (*out_source = 0; *out_source < PITH_STAGE_CARRIED; ++*out_source)
    if (strcmp(t->name, input_names[*out_source]) == 0 && (stage == 0 || *out_source == PITH_STAGE_OFFSETS))
      return PITH_OK;
  return pith_fail(c->error, PITH_UNSUPPORTED, "graph '%s': its stage %u reads the input '%s'", c->graph->name, stage + 1, t->name);
}

static pith_status map_tensor(cutter *c, uint32_t stage, pith_tensor_id id) {
  pith_graph *graph = c->stages->list[stage].graph;
  pith_tensor tensor = c->graph->tensors[id];
  const bool made = tensor.kind == PITH_TENSOR_VALUE && c->needed[tensor.producer];
  if (c->map[id] != PITH_NONE || made)
    return PITH_OK;
  if (tensor.kind == PITH_TENSOR_VALUE || tensor.kind == PITH_TENSOR_INPUT) {
    PITH_TRY(find_source(c, stage, id, &c->sources[graph->input_count]));
    tensor.kind = PITH_TENSOR_INPUT;
    tensor.producer = PITH_NONE;
  }
  PITH_TRY(pith_graph_add_tensor(graph, &tensor, &c->map[id], c->error));
  pith_tensor *copy = &graph->tensors[c->map[id]];
  copy->copy_count = tensor.copy_count; /* what `pith pack` made stays */
  copy->copies = tensor.copies;
  return tensor.kind == PITH_TENSOR_INPUT ? pith_graph_add_input(graph, c->map[id], c->error) : PITH_OK;
}

static pith_status add_node(cutter *c, uint32_t stage, pith_node_id n) {
  pith_graph *graph = c->stages->list[stage].graph;
  const pith_node *node = &c->graph->nodes[n];
  pith_tensor_id inputs[PITH_MAX_PORTS], outputs[PITH_MAX_PORTS];
  for (uint32_t i = 0; i < node->input_count; i++) {
    if (node->inputs[i] != PITH_NONE)
      PITH_TRY(map_tensor(c, stage, node->inputs[i]));
    inputs[i] = node->inputs[i] == PITH_NONE ? PITH_NONE : c->map[node->inputs[i]];
  }
  for (uint32_t i = 0; i < node->output_count; i++) {
    pith_tensor tensor = c->graph->tensors[node->outputs[i]];
    tensor.producer = graph->node_count;
    PITH_TRY(pith_graph_add_tensor(graph, &tensor, &c->map[node->outputs[i]], c->error));
    outputs[i] = c->map[node->outputs[i]];
  }
  pith_node copy = *node;
  copy.inputs = inputs;
  copy.outputs = outputs;
  return pith_graph_add_node(graph, &copy, NULL, c->error);
}

static pith_status make_stage(cutter *c, uint32_t stage, pith_tensor_id exit) {
  pith_stage *s = &c->stages->list[stage];
  const pith_graph *graph = c->graph;
  PITH_TRY(pith_graph_create(c->allocator, graph->name, &s->graph, c->error));
  for (uint32_t i = 0; i < graph->symbol_count; i++)
    PITH_TRY(pith_graph_add_symbol(s->graph, graph->symbols[i], NULL, c->error));
  for (pith_tensor_id t = 0; t < graph->tensor_count; t++)
    c->map[t] = PITH_NONE;
  mark_stage(c, stage, exit);
  if (c->stage_of[graph->tensors[exit].producer] != stage)
    return pith_fail(c->error, PITH_UNSUPPORTED, "graph '%s': exit '%s' stands behind a later one", graph->name, graph->tensors[exit].name);
  for (pith_node_id n = 0; n < graph->node_count; n++)
    if (c->needed[n])
      PITH_TRY(add_node(c, stage, n));
  uint32_t *sources = PITH_ARENA_NEW(c->arena, uint32_t, s->graph->input_count);
  if (sources == NULL)
    return pith_fail(c->error, PITH_OUT_OF_MEMORY, "no memory for a stage of graph '%s'", graph->name);
  for (uint32_t i = 0; i < s->graph->input_count; i++)
    sources[i] = c->sources[i];
  s->sources = sources;
  return pith_graph_add_output(s->graph, c->map[exit], c->error);
}

/* Outputs for what later stages read, found by name: names are unique in a graph. */
static pith_status add_carried_outputs(cutter *c) {
  for (uint32_t i = 0; i < c->stages->carried_count; i++) {
    pith_carried *carried = &c->stages->carried[i];
    pith_graph *graph = c->stages->list[carried->made].graph;
    carried->output = graph->output_count;
    PITH_TRY(pith_graph_add_output(graph, pith_graph_find_tensor(graph, c->graph->tensors[carried->tensor].name), c->error));
  }
  for (uint32_t s = 0; s < c->stages->count; s++)
    PITH_TRY(pith_graph_verify(c->stages->list[s].graph, c->error));
  return PITH_OK;
}

static pith_status check_exit(cutter *c, pith_tensor_id exit) {
  const pith_graph *graph = c->graph;
  const pith_symbol_id sequences = pith_graph_find_symbol(graph, "sequences");
  const pith_tensor *t = exit == PITH_NONE ? NULL : &graph->tensors[exit];
  if (t == NULL || t->kind != PITH_TENSOR_VALUE || t->dtype != PITH_DTYPE_F32 || t->rank != 2 || t->dims[0].constant != 0 ||
      t->dims[0].term_count != 1 || t->dims[0].terms[0].symbol != sequences || t->dims[0].terms[0].coefficient != 1 ||
      !pith_dim_is_constant(&t->dims[1]) || t->dims[1].constant < 1 ||
      (c->stages->labels != 0 && (int64_t)c->stages->labels != t->dims[1].constant))
    return pith_fail(c->error, PITH_UNSUPPORTED, "graph '%s': '%s' is no row of logits for each sequence", graph->name,
                     t == NULL ? "logits" : t->name);
  c->stages->labels = (size_t)t->dims[1].constant;
  return PITH_OK;
}

pith_status pith_stages_make(const pith_graph *graph, const pith_allocator *allocator, pith_arena *arena, pith_stages *out,
                             pith_error *error) {
  const uint32_t count = pith_exits_count(graph);
  *out = (pith_stages){.list = PITH_ARENA_NEW(arena, pith_stage, count + 1), .carried = PITH_ARENA_NEW(arena, pith_carried, graph->tensor_count)};
  cutter c = {.graph = graph,
              .allocator = allocator,
              .arena = arena,
              .stages = out,
              .sources = PITH_ARENA_NEW(arena, uint32_t, graph->tensor_count),
              .needed = PITH_ARENA_NEW(arena, bool, graph->node_count),
              .stage_of = PITH_ARENA_NEW(arena, uint32_t, graph->node_count),
              .is_data = PITH_ARENA_NEW(arena, bool, graph->node_count),
              .map = PITH_ARENA_NEW(arena, pith_tensor_id, graph->tensor_count),
              .error = error};
  if (out->list == NULL || out->carried == NULL || c.sources == NULL || c.needed == NULL || c.stage_of == NULL || c.is_data == NULL || c.map == NULL)
    return pith_fail(error, PITH_OUT_OF_MEMORY, "no memory for the stages of graph '%s'", graph->name);
  if (count == 0)
    return pith_fail(error, PITH_UNSUPPORTED, "the model has no exits ('exit_1.logits'): it answers at its end alone");
  for (pith_node_id n = 0; n < graph->node_count; n++)
    c.stage_of[n] = PITH_NONE;
  mark_data(&c);
  for (uint32_t i = 0; i <= count; i++) {
    const pith_tensor_id exit = pith_exits_get_output(graph, i);
    PITH_TRY(check_exit(&c, exit));
    out->count = i + 1;
    PITH_TRY(make_stage(&c, i, exit));
  }
  return add_carried_outputs(&c);
}
