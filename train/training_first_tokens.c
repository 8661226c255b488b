/* Where a model's answer is of sequences' first tokens alone (SequencePool cls), no other row of what is computed token by token is read
 * behind the last attention: what stands there gets a row a sequence, and the attention a query a sequence. Values and gradients
 * are the same, for every other row of a gradient would be 0. */
#include <stdio.h>

#include "engine/ir/operator.h"
#include "train/training_graph_internal.h"

static bool is_pool(const pith_node *node) {
  return node->op->id == PITH_OP_SEQUENCE_POOL && pith_node_get_attribute(node, "mode")->i == PITH_POOL_CLS;
}

/* Whether row i of the output is of row i of each input of which `out_rows` has a bit, and of data or what all rows share. */
static bool goes_by_rows(const pith_graph *graph, const pith_node *node, uint32_t *out_rows) {
  *out_rows = 1;
  if (node->output_count != 1 || graph->tensors[node->outputs[0]].rank != 2)
    return false;
  switch (node->op->id) {
  case PITH_OP_GELU:
  case PITH_OP_RELU:
  case PITH_OP_TANH:
  case PITH_OP_ERF:
  case PITH_OP_SIGMOID:
    return true;
  case PITH_OP_LAYER_NORMALIZATION: {
    const int64_t axis = pith_node_get_attribute(node, "axis")->i;
    return axis == -1 || axis == 1;
  }
  case PITH_OP_MATMUL:
    return pith_tensor_is_data(&graph->tensors[node->inputs[1]]);
  case PITH_OP_GEMM:
    return pith_node_get_attribute(node, "transA")->i == 0 && pith_tensor_is_data(&graph->tensors[node->inputs[1]]) &&
           (node->input_count < 3 || node->inputs[2] == PITH_NONE || graph->tensors[node->inputs[2]].rank == 1);
  case PITH_OP_ADD:
  case PITH_OP_MUL:
    *out_rows = 0;
    for (uint32_t i = 0; i < 2; i++) {
      const pith_tensor *x = &graph->tensors[node->inputs[i]];
      if (!pith_tensor_is_data(&graph->tensors[node->inputs[i]]) && x->rank == 2 &&
          pith_dim_equal(&x->dims[0], &graph->tensors[node->outputs[0]].dims[0]))
        *out_rows |= 1u << i;
      else if (!pith_tensor_is_data(&graph->tensors[node->inputs[i]]) || x->rank > 1)
        return false;
    }
    return true;
  case PITH_OP_PACKED_ATTENTION: /* by rows of queries; without an order of tokens, where it matters which one asks */
    return pith_node_get_attribute(node, "causal")->i == 0 && node->inputs[3] == node->inputs[4];
  default:
    return false;
  }
}

/* Whether all that reads the tensor wants first tokens alone. */
static bool is_read_so(const pith_training_build *build, const pith_readers *readers, pith_tensor_id tensor, pith_tensor_id offsets) {
  const pith_graph *graph = build->from;
  const uint32_t first = readers->first[tensor], last = readers->first[tensor + 1];
  if (first == last || pith_graph_is_output(graph, tensor))
    return false;
  for (uint32_t i = first; i < last; i++) {
    const pith_node *node = &graph->nodes[readers->all[i].node];
    uint32_t rows;
    if (is_pool(node) && readers->all[i].input == 0 && node->inputs[1] == offsets)
      continue;
    if (!build->first_tokens[node->outputs[0]].alone || !goes_by_rows(graph, node, &rows) || (rows >> readers->all[i].input & 1) == 0)
      return false;
  }
  return true;
}

void pith_training_find_first_tokens(pith_training_build *build, const pith_readers *readers) {
  pith_builder *builder = &build->rewriter.builder;
  const pith_graph *graph = build->from;
  const pith_tensor_id offsets = pith_graph_find_tensor(graph, "offsets");
  if (builder->status != PITH_OK)
    return;
  build->first_tokens = PITH_ARENA_NEW(&build->rewriter.scratch, pith_training_first_token, graph->tensor_count);
  if (build->first_tokens == NULL) {
    pith_builder_fail(builder, PITH_OUT_OF_MEMORY, "no memory to follow graph '%s'", graph->name);
    return;
  }
  for (pith_tensor_id t = 0; t < graph->tensor_count; t++)
    build->first_tokens[t].made = PITH_NONE;
  /* Ranges of 8 bits are learned from all rows, and a teacher's layers are compared with all. */
  if (offsets == PITH_NONE || build->quantized != NULL || build->options->comparisons != NULL)
    return;
  for (pith_node_id n = graph->node_count; n-- > 0;) {
    const pith_node *node = &graph->nodes[n];
    uint32_t rows;
    if (goes_by_rows(graph, node, &rows))
      build->first_tokens[node->outputs[0]].alone = is_read_so(build, readers, node->outputs[0], offsets);
  }
}

bool pith_training_has_first_tokens(const pith_training_build *build, pith_tensor_id old) {
  return build->first_tokens[old].alone;
}

/* First tokens of a tensor that has all. */
static pith_tensor_id get_first_tokens(pith_training_build *build, pith_tensor_id old, pith_tensor_id offsets) {
  pith_training_first_token *entry = &build->first_tokens[old];
  const pith_tensor_id all = pith_rewriter_get(&build->rewriter, old);
  if (entry->alone)
    return all;
  if (entry->made == PITH_NONE || entry->of != all) { /* before a classifier it is with dropout for once */
    char name[PITH_MAX_NAME_BYTES + 1];
    snprintf(name, sizeof name, "%.230s.first_tokens", build->from->tensors[old].name);
    const pith_attribute_setting mode = PITH_SET_ENUM("mode", PITH_POOL_CLS);
    entry->made = pith_build_node(&build->rewriter.builder, name, PITH_OP_SEQUENCE_POOL, 2,
                                  (pith_tensor_id[]){all, offsets}, 1, &mode);
    entry->of = all;
  }
  return entry->made;
}

/* Where each sequence has one row. */
static pith_tensor_id get_singles(pith_training_build *build, pith_tensor_id offsets) {
  pith_builder *builder = &build->rewriter.builder;
  const pith_tensor_id found = builder->status == PITH_OK ? pith_graph_find_tensor(builder->graph, PITH_TRAINING_SINGLES) : PITH_NONE;
  if (found != PITH_NONE || builder->status != PITH_OK)
    return found;
  return pith_build_input(builder, PITH_TRAINING_SINGLES, PITH_DTYPE_S32, 1, builder->graph->tensors[offsets].dims);
}

void pith_training_use_first_tokens(pith_training_build *build, const pith_node *node, pith_tensor_id *inputs) {
  uint32_t rows;
  if (!pith_training_has_first_tokens(build, node->outputs[0]) || !goes_by_rows(build->from, node, &rows))
    return;
  const pith_tensor_id offsets = pith_rewriter_get(&build->rewriter, pith_graph_find_tensor(build->from, "offsets"));
  for (uint32_t i = 0; i < node->input_count; i++)
    if ((rows >> i & 1) != 0)
      inputs[i] = get_first_tokens(build, node->inputs[i], offsets);
  if (node->op->id == PITH_OP_PACKED_ATTENTION)
    inputs[3] = get_singles(build, offsets);
}

bool pith_training_add_by_first_tokens(pith_training_build *build, const pith_node *node, const pith_tensor_id *inputs) {
  pith_rewriter *rewriter = &build->rewriter;
  if (is_pool(node) && pith_training_has_first_tokens(build, node->inputs[0])) {
    pith_rewriter_set(rewriter, node->outputs[0], inputs[0]);
    return true;
  }
  if (!pith_training_has_first_tokens(build, node->outputs[0]))
    return false;
  pith_attribute_setting attributes[PITH_MAX_ATTRIBUTES];
  uint32_t count = 0;
  for (; node->op->attributes[count].name != NULL; count++)
    attributes[count] = (pith_attribute_setting){node->op->attributes[count].name, node->attributes[count]};
  pith_rewriter_set(rewriter, node->outputs[0],
                    pith_build_operator(&rewriter->builder, node->name, node->op, node->input_count, inputs, count, attributes));
  return true;
}
