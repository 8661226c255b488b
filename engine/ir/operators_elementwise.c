/* Element by element: arithmetic with broadcasting, activations, and changes of dtype. */
#include "engine/ir/ir_internal.h"

/* ONNX multidirectional broadcasting: shapes are aligned at their last dimension; two dimensions go
 * together where they are provably equal or one of them is 1. Consecutive dimensions that repeat
 * the same operands count as one group; the kernels have two, rows and columns. */
static pith_status infer_broadcast(pith_inference *inference, pith_error *error) {
  const pith_tensor *a = inference->inputs[0], *b = inference->inputs[1];
  uint32_t rank = a->rank > b->rank ? a->rank : b->rank;
  const pith_dim one = pith_dim_of(1);
  unsigned groups = 0;
  int repeats_before = -1;
  for (uint32_t i = 0; i < rank; i++) {
    uint32_t from_end = rank - i;
    const pith_dim *da = from_end > a->rank ? &one : &a->dims[a->rank - from_end];
    const pith_dim *db = from_end > b->rank ? &one : &b->dims[b->rank - from_end];
    if (!pith_dim_equal(da, db) && !pith_dim_equal(da, &one) && !pith_dim_equal(db, &one))
      return pith_inference_fail(inference, error,
                                 "A %s and B %s do not broadcast at dimension -%u",
                                 pith_inference_shape(inference, 0).text,
                                 pith_inference_shape(inference, 1).text, from_end);
    const pith_dim *dim = pith_dim_equal(da, &one) ? db : da;
    inference->outputs[0].dims[i] = *dim;
    int repeats = (pith_dim_equal(da, dim) ? 0 : 1) + (pith_dim_equal(db, dim) ? 0 : 2);
    if (!pith_dim_equal(dim, &one) && repeats != repeats_before) {
      repeats_before = repeats;
      groups++;
    }
  }
  if (groups > 2)
    return pith_inference_fail(
        inference, error, "A %s and B %s repeat over %u groups of dimensions, at most 2",
        pith_inference_shape(inference, 0).text, pith_inference_shape(inference, 1).text, groups);
  inference->outputs[0].dtype = a->dtype;
  inference->outputs[0].rank = rank;
  return PITH_OK;
}

static pith_status infer_cast(pith_inference *inference, pith_error *error) {
  PITH_TRY(pith_infer_same(inference, error));
  inference->outputs[0].dtype = (pith_dtype)pith_inference_get_int(inference, "to");
  return PITH_OK;
}

#define BROADCAST_LIMIT                                                                            \
  " Dimensions that repeat an operand may form at most two groups, such as [tokens, 384] and "     \
  "[384], or "                                                                                     \
  "[tokens, 384] and [tokens, 1]."
#define BINARY_PORTS                                                                               \
  .domain = "", .version = 14,                                                                     \
  .inputs = {{"A", F32, false, .doc = "any shape"},                                                \
             {"B", F32, false, .doc = "any shape that broadcasts with A"}},                        \
  .outputs = {{"C", F32, false, .doc = "the broadcast shape"}}, .infer = infer_broadcast

const pith_operator pith_operator_ADD = {
    .id = PITH_OP_ADD,
    .name = "Add",
    .doc = "C = A + B, with multidirectional broadcasting." BROADCAST_LIMIT,
    BINARY_PORTS};
const pith_operator pith_operator_SUB = {
    .id = PITH_OP_SUB,
    .name = "Sub",
    .doc = "C = A - B, with multidirectional broadcasting." BROADCAST_LIMIT,
    BINARY_PORTS};
const pith_operator pith_operator_MUL = {
    .id = PITH_OP_MUL,
    .name = "Mul",
    .doc = "C = A * B, with multidirectional broadcasting." BROADCAST_LIMIT,
    BINARY_PORTS};
const pith_operator pith_operator_DIV = {
    .id = PITH_OP_DIV,
    .name = "Div",
    .doc = "C = A / B, with multidirectional broadcasting." BROADCAST_LIMIT,
    BINARY_PORTS};

#define UNARY_PORTS                                                                                \
  .domain = "", .inputs = {{"X", F32, false, .doc = "any shape"}},                                 \
  .outputs = {{"Y", F32, false, .doc = "the shape of X"}}, .infer = pith_infer_same

const pith_operator pith_operator_ERF = {.id = PITH_OP_ERF,
                                         .name = "Erf",
                                         .version = 13,
                                         .doc = "Y = erf(X), the error function.",
                                         UNARY_PORTS};
const pith_operator pith_operator_TANH = {
    .id = PITH_OP_TANH, .name = "Tanh", .version = 13, .doc = "Y = tanh(X).", UNARY_PORTS};
const pith_operator pith_operator_SIGMOID = {.id = PITH_OP_SIGMOID,
                                             .name = "Sigmoid",
                                             .version = 13,
                                             .doc = "Y = 1 / (1 + exp(-X)).",
                                             UNARY_PORTS};
const pith_operator pith_operator_RELU = {
    .id = PITH_OP_RELU, .name = "Relu", .version = 14, .doc = "Y = max(X, 0).", UNARY_PORTS};

static const char *const gelu_names[] = {"none", "tanh", NULL};
const pith_operator pith_operator_GELU = {
    .id = PITH_OP_GELU,
    .name = "Gelu",
    .version = 20,
    .doc = "Y = X/2 (1 + erf(X / sqrt 2)); with approximate = tanh, "
           "Y = X/2 (1 + tanh(sqrt(2/pi) (X + 0.044715 X^3))).",
    UNARY_PORTS,
    .attributes = {{.name = "approximate",
                    .type = PITH_ATTRIBUTE_ENUM,
                    .default_int = PITH_GELU_NONE,
                    .names = gelu_names,
                    .doc = "which of the two formulas"}},
};

const pith_operator pith_operator_CAST = {
    .id = PITH_OP_CAST,
    .name = "Cast",
    .domain = "",
    .version = 13,
    .doc =
        "Y = X in another dtype. To a narrower float: nearest even. From float to integer: towards "
        "0, "
        "saturated, NaN to 0. From integer to integer: the low bits. To bool: whether it is not 0.",
    .inputs = {{"input", ANY_DTYPE, false, .doc = "any shape"}},
    .outputs = {{"output", ANY_DTYPE, false, .doc = "the shape of input"}},
    .attributes = {{.name = "to",
                    .type = PITH_ATTRIBUTE_DTYPE,
                    .required = true,
                    .default_int = PITH_DTYPE_F32,
                    .doc = "dtype of the output"}},
    .infer = infer_cast,
};

const pith_operator pith_operator_IDENTITY = {
    .id = PITH_OP_IDENTITY,
    .name = "Identity",
    .domain = "",
    .version = 16,
    .doc = "output = input.",
    .inputs = {{"input", ANY_DTYPE, false, .doc = "any shape"}},
    .outputs = {{"output", ANY_DTYPE, false, .doc = "the shape of input"}},
    .infer = pith_infer_same,
};
