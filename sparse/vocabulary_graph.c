/* The rows of words in a graph: the table that ids look up, and the decoder. */
#include "compiler/rewrite/structure.h"
#include "engine/ir/operator.h"
#include "sparse/removal.h"
#include "sparse/vocabulary_internal.h"

int64_t pith_vocabulary_find_padding(const pith_graph *graph) {
  for (uint32_t n = 0; n < graph->node_count; n++)
    if (graph->nodes[n].op->id == PITH_OP_PACKED_POSITIONS)
      return pith_node_get_attribute(&graph->nodes[n], "padding_id")->i;
  return -1;
}

/* What input_ids looks up; PITH_NONE: nothing. */
static pith_tensor_id find_table(const pith_graph *graph) {
  for (uint32_t n = 0; n < graph->node_count; n++) {
    const pith_node *node = &graph->nodes[n];
    if (node->op->id == PITH_OP_GATHER && pith_tensor_is_data(&graph->tensors[node->inputs[0]]) &&
        graph->tensors[node->inputs[0]].rank == 2 &&
        pith_node_get_attribute(node, "axis")->i == 0 &&
        strcmp(graph->tensors[node->inputs[1]].name, "input_ids") == 0)
      return node->inputs[0];
  }
  return PITH_NONE;
}

/* Whether a product's outputs are the words: its weights are the table, or the model fills masks
 * and gives one number for each word, with or without a bias added. */
static bool is_decoder(const pith_model_data *data, const pith_readers *readers,
                       const pith_node *node, pith_tensor_id table) {
  const pith_graph *graph = data->graph;
  if (node->op->id != PITH_OP_GEMM || pith_node_get_attribute(node, "transB")->i != 1)
    return false;
  if (node->inputs[1] == table)
    return true;
  const pith_tensor *weight = &graph->tensors[node->inputs[1]];
  if (data->task != PITH_TASK_FILL_MASK || !pith_tensor_is_data(weight) ||
      weight->dims[0].constant != graph->tensors[table].dims[0].constant)
    return false;
  pith_tensor_id out = node->outputs[0];
  if (!pith_graph_is_output(graph, out) && pith_readers_count(graph, readers, out) == 1) {
    const pith_node *next = &graph->nodes[readers->all[readers->first[out]].node];
    out = next->op->id == PITH_OP_ADD ? next->outputs[0] : out;
  }
  return pith_graph_is_output(graph, out);
}

/* Everything after a decoder that has a feature for each word. */
static void spread(pith_removal *removal, const pith_node *node, int64_t words, pith_kept rows) {
  const pith_graph *graph = removal->graph;
  bool reached = false;
  for (uint32_t i = 0; i < node->input_count; i++)
    reached |= node->inputs[i] != PITH_NONE && removal->features[node->inputs[i]] != 0;
  for (uint32_t i = 0; reached && i < node->input_count; i++)
    if (pith_tensor_is_data(&graph->tensors[node->inputs[i]]) && graph->tensors[node->inputs[i]].rank == 1 &&
        graph->tensors[node->inputs[i]].dims[0].constant == words)
      removal->rows[node->inputs[i]] = rows;
  const pith_tensor *out = &graph->tensors[node->outputs[0]];
  if (reached && pith_dim_is_constant(&out->dims[out->rank - 1]) &&
      out->dims[out->rank - 1].constant == words)
    removal->features[node->outputs[0]] = (int64_t)rows.count;
}

static pith_status plan(const pith_model_data *data, pith_tensor_id table, pith_kept rows,
                        const int32_t *new_ids, pith_arena *arena, pith_removal *removal,
                        pith_error *error) {
  const pith_graph *graph = data->graph;
  pith_readers readers;
  PITH_TRY(pith_readers_find(graph, arena, &readers, error));
  PITH_TRY(pith_removal_init(removal, graph, arena, error));
  const int64_t words = graph->tensors[table].dims[0].constant;
  removal->rows[table] = rows;
  for (uint32_t n = 0; n < graph->node_count; n++) {
    const pith_node *node = &graph->nodes[n];
    if (is_decoder(data, &readers, node, table)) {
      removal->rows[node->inputs[1]] = rows;
      if (node->input_count > 2 && node->inputs[2] != PITH_NONE)
        removal->rows[node->inputs[2]] = rows;
      removal->features[node->outputs[0]] = (int64_t)rows.count;
    } else if (node->op->id == PITH_OP_PACKED_POSITIONS) {
      const int64_t padding = pith_node_get_attribute(node, "padding_id")->i;
      if (padding >= 0)
        removal->attributes[n] = (pith_attribute_change){"padding_id", new_ids[padding]};
    } else {
      for (uint32_t i = 0; i < node->input_count; i++)
        if (node->inputs[i] == table &&
            (node->op->id != PITH_OP_GATHER || i != 0 ||
             strcmp(graph->tensors[node->inputs[1]].name, "input_ids") != 0))
          return pith_fail(error, PITH_INVALID_ARGUMENT,
                           "node '%s' (%s) reads the words' table '%s' in a way that is neither "
                           "looking input_ids up nor decoding",
                           node->name, node->op->name, graph->tensors[table].name);
      spread(removal, node, words, rows);
    }
  }
  return PITH_OK;
}

pith_status pith_vocabulary_shrink_graph(const pith_model_data *data, const int32_t *new_ids,
                                         uint32_t count, const pith_allocator *allocator,
                                         uint32_t *out_before, pith_graph **out_graph,
                                         pith_error *error) {
  const pith_graph *graph = data->graph;
  const uint32_t tokens = data->tokenizer->token_count;
  const pith_tensor_id table = find_table(graph);
  if (table == PITH_NONE || graph->tensors[table].dims[0].constant < (int64_t)tokens)
    return pith_fail(error, PITH_INVALID_ARGUMENT,
                     "graph '%s' looks input_ids up in no table of %u rows or more", graph->name,
                     tokens);
  *out_before = (uint32_t)graph->tensors[table].dims[0].constant;
  pith_arena arena;
  pith_arena_init(&arena, allocator);
  uint32_t *places = PITH_ARENA_NEW(&arena, uint32_t, count);
  pith_removal removal;
  pith_status status = PITH_OK;
  if (places == NULL)
    status = pith_fail(error, PITH_OUT_OF_MEMORY, "no memory for %u words", count);
  for (uint32_t id = 0; id < tokens && status == PITH_OK; id++)
    if (new_ids[id] >= 0)
      places[new_ids[id]] = id;
  if (status == PITH_OK)
    status = plan(data, table, (pith_kept){places, count}, new_ids, &arena, &removal, error);
  if (status == PITH_OK)
    status = pith_removal_apply(&removal, allocator, out_graph, error);
  pith_arena_deinit(&arena);
  return status;
}
