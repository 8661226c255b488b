/* Graph to steps: each node becomes one step, or the few that spell it out. Nothing is optimized here. */
#include <math.h>

#include "engine/lower/translate.h"
#include "ops/elementwise/elementwise_f32.h"
#include "ops/gemm/gemm_f32.h"
#include "ops/pool/pool_f32.h"

pith_value *pith_translate_add_value(const pith_translation *t, const char *suffix, uint32_t rank, const pith_dim *dims,
                                     pith_value_id *out_id) {
  const char *name = pith_arena_format(&t->program->arena, "%s.%s", t->node->name, suffix);
  pith_dim *copy = PITH_ARENA_NEW(&t->program->arena, pith_dim, rank);
  pith_value *value = name == NULL || copy == NULL ? NULL : pith_program_add_value(t->program, out_id);
  if (value == NULL)
    return NULL;
  if (rank != 0)
    memcpy(copy, dims, rank * sizeof *dims);
  value->name = name;
  value->kind = PITH_VALUE_BUFFER;
  value->dtype = PITH_DTYPE_F32;
  value->rank = rank;
  value->dims = copy;
  return value;
}

/* ---- element by element --------------------------------------------------------------------------------- */

/* Consecutive dimensions that repeat the same operands count as one; two such groups are the rows and columns that
 * kernels know. */
static pith_status translate_binary(const pith_translation *t, pith_binary function, pith_value_id a, pith_value_id b,
                                    pith_value_id y) {
  const pith_value *values = t->program->values, *operands[2] = {&values[a], &values[b]};
  uint32_t rank = values[y].rank, groups = 0;
  bool repeat[2][2] = {{false, false}, {false, false}}; /* [group][operand] */
  for (uint32_t i = 0; i < rank; i++) {
    const pith_dim one = pith_dim_of(1), *size = &values[y].dims[i];
    if (pith_dim_equal(size, &one))
      continue;
    bool repeats[2];
    for (int j = 0; j < 2; j++)
      repeats[j] = rank - i > operands[j]->rank ||
                   !pith_dim_equal(&operands[j]->dims[operands[j]->rank - (rank - i)], size);
    if (groups > 0 && repeats[0] == repeat[groups - 1][0] && repeats[1] == repeat[groups - 1][1])
      continue;
    if (groups == 2)
      return pith_fail(t->error, PITH_UNSUPPORTED, "node '%s': %s repeats its operands over more than two groups of "
                       "dimensions", t->node->name, t->node->op->name);
    memcpy(repeat[groups++], repeats, sizeof repeats);
  }
  pith_step *step = pith_program_add_step(t->program, PITH_STEP_BINARY, t->node->name);
  if (step == NULL)
    return pith_translate_no_memory(t);
  step->input_count = 2;
  step->inputs[0] = a;
  step->inputs[1] = b;
  step->outputs[0] = y;
  step->params.elementwise.function = (int)function;
  for (int j = 0; j < 2; j++) {
    /* One group: all columns of one row. */
    step->params.elementwise.repeat_rows[j] = groups == 2 ? repeat[0][j] : groups == 1 && repeat[0][j];
    step->params.elementwise.repeat_columns[j] = groups == 2 ? repeat[1][j] : groups == 1 && repeat[0][j];
  }
  return PITH_OK;
}

static pith_status translate_unary(const pith_translation *t, pith_unary function) {
  pith_step *step = pith_translate_add_step(t, PITH_STEP_UNARY, 1);
  if (step == NULL)
    return pith_translate_no_memory(t);
  step->params.elementwise.function = (int)function;
  return PITH_OK;
}

#define TRANSLATE_BINARY(name, function)                                                                    \
  static pith_status name(const pith_translation *t) {                                                           \
    return translate_binary(t, function, t->node->inputs[0], t->node->inputs[1], t->node->outputs[0]);      \
  }
TRANSLATE_BINARY(translate_add, PITH_BINARY_ADD)
TRANSLATE_BINARY(translate_sub, PITH_BINARY_SUB)
TRANSLATE_BINARY(translate_mul, PITH_BINARY_MUL)
TRANSLATE_BINARY(translate_div, PITH_BINARY_DIV)

static pith_status translate_erf(const pith_translation *t) {
  return translate_unary(t, PITH_UNARY_ERF);
}
static pith_status translate_tanh(const pith_translation *t) {
  return translate_unary(t, PITH_UNARY_TANH);
}
static pith_status translate_sigmoid(const pith_translation *t) {
  return translate_unary(t, PITH_UNARY_SIGMOID);
}
static pith_status translate_relu(const pith_translation *t) {
  return translate_unary(t, PITH_UNARY_RELU);
}
static pith_status translate_gelu(const pith_translation *t) {
  return translate_unary(t, pith_translate_get_int(t, "approximate") == PITH_GELU_TANH ? PITH_UNARY_GELU_TANH : PITH_UNARY_GELU);
}

/* Identity is a Cast to the same dtype. */
static pith_status translate_cast(const pith_translation *t) {
  return pith_translate_add_step(t, PITH_STEP_CAST, 1) == NULL ? pith_translate_no_memory(t) : PITH_OK;
}

/* ---- rows ------------------------------------------------------------------------------------------------ */

static pith_status translate_gather(const pith_translation *t) {
  const pith_value *x = &t->program->values[t->node->inputs[0]];
  uint32_t axis = pith_translate_get_axis(t, x->rank);
  size_t inner = 1;
  for (uint32_t i = axis + 1; i < x->rank; i++)
    if (!pith_dim_is_constant(&x->dims[i]) || !pith_size_multiply(inner, (size_t)x->dims[i].constant, &inner))
      return pith_fail(t->error, PITH_UNSUPPORTED, "node '%s': Gather needs constant dimensions behind its axis",
                       t->node->name);
  if (axis != 0 && (!pith_dim_is_constant(&x->dims[axis]) || x->dims[axis].constant == 0))
    return pith_fail(t->error, PITH_UNSUPPORTED, "node '%s': Gather along axis %u needs it constant and not 0",
                     t->node->name, axis);
  pith_check check = {.kind = PITH_CHECK_INDICES, .value = t->node->inputs[1], .of = t->node->inputs[0], .axis = axis};
  PITH_TRY(pith_program_add_check(t->program, &check, t->error));
  size_t size = axis == 0 ? 0 : (size_t)x->dims[axis].constant;
  pith_step *step = pith_translate_add_step(t, PITH_STEP_GATHER, 2);
  if (step == NULL)
    return pith_translate_no_memory(t);
  step->params.gather.axis = size;
  step->params.gather.inner = inner;
  return PITH_OK;
}

static pith_status translate_layer_norm(const pith_translation *t) {
  pith_step *step = pith_translate_add_step(t, PITH_STEP_LAYER_NORM, 1);
  if (step == NULL)
    return pith_translate_no_memory(t);
  step->input_count = PITH_NORM_BETA + 1;
  step->inputs[PITH_NORM_GAMMA] = pith_translate_get_input(t, 1);
  step->inputs[PITH_NORM_BETA] = pith_translate_get_input(t, 2);
  step->params.norm.epsilon = pith_translate_get_float(t, "epsilon");
  return PITH_OK;
}

/* Softmax or LpNorm over a dimension; over the first of two by way of the transpose. */
static pith_status translate_along_axis(const pith_translation *t, pith_step_kind kind, const pith_step_params *params) {
  pith_value_id x = t->node->inputs[0], y = t->node->outputs[0], turned = PITH_NONE, result = y;
  uint32_t rank = t->program->values[x].rank, axis = pith_translate_get_axis(t, rank);
  bool turn = axis + 1 != rank;
  if (turn && rank != 2)
    return pith_fail(t->error, PITH_UNSUPPORTED, "node '%s': %s along axis %u of rank %u, only the last one can be "
                     "had there", t->node->name, t->node->op->name, axis, rank);
  if (turn) {
    const pith_dim swapped[2] = {t->program->values[x].dims[1], t->program->values[x].dims[0]};
    if (pith_translate_add_value(t, "turned", 2, swapped, &turned) == NULL || pith_translate_add_value(t, "result", 2, swapped, &result) == NULL)
      return pith_translate_no_memory(t);
    pith_step *step = pith_translate_add_step(t, PITH_STEP_TRANSPOSE, 1);
    if (step == NULL)
      return pith_translate_no_memory(t);
    step->outputs[0] = turned;
  }
  pith_step *step = pith_translate_add_step(t, kind, 1);
  if (step == NULL)
    return pith_translate_no_memory(t);
  step->params = *params;
  if (!turn)
    return PITH_OK;
  step->inputs[0] = turned;
  step->outputs[0] = result;
  if ((step = pith_translate_add_step(t, PITH_STEP_TRANSPOSE, 1)) == NULL)
    return pith_translate_no_memory(t);
  step->inputs[0] = result;
  return PITH_OK;
}

static pith_status translate_softmax(const pith_translation *t) {
  return translate_along_axis(t, PITH_STEP_SOFTMAX, &(pith_step_params){.gemm = {0}});
}
static pith_status translate_lp_norm(const pith_translation *t) {
  /* The least norm that is divided by, as torch.nn.functional.normalize has it; 0 / it is 0, as ONNX asks. */
  return translate_along_axis(t, PITH_STEP_LP_NORM,
                              &(pith_step_params){.norm = {.epsilon = 1e-12f, .p = (int)pith_translate_get_int(t, "p")}});
}

/* ---- sequences ------------------------------------------------------------------------------------------- */

float pith_translate_get_scale(const pith_translation *t, int64_t head_size) {
  const float scale = pith_translate_get_float(t, "scale");
  return scale != 0 ? scale : head_size == 0 ? 1.0f : (float)(1.0 / sqrt((double)head_size));
}

static pith_status translate_attention(const pith_translation *t) {
  const int64_t heads = pith_translate_get_int(t, "num_heads");
  bool rounded = pith_translate_get_int(t, "softmax_dtype") == PITH_DTYPE_U8;
  pith_step *step = pith_translate_add_step(t, rounded ? PITH_STEP_ROUNDED_ATTENTION : PITH_STEP_ATTENTION, 5);
  if (step == NULL)
    return pith_translate_no_memory(t);
  step->params.attention.heads = heads;
  step->params.attention.scale =
      pith_translate_get_scale(t, t->program->values[t->node->inputs[0]].dims[1].constant / heads);
  step->params.attention.causal = pith_translate_get_int(t, "causal") != 0;
  return PITH_OK;
}

static pith_status translate_positions(const pith_translation *t) {
  pith_step *step = pith_translate_add_step(t, PITH_STEP_POSITIONS, 2);
  if (step == NULL)
    return pith_translate_no_memory(t);
  step->params.positions.start = (int32_t)pith_translate_get_int(t, "start");
  step->params.positions.padding_id = (int32_t)pith_translate_get_int(t, "padding_id");
  return PITH_OK;
}

static pith_status translate_pool(const pith_translation *t) {
  static const pith_pool_mode modes[] = {
      [PITH_POOL_MEAN] = PITH_POOL_F32_MEAN,
      [PITH_POOL_CLS] = PITH_POOL_F32_CLS,
      [PITH_POOL_MAX] = PITH_POOL_F32_MAX,
      [PITH_POOL_LAST] = PITH_POOL_F32_LAST,
  };
  pith_step *step = pith_translate_add_step(t, PITH_STEP_POOL, 2);
  if (step == NULL)
    return pith_translate_no_memory(t);
  step->params.pool.mode = (int)modes[pith_translate_get_int(t, "mode")];
  return PITH_OK;
}

/* ---- products --------------------------------------------------------------------------------------------- */

/* x [m, k] times w, [n, k] or, `columns`, [k, n], which packing turns where it is data. */
static pith_status add_product(const pith_translation *t, pith_value_id x, pith_value_id w, bool columns,
                               pith_value_id bias, pith_value_id y) {
  if (columns && pith_value_is_data(t->program, w) && !t->program->values[w].changes) {
    pith_value source = t->program->values[w];
    const pith_dim swapped[2] = {source.dims[1], source.dims[0]};
    pith_value *value = pith_translate_add_value(t, "weight", 2, swapped, &w);
    if (value == NULL)
      return pith_translate_no_memory(t);
    value->name = source.name;
    value->kind = PITH_VALUE_DATA;
    value->data = source.data;
    value->tensor = source.tensor;
    value->data_transposed = true;
    columns = false;
  }
  pith_step *step = pith_program_add_step(t->program, PITH_STEP_GEMM, t->node->name);
  if (step == NULL)
    return pith_translate_no_memory(t);
  step->outputs[PITH_ROWS_Y] = y;
  step->inputs[PITH_GEMM_X] = x;
  step->input_count = PITH_GEMM_SEGMENTS + PITH_SEGMENT_INPUTS;
  step->output_count = PITH_ROWS_OUTPUTS;
  step->inputs[pith_segment_input(0, PITH_SEGMENT_W)] = w;
  step->inputs[pith_segment_input(0, PITH_SEGMENT_BIAS)] = bias;
  step->params.gemm.activation = PITH_ACTIVATION_NONE;
  step->params.gemm.columns = columns;
  return PITH_OK;
}

/* y = x times a number. */
static pith_status add_scaled(const pith_translation *t, pith_value_id x, float factor, pith_value_id y) {
  float *number = PITH_ARENA_NEW(&t->program->arena, float, 1);
  pith_value_id id;
  pith_value *value = number == NULL ? NULL : pith_translate_add_value(t, "factor", 0, NULL, &id);
  if (value == NULL)
    return pith_translate_no_memory(t);
  *number = factor;
  value->kind = PITH_VALUE_DATA;
  value->data = number;
  return translate_binary(t, PITH_BINARY_MUL, x, id, y);
}

/* y = alpha A' B' + beta C: the product, then whatever of the rest is not 1, in this order. */
static pith_status translate_gemm(const pith_translation *t) {
  pith_value_id a = t->node->inputs[0], b = t->node->inputs[1], c = pith_translate_get_input(t, 2), y = t->node->outputs[0];
  float alpha = pith_translate_get_float(t, "alpha"), beta = pith_translate_get_float(t, "beta");
  bool columns = pith_translate_get_int(t, "transB") == 0;
  const pith_dim *y_dims = t->program->values[y].dims;
  if (pith_translate_get_int(t, "transA") != 0) {
    const pith_dim *dims = t->program->values[a].dims, swapped[2] = {dims[1], dims[0]};
    pith_value_id turned;
    pith_step *step;
    if (pith_translate_add_value(t, "turned", 2, swapped, &turned) == NULL || (step = pith_translate_add_step(t, PITH_STEP_TRANSPOSE, 1)) == NULL)
      return pith_translate_no_memory(t);
    step->outputs[0] = a = turned;
  }
  bool fused_bias = false;
  if (c != PITH_NONE && alpha == 1 && beta == 1) {
    size_t count;
    const pith_value *bias = &t->program->values[c];
    fused_bias = bias->rank >= 1 && pith_dim_equal(&bias->dims[bias->rank - 1], &y_dims[1]) &&
                 pith_value_get_constant_count(bias, &count) && count == (size_t)y_dims[1].constant;
  }
  pith_value_id product = y, scaled = y, rest = c;
  bool add = c != PITH_NONE && !fused_bias;
  if (add && pith_translate_add_value(t, "scaled", 2, y_dims, &scaled) == NULL)
    return pith_translate_no_memory(t);
  product = scaled;
  if (alpha != 1 && pith_translate_add_value(t, "product", 2, y_dims, &product) == NULL)
    return pith_translate_no_memory(t);
  PITH_TRY(add_product(t, a, b, columns, fused_bias ? c : PITH_NONE, product));
  if (alpha != 1)
    PITH_TRY(add_scaled(t, product, alpha, scaled));
  if (add && beta != 1) {
    if (pith_translate_add_value(t, "rest", t->program->values[c].rank, t->program->values[c].dims, &rest) == NULL)
      return pith_translate_no_memory(t);
    PITH_TRY(add_scaled(t, c, beta, rest));
  }
  return add ? translate_binary(t, PITH_BINARY_ADD, scaled, rest, y) : PITH_OK;
}

static pith_status translate_matmul(const pith_translation *t) {
  return add_product(t, t->node->inputs[0], t->node->inputs[1], true, PITH_NONE, t->node->outputs[0]);
}

/* ---- all of it --------------------------------------------------------------------------------------------- */

static pith_status (*const translators[PITH_OP_COUNT])(const pith_translation *t) = {
    [PITH_OP_ADD] = translate_add,
    [PITH_OP_SUB] = translate_sub,
    [PITH_OP_MUL] = translate_mul,
    [PITH_OP_DIV] = translate_div,
    [PITH_OP_ERF] = translate_erf,
    [PITH_OP_TANH] = translate_tanh,
    [PITH_OP_SIGMOID] = translate_sigmoid,
    [PITH_OP_RELU] = translate_relu,
    [PITH_OP_GELU] = translate_gelu,
    [PITH_OP_CAST] = translate_cast,
    [PITH_OP_IDENTITY] = translate_cast,
    [PITH_OP_GATHER] = translate_gather,
    [PITH_OP_GEMM] = translate_gemm,
    [PITH_OP_MATMUL] = translate_matmul,
    [PITH_OP_SOFTMAX] = translate_softmax,
    [PITH_OP_LAYER_NORMALIZATION] = translate_layer_norm,
    [PITH_OP_LP_NORMALIZATION] = translate_lp_norm,
    [PITH_OP_PACKED_ATTENTION] = translate_attention,
    [PITH_OP_PACKED_POSITIONS] = translate_positions,
    [PITH_OP_SEQUENCE_POOL] = translate_pool,
    [PITH_OP_QUANTIZE_LINEAR] = pith_translate_quantize,
    [PITH_OP_DEQUANTIZE_LINEAR] = pith_translate_dequantize,
    [PITH_OP_DYNAMIC_QUANTIZE] = pith_translate_dynamic_quantize,
};

/* The offsets of operators that know sequences, found by their ports' rows. */
static pith_status add_offsets_checks(const pith_translation *t) {
  for (uint32_t i = 0; i < t->node->input_count; i++) {
    const pith_port *port = &t->node->op->inputs[i];
    if (port->packs == 0 || t->node->inputs[i] == PITH_NONE)
      continue;
    pith_check check = {.kind = PITH_CHECK_OFFSETS, .value = t->node->inputs[i], .of = t->node->inputs[port->packs - 1]};
    PITH_TRY(pith_program_add_check(t->program, &check, t->error));
  }
  return PITH_OK;
}

static pith_status translate_node(const pith_translation *t, const pith_lower_options *options) {
  const pith_operator *op = t->node->op;
  PITH_TRY(add_offsets_checks(t));
  if (op->id < PITH_OP_COUNT)
    return translators[op->id](t);
  return options->translate != NULL ? options->translate(t)
                                    : pith_fail(t->error, PITH_UNSUPPORTED, "node '%s': %s is no operator of the engine's",
                                                t->node->name, op->name);
}

pith_status pith_pass_translate(pith_program *program, const pith_lower_options *options, pith_error *error) {
  const pith_graph *graph = program->graph;
  for (uint32_t i = 0; i < graph->tensor_count; i++) {
    const pith_tensor *tensor = &graph->tensors[i];
    pith_value_id id;
    pith_value *value = pith_program_add_value(program, &id);
    if (value == NULL)
      return pith_lower_no_memory(error);
    value->name = tensor->name;
    value->kind = tensor->kind == PITH_TENSOR_INPUT   ? PITH_VALUE_INPUT
                  : tensor->kind == PITH_TENSOR_VALUE ? PITH_VALUE_BUFFER
                                                      : PITH_VALUE_DATA;
    value->dtype = tensor->dtype;
    value->rank = tensor->rank;
    value->dims = tensor->dims;
    value->data = tensor->data;
    value->data_bytes = tensor->data_bytes;
    value->data_layout = tensor->layout;
    value->changes = options->parameters_change && tensor->kind == PITH_TENSOR_PARAMETER;
    value->tensor = tensor;
  }
  if (graph->input_count != 0)
    memcpy(program->inputs, graph->inputs, graph->input_count * sizeof *program->inputs);
  if (graph->output_count != 0)
    memcpy(program->outputs, graph->outputs, graph->output_count * sizeof *program->outputs);
  for (uint32_t i = 0; i < graph->node_count; i++) {
    pith_translation t = {program, &graph->nodes[i], error};
    PITH_TRY(translate_node(&t, options));
  }
  pith_program_index(program);
  return PITH_OK;
}
