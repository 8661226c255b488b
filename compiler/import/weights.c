#include "compiler/import/weights.h"

#include "engine/base/random.h"
#include "engine/format/stored_layout.h"
#include "engine/ir/operator.h"

static uint64_t count_elements(const pith_tensor *tensor) {
  uint64_t count = 1; /* the builder has checked that the bytes do not overflow */
  for (uint32_t i = 0; i < tensor->rank; i++)
    count *= (uint64_t)tensor->dims[i].constant;
  return count;
}

static pith_status fill_tensor(pith_graph *graph, pith_tensor_id id,
                               const pith_weight_source *source, pith_arena *arena,
                               pith_error *error) {
  const pith_tensor *tensor = &graph->tensors[id];
  uint64_t count = count_elements(tensor);
  /* Data are 64-byte aligned; the arena aligns pieces of at least 64 bytes so. */
  uint64_t bytes = tensor->data_bytes < 64 ? 64 : tensor->data_bytes;
  float *stored = pith_arena_array(arena, bytes, 1);
  if (stored == NULL)
    return pith_fail(error, PITH_OUT_OF_MEMORY, "parameter '%s': no memory for %llu bytes",
                     tensor->name, (unsigned long long)bytes);
  pith_graph_set_data(graph, id, stored, tensor->data_bytes);
  if (tensor->layout == PITH_LAYOUT_ROW_MAJOR)
    return source->read(source->context, graph, id, count, stored, error);

  float *plain = pith_allocate(arena->allocator, count * sizeof *plain);
  if (plain == NULL)
    return pith_fail(error, PITH_OUT_OF_MEMORY, "parameter '%s': no memory for %llu values",
                     tensor->name, (unsigned long long)count);
  pith_status status = source->read(source->context, graph, id, count, plain, error);
  if (status == PITH_OK)
    status = pith_layout_convert(tensor->dtype, tensor->rank, tensor->dims, PITH_LAYOUT_ROW_MAJOR,
                                 plain, tensor->layout, stored, arena->allocator, error);
  pith_release(arena->allocator, plain, count * sizeof *plain);
  return status;
}

pith_status pith_weights_fill(pith_graph *graph, const pith_weight_source *source,
                              pith_arena *arena, pith_error *error) {
  uint64_t total = 0, done = 0; /* the builder has checked each; their sum is for show */
  for (pith_tensor_id id = 0; id < graph->tensor_count; id++)
    if (graph->tensors[id].kind == PITH_TENSOR_PARAMETER)
      total += graph->tensors[id].data_bytes;
  for (pith_tensor_id id = 0; id < graph->tensor_count; id++) {
    if (graph->tensors[id].kind != PITH_TENSOR_PARAMETER)
      continue;
    pith_watcher_tell(source->watcher, "weights", done, total);
    PITH_TRY(fill_tensor(graph, id, source, arena, error));
    done += graph->tensors[id].data_bytes;
  }
  return PITH_OK;
}

static bool is_scale(const pith_graph *graph, pith_tensor_id tensor) {
  for (uint32_t i = 0; i < graph->node_count; i++) {
    const pith_node *node = &graph->nodes[i];
    if (node->op->id == PITH_OP_LAYER_NORMALIZATION && node->input_count > 1 &&
        node->inputs[1] == tensor)
      return true;
  }
  return false;
}

static pith_status read_random(void *context, const pith_graph *graph, pith_tensor_id id,
                               uint64_t count, float *out_values, pith_error *error) {
  (void)error;
  const pith_random_weights *weights = context;
  const pith_tensor *tensor = &graph->tensors[id];
  if (tensor->rank == 1) {
    float value = is_scale(graph, id) ? 1.0f : 0.0f;
    for (uint64_t i = 0; i < count; i++)
      out_values[i] = value;
    return PITH_OK;
  }
  pith_random_normal(weights->seed, pith_random_stream(tensor->name), weights->deviation, count,
                     out_values);
  return PITH_OK;
}

pith_weight_source pith_random_weights_get_source(pith_random_weights *weights) {
  return (pith_weight_source){read_random, weights, NULL};
}
