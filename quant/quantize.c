#include "quant/quantize.h"

#include <float.h>

#include "engine/format/stored_layout.h"
#include "engine/ir/operator.h"
#include "quant/rules.h"
#include "quant/weights.h"

enum { FORM_COUNT = PITH_OPERAND_TABLE + 1 };

typedef struct quantizer {
  pith_rewriter rewriter;
  pith_quant_view view;
  const pith_ranges *ranges;
  const pith_quant_options *options;
  const float *const *scales; /* NULL, or of weights that are rounded already */
  bool float_weights;         /* products' weights stay */
  pith_tensor_id *made[FORM_COUNT]; /* [form][old tensor]: its dequantized form in the new graph, or PITH_NONE */
  pith_tensor_id offsets;           /* of the attention being rewritten, in the new graph */
  int64_t head_size;                /* of the operand, likewise */
  pith_quant_summary summary;
} quantizer;

static const char *name_of(quantizer *q, const char *tensor, const char *suffix) {
  const char *name = pith_arena_format(&q->rewriter.scratch, "%s%s", tensor, suffix);
  if (name == NULL)
    pith_builder_fail(&q->rewriter.builder, PITH_OUT_OF_MEMORY, "no memory for a name");
  return name == NULL ? "" : name;
}

static pith_tensor_id add_scalar(quantizer *q, const char *name, pith_dtype dtype, const void *value) {
  const size_t bytes = pith_dtype_get_info(dtype)->bits / 8;
  void *data = pith_rewriter_allocate(&q->rewriter, 1, bytes);
  if (data == NULL)
    return PITH_NONE;
  memcpy(data, value, bytes);
  return pith_build_data(&q->rewriter.builder, PITH_TENSOR_CONSTANT, name, dtype, 0, NULL, PITH_LAYOUT_ROW_MAJOR, data,
                         bytes);
}

/* ---- activations ---------------------------------------------------------------------------------------------- */

static pith_tensor_id add_static(quantizer *q, const pith_tensor *tensor, pith_tensor_id x, bool is_signed,
                                 const char *suffix) {
  pith_builder *builder = &q->rewriter.builder;
  const pith_range *range = pith_ranges_find(q->ranges, tensor->name);
  if (range == NULL || !(range->low <= 0 && range->high >= 0 && range->high - range->low < FLT_MAX)) {
    pith_builder_fail(builder, PITH_INVALID_ARGUMENT, "tensor '%s' has no range: it was not calibrated", tensor->name);
    return PITH_NONE;
  }
  float scale = pith_range_get_scale(range->low, range->high, is_signed);
  if (!(scale >= FLT_MIN)) {
    pith_builder_fail(builder, PITH_INVALID_ARGUMENT, "tensor '%s' was %g throughout the calibration: it cannot be "
                      "quantized (keep its operator in float)", tensor->name, (double)range->seen_high);
    return PITH_NONE;
  }
  const uint8_t zero = is_signed ? 0 : pith_range_get_zero(range->low, scale);
  const pith_dtype dtype = is_signed ? PITH_DTYPE_S8 : PITH_DTYPE_U8;
  pith_tensor_id inputs[3] = {x, add_scalar(q, name_of(q, tensor->name, name_of(q, suffix, "_scale")), PITH_DTYPE_F32, &scale),
                              add_scalar(q, name_of(q, tensor->name, name_of(q, suffix, "_zero_point")), dtype, &zero)};
  const pith_attribute_setting attributes[1] = {PITH_SET_DTYPE("output_dtype", dtype)};
  inputs[0] = pith_build_node(builder, name_of(q, tensor->name, name_of(q, suffix, ".quantize")),
                              PITH_OP_QUANTIZE_LINEAR, 3, inputs, 1, attributes);
  return pith_build_node(builder, name_of(q, tensor->name, name_of(q, suffix, ".dequantize")),
                         PITH_OP_DEQUANTIZE_LINEAR, 3, inputs, 0, NULL);
}

static pith_tensor_id add_dynamic(quantizer *q, const pith_tensor *tensor, pith_tensor_id x, pith_operand_form form,
                                  const char *suffix) {
  pith_builder *builder = &q->rewriter.builder;
  const bool is_signed = form == PITH_OPERAND_KEY || form == PITH_OPERAND_VALUES;
  const int64_t block = form == PITH_OPERAND_ROWS ? tensor->dims[1].constant : q->head_size;
  const pith_attribute_setting attributes[2] = {PITH_SET_DTYPE("dtype", is_signed ? PITH_DTYPE_S8 : PITH_DTYPE_U8),
                                                PITH_SET_INT("block_size", block)};
  const pith_tensor_id inputs[2] = {x, form == PITH_OPERAND_VALUES ? q->offsets : PITH_NONE};
  const pith_tensor_id y = pith_build_node(builder, name_of(q, tensor->name, name_of(q, suffix, ".quantize")),
                                           PITH_OP_DYNAMIC_QUANTIZE, form == PITH_OPERAND_VALUES ? 2 : 1, inputs, 2,
                                           attributes);
  if (y == PITH_NONE)
    return PITH_NONE;
  const pith_tensor_id *outputs = builder->graph->nodes[builder->graph->node_count - 1].outputs;
  const pith_tensor_id operands[3] = {outputs[0], outputs[1], outputs[2]};
  const pith_attribute_setting places[2] = {PITH_SET_INT("axis", 1), PITH_SET_INT("block_size", block)};
  return pith_build_node(builder, name_of(q, tensor->name, name_of(q, suffix, ".dequantize")),
                         PITH_OP_DEQUANTIZE_LINEAR, 3, operands, 2, places);
}

static pith_tensor_id add_activation(quantizer *q, pith_tensor_id old, pith_operand_form form) {
  /* A tensor that is quantized in two ways has the second one's name after its form. */
  static const char *const suffixes[FORM_COUNT] = {
      [PITH_OPERAND_QUERY] = "query", [PITH_OPERAND_KEY] = "key", [PITH_OPERAND_VALUES] = "value"};
  const pith_tensor *tensor = &q->view.graph->tensors[old];
  const char *suffix = "";
  for (int other = PITH_OPERAND_ROWS; other <= PITH_OPERAND_VALUES; other++)
    if (q->made[other][old] != PITH_NONE)
      suffix = name_of(q, ".", suffixes[form] == NULL ? "rows" : suffixes[form]);
  const pith_tensor_id x = pith_rewriter_get(&q->rewriter, old);
  if (q->options->mode == PITH_QUANT_STATIC)
    return add_static(q, tensor, x, form == PITH_OPERAND_KEY || form == PITH_OPERAND_VALUES, suffix);
  return add_dynamic(q, tensor, x, form, suffix);
}

/* ---- data ------------------------------------------------------------------------------------------------------- */

/* Zeros stay zeros and small weights may become zeros: the mask is counted again. */
static pith_tensor_id keep_pattern(quantizer *q, const pith_tensor *from, const int8_t *values, pith_tensor_id id) {
  pith_builder *builder = &q->rewriter.builder;
  if (id == PITH_NONE || from->pattern.kind == PITH_PATTERN_DENSE)
    return id;
  pith_tensor *tensor = &builder->graph->tensors[id];
  tensor->pattern = from->pattern;
  builder->status = pith_pattern_count_kept(&from->pattern, (uint64_t)from->dims[0].constant, (uint64_t)from->dims[1].constant,
                                            values, false, &tensor->kept, builder->error);
  return id;
}

static pith_tensor_id add_data(quantizer *q, pith_tensor_id old, pith_operand_form form) {
  pith_rewriter *rewriter = &q->rewriter;
  pith_builder *builder = &rewriter->builder;
  const pith_tensor *tensor = &q->view.graph->tensors[old];
  const int64_t dims[2] = {tensor->dims[0].constant, tensor->dims[1].constant};
  const size_t rows = (size_t)dims[0], columns = (size_t)dims[1];
  const pith_layout layout = form == PITH_OPERAND_WEIGHT ? PITH_LAYOUT_N16K4_S8 : PITH_LAYOUT_ROW_MAJOR;
  const float *w = pith_rewriter_read(rewriter, old);
  uint64_t bytes = 0;
  if (w != NULL)
    builder->status = pith_layout_get_bytes(layout, PITH_DTYPE_S8, 2, tensor->dims, &bytes, builder->error);
  int8_t *plain = pith_arena_array(&rewriter->values, rows * columns < 64 ? 64 : rows * columns, 1);
  float *scales = pith_rewriter_allocate(rewriter, rows, sizeof *scales);
  int8_t *stored = pith_rewriter_allocate(rewriter, (size_t)bytes, 1);
  if (plain == NULL)
    pith_builder_fail(builder, PITH_OUT_OF_MEMORY, "tensor '%s': no memory to quantize it", tensor->name);
  if (builder->status != PITH_OK)
    return PITH_NONE;
  if (q->scales != NULL && q->scales[old] != NULL)
    memcpy(scales, q->scales[old], rows * sizeof *scales);
  else
    pith_weight_rows_choose_scales(w, rows, columns, q->options->weight_clip, scales);
  pith_weight_rows_round(w, rows, columns, scales, plain);
  builder->status = pith_layout_convert(PITH_DTYPE_S8, 2, tensor->dims, PITH_LAYOUT_ROW_MAJOR, plain, layout, stored,
                                        rewriter->scratch.allocator, builder->error);
  const pith_tensor_id inputs[2] = {
      keep_pattern(q, tensor, plain,
                   pith_build_data(builder, tensor->kind, tensor->name, PITH_DTYPE_S8, 2, dims, layout, stored, bytes)),
      pith_build_data(builder, tensor->kind, name_of(q, tensor->name, "_scale"), PITH_DTYPE_F32, 1, dims,
                      PITH_LAYOUT_ROW_MAJOR, scales, rows * sizeof *scales)};
  const pith_attribute_setting attributes[1] = {PITH_SET_INT("axis", 0)};
  *(form == PITH_OPERAND_WEIGHT ? &q->summary.weights : &q->summary.tables) += 1;
  q->summary.float_bytes += tensor->data_bytes;
  q->summary.quantized_bytes += bytes + rows * sizeof *scales;
  return pith_build_node(builder, name_of(q, tensor->name, ".dequantize"), PITH_OP_DEQUANTIZE_LINEAR, 2, inputs, 1,
                         attributes);
}

/* ---- nodes ------------------------------------------------------------------------------------------------------ */

static pith_tensor_id get_operand(quantizer *q, pith_tensor_id old, pith_operand_form form) {
  if (form == PITH_OPERAND_FLOAT || old == PITH_NONE || (form == PITH_OPERAND_WEIGHT && q->float_weights))
    return pith_rewriter_get(&q->rewriter, old);
  pith_tensor_id *made = &q->made[form][old];
  if (*made == PITH_NONE)
    *made = pith_operand_is_activation(form) ? add_activation(q, old, form) : add_data(q, old, form);
  return *made;
}

static void add_node(quantizer *q, const pith_node *node) {
  enum { RULED = sizeof((pith_quant_rule *)NULL)->operands / sizeof(pith_operand_form) };
  const pith_quant_rule *rule = pith_quant_rule_find(&q->view, node);
  const bool is_product = node->op->id == PITH_OP_GEMM || node->op->id == PITH_OP_MATMUL;
  q->summary.products += is_product && rule != NULL;
  q->summary.products_kept += is_product && rule == NULL;
  pith_tensor_id inputs[PITH_MAX_PORTS];
  pith_attribute attributes[PITH_MAX_ATTRIBUTES];
  pith_node changed = *node;
  if (rule != NULL && node->op->id == PITH_OP_PACKED_ATTENTION) {
    q->offsets = pith_rewriter_get(&q->rewriter, node->inputs[4]);
    for (uint32_t i = 0; node->op->attributes[i].name != NULL; i++) {
      attributes[i] = node->attributes[i];
      if (strcmp(node->op->attributes[i].name, "softmax_dtype") == 0)
        attributes[i].i = PITH_DTYPE_U8;
    }
    changed.attributes = attributes;
  }
  for (uint32_t i = 0; i < node->input_count; i++) {
    const pith_operand_form form = rule != NULL && i < RULED ? rule->operands[i] : PITH_OPERAND_FLOAT;
    if (form == PITH_OPERAND_QUERY || form == PITH_OPERAND_KEY || form == PITH_OPERAND_VALUES)
      q->head_size = q->view.graph->tensors[node->inputs[i]].dims[1].constant /
                     pith_node_get_attribute(node, "num_heads")->i;
    inputs[i] = get_operand(q, node->inputs[i], form);
  }
  pith_rewriter_add_node(&q->rewriter, &changed, inputs);
}

pith_status pith_quant_check_float(const pith_graph *graph, pith_error *error) {
  for (uint32_t n = 0; n < graph->node_count; n++) {
    const pith_node *node = &graph->nodes[n];
    if (node->op->id == PITH_OP_QUANTIZE_LINEAR || node->op->id == PITH_OP_DEQUANTIZE_LINEAR ||
        node->op->id == PITH_OP_DYNAMIC_QUANTIZE)
      return pith_fail(error, PITH_INVALID_ARGUMENT, "the model is quantized already: node '%s' is a %s", node->name,
                       node->op->name);
  }
  return PITH_OK;
}

static pith_status rewrite(quantizer *q, pith_graph **out_graph, pith_error *error) {
  const pith_graph *graph = q->view.graph;
  for (int form = 0; form < FORM_COUNT; form++) {
    q->made[form] = PITH_ARENA_NEW(&q->rewriter.scratch, pith_tensor_id, graph->tensor_count);
    if (q->made[form] == NULL)
      return pith_fail(error, PITH_OUT_OF_MEMORY, "no memory to quantize graph '%s'", graph->name);
    for (uint32_t i = 0; i < graph->tensor_count; i++)
      q->made[form][i] = PITH_NONE;
  }
  PITH_TRY(pith_quant_check_patterns(&q->view, error));
  for (uint32_t n = 0; n < graph->node_count && q->rewriter.builder.status == PITH_OK; n++)
    add_node(q, &graph->nodes[n]);
  PITH_TRY(q->rewriter.builder.status);
  if (q->summary.products + q->summary.tables == 0)
    return pith_fail(error, PITH_INVALID_ARGUMENT, "graph '%s' has nothing that a rule quantizes", graph->name);
  return pith_rewriter_finish(&q->rewriter, out_graph);
}

static pith_status run(quantizer *q, const pith_graph *graph, const pith_allocator *allocator, pith_graph **out_graph,
                       pith_error *error) {
  PITH_TRY(pith_quant_check_float(graph, error));
  if (q->ranges == NULL && q->options->mode == PITH_QUANT_STATIC)
    return pith_fail(error, PITH_INVALID_ARGUMENT, "static quantization needs ranges of activations");
  pith_status status = pith_rewriter_init(&q->rewriter, graph, allocator, error);
  if (status == PITH_OK)
    status = pith_quant_view_init(&q->view, graph, q->options, &q->rewriter.scratch, error);
  if (status == PITH_OK)
    status = rewrite(q, out_graph, error);
  pith_rewriter_deinit(&q->rewriter);
  return status;
}

pith_status pith_quantize_graph(const pith_graph *graph, const pith_ranges *ranges, const pith_quant_options *options,
                                const float *const *scales, const pith_allocator *allocator, pith_graph **out_graph,
                                pith_quant_summary *out_summary, pith_error *error) {
  quantizer q = {.ranges = ranges, .options = options, .scales = scales};
  PITH_TRY(run(&q, graph, allocator, out_graph, error));
  *out_summary = q.summary;
  return PITH_OK;
}

pith_status pith_quantize_activations(const pith_graph *graph, const pith_ranges *ranges, const pith_quant_options *options,
                                      const pith_allocator *allocator, pith_graph **out_graph, pith_error *error) {
  quantizer q = {.ranges = ranges, .options = options, .float_weights = true};
  return run(&q, graph, allocator, out_graph, error);
}

pith_status pith_quant_list_activations(const pith_graph *graph, const pith_quant_options *options, pith_arena *arena,
                                        const char *const **out_names, uint32_t *out_count, pith_error *error) {
  PITH_TRY(pith_quant_check_float(graph, error));
  pith_quant_view view;
  PITH_TRY(pith_quant_view_init(&view, graph, options, arena, error));
  PITH_TRY(pith_quant_check_patterns(&view, error));
  const char **names = PITH_ARENA_NEW(arena, const char *, graph->tensor_count);
  bool *listed = PITH_ARENA_NEW(arena, bool, graph->tensor_count);
  if (names == NULL || listed == NULL)
    return pith_fail(error, PITH_OUT_OF_MEMORY, "no memory to list the activations of graph '%s'", graph->name);
  uint32_t count = 0;
  for (uint32_t n = 0; n < graph->node_count; n++) {
    const pith_node *node = &graph->nodes[n];
    const pith_quant_rule *rule = pith_quant_rule_find(&view, node);
    for (uint32_t i = 0; rule != NULL && i < 3 && i < node->input_count; i++)
      if (pith_operand_is_activation(rule->operands[i]) && !listed[node->inputs[i]]) {
        listed[node->inputs[i]] = true;
        names[count++] = graph->tensors[node->inputs[i]].name;
      }
  }
  *out_names = names;
  *out_count = count;
  return PITH_OK;
}
