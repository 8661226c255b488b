#include "compiler/rewrite/rewriter.h"

#include <math.h>

#include "engine/format/stored_layout.h"
#include "engine/ir/operator.h"

pith_status pith_rewriter_init(pith_rewriter *rewriter, const pith_graph *from, const pith_allocator *allocator,
                               pith_error *error) {
  *rewriter = (pith_rewriter){.from = from};
  pith_arena_init(&rewriter->scratch, allocator);
  pith_arena_init(&rewriter->values, allocator);
  pith_graph *graph;
  PITH_TRY(pith_graph_create(allocator, from->name, &graph, error));
  pith_builder_init(&rewriter->builder, graph, error);
  rewriter->map = PITH_ARENA_NEW(&rewriter->scratch, pith_tensor_id, from->tensor_count);
  if (rewriter->map == NULL)
    return pith_fail(error, PITH_OUT_OF_MEMORY, "no memory to rewrite graph '%s'", from->name);
  for (uint32_t i = 0; i < from->tensor_count; i++)
    rewriter->map[i] = PITH_NONE;
  for (uint32_t i = 0; i < from->symbol_count; i++)
    PITH_TRY(pith_graph_add_symbol(graph, from->symbols[i], NULL, error));
  for (uint32_t i = 0; i < from->input_count; i++) {
    pith_tensor_id *place = &rewriter->map[from->inputs[i]];
    PITH_TRY(pith_graph_add_tensor(graph, &from->tensors[from->inputs[i]], place, error));
    PITH_TRY(pith_graph_add_input(graph, *place, error));
  }
  return PITH_OK;
}

pith_tensor_id pith_rewriter_get(pith_rewriter *rewriter, pith_tensor_id old) {
  pith_builder *builder = &rewriter->builder;
  if (old == PITH_NONE || builder->status != PITH_OK)
    return PITH_NONE;
  const pith_tensor *tensor = &rewriter->from->tensors[old];
  if (rewriter->map[old] == PITH_NONE &&
      pith_tensor_is_data(tensor))
    builder->status = pith_graph_add_tensor(builder->graph, tensor, &rewriter->map[old], builder->error);
  return rewriter->map[old];
}

void pith_rewriter_set(pith_rewriter *rewriter, pith_tensor_id old, pith_tensor_id tensor) {
  rewriter->map[old] = tensor;
}

void pith_rewriter_add_node(pith_rewriter *rewriter, const pith_node *node, const pith_tensor_id *inputs) {
  pith_builder *builder = &rewriter->builder;
  pith_tensor_id new_inputs[PITH_MAX_PORTS], outputs[PITH_MAX_PORTS];
  for (uint32_t i = 0; i < node->input_count; i++)
    new_inputs[i] = inputs[i];
  for (uint32_t i = 0; i < node->output_count && builder->status == PITH_OK; i++) {
    pith_tensor tensor = rewriter->from->tensors[node->outputs[i]];
    tensor.producer = builder->graph->node_count;
    builder->status = pith_graph_add_tensor(builder->graph, &tensor, &outputs[i], builder->error);
    rewriter->map[node->outputs[i]] = outputs[i];
  }
  if (builder->status != PITH_OK)
    return;
  pith_node copy = *node;
  copy.inputs = new_inputs;
  copy.outputs = outputs;
  builder->status = pith_graph_add_node(builder->graph, &copy, NULL, builder->error);
}

void *pith_rewriter_allocate(pith_rewriter *rewriter, size_t count, size_t element_bytes) {
  pith_builder *builder = &rewriter->builder;
  size_t bytes;
  if (builder->status != PITH_OK)
    return NULL;
  /* The arena aligns pieces of at least 64 bytes as data has to be. */
  void *memory = pith_size_multiply(count, element_bytes, &bytes)
                     ? pith_arena_array(&builder->graph->arena, bytes < 64 ? 64 : bytes, 1)
                     : NULL;
  if (memory == NULL)
    pith_builder_fail(builder, PITH_OUT_OF_MEMORY, "no memory for %zu elements of new data", count);
  return memory;
}

static void check_finite(pith_builder *builder, const pith_tensor *tensor, const float *values, uint64_t count) {
  for (uint64_t i = 0; i < count; i++)
    if (!isfinite(values[i])) {
      pith_builder_fail(builder, PITH_FORMAT, "tensor '%s': element %llu is %g", tensor->name, (unsigned long long)i,
                        (double)values[i]);
      return;
    }
}

const float *pith_rewriter_read(pith_rewriter *rewriter, pith_tensor_id old) {
  pith_builder *builder = &rewriter->builder;
  if (builder->status != PITH_OK)
    return NULL;
  const pith_tensor *tensor = &rewriter->from->tensors[old];
  if (tensor->data == NULL || tensor->dtype != PITH_DTYPE_F32) {
    pith_builder_fail(builder, PITH_INVALID_ARGUMENT, "tensor '%s' is no f32 data", tensor->name);
    return NULL;
  }
  pith_arena_deinit(&rewriter->values);
  uint64_t bytes;
  builder->status = pith_layout_get_bytes(PITH_LAYOUT_ROW_MAJOR, tensor->dtype, tensor->rank, tensor->dims, &bytes,
                                          builder->error);
  float *values = builder->status == PITH_OK
                      ? pith_arena_array(&rewriter->values, bytes < 64 ? 64 : (size_t)bytes, 1)
                      : NULL;
  if (builder->status == PITH_OK && values == NULL)
    pith_builder_fail(builder, PITH_OUT_OF_MEMORY, "tensor '%s': no memory for %llu bytes", tensor->name,
                      (unsigned long long)bytes);
  if (builder->status == PITH_OK)
    builder->status = pith_tensor_unpack(tensor, values, rewriter->scratch.allocator, builder->error);
  if (builder->status == PITH_OK)
    check_finite(builder, tensor, values, bytes / sizeof *values);
  return builder->status == PITH_OK ? values : NULL;
}

pith_tensor_id pith_rewriter_add_values(pith_rewriter *rewriter, const pith_tensor *like, const float *values) {
  pith_builder *builder = &rewriter->builder;
  pith_tensor tensor = *like;
  tensor.dtype = PITH_DTYPE_F32;
  if (tensor.layout != PITH_LAYOUT_ROW_MAJOR)
    tensor.layout = PITH_LAYOUT_N64_F32;
  if (builder->status == PITH_OK)
    builder->status = pith_layout_get_bytes(tensor.layout, tensor.dtype, tensor.rank, tensor.dims, &tensor.data_bytes,
                                            builder->error);
  void *stored = pith_rewriter_allocate(rewriter, (size_t)tensor.data_bytes, 1);
  if (builder->status == PITH_OK)
    builder->status = pith_layout_convert(tensor.dtype, tensor.rank, tensor.dims, PITH_LAYOUT_ROW_MAJOR, values,
                                          tensor.layout, stored, rewriter->scratch.allocator, builder->error);
  tensor.data = stored;
  pith_tensor_id made = PITH_NONE;
  if (builder->status == PITH_OK)
    builder->status = pith_graph_add_tensor(builder->graph, &tensor, &made, builder->error);
  return made;
}

pith_status pith_rewriter_finish(pith_rewriter *rewriter, pith_graph **out_graph) {
  pith_builder *builder = &rewriter->builder;
  for (uint32_t i = 0; i < rewriter->from->output_count && builder->status == PITH_OK; i++)
    pith_build_output(builder, pith_rewriter_get(rewriter, rewriter->from->outputs[i]), NULL);
  PITH_TRY(pith_builder_finish(builder));
  *out_graph = builder->graph;
  builder->graph = NULL;
  return PITH_OK;
}

void pith_rewriter_deinit(pith_rewriter *rewriter) {
  pith_graph_destroy(rewriter->builder.graph);
  pith_arena_deinit(&rewriter->values);
  pith_arena_deinit(&rewriter->scratch);
}

pith_status pith_readers_find(const pith_graph *graph, pith_arena *arena, pith_readers *out_readers,
                              pith_error *error) {
  uint32_t *first = PITH_ARENA_NEW(arena, uint32_t, (size_t)graph->tensor_count + 2), total = 0;
  if (first == NULL)
    return pith_fail(error, PITH_OUT_OF_MEMORY, "no memory for the readers of %u tensors", graph->tensor_count);
  /* Counted two places on, so that filling leaves first[t] where t's list begins. */
  for (uint32_t n = 0; n < graph->node_count; n++)
    for (uint32_t i = 0; i < graph->nodes[n].input_count; i++)
      if (graph->nodes[n].inputs[i] != PITH_NONE) {
        first[graph->nodes[n].inputs[i] + 2]++;
        total++;
      }
  for (uint32_t t = 0; t < graph->tensor_count; t++)
    first[t + 2] += first[t + 1];
  pith_reader *all = PITH_ARENA_NEW(arena, pith_reader, total);
  if (all == NULL)
    return pith_fail(error, PITH_OUT_OF_MEMORY, "no memory for %u readers of tensors", total);
  for (uint32_t n = 0; n < graph->node_count; n++)
    for (uint32_t i = 0; i < graph->nodes[n].input_count; i++)
      if (graph->nodes[n].inputs[i] != PITH_NONE)
        all[first[graph->nodes[n].inputs[i] + 1]++] = (pith_reader){n, i};
  *out_readers = (pith_readers){first, all};
  return PITH_OK;
}

const pith_node *pith_graph_get_producer(const pith_graph *graph, pith_tensor_id tensor) {
  const pith_node_id producer = tensor == PITH_NONE ? PITH_NONE : graph->tensors[tensor].producer;
  return producer == PITH_NONE ? NULL : &graph->nodes[producer];
}

bool pith_graph_is_output(const pith_graph *graph, pith_tensor_id tensor) {
  for (uint32_t i = 0; i < graph->output_count; i++)
    if (graph->outputs[i] == tensor)
      return true;
  return false;
}
