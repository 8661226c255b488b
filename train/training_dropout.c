/* The model's nodes in a training graph. Where dropout goes is found from what operators do, never from names. */
#include <stdio.h>

#include "engine/exec/exits.h"
#include "engine/ir/operator.h"
#include "train/operators.h"
#include "train/training_graph_internal.h"

typedef struct placer {
  pith_training_build *build;
  pith_readers readers;
  pith_tensor_id *classifiers; /* [classifier_count] what each classifier reads, the model's own and its exits', of the old graph; PITH_NONE:
                                 nothing is dropped there */
  uint32_t classifier_count;
  uint32_t places;           /* numbered whether something is dropped there or not: a ratio of 0 changes no other place's mask */
  pith_tensor_id key;        /* added at the first use */
} placer;

static pith_tensor_id get_key(placer *p) {
  const pith_dim four = pith_dim_of(4);
  if (p->key == PITH_NONE)
    p->key = pith_build_input(&p->build->rewriter.builder, "random_key", PITH_DTYPE_S32, 1, &four);
  return p->key;
}

static bool is_lookup(const pith_graph *graph, pith_tensor_id tensor) {
  const pith_node *node = pith_graph_get_producer(graph, tensor);
  return node != NULL && node->op->id == PITH_OP_GATHER && pith_tensor_is_data(&graph->tensors[node->inputs[0]]);
}

/* Rows of tables, and sums of them, added one after the other. */
static bool is_embedding(const pith_graph *graph, pith_tensor_id tensor) {
  while (!is_lookup(graph, tensor)) {
    const pith_node *node = pith_graph_get_producer(graph, tensor);
    if (node == NULL || node->op->id != PITH_OP_ADD)
      return false;
    const bool second = is_lookup(graph, node->inputs[1]);
    if (!second && !is_lookup(graph, node->inputs[0]))
      return false;
    tensor = node->inputs[!second];
  }
  return true;
}

/* A product, with a bias or without. */
static bool is_product(const pith_graph *graph, pith_tensor_id tensor) {
  const pith_node *node = pith_graph_get_producer(graph, tensor);
  if (node == NULL)
    return false;
  if (node->op->id == PITH_OP_GEMM || node->op->id == PITH_OP_MATMUL)
    return true;
  const bool first = node->op->id == PITH_OP_ADD && pith_tensor_is_data(&graph->tensors[node->inputs[0]]);
  const bool second = node->op->id == PITH_OP_ADD && pith_tensor_is_data(&graph->tensors[node->inputs[1]]);
  return (first && is_product(graph, node->inputs[1])) || (second && is_product(graph, node->inputs[0]));
}

/* What the product that gives `tensor` reads; PITH_NONE: there is none. */
static pith_tensor_id get_product_input(const pith_graph *graph, pith_tensor_id tensor) {
  while (is_product(graph, tensor)) {
    const pith_node *node = pith_graph_get_producer(graph, tensor);
    if (node->op->id != PITH_OP_ADD)
      return node->inputs[0];
    tensor = node->inputs[pith_tensor_is_data(&graph->tensors[node->inputs[0]])];
  }
  return PITH_NONE;
}

static bool same_shape(const pith_tensor *a, const pith_tensor *b) {
  bool same = a->rank == b->rank;
  for (uint32_t d = 0; same && d < a->rank; d++)
    same = pith_dim_equal(&a->dims[d], &b->dims[d]);
  return same;
}

/* The operand of an Add that is a product and joins a residual which LayerNorm reads; -1: it is no such sum. */
static int find_joining(const placer *p, const pith_node *node) {
  const pith_graph *graph = p->build->from;
  const pith_tensor_id sum = node->outputs[0];
  if (node->op->id != PITH_OP_ADD || !same_shape(&graph->tensors[node->inputs[0]], &graph->tensors[sum]) ||
      !same_shape(&graph->tensors[node->inputs[1]], &graph->tensors[sum]) || graph->tensors[sum].rank != 2)
    return -1;
  bool normalized = false;
  for (uint32_t i = p->readers.first[sum]; i < p->readers.first[sum + 1]; i++) {
    const pith_reader *reader = &p->readers.all[i];
    normalized |= graph->nodes[reader->node].op->id == PITH_OP_LAYER_NORMALIZATION && reader->input == 0;
  }
  if (!normalized)
    return -1;
  for (int i = 0; i < 2; i++) {
    const pith_tensor *other = &graph->tensors[node->inputs[1 - i]];
    if (is_product(graph, node->inputs[i]) && other->kind == PITH_TENSOR_VALUE)
      return i;
  }
  return -1;
}

/* Offsets where the rows of a tensor are tokens; rows of anything else are samples of their own. */
static pith_tensor_id get_offsets(placer *p, pith_tensor_id old) {
  const pith_graph *graph = p->build->from;
  const pith_tensor_id offsets = pith_graph_find_tensor(graph, "offsets"), ids = pith_graph_find_tensor(graph, "input_ids");
  const bool tokens = offsets != PITH_NONE && ids != PITH_NONE && !pith_training_has_first_tokens(p->build, old) &&
                      pith_dim_equal(&graph->tensors[old].dims[0], &graph->tensors[ids].dims[0]);
  return tokens ? pith_rewriter_get(&p->build->rewriter, offsets) : PITH_NONE;
}

/* x (of the new graph, with the rows of `old`), or residual + x, with elements dropped; x itself where the ratio is 0 and there is
 * no residual. */
static pith_tensor_id add_dropout(placer *p, const char *name, pith_tensor_id x, pith_tensor_id residual, pith_tensor_id old, double ratio) {
  pith_builder *builder = &p->build->rewriter.builder;
  const uint32_t place = p->places++;
  if (ratio == 0 && residual == PITH_NONE)
    return x;
  if (ratio == 0)
    return pith_build_node(builder, name, PITH_OP_ADD, 2, (pith_tensor_id[]){x, residual}, 0, NULL);
  const pith_attribute_setting attributes[2] = {PITH_SET_FLOAT("ratio", ratio), PITH_SET_INT("operator", place)};
  return pith_build_operator(builder, name, &pith_operator_DROPOUT, 4,
                             (pith_tensor_id[]){x, residual, get_offsets(p, old), get_key(p)}, 2, attributes);
}

static void drop_output(placer *p, const pith_node *node, double ratio) {
  pith_rewriter *rewriter = &p->build->rewriter;
  const pith_tensor_id old = node->outputs[0];
  char name[PITH_MAX_NAME_BYTES + 1];
  snprintf(name, sizeof name, "%.240s.dropout", p->build->from->tensors[old].name);
  pith_rewriter_set(rewriter, old, add_dropout(p, name, pith_rewriter_get(rewriter, old), PITH_NONE, old, ratio));
}

static void add_attention(placer *p, const pith_node *node, const pith_tensor_id *inputs) {
  pith_rewriter *rewriter = &p->build->rewriter;
  const double ratio = p->build->options->attention_dropout;
  const pith_attribute_setting attributes[5] = {
      {"num_heads", *pith_node_get_attribute(node, "num_heads")},
      {"scale", *pith_node_get_attribute(node, "scale")},
      {"causal", *pith_node_get_attribute(node, "causal")},
      PITH_SET_FLOAT("ratio", ratio),
      PITH_SET_INT("operator", p->places++),
  };
  pith_tensor_id all[6] = {inputs[0], inputs[1], inputs[2], inputs[3], inputs[4], ratio == 0 ? PITH_NONE : get_key(p)};
  pith_rewriter_set(rewriter, node->outputs[0],
                    pith_build_operator(&rewriter->builder, node->name, &pith_operator_TRAINING_ATTENTION, 6, all, 5, attributes));
}

static void add_node(placer *p, pith_node_id n) {
  const pith_node *node = &p->build->from->nodes[n];
  const pith_training_graph_options *options = p->build->options;
  pith_rewriter *rewriter = &p->build->rewriter;
  pith_tensor_id inputs[PITH_MAX_PORTS];
  for (uint32_t i = 0; i < node->input_count; i++)
    inputs[i] = pith_rewriter_get(rewriter, node->inputs[i]);
  pith_training_quantize_inputs(p->build, n, inputs);
  pith_training_use_first_tokens(p->build, node, inputs);
  const int joining = find_joining(p, node);
  if (node->op->id == PITH_OP_PACKED_ATTENTION)
    add_attention(p, node, inputs);
  else if (joining >= 0)
    pith_rewriter_set(rewriter, node->outputs[0],
                      add_dropout(p, node->name, inputs[joining], inputs[1 - joining], node->outputs[0], options->dropout));
  else if (!pith_training_add_by_first_tokens(p->build, node, inputs))
    pith_rewriter_add_node(rewriter, node, inputs);
  pith_training_replace_output(p->build, n, inputs);
  if (node->op->id == PITH_OP_LAYER_NORMALIZATION && p->build->from->tensors[node->outputs[0]].rank == 2 &&
      is_embedding(p->build->from, node->inputs[0]))
    drop_output(p, node, options->dropout);
}

static bool has_classifier(pith_task task) {
  return task == PITH_TASK_CLASSIFICATION || task == PITH_TASK_MULTI_LABEL || task == PITH_TASK_REGRESSION ||
         task == PITH_TASK_TOKEN_CLASSIFICATION || task == PITH_TASK_RERANK;
}

static void find_classifiers(placer *p, pith_tensor_id output) {
  const pith_graph *graph = p->build->from;
  const uint32_t exits = pith_exits_count(graph);
  if (!has_classifier(p->build->model->task))
    return;
  p->classifiers = PITH_ARENA_NEW(&p->build->rewriter.scratch, pith_tensor_id, exits + 1);
  if (p->classifiers == NULL) {
    pith_builder_fail(&p->build->rewriter.builder, PITH_OUT_OF_MEMORY, "no memory to find the classifiers of graph '%s'", graph->name);
    return;
  }
  for (; p->classifier_count <= exits; p->classifier_count++) {
    const uint32_t i = p->classifier_count;
    p->classifiers[i] = get_product_input(graph, i == 0 ? output : pith_exits_get_output(graph, i - 1));
  }
}

/* Which classifier the node is; classifier_count: none. */
static uint32_t find_classifier(const placer *p, const pith_node *node) {
  uint32_t i = node->op->id == PITH_OP_GEMM || node->op->id == PITH_OP_MATMUL ? 0 : p->classifier_count;
  while (i < p->classifier_count && (p->classifiers[i] == PITH_NONE || node->inputs[0] != p->classifiers[i]))
    i++;
  return i;
}

void pith_training_add_model(pith_training_build *build, pith_tensor_id output) {
  pith_builder *builder = &build->rewriter.builder;
  const pith_graph *graph = build->from;
  placer p = {.build = build, .key = PITH_NONE};
  if (builder->status == PITH_OK)
    builder->status = pith_readers_find(graph, &build->rewriter.scratch, &p.readers, build->error);
  pith_training_find_first_tokens(build, &p.readers);
  if (builder->status == PITH_OK)
    find_classifiers(&p, output);
  for (pith_node_id n = 0; n < graph->node_count && builder->status == PITH_OK; n++) {
    /* Before the classifier, not behind what it reads: others may read that too. */
    const pith_node *node = &graph->nodes[n];
    const uint32_t classifier = find_classifier(&p, node);
    const pith_tensor_id classified = classifier == p.classifier_count ? PITH_NONE : p.classifiers[classifier];
    const pith_tensor_id kept = classified != PITH_NONE ? pith_rewriter_get(&build->rewriter, classified) : PITH_NONE;
    if (classified != PITH_NONE) {
      char name[64] = "classifier_dropout";
      if (classifier != 0)
        snprintf(name, sizeof name, "exit_%u.classifier_dropout", classifier);
      const pith_tensor_id dropped = add_dropout(&p, name, kept, PITH_NONE, classified, build->options->classifier_dropout);
      pith_rewriter_set(&build->rewriter, classified, dropped);
    }
    add_node(&p, n);
    if (classified != PITH_NONE)
      pith_rewriter_set(&build->rewriter, classified, kept);
  }
}
