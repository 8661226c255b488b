#include "sparse/weights.h"

#include "compiler/rewrite/rewriter.h"
#include "engine/format/stored_layout.h"
#include "engine/ir/operator.h"

/* ---- reading --------------------------------------------------------------------------------------------------------- */

static pith_status read_weight(pith_prune_weights *weights, uint32_t i, pith_rewriter *reader, pith_error *error) {
  const pith_prune_target *target = &weights->targets.list[i];
  pith_mask_part *part = &weights->parts[i];
  const size_t count = target->n * target->k;
  *part = (pith_mask_part){.name = target->name, .grid = pith_mask_grid_make(&weights->pattern, target->n, target->k)};
  weights->values[i] = PITH_ARENA_NEW(&weights->arena, float, count);
  part->removed = PITH_ARENA_NEW(&weights->arena, uint8_t, pith_mask_grid_count(&part->grid));
  if (weights->values[i] == NULL || part->removed == NULL)
    return pith_fail(error, PITH_OUT_OF_MEMORY, "tensor '%s': no memory to prune it", target->name);
  const float *values = pith_rewriter_read(reader, target->weight);
  if (values == NULL)
    return reader->builder.status;
  memcpy(weights->values[i], values, count * sizeof *values);
  weights->elements += count;
  return PITH_OK;
}

static pith_status read_all(pith_prune_weights *weights, const pith_graph *graph, const pith_allocator *allocator,
                            pith_error *error) {
  const uint32_t count = weights->targets.count;
  weights->values = PITH_ARENA_NEW(&weights->arena, float *, count);
  weights->parts = PITH_ARENA_NEW(&weights->arena, pith_mask_part, count);
  weights->data = PITH_ARENA_NEW(&weights->arena, const float *, graph->tensor_count);
  if (weights->values == NULL || weights->parts == NULL || weights->data == NULL)
    return pith_fail(error, PITH_OUT_OF_MEMORY, "no memory to prune %u weights", count);
  pith_rewriter reader;
  pith_status status = pith_rewriter_init(&reader, graph, allocator, error);
  for (uint32_t i = 0; i < count && status == PITH_OK; i++)
    status = read_weight(weights, i, &reader, error);
  pith_rewriter_deinit(&reader);
  return status;
}

pith_status pith_prune_weights_init(pith_prune_weights *weights, const pith_graph *graph, const pith_name_patterns *exclude,
                                    const pith_pattern *pattern, const pith_allocator *allocator, pith_error *error) {
  *weights = (pith_prune_weights){.pattern = *pattern};
  pith_arena_init(&weights->arena, allocator);
  PITH_TRY(pith_prune_find_targets(graph, exclude, &weights->arena, &weights->targets, error));
  return read_all(weights, graph, allocator, error);
}

void pith_prune_weights_deinit(pith_prune_weights *weights) {
  pith_arena_deinit(&weights->arena);
}

uint64_t pith_prune_weights_count_zeros(const pith_prune_weights *weights) {
  uint64_t zeros = 0;
  for (uint32_t i = 0; i < weights->targets.count; i++)
    for (size_t e = 0; e < weights->targets.list[i].n * weights->targets.list[i].k; e++)
      zeros += weights->values[i][e] == 0.0f;
  return zeros;
}

/* ---- choosing -------------------------------------------------------------------------------------------------------- */

pith_status pith_prune_select(pith_mask_part *parts, uint32_t count, const pith_pattern *pattern,
                              const pith_prune_options *options, double sparsity, pith_error *error) {
  if (options->scope == PITH_PRUNE_GLOBAL && pattern->kind != PITH_PATTERN_N_OF_M)
    return pith_mask_select(parts, count, sparsity, options->minimum, options->maximum, error);
  for (uint32_t i = 0; i < count; i++)
    if (pattern->kind == PITH_PATTERN_N_OF_M)
      pith_mask_select_n_of_m(&parts[i], pattern);
    else
      PITH_TRY(pith_mask_select(&parts[i], 1, sparsity, 0, 1, error));
  return PITH_OK;
}

pith_status pith_prune_select_magnitude(pith_prune_weights *weights, const pith_prune_options *options, double sparsity,
                                        pith_error *error) {
  pith_arena arena;
  pith_arena_init(&arena, weights->arena.allocator);
  pith_status status = PITH_OK;
  for (uint32_t i = 0; i < weights->targets.count && status == PITH_OK; i++) {
    pith_mask_part *part = &weights->parts[i];
    float *scores = PITH_ARENA_NEW(&arena, float, pith_mask_grid_count(&part->grid));
    part->scores = scores;
    if (scores == NULL)
      status = pith_fail(error, PITH_OUT_OF_MEMORY, "tensor '%s': no memory for its scores", part->name);
    else
      pith_mask_score_magnitude(&part->grid, weights->values[i], scores);
  }
  if (status == PITH_OK)
    status = pith_prune_select(weights->parts, weights->targets.count, &weights->pattern, options, sparsity, error);
  for (uint32_t i = 0; i < weights->targets.count; i++)
    weights->parts[i].scores = NULL;
  pith_arena_deinit(&arena);
  return status;
}

/* ---- storing --------------------------------------------------------------------------------------------------------- */

static void store_weight(const pith_prune_weights *weights, uint32_t i, pith_rewriter *rewriter) {
  pith_builder *builder = &rewriter->builder;
  pith_tensor tensor = rewriter->from->tensors[weights->targets.list[i].weight];
  tensor.layout = PITH_LAYOUT_N64_F32;
  tensor.pattern = weights->pattern;
  if (builder->status == PITH_OK)
    builder->status = pith_layout_get_bytes(tensor.layout, tensor.dtype, tensor.rank, tensor.dims, &tensor.data_bytes,
                                            builder->error);
  void *stored = pith_rewriter_allocate(rewriter, (size_t)tensor.data_bytes, 1);
  if (stored == NULL)
    return;
  builder->status = pith_pattern_count_kept(&weights->pattern, weights->targets.list[i].n, weights->targets.list[i].k,
                                            weights->values[i], true, &tensor.kept, builder->error);
  if (builder->status == PITH_OK)
    builder->status = pith_layout_convert(tensor.dtype, tensor.rank, tensor.dims, PITH_LAYOUT_ROW_MAJOR, weights->values[i],
                                          tensor.layout, stored, rewriter->scratch.allocator, builder->error);
  tensor.data = stored;
  pith_tensor_id made = PITH_NONE;
  if (builder->status == PITH_OK)
    builder->status = pith_graph_add_tensor(builder->graph, &tensor, &made, builder->error);
  pith_rewriter_set(rewriter, weights->targets.list[i].weight, made);
}

/* Biases that took up means. */
static void store_bias(const pith_prune_weights *weights, pith_tensor_id id, pith_rewriter *rewriter) {
  pith_builder *builder = &rewriter->builder;
  pith_tensor tensor = rewriter->from->tensors[id];
  void *stored = pith_rewriter_allocate(rewriter, (size_t)tensor.data_bytes, 1);
  if (stored == NULL)
    return;
  tensor.data = memcpy(stored, weights->data[id], (size_t)tensor.data_bytes);
  pith_tensor_id made = PITH_NONE;
  builder->status = pith_graph_add_tensor(builder->graph, &tensor, &made, builder->error);
  pith_rewriter_set(rewriter, id, made);
}

static pith_status store_all(const pith_prune_weights *weights, pith_rewriter *rewriter, pith_graph **out_graph) {
  const pith_graph *graph = rewriter->from;
  for (uint32_t i = 0; i < weights->targets.count; i++)
    store_weight(weights, i, rewriter);
  for (uint32_t t = 0; t < graph->tensor_count; t++)
    if (weights->data[t] != NULL && graph->tensors[t].rank == 1)
      store_bias(weights, t, rewriter);
  for (uint32_t n = 0; n < graph->node_count && rewriter->builder.status == PITH_OK; n++) {
    pith_tensor_id inputs[PITH_MAX_PORTS];
    for (uint32_t i = 0; i < graph->nodes[n].input_count; i++)
      inputs[i] = pith_rewriter_get(rewriter, graph->nodes[n].inputs[i]);
    pith_rewriter_add_node(rewriter, &graph->nodes[n], inputs);
  }
  return pith_rewriter_finish(rewriter, out_graph);
}

pith_status pith_prune_weights_store(const pith_prune_weights *weights, const pith_graph *graph,
                                     const pith_allocator *allocator, pith_graph **out_graph, pith_error *error) {
  pith_rewriter rewriter;
  pith_status status = pith_rewriter_init(&rewriter, graph, allocator, error);
  if (status == PITH_OK)
    status = store_all(weights, &rewriter, out_graph);
  pith_rewriter_deinit(&rewriter);
  return status;
}
