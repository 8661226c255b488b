#include "compiler/rewrite/rewriter.h"
#include "engine/format/stored_layout.h"
#include "engine/ir/operator.h"
#include "quant/quantize.h"

static bool makes_integers(const pith_node *node) {
  return node != NULL && (node->op->id == PITH_OP_QUANTIZE_LINEAR || node->op->id == PITH_OP_DYNAMIC_QUANTIZE);
}

/* ---- data --------------------------------------------------------------------------------------------------------------- */

/* Integer data as s32, row-major. */
static int32_t *read_integers(pith_rewriter *rewriter, const pith_tensor *tensor, size_t *out_count) {
  pith_builder *builder = &rewriter->builder;
  uint64_t bytes = 0;
  builder->status = pith_layout_get_bytes(PITH_LAYOUT_ROW_MAJOR, tensor->dtype, tensor->rank, tensor->dims, &bytes,
                                          builder->error);
  const size_t size = pith_dtype_get_info(tensor->dtype)->bits / 8;
  void *plain = pith_arena_array(&rewriter->values, bytes < 64 ? 64 : (size_t)bytes, 1);
  *out_count = (size_t)bytes / size;
  int32_t *integers = PITH_ARENA_NEW(&rewriter->values, int32_t, *out_count);
  if (plain == NULL || integers == NULL)
    pith_builder_fail(builder, PITH_OUT_OF_MEMORY, "tensor '%s': no memory to dequantize it", tensor->name);
  if (builder->status == PITH_OK)
    builder->status = pith_tensor_unpack(tensor, plain, rewriter->scratch.allocator, builder->error);
  for (size_t i = 0; builder->status == PITH_OK && i < *out_count; i++)
    integers[i] = tensor->dtype == PITH_DTYPE_S8   ? ((const int8_t *)plain)[i]
                  : tensor->dtype == PITH_DTYPE_U8 ? ((const uint8_t *)plain)[i]
                                                   : ((const int32_t *)plain)[i];
  return builder->status == PITH_OK ? integers : NULL;
}

/* How elements of `tensor` find their scale: element i has scale (i / inner) % extent, or with blocks the one of its block. */
typedef struct scale_places {
  size_t inner, extent, block;
} scale_places;

static scale_places find_places(const pith_node *node, const pith_tensor *tensor, const pith_tensor *scale) {
  scale_places places = {.inner = 1, .extent = 1, .block = 1};
  if (scale->rank == 0)
    return places;
  int64_t axis = pith_node_get_attribute(node, "axis")->i;
  axis += axis < 0 ? (int64_t)tensor->rank : 0;
  for (uint32_t d = (uint32_t)axis + 1; d < tensor->rank; d++)
    places.inner *= (size_t)tensor->dims[d].constant;
  places.extent = (size_t)tensor->dims[axis].constant;
  if (scale->rank == tensor->rank && scale->rank > 1)
    places.block = (size_t)pith_node_get_attribute(node, "block_size")->i;
  return places;
}

static size_t find_scale(const scale_places *places, size_t i) {
  if (places->block <= 1)
    return i / places->inner % places->extent;
  const size_t before = i / places->inner / places->extent, along = i / places->inner % places->extent;
  return (before * (places->extent / places->block) + along / places->block) * places->inner + i % places->inner;
}

/* (q - zero) * scale under the name of q, in the layout of float products where q had that of integer ones. */
static void add_float_data(pith_rewriter *rewriter, const pith_node *node) {
  pith_builder *builder = &rewriter->builder;
  const pith_graph *graph = rewriter->from;
  const pith_tensor *old = &graph->tensors[node->inputs[0]];
  const pith_tensor *scale = &graph->tensors[node->inputs[1]];
  const bool has_zero = node->input_count > 2 && node->inputs[2] != PITH_NONE;
  if (old->data == NULL || scale->data == NULL || (has_zero && graph->tensors[node->inputs[2]].data == NULL)) {
    pith_builder_fail(builder, PITH_INVALID_ARGUMENT, "node '%s': tensor '%s' or its scale is no data", node->name,
                      old->name);
    return;
  }
  pith_arena_deinit(&rewriter->values);
  size_t count = 0, zeros = 0;
  const int32_t *q = read_integers(rewriter, old, &count);
  const int32_t *zero = has_zero && q != NULL ? read_integers(rewriter, &graph->tensors[node->inputs[2]], &zeros) : NULL;
  float *plain = pith_arena_array(&rewriter->values, count < 16 ? 16 : count, sizeof *plain);
  if (plain == NULL)
    pith_builder_fail(builder, PITH_OUT_OF_MEMORY, "tensor '%s': no memory to dequantize it", old->name);
  if (builder->status != PITH_OK)
    return;
  const scale_places places = find_places(node, old, scale);
  for (size_t i = 0; i < count; i++) {
    const size_t s = find_scale(&places, i);
    plain[i] = (float)(q[i] - (zero == NULL ? 0 : zero[s])) * ((const float *)scale->data)[s];
  }
  pith_rewriter_set(rewriter, node->outputs[0], pith_rewriter_add_values(rewriter, old, plain));
}

/* ---- nodes --------------------------------------------------------------------------------------------------------------- */

static void add_float_node(pith_rewriter *rewriter, const pith_node *node) {
  pith_tensor_id inputs[PITH_MAX_PORTS];
  pith_attribute attributes[PITH_MAX_ATTRIBUTES];
  pith_node changed = *node;
  for (uint32_t i = 0; i < node->input_count; i++)
    inputs[i] = pith_rewriter_get(rewriter, node->inputs[i]);
  if (node->op->id == PITH_OP_PACKED_ATTENTION) {
    for (uint32_t i = 0; node->op->attributes[i].name != NULL; i++) {
      attributes[i] = node->attributes[i];
      if (strcmp(node->op->attributes[i].name, "softmax_dtype") == 0)
        attributes[i].i = PITH_DTYPE_F32;
    }
    changed.attributes = attributes;
  }
  pith_rewriter_add_node(rewriter, &changed, inputs);
}

/* Integers that something else than DequantizeLinear reads cannot be dropped. */
static pith_status check_readers(const pith_graph *graph, pith_error *error) {
  for (uint32_t n = 0; n < graph->node_count; n++) {
    const pith_node *node = &graph->nodes[n];
    for (uint32_t i = 0; i < node->input_count; i++)
      if (node->inputs[i] != PITH_NONE && makes_integers(pith_graph_get_producer(graph, node->inputs[i])) &&
          node->op->id != PITH_OP_DEQUANTIZE_LINEAR)
        return pith_fail(error, PITH_UNSUPPORTED, "node '%s' reads '%s' as integers", node->name,
                         graph->tensors[node->inputs[i]].name);
  }
  for (uint32_t i = 0; i < graph->output_count; i++)
    if (makes_integers(pith_graph_get_producer(graph, graph->outputs[i])))
      return pith_fail(error, PITH_UNSUPPORTED, "output '%s' is integers", graph->tensors[graph->outputs[i]].name);
  return PITH_OK;
}

static pith_status rewrite(pith_rewriter *rewriter, pith_graph **out_graph) {
  const pith_graph *graph = rewriter->from;
  for (uint32_t n = 0; n < graph->node_count && rewriter->builder.status == PITH_OK; n++) {
    const pith_node *node = &graph->nodes[n];
    if (makes_integers(node))
      continue;
    const bool dequantizes = node->op->id == PITH_OP_DEQUANTIZE_LINEAR;
    const pith_node *producer = dequantizes ? pith_graph_get_producer(graph, node->inputs[0]) : NULL;
    if (makes_integers(producer))
      pith_rewriter_set(rewriter, node->outputs[0], pith_rewriter_get(rewriter, producer->inputs[0]));
    else if (dequantizes && pith_tensor_is_data(&graph->tensors[node->inputs[0]]))
      add_float_data(rewriter, node);
    else
      add_float_node(rewriter, node);
  }
  return pith_rewriter_finish(rewriter, out_graph);
}

pith_status pith_dequantize_graph(const pith_graph *graph, const pith_allocator *allocator, pith_graph **out_graph,
                                  pith_error *error) {
  PITH_TRY(check_readers(graph, error));
  pith_rewriter rewriter;
  pith_status status = pith_rewriter_init(&rewriter, graph, allocator, error);
  if (status == PITH_OK)
    status = rewrite(&rewriter, out_graph);
  pith_rewriter_deinit(&rewriter);
  return status;
}
