#include "quant/scaling.h"

#include "engine/format/stored_layout.h"
#include "engine/ir/operator.h"

pith_status pith_scaling_init(pith_scaling *scaling, const pith_graph *graph, pith_arena *arena, pith_error *error) {
  scaling->rows = PITH_ARENA_NEW(arena, float *, graph->tensor_count);
  scaling->columns = PITH_ARENA_NEW(arena, float *, graph->tensor_count);
  scaling->additions = PITH_ARENA_NEW(arena, float *, graph->tensor_count);
  scaling->before = PITH_ARENA_NEW(arena, float *, graph->tensor_count);
  scaling->smoothed = PITH_ARENA_NEW(arena, bool, graph->node_count);
  if (scaling->rows == NULL || scaling->columns == NULL || scaling->additions == NULL || scaling->before == NULL ||
      scaling->smoothed == NULL)
    return pith_fail(error, PITH_OUT_OF_MEMORY, "no memory to scale graph '%s'", graph->name);
  return PITH_OK;
}

static void scale_values(const pith_scaling *scaling, pith_tensor_id id, const pith_tensor *tensor,
                         const float *values, float *out) {
  const size_t rows = (size_t)tensor->dims[0].constant;
  const size_t columns = tensor->rank == 1 ? 1 : (size_t)tensor->dims[1].constant;
  const float *by_row = scaling->rows[id], *by_column = scaling->columns[id], *added = scaling->additions[id];
  for (size_t r = 0; r < rows; r++)
    for (size_t c = 0; c < columns; c++) {
      float value = values[r * columns + c];
      if (by_row != NULL)
        value *= by_row[r];
      if (by_column != NULL)
        value *= by_column[c];
      if (added != NULL)
        value += added[r];
      out[r * columns + c] = value;
    }
}

/* The tensor with its factors in place of the old one. */
static void add_scaled(const pith_scaling *scaling, pith_rewriter *rewriter, pith_tensor_id id) {
  pith_builder *builder = &rewriter->builder;
  const pith_tensor *tensor = &rewriter->from->tensors[id];
  const float *values = pith_rewriter_read(rewriter, id);
  uint64_t bytes = 0;
  if (builder->status == PITH_OK)
    builder->status = pith_layout_get_bytes(PITH_LAYOUT_ROW_MAJOR, tensor->dtype, tensor->rank, tensor->dims, &bytes,
                                            builder->error);
  float *scaled = pith_arena_array(&rewriter->values, bytes < 64 ? 64 : (size_t)bytes, 1);
  if (scaled == NULL)
    pith_builder_fail(builder, PITH_OUT_OF_MEMORY, "tensor '%s': no memory to scale it", tensor->name);
  if (builder->status != PITH_OK)
    return;
  scale_values(scaling, id, tensor, values, scaled);
  pith_rewriter_set(rewriter, id, pith_rewriter_add_values(rewriter, tensor, scaled));
}

static pith_tensor_id multiply(const pith_scaling *scaling, pith_rewriter *rewriter, pith_tensor_id *made,
                               pith_tensor_id id) {
  if (*made != PITH_NONE)
    return *made;
  const pith_tensor *tensor = &rewriter->from->tensors[id];
  const int64_t count = tensor->dims[1].constant;
  float *factors = pith_rewriter_allocate(rewriter, (size_t)count, sizeof *factors);
  const char *name = pith_arena_format(&rewriter->scratch, "%s.smooth", tensor->name);
  const char *factor_name = pith_arena_format(&rewriter->scratch, "%s.smooth_factor", tensor->name);
  if (factors == NULL || name == NULL || factor_name == NULL) {
    pith_builder_fail(&rewriter->builder, PITH_OUT_OF_MEMORY, "no memory to smooth '%s'", tensor->name);
    return PITH_NONE;
  }
  memcpy(factors, scaling->before[id], (size_t)count * sizeof *factors);
  const pith_tensor_id inputs[2] = {
      pith_rewriter_get(rewriter, id),
      pith_build_data(&rewriter->builder, PITH_TENSOR_CONSTANT, factor_name, PITH_DTYPE_F32, 1, &count,
                      PITH_LAYOUT_ROW_MAJOR, factors, (uint64_t)count * sizeof *factors)};
  return *made = pith_build_node(&rewriter->builder, name, PITH_OP_MUL, 2, inputs, 0, NULL);
}

static pith_status apply(const pith_scaling *scaling, pith_rewriter *rewriter, pith_graph **out_graph,
                         pith_error *error) {
  const pith_graph *graph = rewriter->from;
  pith_tensor_id *made = PITH_ARENA_NEW(&rewriter->scratch, pith_tensor_id, graph->tensor_count);
  if (made == NULL)
    return pith_fail(error, PITH_OUT_OF_MEMORY, "no memory to scale graph '%s'", graph->name);
  for (uint32_t i = 0; i < graph->tensor_count; i++) {
    made[i] = PITH_NONE;
    if (scaling->rows[i] != NULL || scaling->columns[i] != NULL || scaling->additions[i] != NULL)
      add_scaled(scaling, rewriter, i);
  }
  for (uint32_t n = 0; n < graph->node_count && rewriter->builder.status == PITH_OK; n++) {
    const pith_node *node = &graph->nodes[n];
    pith_tensor_id inputs[PITH_MAX_PORTS];
    for (uint32_t i = 0; i < node->input_count; i++) {
      const pith_tensor_id id = node->inputs[i];
      inputs[i] = id != PITH_NONE && scaling->before[id] != NULL && scaling->smoothed[n]
                      ? multiply(scaling, rewriter, &made[id], id)
                      : pith_rewriter_get(rewriter, id);
    }
    pith_rewriter_add_node(rewriter, node, inputs);
  }
  return pith_rewriter_finish(rewriter, out_graph);
}

pith_status pith_scaling_apply(const pith_scaling *scaling, const pith_graph *graph, const pith_allocator *allocator,
                               pith_graph **out_graph, pith_error *error) {
  pith_rewriter rewriter;
  pith_status status = pith_rewriter_init(&rewriter, graph, allocator, error);
  if (status == PITH_OK)
    status = apply(scaling, &rewriter, out_graph, error);
  pith_rewriter_deinit(&rewriter);
  return status;
}
