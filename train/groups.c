#include "train/groups.h"

#include <fnmatch.h>

#include "compiler/rewrite/rewriter.h"
#include "engine/ir/operator.h"
#include "train/layers.h"

/* What lies before a tensor: the most attentions and products on any way to it. */
typedef struct before {
  uint32_t attentions, products;
  bool past_end; /* it depends on what the last layer gives */
} before;

typedef struct finder {
  const pith_graph *graph;
  before *tensors; /* [tensor_count] */
  bool *projects;     /* [node_count] its result is read by attention, through element-wise operators at most */
  bool *leads;        /* [tensor_count] to the first output: what does not is a head of its own */
  pith_tensor_id end; /* what the last layer gives; PITH_NONE: there is no layer */
  uint32_t layers;
} finder;

static bool is_product(const pith_node *node) {
  return node->op->id == PITH_OP_GEMM || node->op->id == PITH_OP_MATMUL;
}

static before look_back(const finder *f, const pith_node *node) {
  before b = {0};
  for (uint32_t i = 0; i < node->input_count; i++) {
    if (node->inputs[i] == PITH_NONE)
      continue;
    const before *input = &f->tensors[node->inputs[i]];
    b.attentions = input->attentions > b.attentions ? input->attentions : b.attentions;
    b.products = input->products > b.products ? input->products : b.products;
    b.past_end |= input->past_end || node->inputs[i] == f->end;
  }
  return b;
}

static void count(finder *f) {
  for (uint32_t n = 0; n < f->graph->node_count; n++) {
    const pith_node *node = &f->graph->nodes[n];
    before b = look_back(f, node);
    b.attentions += node->op->id == PITH_OP_PACKED_ATTENTION;
    b.products += is_product(node);
    for (uint32_t i = 0; i < node->output_count; i++)
      f->tensors[node->outputs[i]] = b;
    f->layers = b.attentions > f->layers ? b.attentions : f->layers;
  }
}

/* A sum of two values of which one was made by more products: the way around them is the residual. */
static bool is_residual(const finder *f, const pith_node *node) {
  return node->op->id == PITH_OP_ADD && f->graph->tensors[node->inputs[0]].kind == PITH_TENSOR_VALUE &&
         f->graph->tensors[node->inputs[1]].kind == PITH_TENSOR_VALUE &&
         f->tensors[node->inputs[0]].products != f->tensors[node->inputs[1]].products;
}

static void find_end(finder *f) {
  for (uint32_t n = 0; n < f->graph->node_count; n++) {
    const pith_node *node = &f->graph->nodes[n];
    if (f->layers > 0 && f->tensors[node->outputs[0]].attentions == f->layers &&
        (is_residual(f, node) || (node->op->id == PITH_OP_LAYER_NORMALIZATION && node->inputs[0] == f->end)))
      f->end = node->outputs[0];
  }
}

static void mark_projections(finder *f) {
  for (uint32_t n = f->graph->node_count; n-- > 0;) {
    const pith_node *node = &f->graph->nodes[n];
    const bool attends = node->op->id == PITH_OP_PACKED_ATTENTION;
    if (!attends && (!f->projects[n] || is_product(node) || node->op->id == PITH_OP_LAYER_NORMALIZATION))
      continue;
    for (uint32_t i = 0; i < (attends ? 3 : node->input_count); i++) {
      const pith_node_id producer = node->inputs[i] == PITH_NONE ? PITH_NONE : f->graph->tensors[node->inputs[i]].producer;
      if (producer != PITH_NONE)
        f->projects[producer] = true;
    }
  }
}

static uint32_t get_depth(const finder *f, pith_node_id n) {
  const pith_node *node = &f->graph->nodes[n];
  const before b = look_back(f, node);
  if (b.past_end || !f->leads[node->outputs[0]])
    return f->layers + 1;
  return b.attentions + f->projects[n];
}

static bool is_vector_of(const pith_node *node, uint32_t input) {
  return (node->op->id == PITH_OP_LAYER_NORMALIZATION && input > 0) || (node->op->id == PITH_OP_GEMM && input == 2);
}

static double raise(double base, uint32_t exponent) {
  double power = 1;
  while (exponent-- > 0)
    power *= base;
  return power;
}

static void set_groups(const finder *f, double layer_decay, pith_parameter_group *list) {
  for (pith_tensor_id t = 0; t < f->graph->tensor_count; t++)
    list[t] = (pith_parameter_group){.depth = f->layers + 1, .decays = f->graph->tensors[t].rank > 1};
  for (uint32_t n = 0; n < f->graph->node_count; n++) {
    const pith_node *node = &f->graph->nodes[n];
    const uint32_t depth = get_depth(f, n);
    for (uint32_t i = 0; i < node->input_count; i++)
      if (node->inputs[i] != PITH_NONE) {
        pith_parameter_group *group = &list[node->inputs[i]];
        group->depth = depth < group->depth ? depth : group->depth;
        group->decays &= !is_vector_of(node, i);
      }
  }
  for (pith_tensor_id t = 0; t < f->graph->tensor_count; t++)
    list[t].rate = raise(layer_decay, f->layers + 1 - list[t].depth);
}

static pith_status freeze_parameters(const pith_graph *graph, const char *const *freeze, uint32_t freeze_count,
                                     pith_parameter_group *list, pith_error *error) {
  for (uint32_t p = 0; p < freeze_count; p++) {
    bool found = false;
    for (pith_tensor_id t = 0; t < graph->tensor_count; t++)
      if (graph->tensors[t].kind == PITH_TENSOR_PARAMETER && fnmatch(freeze[p], graph->tensors[t].name, 0) == 0) {
        list[t].frozen = found = true;
        list[t].rate = 0;
      }
    if (!found)
      return pith_fail(error, PITH_INVALID_ARGUMENT, "freeze: no parameter of graph '%s' is called '%s'", graph->name,
                       freeze[p]);
  }
  return PITH_OK;
}

pith_status pith_parameter_groups_find(const pith_graph *graph, double layer_decay, const char *const *freeze,
                                       uint32_t freeze_count, pith_arena *arena, pith_parameter_groups *out_groups,
                                       pith_error *error) {
  finder f = {.graph = graph,
              .tensors = PITH_ARENA_NEW(arena, before, graph->tensor_count),
              .projects = PITH_ARENA_NEW(arena, bool, graph->node_count),
              .leads = PITH_ARENA_NEW(arena, bool, graph->tensor_count),
              .end = PITH_NONE};
  pith_parameter_group *list = PITH_ARENA_NEW(arena, pith_parameter_group, graph->tensor_count);
  if (f.tensors == NULL || f.projects == NULL || f.leads == NULL || list == NULL)
    return pith_fail(error, PITH_OUT_OF_MEMORY, "no memory to look over graph '%s'", graph->name);
  count(&f);
  find_end(&f);
  count(&f); /* once more: now what is past the end is known */
  mark_projections(&f);
  if (graph->output_count != 0)
    f.leads[graph->outputs[0]] = true;
  pith_mark_leads(graph, f.leads);
  set_groups(&f, layer_decay, list);
  PITH_TRY(freeze_parameters(graph, freeze, freeze_count, list, error));
  *out_groups = (pith_parameter_groups){f.layers, list};
  return PITH_OK;
}
