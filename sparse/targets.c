#include "sparse/targets.h"

#include <fnmatch.h>

#include "engine/ir/operator.h"
#include "quant/quantize.h"
#include "quant/recipe.h"
#include "quant/rules.h"

static bool is_product(const pith_quant_view *view, const pith_node *node) {
  return node->op->id == PITH_OP_GEMM && pith_quant_rule_find(view, node) != NULL;
}

static pith_status check_exclude(const pith_quant_view *view, const pith_name_patterns *exclude, pith_error *error) {
  for (uint32_t i = 0; i < exclude->count; i++) {
    bool matched = false;
    for (uint32_t n = 0; n < view->graph->node_count && !matched; n++)
      matched = fnmatch(exclude->list[i], view->graph->nodes[n].name, 0) == 0 && is_product(view, &view->graph->nodes[n]);
    if (!matched)
      return pith_fail(error, PITH_INVALID_ARGUMENT, "exclude pattern '%s' matches no product that would be pruned",
                       exclude->list[i]);
  }
  return PITH_OK;
}

static pith_prune_target *find_target(const pith_prune_targets *targets, pith_tensor_id weight) {
  for (uint32_t i = 0; i < targets->count; i++)
    if (targets->list[i].weight == weight)
      return &targets->list[i];
  return NULL;
}

static void add_target(pith_prune_targets *targets, const pith_graph *graph, pith_node_id n) {
  const pith_node *node = &graph->nodes[n];
  const pith_tensor *tensor = &graph->tensors[node->inputs[1]];
  pith_prune_target *target = find_target(targets, node->inputs[1]);
  if (target != NULL)
    target->shared |= target->input != node->inputs[0];
  else
    targets->list[targets->count++] = (pith_prune_target){.weight = node->inputs[1],
                                                          .input = node->inputs[0],
                                                          .node = n,
                                                          .name = tensor->name,
                                                          .n = (size_t)tensor->dims[0].constant,
                                                          .k = (size_t)tensor->dims[1].constant};
}

/* Leaves out the weights that an excluded product reads. */
static void drop_excluded(pith_prune_targets *targets, const pith_graph *graph, const pith_name_patterns *exclude) {
  for (uint32_t n = 0; n < graph->node_count; n++) {
    pith_prune_target *target = graph->nodes[n].op->id == PITH_OP_GEMM && pith_name_patterns_match(exclude, graph->nodes[n].name)
                                    ? find_target(targets, graph->nodes[n].inputs[1])
                                    : NULL;
    if (target != NULL) {
      const uint32_t place = (uint32_t)(target - targets->list);
      memmove(target, target + 1, (--targets->count - place) * sizeof *target);
    }
  }
}

pith_status pith_prune_find_targets(const pith_graph *graph, const pith_name_patterns *exclude, pith_arena *arena,
                                    pith_prune_targets *out_targets, pith_error *error) {
  pith_error reason = {0};
  if (pith_quant_check_float(graph, &reason) != PITH_OK)
    return pith_fail(error, PITH_INVALID_ARGUMENT, "%s; prune the float model, then quantize", reason.message);
  pith_quant_view view;
  PITH_TRY(pith_quant_view_init(&view, graph, &pith_quant_defaults, arena, error));
  PITH_TRY(check_exclude(&view, exclude, error));
  *out_targets = (pith_prune_targets){.list = PITH_ARENA_NEW(arena, pith_prune_target, graph->node_count)};
  if (out_targets->list == NULL)
    return pith_fail(error, PITH_OUT_OF_MEMORY, "no memory to list the products of graph '%s'", graph->name);
  for (uint32_t n = 0; n < graph->node_count; n++)
    if (is_product(&view, &graph->nodes[n]))
      add_target(out_targets, graph, n);
  const uint32_t all = out_targets->count;
  drop_excluded(out_targets, graph, exclude);
  if (out_targets->count == 0)
    return pith_fail(error, PITH_INVALID_ARGUMENT, all == 0 ? "graph '%s' has no product over tokens that could be pruned"
                                                            : "exclude leaves no product of graph '%s' to prune", graph->name);
  return PITH_OK;
}
