#include "train/gradients.h"

#include <math.h>
#include <string.h>

#include "engine/ir/operator.h"
#include "ops/elementwise/elementwise_f32.h"
#include "train/operators.h"

#define BUILD(name) static void name(pith_backward *b, const pith_node *node, const pith_tensor_id *dy)

static pith_tensor_id input(const pith_backward *b, const pith_node *node, uint32_t i) {
  return i < node->input_count ? pith_backward_value(b, node->inputs[i]) : PITH_NONE;
}
static bool wants(const pith_backward *b, const pith_node *node, uint32_t i) {
  return i < node->input_count && pith_backward_wants(b, node->inputs[i]);
}
static pith_tensor_id output(const pith_backward *b, const pith_node *node, uint32_t i) {
  return pith_backward_value(b, node->outputs[i]);
}
static pith_attribute_setting same(const pith_node *node, const char *attribute) {
  return (pith_attribute_setting){attribute, *pith_node_get_attribute(node, attribute)};
}
static pith_tensor_id build(pith_backward *b, const pith_node *node, int op_id, pith_tensor_id x, pith_tensor_id y) {
  return pith_backward_build(b, node, op_id, 2, (pith_tensor_id[]){x, y}, 0, NULL);
}
static pith_tensor_id negate(pith_backward *b, const pith_node *node, pith_tensor_id x) {
  return build(b, node, PITH_OP_MUL, x, pith_backward_number(b, -1));
}

/* ---- element by element -------------------------------------------------------------------------------------------------- */

BUILD(build_add) {
  pith_backward_add_reduced(b, node->inputs[0], dy[0]);
  pith_backward_add_reduced(b, node->inputs[1], dy[0]);
}

BUILD(build_sub) {
  pith_backward_add_reduced(b, node->inputs[0], dy[0]);
  if (wants(b, node, 1))
    pith_backward_add_reduced(b, node->inputs[1], negate(b, node, dy[0]));
}

BUILD(build_mul) {
  for (uint32_t i = 0; i < 2; i++)
    if (wants(b, node, i))
      pith_backward_add_reduced(b, node->inputs[i], build(b, node, PITH_OP_MUL, dy[0], input(b, node, 1 - i)));
}

/* C = A / B: dA = dC / B, dB = -dA C */
BUILD(build_div) {
  const pith_tensor_id da = build(b, node, PITH_OP_DIV, dy[0], input(b, node, 1));
  pith_backward_add_reduced(b, node->inputs[0], da);
  if (wants(b, node, 1))
    pith_backward_add_reduced(b, node->inputs[1], negate(b, node, build(b, node, PITH_OP_MUL, da, output(b, node, 0))));
}

static void build_unary(pith_backward *b, const pith_node *node, pith_tensor_id dy, pith_unary function) {
  const pith_attribute_setting attribute = PITH_SET_ENUM("function", (int64_t)function);
  pith_backward_add(b, node->inputs[0],
                    pith_backward_build(b, node, PITH_OP_UNARY_GRAD, 2, (pith_tensor_id[]){input(b, node, 0), dy}, 1, &attribute));
}
BUILD(build_erf) {
  build_unary(b, node, dy[0], PITH_UNARY_ERF);
}
BUILD(build_tanh) {
  build_unary(b, node, dy[0], PITH_UNARY_TANH);
}
BUILD(build_sigmoid) {
  build_unary(b, node, dy[0], PITH_UNARY_SIGMOID);
}
BUILD(build_relu) {
  build_unary(b, node, dy[0], PITH_UNARY_RELU);
}
BUILD(build_gelu) {
  const bool tanh_form = pith_node_get_attribute(node, "approximate")->i == PITH_GELU_TANH;
  build_unary(b, node, dy[0], tanh_form ? PITH_UNARY_GELU_TANH : PITH_UNARY_GELU);
}

BUILD(build_identity) {
  pith_backward_add(b, node->inputs[0], dy[0]);
}

BUILD(build_cast) {
  const pith_attribute_setting attribute = PITH_SET_DTYPE("to", pith_backward_tensor(b, node->inputs[0])->dtype);
  pith_backward_add(b, node->inputs[0], pith_backward_build(b, node, PITH_OP_CAST, 1, dy, 1, &attribute));
}

/* ---- products -------------------------------------------------------------------------------------------------------------- */

static pith_tensor_id build_product(pith_backward *b, const pith_node *node, pith_tensor_id x, bool x_turned, pith_tensor_id y,
                                    bool y_turned, double alpha) {
  const pith_attribute_setting attributes[3] = {PITH_SET_INT("transA", x_turned), PITH_SET_INT("transB", y_turned),
                                                PITH_SET_FLOAT("alpha", alpha)};
  return pith_backward_build(b, node, PITH_OP_GEMM, 2, (pith_tensor_id[]){x, y}, 3, attributes);
}

/* Y = alpha A' B', A' and B' turned or not: dA' = alpha dY B'^T, dB' = alpha A'^T dY, each turned back. */
static void add_factors(pith_backward *b, const pith_node *node, pith_tensor_id dy, bool a_turned, bool b_turned, double alpha) {
  const pith_tensor_id factors[2] = {input(b, node, 0), input(b, node, 1)};
  if (wants(b, node, 0))
    pith_backward_add(b, node->inputs[0],
                      a_turned ? build_product(b, node, factors[1], b_turned, dy, true, alpha)
                               : build_product(b, node, dy, false, factors[1], !b_turned, alpha));
  if (wants(b, node, 1))
    pith_backward_add(b, node->inputs[1],
                      b_turned ? build_product(b, node, dy, true, factors[0], a_turned, alpha)
                               : build_product(b, node, factors[0], !a_turned, dy, false, alpha));
}

BUILD(build_matmul) {
  add_factors(b, node, dy[0], false, false, 1);
}

BUILD(build_gemm) {
  const double beta = pith_node_get_attribute(node, "beta")->f;
  add_factors(b, node, dy[0], pith_node_get_attribute(node, "transA")->i != 0, pith_node_get_attribute(node, "transB")->i != 0,
              pith_node_get_attribute(node, "alpha")->f);
  if (!wants(b, node, 2))
    return;
  const pith_tensor_id scaled = beta == 1 ? dy[0] : build(b, node, PITH_OP_MUL, dy[0], pith_backward_number(b, (float)beta));
  pith_backward_add_reduced(b, node->inputs[2], scaled);
}

/* ---- rows ------------------------------------------------------------------------------------------------------------------ */

BUILD(build_gather) {
  if (pith_backward_add_rows(b, node->inputs[0], dy[0], node->inputs[1]))
    return;
  const pith_attribute_setting attribute = same(node, "axis");
  pith_backward_add(b, node->inputs[0],
                    pith_backward_build(b, node, PITH_OP_GATHER_GRAD, 3,
                                        (pith_tensor_id[]){input(b, node, 0), input(b, node, 1), dy[0]}, 1, &attribute));
}

BUILD(build_softmax) {
  const pith_attribute_setting attribute = same(node, "axis");
  pith_backward_add(b, node->inputs[0],
                    pith_backward_build(b, node, PITH_OP_SOFTMAX_GRAD, 2, (pith_tensor_id[]){output(b, node, 0), dy[0]}, 1, &attribute));
}

BUILD(build_lp_norm) {
  const pith_attribute_setting attributes[2] = {same(node, "axis"), same(node, "p")};
  pith_backward_add(b, node->inputs[0],
                    pith_backward_build(b, node, PITH_OP_LP_NORMALIZATION_GRAD, 2, (pith_tensor_id[]){input(b, node, 0), dy[0]}, 2, attributes));
}

BUILD(build_layer_norm) {
  const pith_attribute_setting attributes[2] = {same(node, "axis"), same(node, "epsilon")};
  const pith_tensor_id x = input(b, node, 0);
  const pith_tensor_id dx = pith_backward_build(b, node, PITH_OP_LAYER_NORMALIZATION_GRAD, 3,
                                                (pith_tensor_id[]){x, input(b, node, 1), dy[0]}, 2, attributes);
  if (dx == PITH_NONE)
    return;
  pith_backward_add(b, node->inputs[0], dx);
  if (!wants(b, node, 1) && !wants(b, node, 2))
    return;
  const pith_tensor_id dscale = pith_backward_build(b, node, PITH_OP_LAYER_NORMALIZATION_SCALE_GRAD, 4,
                                                    (pith_tensor_id[]){x, dy[0], dx + 1, dx + 2}, 1, attributes);
  if (dscale == PITH_NONE)
    return;
  pith_backward_add(b, node->inputs[1], dscale);
  if (wants(b, node, 2))
    pith_backward_add(b, node->inputs[2], dscale + 1);
}

/* ---- sequences ------------------------------------------------------------------------------------------------------------- */

BUILD(build_pool) {
  const pith_attribute_setting attribute = same(node, "mode");
  pith_backward_add(b, node->inputs[0],
                    pith_backward_build(b, node, PITH_OP_SEQUENCE_POOL_GRAD, 3,
                                        (pith_tensor_id[]){input(b, node, 0), input(b, node, 1), dy[0]}, 1, &attribute));
}

BUILD(build_dropout) {
  const pith_attribute_setting attributes[2] = {same(node, "ratio"), same(node, "operator")};
  if (wants(b, node, 0))
    pith_backward_add(b, node->inputs[0],
                      pith_backward_build(b, node, PITH_OP_DROPOUT, 4,
                                          (pith_tensor_id[]){dy[0], PITH_NONE, input(b, node, 2), input(b, node, 3)}, 2, attributes));
  if (wants(b, node, 1))
    pith_backward_add(b, node->inputs[1], dy[0]);
}

BUILD(build_attention) {
  const pith_attribute_setting attributes[5] = {same(node, "num_heads"), same(node, "scale"), same(node, "causal"), same(node, "ratio"),
                                                same(node, "operator")};
  const pith_tensor_id inputs[9] = {input(b, node, 0),  input(b, node, 1), input(b, node, 2), output(b, node, 0), output(b, node, 1),
                                    dy[0],              input(b, node, 3), input(b, node, 4), input(b, node, 5)};
  const pith_tensor_id first = pith_backward_build(b, node, PITH_OP_TRAINING_ATTENTION_GRAD, 9, inputs, 5, attributes);
  for (uint32_t i = 0; i < 3 && first != PITH_NONE; i++)
    pith_backward_add(b, node->inputs[i], first + i);
}

/* ---- 8 bits ---------------------------------------------------------------------------------------------------------------- */

/* A learned scale's gradient is divided by the root of features * levels, as in LSQ: so many elements of a token add to it. */
BUILD(build_fake_quantize) {
  const pith_attribute_setting attribute = same(node, "dtype");
  const pith_tensor_id dx = pith_backward_build(b, node, PITH_OP_FAKE_QUANTIZE_GRAD, 4,
                                                (pith_tensor_id[]){input(b, node, 0), dy[0], input(b, node, 1), input(b, node, 2)}, 1,
                                                &attribute);
  if (dx == PITH_NONE)
    return;
  pith_backward_add(b, node->inputs[0], dx);
  if (!wants(b, node, 1))
    return;
  const double features = (double)pith_backward_tensor(b, node->inputs[0])->dims[1].constant;
  const double levels = attribute.value.i == PITH_DTYPE_S8 ? 127 : 255;
  const pith_tensor_id parts = build(b, node, PITH_OP_MUL, dx + 1, pith_backward_number(b, (float)(1 / sqrt(features * levels))));
  pith_backward_add_reduced(b, node->inputs[1], parts);
}

/* Rounding within the rows' own ranges, and integers in the place of input 0. */
BUILD(build_straight) {
  pith_backward_add(b, node->inputs[0], dy[0]);
}

/* ---- losses ---------------------------------------------------------------------------------------------------------------- */

/* The row of a loss is followed by that of its gradient, which has one more port. `exchanged`: by the second operand, of a loss that
 * is the same with both exchanged. */
static void build_loss_by(pith_backward *b, const pith_node *node, pith_tensor_id dloss, bool exchanged) {
  const int id = (int)node->op->id + 1;
  const pith_operator *op = pith_training_operator_get(id);
  pith_tensor_id inputs[PITH_MAX_PORTS];
  pith_attribute_setting attributes[PITH_MAX_ATTRIBUTES];
  uint32_t ports = 0, count = 0;
  for (; node->op->inputs[ports].name != NULL; ports++)
    inputs[ports] = input(b, node, ports);
  if (exchanged) {
    inputs[0] = input(b, node, 1);
    inputs[1] = input(b, node, 0);
  }
  inputs[ports++] = dloss;
  for (; op->attributes[count].name != NULL; count++)
    attributes[count] = same(node, op->attributes[count].name);
  pith_backward_add(b, node->inputs[exchanged], pith_backward_build(b, node, id, ports, inputs, count, attributes));
}
BUILD(build_loss) {
  if (wants(b, node, 0))
    build_loss_by(b, node, dy[0], false);
}
BUILD(build_symmetric_loss) {
  build_loss(b, node, dy);
  if (wants(b, node, 1))
    build_loss_by(b, node, dy[0], true);
}

BUILD(build_relations) {
  const pith_attribute_setting attributes[4] = {same(node, "num_heads"), same(node, "scale"), same(node, "teacher_scale"),
                                                same(node, "error")};
  pith_tensor_id inputs[PITH_RELATION_D_ERRORS + 1];
  for (uint32_t i = PITH_RELATION_X; i <= PITH_RELATION_OFFSETS; i++)
    inputs[i] = input(b, node, i);
  inputs[PITH_RELATION_D_ERRORS] = dy[0];
  const pith_tensor_id dx = pith_backward_build(b, node, PITH_OP_RELATION_ERRORS_GRAD, PITH_RELATION_D_ERRORS + 1, inputs, 4, attributes);
  if (dx == PITH_NONE)
    return;
  pith_backward_add(b, node->inputs[PITH_RELATION_X], dx);
  pith_backward_add(b, node->inputs[PITH_RELATION_Z], dx + 1);
}

/* ---- all of it --------------------------------------------------------------------------------------------------------------- */

#define INTEGERS "its output is integers"
#define QUANTIZED "it rounds; training graphs of INT8 models hold FakeQuantize in its place"
#define SECOND "it is a gradient itself; second derivatives are not built"

static const pith_gradient_row rows[PITH_TRAINING_OP_END] = {
    [PITH_OP_ADD] = {build_add, 3, NULL},
    [PITH_OP_SUB] = {build_sub, 3, NULL},
    [PITH_OP_MUL] = {build_mul, 3, NULL},
    [PITH_OP_DIV] = {build_div, 3, NULL},
    [PITH_OP_ERF] = {build_erf, 1, NULL},
    [PITH_OP_TANH] = {build_tanh, 1, NULL},
    [PITH_OP_SIGMOID] = {build_sigmoid, 1, NULL},
    [PITH_OP_RELU] = {build_relu, 1, NULL},
    [PITH_OP_GELU] = {build_gelu, 1, NULL},
    [PITH_OP_CAST] = {build_cast, 1, NULL},
    [PITH_OP_IDENTITY] = {build_identity, 1, NULL},
    [PITH_OP_GATHER] = {build_gather, 1, NULL},
    [PITH_OP_GEMM] = {build_gemm, 7, NULL},
    [PITH_OP_MATMUL] = {build_matmul, 3, NULL},
    [PITH_OP_SOFTMAX] = {build_softmax, 1, NULL},
    [PITH_OP_LAYER_NORMALIZATION] = {build_layer_norm, 7, NULL},
    [PITH_OP_LP_NORMALIZATION] = {build_lp_norm, 1, NULL},
    [PITH_OP_PACKED_ATTENTION] = {NULL, 0, "it keeps nothing for the way back; training graphs hold TrainingAttention in its place"},
    [PITH_OP_PACKED_POSITIONS] = {NULL, 0, INTEGERS},
    [PITH_OP_SEQUENCE_POOL] = {build_pool, 1, NULL},
    [PITH_OP_QUANTIZE_LINEAR] = {NULL, 0, QUANTIZED},
    [PITH_OP_DEQUANTIZE_LINEAR] = {NULL, 0, QUANTIZED},
    [PITH_OP_DYNAMIC_QUANTIZE] = {NULL, 0, QUANTIZED},
    [PITH_OP_DROPOUT] = {build_dropout, 3, NULL},
    [PITH_OP_TRAINING_ATTENTION] = {build_attention, 7, NULL},
    [PITH_OP_TRAINING_ATTENTION_GRAD] = {NULL, 0, SECOND},
    [PITH_OP_UNARY_GRAD] = {NULL, 0, SECOND},
    [PITH_OP_REDUCE_SUM] = {NULL, 0, "it stands on the way back only, where broadcasting is undone"},
    [PITH_OP_GATHER_GRAD] = {NULL, 0, SECOND},
    [PITH_OP_SOFTMAX_GRAD] = {NULL, 0, SECOND},
    [PITH_OP_LAYER_NORMALIZATION_GRAD] = {NULL, 0, SECOND},
    [PITH_OP_LAYER_NORMALIZATION_SCALE_GRAD] = {NULL, 0, SECOND},
    [PITH_OP_LP_NORMALIZATION_GRAD] = {NULL, 0, SECOND},
    [PITH_OP_SEQUENCE_POOL_GRAD] = {NULL, 0, SECOND},
    [PITH_OP_FAKE_QUANTIZE] = {build_fake_quantize, 3, NULL},
    [PITH_OP_FAKE_QUANTIZE_GRAD] = {NULL, 0, SECOND},
    [PITH_OP_FAKE_QUANTIZE_ROWS] = {build_straight, 1, NULL},
    [PITH_OP_FAKE_QUANTIZE_WEIGHTS] = {build_straight, 1, NULL},
    [PITH_OP_ROW_RANGES] = {NULL, 0, "it is for moving averages of ranges, which are no part of the loss"},
    /* By scales, bias and X the operator has the gradient that gives input 0: here there is nothing to add. */
    [PITH_OP_INTEGER_PRODUCT] = {build_straight, 1 | 1 << 2 | 1 << 5 | 1 << 6, NULL},
    [PITH_OP_INTEGER_ATTENTION] = {build_straight, 1 | 1 << 6 | 1 << 8 | 1 << 9, NULL},
    [PITH_OP_GELU_8BIT] = {build_straight, 3, NULL},
    [PITH_OP_SOFTMAX_CROSS_ENTROPY] = {build_loss, 1, "class weights are options, not values that are learned"},
    [PITH_OP_SOFTMAX_CROSS_ENTROPY_GRAD] = {NULL, 0, SECOND},
    [PITH_OP_SPAN_CROSS_ENTROPY] = {build_loss, 1, NULL},
    [PITH_OP_SPAN_CROSS_ENTROPY_GRAD] = {NULL, 0, SECOND},
    [PITH_OP_SIGMOID_CROSS_ENTROPY] = {build_loss, 1, "targets are what is learned from"},
    [PITH_OP_SIGMOID_CROSS_ENTROPY_GRAD] = {NULL, 0, SECOND},
    [PITH_OP_MEAN_SQUARED_ERROR] = {build_symmetric_loss, 3, NULL},
    [PITH_OP_MEAN_SQUARED_ERROR_GRAD] = {NULL, 0, SECOND},
    [PITH_OP_COSINE_LOSS] = {build_symmetric_loss, 3, "targets are what is learned from"},
    [PITH_OP_COSINE_LOSS_GRAD] = {NULL, 0, SECOND},
    [PITH_OP_KL_DIVERGENCE] = {build_loss, 1, "the teacher does not learn"},
    [PITH_OP_KL_DIVERGENCE_GRAD] = {NULL, 0, SECOND},
    [PITH_OP_MEAN] = {build_loss, 1, NULL},
    [PITH_OP_MEAN_GRAD] = {NULL, 0, SECOND},
    [PITH_OP_RELATION_ERRORS] = {build_relations, 3, "the teacher does not learn"},
    [PITH_OP_RELATION_ERRORS_GRAD] = {NULL, 0, SECOND},
};

const pith_gradient_row *pith_gradient_row_get(int op_id) {
  return op_id >= 0 && op_id < PITH_TRAINING_OP_END ? &rows[op_id] : NULL;
}

uint32_t pith_gradient_get_stops(int op_id) {
  return op_id == PITH_OP_KL_DIVERGENCE ? 1u << 1 : 0;
}
