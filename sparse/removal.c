#include "sparse/removal.h"

#include "engine/format/stored_layout.h"
#include "engine/ir/operator.h"

pith_status pith_removal_init(pith_removal *removal, const pith_graph *graph, pith_arena *arena,
                              pith_error *error) {
  const size_t tensors = graph->tensor_count;
  *removal = (pith_removal){
      .graph = graph,
      .rows = PITH_ARENA_NEW(arena, pith_kept, tensors),
      .columns = PITH_ARENA_NEW(arena, pith_kept, tensors),
      .values = PITH_ARENA_NEW(arena, const float *, tensors),
      .features = PITH_ARENA_NEW(arena, int64_t, tensors),
      .bypass = PITH_ARENA_NEW(arena, pith_tensor_id, tensors),
      .attributes = PITH_ARENA_NEW(arena, pith_attribute_change, graph->node_count),
  };
  if (removal->rows == NULL || removal->columns == NULL || removal->values == NULL ||
      removal->features == NULL || removal->bypass == NULL || removal->attributes == NULL)
    return pith_fail(error, PITH_OUT_OF_MEMORY, "no memory to take parts out of graph '%s'",
                     graph->name);
  for (size_t i = 0; i < tensors; i++)
    removal->bypass[i] = PITH_NONE;
  return PITH_OK;
}

pith_kept pith_kept_without(const bool *removed, size_t total, pith_arena *arena) {
  uint32_t *places = PITH_ARENA_NEW(arena, uint32_t, total);
  size_t count = 0;
  for (size_t i = 0; i < total && places != NULL; i++)
    if (!removed[i])
      places[count++] = (uint32_t)i;
  return (pith_kept){places, count};
}

/* What stands for a tensor: bypasses may follow one another. */
static pith_tensor_id resolve(const pith_removal *removal, pith_tensor_id id) {
  while (id != PITH_NONE && removal->bypass[id] != PITH_NONE)
    id = removal->bypass[id];
  return id;
}

/* Nodes that something still reads. */
static bool *find_needed(const pith_removal *removal, pith_arena *arena) {
  const pith_graph *graph = removal->graph;
  bool *tensors = PITH_ARENA_NEW(arena, bool, graph->tensor_count);
  bool *nodes = PITH_ARENA_NEW(arena, bool, graph->node_count);
  if (tensors == NULL || nodes == NULL)
    return NULL;
  for (uint32_t i = 0; i < graph->output_count; i++)
    tensors[resolve(removal, graph->outputs[i])] = true;
  for (uint32_t n = graph->node_count; n-- > 0;) {
    const pith_node *node = &graph->nodes[n];
    for (uint32_t i = 0; i < node->output_count; i++)
      nodes[n] |= tensors[node->outputs[i]];
    for (uint32_t i = 0; nodes[n] && i < node->input_count; i++)
      if (node->inputs[i] != PITH_NONE)
        tensors[resolve(removal, node->inputs[i])] = true;
  }
  return nodes;
}

static void copy_kept(const pith_tensor *tensor, pith_kept rows, pith_kept columns,
                      const float *values, float *out) {
  const size_t width = tensor->rank == 1 ? 1 : (size_t)tensor->dims[1].constant;
  const size_t row_count = rows.places == NULL ? (size_t)tensor->dims[0].constant : rows.count;
  for (size_t r = 0; r < row_count; r++) {
    const float *row = values + (rows.places == NULL ? r : rows.places[r]) * width;
    if (columns.places == NULL) {
      memcpy(out, row, width * sizeof *out);
      out += width;
      continue;
    }
    for (size_t c = 0; c < columns.count; c++)
      *out++ = row[columns.places[c]];
  }
}

/* Data with what stays of it, in the old one's place. */
static void add_shrunk(const pith_removal *removal, pith_rewriter *rewriter, pith_tensor_id id) {
  pith_builder *builder = &rewriter->builder;
  const pith_tensor *old = &removal->graph->tensors[id];
  const pith_kept rows = removal->rows[id], columns = removal->columns[id];
  pith_tensor tensor = *old;
  if (old->pattern.kind != PITH_PATTERN_DENSE)
    pith_builder_fail(builder, PITH_INVALID_ARGUMENT,
                      "tensor '%s' has a pattern of zeros, which removal would break: remove "
                      "before pruning weights",
                      old->name);
  const float *values = pith_rewriter_read(rewriter, id);
  if (values == NULL)
    return;
  if (rows.places != NULL)
    tensor.dims[0] = pith_dim_of((int64_t)rows.count);
  if (columns.places != NULL)
    tensor.dims[1] = pith_dim_of((int64_t)columns.count);
  uint64_t bytes = 0;
  if (builder->status == PITH_OK)
    builder->status = pith_layout_get_bytes(PITH_LAYOUT_ROW_MAJOR, tensor.dtype, tensor.rank,
                                            tensor.dims, &bytes, builder->error);
  float *kept = pith_arena_array(&rewriter->values, bytes < 64 ? 64 : bytes, 1);
  if (kept == NULL)
    pith_builder_fail(builder, PITH_OUT_OF_MEMORY, "tensor '%s': no memory to shrink it",
                      old->name);
  if (builder->status != PITH_OK)
    return;
  if (removal->values[id] == NULL)
    copy_kept(old, rows, columns, values, kept);
  pith_rewriter_set(rewriter, id,
                    pith_rewriter_add_values(rewriter, &tensor,
                                             removal->values[id] == NULL ? kept
                                                                         : removal->values[id]));
}

static pith_tensor_id get(const pith_removal *removal, pith_rewriter *rewriter,
                          pith_tensor_id old) {
  const pith_tensor_id id = resolve(removal, old);
  if (id != PITH_NONE && rewriter->map[id] == PITH_NONE && rewriter->builder.status == PITH_OK &&
      (removal->rows[id].places != NULL || removal->columns[id].places != NULL ||
       removal->values[id] != NULL))
    add_shrunk(removal, rewriter, id);
  return pith_rewriter_get(rewriter, id);
}

static void add_node(const pith_removal *removal, pith_rewriter *rewriter, const pith_node *node) {
  pith_tensor_id inputs[PITH_MAX_PORTS];
  for (uint32_t i = 0; i < node->input_count; i++)
    inputs[i] = get(removal, rewriter, node->inputs[i]);
  pith_node copy = *node;
  pith_attribute attributes[PITH_MAX_ATTRIBUTES];
  const pith_attribute_change *change = &removal->attributes[node - removal->graph->nodes];
  for (uint32_t i = 0; change->name != NULL && node->op->attributes[i].name != NULL; i++) {
    attributes[i] = node->attributes[i];
    if (strcmp(node->op->attributes[i].name, change->name) == 0)
      attributes[i].i = change->value;
    copy.attributes = attributes;
  }
  pith_rewriter_add_node(rewriter, &copy, inputs);
  for (uint32_t i = 0; i < node->output_count && rewriter->builder.status == PITH_OK; i++) {
    const pith_tensor_id id = node->outputs[i];
    pith_tensor *tensor = &rewriter->builder.graph->tensors[rewriter->map[id]];
    if (removal->features[id] != 0)
      tensor->dims[tensor->rank - 1] = pith_dim_of(removal->features[id]);
  }
}

/* An output whose tensor left is the one in its place, under the output's name. */
static void keep_output(const pith_removal *removal, pith_rewriter *rewriter, pith_tensor_id old) {
  pith_builder *builder = &rewriter->builder;
  const pith_tensor_id made = get(removal, rewriter, old);
  if (resolve(removal, old) == old || builder->status != PITH_OK)
    return;
  const char *name = removal->graph->tensors[old].name;
  const char *copy = pith_arena_string(&builder->graph->arena, name, strlen(name));
  if (copy == NULL) {
    pith_builder_fail(builder, PITH_OUT_OF_MEMORY, "no memory for output '%s'", name);
    return;
  }
  builder->graph->tensors[made].name = copy;
  pith_rewriter_set(rewriter, old, made);
}

static pith_status apply(const pith_removal *removal, pith_rewriter *rewriter,
                         pith_graph **out_graph, pith_error *error) {
  const pith_graph *graph = removal->graph;
  const bool *needed = find_needed(removal, &rewriter->scratch);
  if (needed == NULL)
    return pith_fail(error, PITH_OUT_OF_MEMORY, "no memory to take parts out of graph '%s'",
                     graph->name);
  for (uint32_t n = 0; n < graph->node_count && rewriter->builder.status == PITH_OK; n++)
    if (needed[n])
      add_node(removal, rewriter, &graph->nodes[n]);
  for (uint32_t i = 0; i < graph->output_count; i++)
    keep_output(removal, rewriter, graph->outputs[i]);
  return pith_rewriter_finish(rewriter, out_graph);
}

pith_status pith_removal_apply(const pith_removal *removal, const pith_allocator *allocator,
                               pith_graph **out_graph, pith_error *error) {
  pith_rewriter rewriter;
  pith_status status = pith_rewriter_init(&rewriter, removal->graph, allocator, error);
  if (status == PITH_OK)
    status = apply(removal, &rewriter, out_graph, error);
  pith_rewriter_deinit(&rewriter);
  return status;
}
