#include "quant/rules.h"

#include <fnmatch.h>

#include "engine/ir/operator.h"

static const pith_tensor *get_input(const pith_quant_view *view, const pith_node *node, uint32_t i) {
  return i < node->input_count && node->inputs[i] != PITH_NONE ? &view->graph->tensors[node->inputs[i]] : NULL;
}

static bool is_float_data(const pith_tensor *tensor) {
  return tensor != NULL && tensor->dtype == PITH_DTYPE_F32 && tensor->rank == 2 &&
         pith_tensor_is_data(tensor);
}

/* The layout of the INT8 products takes it. */
static bool has_stored_form(const pith_tensor *weight) {
  uint64_t bytes;
  return pith_layout_get_bytes(PITH_LAYOUT_N16K4_S8, PITH_DTYPE_S8, 2, weight->dims, &bytes, NULL) == PITH_OK;
}

/* Nothing but this operator reads it, as the same input. */
static bool has_one_use(const pith_quant_view *view, pith_tensor_id tensor, int op, uint32_t input) {
  for (uint32_t i = view->readers.first[tensor]; i < view->readers.first[tensor + 1]; i++) {
    const pith_reader *reader = &view->readers.all[i];
    if ((int)view->graph->nodes[reader->node].op->id != op || reader->input != input)
      return false;
  }
  return !pith_graph_is_output(view->graph, tensor);
}

/* Products over all tokens within the body. What a pooler or a head multiplies (a row per sequence, or nothing but
 * logits after it) is little work and decides the answer. */
static bool gemm_applies(const pith_quant_view *view, const pith_node *node) {
  const pith_tensor *a = get_input(view, node, 0), *b = get_input(view, node, 1);
  return a->kind == PITH_TENSOR_VALUE && a->rank == 2 && is_float_data(b) &&
         pith_node_get_attribute(node, "transA")->i == 0 && pith_node_get_attribute(node, "transB")->i == 1 &&
         pith_node_get_attribute(node, "alpha")->f == 1 && pith_node_get_attribute(node, "beta")->f == 1 &&
         has_stored_form(b) &&
         (view->tokens == NULL || pith_dim_equal(&a->dims[0], view->tokens)) &&
         view->reaches_norm[node->outputs[0]] && has_one_use(view, node->inputs[1], PITH_OP_GEMM, 1);
}

static bool attention_applies(const pith_quant_view *view, const pith_node *node) {
  (void)node;
  return !view->options->float_attention;
}

static bool gather_applies(const pith_quant_view *view, const pith_node *node) {
  return !view->options->float_embeddings && is_float_data(get_input(view, node, 0)) &&
         pith_node_get_attribute(node, "axis")->i == 0 && has_one_use(view, node->inputs[0], PITH_OP_GATHER, 0);
}

const pith_quant_rule pith_quant_rules[] = {
    {PITH_OP_GEMM, {PITH_OPERAND_ROWS, PITH_OPERAND_WEIGHT, PITH_OPERAND_FLOAT}, gemm_applies,
     "products of the body; float: pooler and heads"},
    {PITH_OP_PACKED_ATTENTION, {PITH_OPERAND_QUERY, PITH_OPERAND_KEY, PITH_OPERAND_VALUES}, attention_applies,
     "both products of attention"},
    {PITH_OP_GATHER, {PITH_OPERAND_TABLE, PITH_OPERAND_FLOAT, PITH_OPERAND_FLOAT}, gather_applies,
     "tables that are only looked up; float: those that a decoder shares"},
    {0, {PITH_OPERAND_FLOAT, PITH_OPERAND_FLOAT, PITH_OPERAND_FLOAT}, NULL, NULL},
};

pith_status pith_quant_view_init(pith_quant_view *view, const pith_graph *graph, const pith_quant_options *options,
                                 pith_arena *arena, pith_error *error) {
  *view = (pith_quant_view){.graph = graph, .options = options};
  PITH_TRY(pith_readers_find(graph, arena, &view->readers, error));
  bool *reaches = PITH_ARENA_NEW(arena, bool, graph->tensor_count);
  if (reaches == NULL)
    return pith_fail(error, PITH_OUT_OF_MEMORY, "no memory to look over graph '%s'", graph->name);
  for (uint32_t n = graph->node_count; n-- > 0;) {
    const pith_node *node = &graph->nodes[n];
    bool reached = node->op->id == PITH_OP_LAYER_NORMALIZATION || node->op->id == PITH_OP_PACKED_ATTENTION;
    if (node->op->id == PITH_OP_PACKED_ATTENTION)
      view->tokens = &graph->tensors[node->inputs[0]].dims[0];
    for (uint32_t i = 0; i < node->output_count; i++)
      reached |= reaches[node->outputs[i]];
    for (uint32_t i = 0; i < node->input_count; i++)
      if (node->inputs[i] != PITH_NONE)
        reaches[node->inputs[i]] |= reached;
  }
  view->reaches_norm = reaches;
  return PITH_OK;
}

static const pith_quant_rule *find_rule(const pith_quant_view *view, const pith_node *node) {
  for (const pith_quant_rule *rule = pith_quant_rules; rule->doc != NULL; rule++)
    if (rule->op == (int)node->op->id)
      return rule->applies(view, node) ? rule : NULL;
  return NULL;
}

const pith_quant_rule *pith_quant_rule_find(const pith_quant_view *view, const pith_node *node) {
  return pith_name_patterns_match(&view->options->keep_float, node->name) ? NULL : find_rule(view, node);
}

pith_status pith_quant_check_patterns(const pith_quant_view *view, pith_error *error) {
  for (uint32_t i = 0; i < view->options->keep_float.count; i++) {
    bool matched = false;
    for (uint32_t n = 0; n < view->graph->node_count && !matched; n++)
      matched = fnmatch(view->options->keep_float.list[i], view->graph->nodes[n].name, 0) == 0 &&
                find_rule(view, &view->graph->nodes[n]) != NULL;
    if (!matched)
      return pith_fail(error, PITH_INVALID_ARGUMENT, "keep-float pattern '%s' matches no operator that would be quantized",
                       view->options->keep_float.list[i]);
  }
  return PITH_OK;
}
