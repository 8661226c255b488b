#include "engine/ir/graph.h"

#include <limits.h>

#include "engine/ir/ir_internal.h"

static pith_status fail_memory(const pith_graph *graph, const char *what, pith_error *error) {
  return pith_fail(error, PITH_OUT_OF_MEMORY, "no memory for %s of graph '%s' (%zu bytes held)",
                   what, graph->name == NULL ? "" : graph->name, graph->arena.reserved_bytes);
}

pith_status pith_graph_create(const pith_allocator *allocator, const char *name,
                              pith_graph **out_graph, pith_error *error) {
  *out_graph = NULL;
  pith_graph *graph = pith_allocate(allocator, sizeof *graph);
  if (graph == NULL)
    return pith_fail(error, PITH_OUT_OF_MEMORY, "no memory for a graph (%zu bytes)", sizeof *graph);
  *graph = (pith_graph){0};
  pith_arena_init(&graph->arena, allocator);
  graph->name = pith_arena_string(&graph->arena, name, strlen(name));
  if (graph->name == NULL) {
    pith_status status = fail_memory(graph, "the name", error);
    pith_graph_destroy(graph);
    return status;
  }
  *out_graph = graph;
  return PITH_OK;
}

void pith_graph_destroy(pith_graph *graph) {
  if (graph == NULL)
    return;
  const pith_allocator *allocator = graph->arena.allocator;
  pith_arena_deinit(&graph->arena);
  pith_release(allocator, graph, sizeof *graph);
}

/* Room for one more of `count` elements: `*array` moves to a piece twice as long. The old one stays
 * in the arena until the graph goes, which wastes at most as much again. */
static pith_status reserve(pith_graph *graph, void **array, uint32_t count, uint32_t *capacity,
                           uint32_t limit, size_t element_bytes, const char *what,
                           pith_error *error) {
  if (count < *capacity)
    return PITH_OK;
  if (count >= limit)
    return pith_fail(error, PITH_LIMIT, "graph '%s' has more than %u %s", graph->name, limit, what);
  uint32_t larger = count < 16 ? 16 : count * 2;
  void *fresh = pith_arena_array(&graph->arena, larger, element_bytes);
  if (fresh == NULL)
    return fail_memory(graph, what, error);
  if (count != 0)
    memcpy(fresh, *array, count * element_bytes);
  *array = fresh;
  *capacity = larger;
  return PITH_OK;
}

pith_status pith_graph_add_symbol(pith_graph *graph, const char *name, pith_symbol_id *out_id,
                                  pith_error *error) {
  void *array = graph->symbols;
  PITH_TRY(reserve(graph, &array, graph->symbol_count, &graph->symbol_capacity, PITH_MAX_SYMBOLS,
                   sizeof *graph->symbols, "symbols", error));
  graph->symbols = array;
  const char *copy = pith_arena_string(&graph->arena, name, strlen(name));
  if (copy == NULL)
    return fail_memory(graph, "a symbol", error);
  graph->symbols[graph->symbol_count] = copy;
  if (out_id != NULL)
    *out_id = graph->symbol_count;
  graph->symbol_count++;
  return PITH_OK;
}

pith_status pith_graph_add_tensor(pith_graph *graph, const pith_tensor *tensor,
                                  pith_tensor_id *out_id, pith_error *error) {
  void *array = graph->tensors;
  PITH_TRY(reserve(graph, &array, graph->tensor_count, &graph->tensor_capacity, PITH_MAX_TENSORS,
                   sizeof *graph->tensors, "tensors", error));
  graph->tensors = array;
  pith_tensor copy = *tensor;
  copy.name = pith_arena_string(&graph->arena, tensor->name, strlen(tensor->name));
  if (copy.name == NULL)
    return fail_memory(graph, "a tensor", error);
  for (uint32_t i = 0; i < copy.rank && i < PITH_MAX_RANK; i++) {
    pith_dim *dim = &copy.dims[i];
    if (dim->term_count == 0) {
      dim->terms = NULL;
      continue;
    }
    pith_dim_term *terms = PITH_ARENA_NEW(&graph->arena, pith_dim_term, dim->term_count);
    if (terms == NULL)
      return fail_memory(graph, "a dimension", error);
    memcpy(terms, dim->terms, dim->term_count * sizeof *terms);
    dim->terms = terms;
  }
  copy.copy_count = 0;
  copy.copies = NULL;
  graph->tensors[graph->tensor_count] = copy;
  if (out_id != NULL)
    *out_id = graph->tensor_count;
  graph->tensor_count++;
  return PITH_OK;
}

/* A copy of `count` elements in the arena; NULL when memory is out. */
static void *copy_array(pith_graph *graph, const void *elements, uint32_t count,
                        size_t element_bytes) {
  void *copy = pith_arena_array(&graph->arena, count, element_bytes);
  if (copy != NULL && count != 0)
    memcpy(copy, elements, count * element_bytes);
  return copy;
}

pith_status pith_graph_add_node(pith_graph *graph, const pith_node *node, pith_node_id *out_id,
                                pith_error *error) {
  void *array = graph->nodes;
  PITH_TRY(reserve(graph, &array, graph->node_count, &graph->node_capacity, PITH_MAX_NODES,
                   sizeof *graph->nodes, "nodes", error));
  graph->nodes = array;
  uint32_t attribute_count = pith_operator_count_attributes(node->op);
  pith_node copy = *node;
  copy.name = pith_arena_string(&graph->arena, node->name, strlen(node->name));
  copy.inputs = copy_array(graph, node->inputs, node->input_count, sizeof *node->inputs);
  copy.outputs = copy_array(graph, node->outputs, node->output_count, sizeof *node->outputs);
  copy.attributes = copy_array(graph, node->attributes, attribute_count, sizeof *node->attributes);
  if (copy.name == NULL || copy.inputs == NULL || copy.outputs == NULL || copy.attributes == NULL)
    return fail_memory(graph, "a node", error);
  for (uint32_t i = 0; i < attribute_count; i++) {
    pith_attribute *attribute = &copy.attributes[i];
    if (attribute->type != PITH_ATTRIBUTE_INTS)
      continue;
    attribute->ints.values = copy_array(graph, attribute->ints.values, attribute->ints.count,
                                        sizeof *attribute->ints.values);
    if (attribute->ints.values == NULL)
      return fail_memory(graph, "an attribute", error);
  }
  graph->nodes[graph->node_count] = copy;
  if (out_id != NULL)
    *out_id = graph->node_count;
  graph->node_count++;
  return PITH_OK;
}

pith_status pith_graph_add_input(pith_graph *graph, pith_tensor_id tensor, pith_error *error) {
  void *array = graph->inputs;
  PITH_TRY(reserve(graph, &array, graph->input_count, &graph->input_capacity, PITH_MAX_TENSORS,
                   sizeof *graph->inputs, "inputs", error));
  graph->inputs = array;
  graph->inputs[graph->input_count++] = tensor;
  return PITH_OK;
}

pith_status pith_graph_add_output(pith_graph *graph, pith_tensor_id tensor, pith_error *error) {
  void *array = graph->outputs;
  PITH_TRY(reserve(graph, &array, graph->output_count, &graph->output_capacity, PITH_MAX_TENSORS,
                   sizeof *graph->outputs, "outputs", error));
  graph->outputs = array;
  graph->outputs[graph->output_count++] = tensor;
  return PITH_OK;
}

void pith_graph_set_data(pith_graph *graph, pith_tensor_id tensor, const void *data,
                         uint64_t data_bytes) {
  if (tensor < graph->tensor_count) {
    graph->tensors[tensor].data = data;
    graph->tensors[tensor].data_bytes = data_bytes;
    graph->tensors[tensor].copy_count = 0;
    graph->tensors[tensor].copies = NULL;
    graph->tensors[tensor].pattern = (pith_pattern){PITH_PATTERN_DENSE, 0, 0};
    graph->tensors[tensor].kept = 0;
  }
}

pith_tensor_id pith_graph_find_tensor(const pith_graph *graph, const char *name) {
  for (uint32_t i = 0; i < graph->tensor_count; i++)
    if (strcmp(graph->tensors[i].name, name) == 0)
      return i;
  return PITH_NONE;
}

pith_symbol_id pith_graph_find_symbol(const pith_graph *graph, const char *name) {
  for (uint32_t i = 0; i < graph->symbol_count; i++)
    if (strcmp(graph->symbols[i], name) == 0)
      return i;
  return PITH_NONE;
}

const pith_attribute *pith_node_get_attribute(const pith_node *node, const char *name) {
  for (uint32_t i = 0; node->op->attributes[i].name != NULL; i++)
    if (strcmp(node->op->attributes[i].name, name) == 0)
      return &node->attributes[i];
  return NULL;
}

static pith_status copy_parts(const pith_graph *graph, pith_graph *copy, pith_error *error) {
  for (uint32_t i = 0; i < graph->symbol_count; i++)
    PITH_TRY(pith_graph_add_symbol(copy, graph->symbols[i], NULL, error));
  for (uint32_t i = 0; i < graph->tensor_count; i++)
    PITH_TRY(pith_graph_add_tensor(copy, &graph->tensors[i], NULL, error));
  for (uint32_t i = 0; i < graph->node_count; i++)
    PITH_TRY(pith_graph_add_node(copy, &graph->nodes[i], NULL, error));
  for (uint32_t i = 0; i < graph->input_count; i++)
    PITH_TRY(pith_graph_add_input(copy, graph->inputs[i], error));
  for (uint32_t i = 0; i < graph->output_count; i++)
    PITH_TRY(pith_graph_add_output(copy, graph->outputs[i], error));
  return PITH_OK;
}

pith_status pith_graph_clone(const pith_graph *graph, const pith_allocator *allocator,
                             pith_graph **out_graph, pith_error *error) {
  PITH_TRY(pith_graph_create(allocator, graph->name, out_graph, error));
  pith_status status = copy_parts(graph, *out_graph, error);
  if (status != PITH_OK) {
    pith_graph_destroy(*out_graph);
    *out_graph = NULL;
  }
  return status;
}
