#include "train/training_quantized.h"

#include <string.h>

#include "engine/ir/operator.h"
#include "ops/attention/attention_u8s8.h"
#include "train/operators.h"
#include "train/training_graph_internal.h"

#define HINT "training it as floats (dequantize) is possible"

bool pith_training_is_quantized(const pith_graph *graph) {
  for (pith_node_id n = 0; n < graph->node_count; n++)
    switch (graph->nodes[n].op->id) {
    case PITH_OP_QUANTIZE_LINEAR:
    case PITH_OP_DEQUANTIZE_LINEAR:
    case PITH_OP_DYNAMIC_QUANTIZE:
      return true;
    default:
      break;
    }
  return false;
}

static bool is_op(const pith_node *node, int op) {
  return node != NULL && (int)node->op->id == op;
}

static pith_tensor_id get_input(const pith_node *node, uint32_t i) {
  return i < node->input_count ? node->inputs[i] : PITH_NONE;
}

/* ---- looking over the INT8 model ------------------------------------------------------------------------------------------- */

static bool is_scalar(const pith_graph *graph, pith_tensor_id id) {
  return id != PITH_NONE && pith_tensor_is_data(&graph->tensors[id]) && graph->tensors[id].rank == 0 && graph->tensors[id].data != NULL;
}

static pith_status check_weight(const pith_graph *graph, const pith_node *node, pith_error *error) {
  const pith_tensor *w = &graph->tensors[node->inputs[0]], *scale = &graph->tensors[node->inputs[1]];
  const pith_tensor_id zero = get_input(node, 2);
  if (w->kind != PITH_TENSOR_PARAMETER || w->dtype != PITH_DTYPE_S8 || w->rank != 2 || !pith_tensor_is_data(scale) || scale->rank != 1 ||
      pith_node_get_attribute(node, "axis")->i != 0 || pith_node_get_attribute(node, "block_size")->i != 0)
    return pith_fail(error, PITH_UNSUPPORTED, "node '%s': '%s' is no s8 parameter with a scale for each row; " HINT, node->name, w->name);
  for (int64_t i = 0; zero != PITH_NONE && i < scale->dims[0].constant; i++)
    if (graph->tensors[zero].data == NULL || ((const uint8_t *)graph->tensors[zero].data)[i] != 0)
      return pith_fail(error, PITH_UNSUPPORTED, "node '%s': '%s' has zero points; " HINT, node->name, w->name);
  return PITH_OK;
}

static pith_status add_range(pith_training_quantized *q, const pith_node *node, uint32_t *out_range, pith_arena *arena,
                             pith_error *error) {
  const pith_graph *graph = q->source;
  const pith_tensor_id scale = get_input(node, 1), zero = get_input(node, 2);
  const pith_dtype dtype = graph->tensors[node->outputs[0]].dtype;
  const pith_tensor *x = &graph->tensors[node->inputs[0]];
  if (!is_scalar(graph, scale) || (zero != PITH_NONE && !is_scalar(graph, zero)) || x->rank != 2)
    return pith_fail(error, PITH_UNSUPPORTED, "node '%s': '%s' has not one scale that is data for rows of features; " HINT,
                     node->name, x->name);
  const uint8_t level = zero == PITH_NONE ? 0 : *(const uint8_t *)graph->tensors[zero].data;
  if (dtype == PITH_DTYPE_S8 && level != 0)
    return pith_fail(error, PITH_UNSUPPORTED, "node '%s': '%s' becomes s8 with a zero point; " HINT, node->name, x->name);
  uint32_t i = 0;
  while (i < q->range_count && q->ranges[i].scale != scale)
    i++;
  *out_range = i;
  if (i < q->range_count)
    return q->ranges[i].dtype == dtype && *q->ranges[i].zero_value == level
               ? PITH_OK
               : pith_fail(error, PITH_UNSUPPORTED, "node '%s' shares its scale with another zero point; " HINT, node->name);
  uint8_t *cell = pith_arena_array(arena, 128, 1); /* pieces of 64 bytes are aligned to 64, as data has to be */
  if (cell == NULL)
    return pith_fail(error, PITH_OUT_OF_MEMORY, "no memory for a range");
  pith_training_range *range = &q->ranges[q->range_count++];
  *range = (pith_training_range){.scale = scale, .zero = zero, .dtype = dtype, .parameter = PITH_NONE, .zero_value = cell + 64,
                                 .in_graph = {PITH_NONE, PITH_NONE}};
  memcpy(&range->value, &cell, sizeof cell);
  *range->value = *(const float *)graph->tensors[scale].data;
  *range->zero_value = level;
  return PITH_OK;
}

/* The training model has the source's nodes but for those that quantize, in order. */
static pith_status look_over(pith_training_quantized *q, pith_node_id *nodes, uint32_t *ranges_of, pith_arena *arena,
                             pith_error *error) {
  const pith_graph *graph = q->source;
  uint32_t count = 0;
  for (pith_node_id n = 0; n < graph->node_count; n++) {
    const pith_node *node = &graph->nodes[n];
    const bool dequantizes = is_op(node, PITH_OP_DEQUANTIZE_LINEAR);
    ranges_of[n] = PITH_NONE;
    if (is_op(node, PITH_OP_DYNAMIC_QUANTIZE))
      return pith_fail(error, PITH_UNSUPPORTED, "node '%s' finds a range in every run, training follows static ones; " HINT, node->name);
    if (is_op(node, PITH_OP_QUANTIZE_LINEAR))
      PITH_TRY(add_range(q, node, &ranges_of[n], arena, error));
    else if (!dequantizes)
      nodes[count++] = n;
    else if (!is_op(pith_graph_get_producer(graph, node->inputs[0]), PITH_OP_QUANTIZE_LINEAR))
      PITH_TRY(check_weight(graph, node, error));
  }
  return PITH_OK;
}

static pith_status add_parameters(pith_training_quantized *q, pith_graph *floats, pith_error *error) {
  for (uint32_t i = 0; i < q->range_count; i++) {
    pith_tensor tensor = q->source->tensors[q->ranges[i].scale];
    tensor.kind = PITH_TENSOR_PARAMETER;
    PITH_TRY(pith_graph_add_tensor(floats, &tensor, &q->ranges[i].parameter, error));
  }
  return PITH_OK;
}

pith_status pith_training_quantized_create(const pith_graph *source, pith_graph *floats, pith_range_training how, pith_arena *arena,
                                           pith_training_quantized **out_quantized, pith_error *error) {
  pith_training_quantized *q = PITH_ARENA_NEW(arena, pith_training_quantized, 1);
  pith_node_id *nodes = PITH_ARENA_NEW(arena, pith_node_id, source->node_count);
  uint32_t *ranges_of = PITH_ARENA_NEW(arena, uint32_t, source->node_count);
  pith_training_range *ranges = PITH_ARENA_NEW(arena, pith_training_range, source->node_count);
  pith_training_observer *observers = PITH_ARENA_NEW(arena, pith_training_observer, source->node_count);
  if (q == NULL || nodes == NULL || ranges_of == NULL || ranges == NULL || observers == NULL)
    return pith_fail(error, PITH_OUT_OF_MEMORY, "no memory to follow graph '%s'", source->name);
  *q = (pith_training_quantized){
      .source = source, .nodes = nodes, .ranges_of = ranges_of, .ranges = ranges, .observers = observers, .how = how};
  PITH_TRY(look_over(q, nodes, ranges_of, arena, error));
  if (how == PITH_RANGE_TRAINING_LEARNED)
    PITH_TRY(add_parameters(q, floats, error));
  *out_quantized = q;
  return PITH_OK;
}

pith_training_range *pith_training_find_range(const pith_training_quantized *quantized, pith_tensor_id parameter) {
  for (uint32_t i = 0; quantized != NULL && i < quantized->range_count; i++)
    if (quantized->ranges[i].parameter == parameter)
      return &quantized->ranges[i];
  return NULL;
}

/* ---- floats that were levels ------------------------------------------------------------------------------------------------- */

/* What input i of a node is: the DequantizeLinear in front of it, and what that reads. */
typedef struct operand {
  const pith_node *dequantize;
  pith_node_id quantize; /* of an activation; PITH_NONE: a weight */
  pith_tensor_id key;    /* of the source: its levels */
} operand;

static bool find_operand(const pith_training_quantized *q, const pith_node *node, uint32_t i, operand *out) {
  const pith_node *dequantize = pith_graph_get_producer(q->source, get_input(node, i));
  if (!is_op(dequantize, PITH_OP_DEQUANTIZE_LINEAR))
    return false;
  *out = (operand){dequantize, q->source->tensors[dequantize->inputs[0]].producer, dequantize->inputs[0]};
  return true;
}

static const char *name_of(pith_training_build *build, pith_tensor_id of_source, const char *suffix) {
  const char *name = pith_arena_format(&build->rewriter.scratch, "%.230s%s", build->quantized->source->tensors[of_source].name, suffix);
  if (name == NULL)
    pith_builder_fail(&build->rewriter.builder, PITH_OUT_OF_MEMORY, "no memory for a name");
  return name;
}

/* Parameters, because they may change from run to run. */
static void add_range_data(pith_training_build *build, pith_training_range *range) {
  pith_builder *builder = &build->rewriter.builder;
  if (range->in_graph[0] != PITH_NONE)
    return;
  range->in_graph[0] = range->parameter != PITH_NONE
                           ? pith_rewriter_get(&build->rewriter, range->parameter)
                           : pith_build_data(builder, PITH_TENSOR_PARAMETER, name_of(build, range->scale, ""), PITH_DTYPE_F32, 0, NULL,
                                             PITH_LAYOUT_ROW_MAJOR, range->value, sizeof *range->value);
  range->in_graph[1] = range->zero == PITH_NONE
                           ? PITH_NONE
                           : pith_build_data(builder, PITH_TENSOR_PARAMETER, name_of(build, range->zero, ""), range->dtype, 0, NULL,
                                             PITH_LAYOUT_ROW_MAJOR, range->zero_value, sizeof *range->zero_value);
}

static pith_tensor_id add_activation(pith_training_build *build, const operand *of, pith_tensor_id x) {
  pith_training_quantized *q = build->quantized;
  pith_builder *builder = &build->rewriter.builder;
  const uint32_t index = q->ranges_of[of->quantize];
  pith_training_range *range = &q->ranges[index];
  add_range_data(build, range);
  if (q->how == PITH_RANGE_TRAINING_EMA)
    q->observers[q->observer_count++] = (pith_training_observer){
        .range = index,
        .tensor = pith_build_operator(builder, name_of(build, of->key, ".ranges"), &pith_operator_ROW_RANGES, 1, &x, 0, NULL)};
  const pith_attribute_setting attribute = PITH_SET_DTYPE("dtype", range->dtype);
  return pith_build_operator(builder, name_of(build, of->key, ".fake"), &pith_operator_FAKE_QUANTIZE, 3,
                             (pith_tensor_id[]){x, range->in_graph[0], range->in_graph[1]}, 1, &attribute);
}

/* What lets a weight or an activation be read in floats; the levels are the next output of the same node. */
static pith_tensor_id get_floats(pith_training_build *build, const operand *of, pith_tensor_id x) {
  pith_tensor_id *made = &build->quantized_made[of->key];
  if (*made == PITH_NONE)
    *made = of->quantize != PITH_NONE
                ? add_activation(build, of, x)
                : pith_build_operator(&build->rewriter.builder, name_of(build, of->key, ".fake"), &pith_operator_FAKE_QUANTIZE_WEIGHTS,
                                      1, &x, 0, NULL);
  return *made;
}

/* Tables are quantized row by row as they are looked up. */
static bool is_table(const pith_node *node, uint32_t i, const operand *of) {
  return node->op->id == PITH_OP_GATHER && i == 0 && of->quantize == PITH_NONE && pith_node_get_attribute(node, "axis")->i == 0;
}

void pith_training_quantize_inputs(pith_training_build *build, pith_node_id n, pith_tensor_id *inputs) {
  if (build->quantized == NULL)
    return;
  const pith_node *node = &build->quantized->source->nodes[build->quantized->nodes[n]];
  operand of;
  for (uint32_t i = 0; i < node->input_count; i++)
    if (find_operand(build->quantized, node, i, &of) && !is_table(node, i, &of))
      inputs[i] = get_floats(build, &of, inputs[i]);
}

/* ---- integers in the place of results ------------------------------------------------------------------------------------------ */

static const pith_training_range *get_range(const pith_training_quantized *q, const operand *of, pith_dtype dtype) {
  const pith_training_range *range = of->quantize == PITH_NONE ? NULL : &q->ranges[q->ranges_of[of->quantize]];
  return range != NULL && range->dtype == dtype ? range : NULL;
}

/* As lowering decides it (engine/lower/integer.h). */
static bool is_integer_product(const pith_training_quantized *q, const pith_node *node, operand *out_x, operand *out_w) {
  uint64_t bytes;
  return node->op->id == PITH_OP_GEMM && find_operand(q, node, 0, out_x) && find_operand(q, node, 1, out_w) &&
         get_range(q, out_x, PITH_DTYPE_U8) != NULL && out_w->quantize == PITH_NONE &&
         pith_node_get_attribute(node, "transA")->i == 0 && pith_node_get_attribute(node, "transB")->i == 1 &&
         pith_node_get_attribute(node, "alpha")->f == 1 && pith_node_get_attribute(node, "beta")->f == 1 &&
         pith_layout_get_bytes(PITH_LAYOUT_N16K4_S8, PITH_DTYPE_S8, 2, q->source->tensors[out_w->key].dims, &bytes, NULL) == PITH_OK &&
         bytes <= PITH_MAX_DIM;
}

static pith_tensor_id add_product(pith_training_build *build, const pith_node *node, pith_tensor_id y, pith_tensor_id bias) {
  operand x, w;
  if (!is_integer_product(build->quantized, node, &x, &w))
    return y;
  const pith_training_range *range = get_range(build->quantized, &x, PITH_DTYPE_U8);
  const pith_tensor_id levels = build->quantized_made[x.key] + 1, weights = build->quantized_made[w.key];
  const pith_tensor_id inputs[7] = {y, levels, range->in_graph[0], range->in_graph[1], weights + 1, weights + 2, bias};
  return pith_build_operator(&build->rewriter.builder, name_of(build, node->outputs[0], ".integer"), &pith_operator_INTEGER_PRODUCT, 7,
                             inputs, 0, NULL);
}

static pith_tensor_id add_attention(pith_training_build *build, const pith_node *node, pith_tensor_id y, const pith_tensor_id *offsets) {
  static const pith_dtype dtypes[3] = {PITH_DTYPE_U8, PITH_DTYPE_S8, PITH_DTYPE_S8};
  const pith_training_range *ranges[3] = {NULL, NULL, NULL};
  pith_tensor_id levels[3] = {PITH_NONE, PITH_NONE, PITH_NONE};
  bool whole = true;
  for (uint32_t i = 0; i < 3; i++) {
    operand of;
    ranges[i] = find_operand(build->quantized, node, i, &of) ? get_range(build->quantized, &of, dtypes[i]) : NULL;
    whole &= ranges[i] != NULL;
    if (ranges[i] != NULL)
      levels[i] = build->quantized_made[of.key] + 1;
  }
  if (pith_node_get_attribute(node, "softmax_dtype")->i != PITH_DTYPE_U8)
    return y;
  pith_builder *builder = &build->rewriter.builder;
  const int64_t features = build->quantized->source->tensors[node->inputs[0]].dims[1].constant / pith_node_get_attribute(node, "num_heads")->i;
  if (features > PITH_ATTENTION_U8S8_MAX_KEYS || build->model->max_length > PITH_ATTENTION_U8S8_MAX_KEYS)
    pith_builder_fail(builder, PITH_UNSUPPORTED, "node '%s': its sums may be too large for 32 bits; " HINT, node->name);
  else if (!whole)
    pith_builder_fail(builder, PITH_UNSUPPORTED, "node '%s' rounds its softmax, but not all that it reads is of 8 bits; " HINT, node->name);
  else if (build->options->attention_dropout != 0)
    pith_builder_fail(builder, PITH_INVALID_ARGUMENT, "node '%s' is attention of 8 bits, which drops nothing: attention dropout has to "
                      "be 0", node->name);
  const pith_attribute_setting attributes[3] = {{"num_heads", *pith_node_get_attribute(node, "num_heads")},
                                                {"scale", *pith_node_get_attribute(node, "scale")},
                                                {"causal", *pith_node_get_attribute(node, "causal")}};
  if (builder->status != PITH_OK)
    return PITH_NONE;
  const pith_tensor_id inputs[10] = {y,          levels[0],  levels[1], levels[2], offsets[0], offsets[1], ranges[0]->in_graph[0],
                                     ranges[0]->in_graph[1], ranges[1]->in_graph[0], ranges[2]->in_graph[0]};
  return pith_build_operator(builder, name_of(build, node->outputs[0], ".integer"), &pith_operator_INTEGER_ATTENTION, 10, inputs, 3,
                             attributes);
}

static const pith_node *get_only_reader(const pith_training_build *build, pith_tensor_id tensor) {
  const pith_graph *source = build->quantized->source;
  const uint32_t first = build->quantized_readers.first[tensor], last = build->quantized_readers.first[tensor + 1];
  return last - first == 1 && !pith_graph_is_output(source, tensor) ? &source->nodes[build->quantized_readers.all[first].node] : NULL;
}

/* A product's activation of which 8 bits alone are wanted: the integer product computes it with fewer digits. */
static pith_tensor_id add_gelu(pith_training_build *build, const pith_node *node, pith_tensor_id y, pith_tensor_id x) {
  const pith_graph *source = build->quantized->source;
  const pith_node *product = pith_graph_get_producer(source, node->inputs[0]);
  operand a, b;
  if (!is_op(get_only_reader(build, node->outputs[0]), PITH_OP_QUANTIZE_LINEAR) || product == NULL ||
      !is_integer_product(build->quantized, product, &a, &b) || get_only_reader(build, node->inputs[0]) == NULL)
    return y;
  const pith_attribute_setting attribute = {"approximate", *pith_node_get_attribute(node, "approximate")};
  return pith_build_operator(&build->rewriter.builder, name_of(build, node->outputs[0], ".8bit"), &pith_operator_GELU_8BIT, 2,
                             (pith_tensor_id[]){y, x}, 1, &attribute);
}

static pith_tensor_id add_lookup(pith_training_build *build, const pith_node *node, pith_tensor_id y) {
  operand of;
  if (!find_operand(build->quantized, node, 0, &of) || !is_table(node, 0, &of))
    return y;
  return pith_build_operator(&build->rewriter.builder, name_of(build, node->outputs[0], ".fake"), &pith_operator_FAKE_QUANTIZE_ROWS, 1,
                             &y, 0, NULL);
}

void pith_training_replace_output(pith_training_build *build, pith_node_id n, const pith_tensor_id *inputs) {
  pith_rewriter *rewriter = &build->rewriter;
  if (build->quantized == NULL || rewriter->builder.status != PITH_OK)
    return;
  const pith_node *node = &build->quantized->source->nodes[build->quantized->nodes[n]];
  const pith_tensor_id old = build->from->nodes[n].outputs[0];
  pith_tensor_id y = pith_rewriter_get(rewriter, old);
  switch (node->op->id) {
  case PITH_OP_GEMM:
    y = add_product(build, node, y, node->input_count > 2 ? inputs[2] : PITH_NONE);
    break;
  case PITH_OP_PACKED_ATTENTION:
    y = add_attention(build, node, y, inputs + 3);
    break;
  case PITH_OP_GELU:
    y = add_gelu(build, node, y, inputs[0]);
    break;
  case PITH_OP_GATHER:
    y = add_lookup(build, node, y);
    break;
  default:
    break;
  }
  pith_rewriter_set(rewriter, old, y);
}

pith_status pith_training_quantized_begin(pith_training_build *build) {
  const pith_graph *source = build->quantized == NULL ? NULL : build->quantized->source;
  if (source == NULL)
    return PITH_OK;
  build->quantized_made = PITH_ARENA_NEW(&build->rewriter.scratch, pith_tensor_id, source->tensor_count);
  if (build->quantized_made == NULL)
    return pith_fail(build->error, PITH_OUT_OF_MEMORY, "no memory to follow graph '%s'", source->name);
  for (pith_tensor_id t = 0; t < source->tensor_count; t++)
    build->quantized_made[t] = PITH_NONE;
  return pith_readers_find(source, &build->rewriter.scratch, &build->quantized_readers, build->error);
}

void pith_training_add_observers(pith_training_build *build) {
  pith_builder *builder = &build->rewriter.builder;
  for (uint32_t i = 0; build->quantized != NULL && i < build->quantized->observer_count && builder->status == PITH_OK; i++) {
    build->quantized->observers[i].output = builder->graph->output_count;
    pith_build_output(builder, build->quantized->observers[i].tensor, NULL);
  }
}
