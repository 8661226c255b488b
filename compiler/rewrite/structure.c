#include "compiler/rewrite/structure.h"

#include "engine/ir/operator.h"

uint32_t pith_readers_count(const pith_graph *graph, const pith_readers *readers,
                            pith_tensor_id tensor) {
  return readers->first[tensor + 1] - readers->first[tensor] + pith_graph_is_output(graph, tensor);
}

bool pith_product_owns_data(const pith_graph *graph, const pith_readers *readers,
                            const pith_node *gemm) {
  const pith_tensor_id bias = gemm->input_count > 2 ? gemm->inputs[2] : PITH_NONE;
  return pith_readers_count(graph, readers, gemm->inputs[1]) == 1 &&
         (bias == PITH_NONE ||
          (pith_readers_count(graph, readers, bias) == 1 && graph->tensors[bias].rank == 1));
}

int64_t pith_lookup_find_rows(const pith_graph *graph, const char *input) {
  for (uint32_t n = 0; n < graph->node_count; n++) {
    const pith_node *node = &graph->nodes[n];
    if (node->op->id == PITH_OP_GATHER && strcmp(graph->tensors[node->inputs[1]].name, input) == 0 &&
        pith_dim_is_constant(&graph->tensors[node->inputs[0]].dims[0]))
      return graph->tensors[node->inputs[0]].dims[0].constant;
  }
  return 0;
}

static bool is_elementwise(const pith_node *node) {
  switch (node->op->id) {
  case PITH_OP_ADD:
  case PITH_OP_SUB:
  case PITH_OP_MUL:
  case PITH_OP_DIV:
  case PITH_OP_ERF:
  case PITH_OP_TANH:
  case PITH_OP_SIGMOID:
  case PITH_OP_RELU:
  case PITH_OP_GELU:
  case PITH_OP_IDENTITY:
    return true;
  default:
    return false;
  }
}

/* Data that says the same to every feature. */
static bool is_scalar(const pith_tensor *tensor) {
  for (uint32_t d = 0; d < tensor->rank; d++)
    if (!pith_dim_is_constant(&tensor->dims[d]) || tensor->dims[d].constant != 1)
      return false;
  return pith_tensor_is_data(tensor);
}

static bool holds(const pith_feature_chain *chain, const pith_node *node) {
  for (uint32_t i = 0; i < chain->count; i++)
    if (chain->between[i] == node)
      return true;
  return false;
}

/* Goes one tensor back; false: it is not a feature of the first product. */
static bool follow(const pith_graph *graph, pith_tensor_id id, pith_feature_chain *chain) {
  const pith_node *node = pith_graph_get_producer(graph, id);
  if (node == NULL)
    return id != PITH_NONE && is_scalar(&graph->tensors[id]);
  if (node->op->id == PITH_OP_GEMM) {
    const bool same = chain->first == NULL || chain->first == node;
    chain->first = node;
    return same;
  }
  if (!is_elementwise(node) && node->op->id != PITH_OP_PACKED_ATTENTION)
    return false;
  if (holds(chain, node))
    return true;
  if (chain->count == PITH_CHAIN_NODES)
    return false;
  chain->between[chain->count++] = node;
  return true;
}

static bool reads_only_chain(const pith_graph *graph, const pith_readers *readers,
                             const pith_feature_chain *chain, pith_tensor_id tensor) {
  for (uint32_t i = readers->first[tensor]; i < readers->first[tensor + 1]; i++) {
    const pith_node *node = &graph->nodes[readers->all[i].node];
    const uint32_t wanted = node->op->id == PITH_OP_PACKED_ATTENTION ? 2 : readers->all[i].input;
    if (!(node == chain->second && readers->all[i].input == 0) &&
        !(holds(chain, node) && readers->all[i].input == wanted))
      return false;
  }
  return !pith_graph_is_output(graph, tensor);
}

bool pith_feature_chain_find(const pith_graph *graph, const pith_readers *readers,
                             const pith_node *second, pith_feature_chain *out_chain) {
  *out_chain = (pith_feature_chain){.second = second};
  if (second->op->id != PITH_OP_GEMM || !follow(graph, second->inputs[0], out_chain))
    return false;
  for (uint32_t i = 0; i < out_chain->count; i++) { /* grows on the way */
    const pith_node *node = out_chain->between[i];
    const bool attends = node->op->id == PITH_OP_PACKED_ATTENTION;
    for (uint32_t k = attends ? 2 : 0; k < (attends ? 3 : node->input_count); k++)
      if (!follow(graph, node->inputs[k], out_chain))
        return false;
  }
  if (out_chain->first == NULL || out_chain->first == second ||
      !reads_only_chain(graph, readers, out_chain, out_chain->first->outputs[0]))
    return false;
  for (uint32_t i = 0; i < out_chain->count; i++)
    if (!reads_only_chain(graph, readers, out_chain, out_chain->between[i]->outputs[0]))
      return false;
  return true;
}

bool pith_feature_chain_is(const pith_feature_chain *chain, int op) {
  return chain->count == 1 && (int)chain->between[0]->op->id == op;
}

static const pith_node *find_own_product(const pith_graph *graph, const pith_readers *readers,
                                         pith_tensor_id tensor) {
  const pith_node *node = pith_graph_get_producer(graph, tensor);
  return node != NULL && node->op->id == PITH_OP_GEMM &&
                 pith_readers_count(graph, readers, tensor) == 1
             ? node
             : NULL;
}

bool pith_attention_block_find(const pith_graph *graph, const pith_readers *readers,
                               const pith_feature_chain *chain, pith_attention_block *out_block) {
  if (!pith_feature_chain_is(chain, PITH_OP_PACKED_ATTENTION))
    return false;
  const pith_node *attention = chain->between[0];
  *out_block =
      (pith_attention_block){.query = find_own_product(graph, readers, attention->inputs[0]),
                             .key = find_own_product(graph, readers, attention->inputs[1]),
                             .value = chain->first,
                             .attention = attention,
                             .output = chain->second};
  return out_block->query != NULL && out_block->key != NULL;
}

/* What alone reads a tensor, where it is that operator; else NULL. */
static const pith_node *find_only_reader(const pith_graph *graph, const pith_readers *readers,
                                         pith_tensor_id tensor, int op) {
  if (pith_readers_count(graph, readers, tensor) != 1 || pith_graph_is_output(graph, tensor))
    return NULL;
  const pith_node *node = &graph->nodes[readers->all[readers->first[tensor]].node];
  return (int)node->op->id == op ? node : NULL;
}

static bool same_shape(const pith_tensor *a, const pith_tensor *b) {
  bool same = a->rank == b->rank && a->dtype == b->dtype;
  for (uint32_t d = 0; d < a->rank && same; d++)
    same = pith_dim_equal(&a->dims[d], &b->dims[d]);
  return same;
}

pith_tensor_id pith_product_find_residual(const pith_graph *graph, const pith_readers *readers,
                                          const pith_node *gemm) {
  const pith_tensor_id y = gemm->outputs[0];
  const pith_node *sum = find_only_reader(graph, readers, y, PITH_OP_ADD);
  if (sum == NULL)
    return PITH_NONE;
  const pith_tensor_id other = sum->inputs[sum->inputs[0] == y];
  const pith_tensor *tensor = &graph->tensors[other];
  return tensor->kind == PITH_TENSOR_VALUE && same_shape(tensor, &graph->tensors[y]) ? other : PITH_NONE;
}

bool pith_residual_find(const pith_graph *graph, const pith_readers *readers, pith_tensor_id input,
                        const pith_node *last, pith_residual *out_residual) {
  const pith_tensor_id y = last->outputs[0];
  const pith_node *sum = find_only_reader(graph, readers, y, PITH_OP_ADD);
  if (sum == NULL || sum->inputs[0] == sum->inputs[1])
    return false;
  const pith_tensor_id other = sum->inputs[sum->inputs[0] == y];
  if (other == input) {
    const pith_node *norm =
        find_only_reader(graph, readers, sum->outputs[0], PITH_OP_LAYER_NORMALIZATION);
    if (norm == NULL || norm->inputs[0] != sum->outputs[0])
      return false;
    *out_residual = (pith_residual){input, norm->outputs[0]};
  } else {
    const pith_node *norm = pith_graph_get_producer(graph, input);
    if (norm == NULL || norm->op->id != PITH_OP_LAYER_NORMALIZATION || norm->inputs[0] != other)
      return false;
    *out_residual = (pith_residual){other, sum->outputs[0]};
  }
  return same_shape(&graph->tensors[out_residual->in], &graph->tensors[out_residual->out]);
}
