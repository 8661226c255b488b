/* Normalizations over the dimensions from an axis on. */
#include "engine/ir/ir_internal.h"

/* Kernels work along rows; the columns of a matrix become rows by a transpose. */
static pith_status infer_axis(pith_inference *inference, pith_error *error) {
  uint32_t axis, rank = inference->inputs[0]->rank;
  PITH_TRY(pith_inference_get_axis(inference, &axis, error));
  if (axis + 1 != rank && rank != 2)
    return pith_inference_fail(inference, error,
                               "axis %u of input %s must be the last one, or the rank 2", axis,
                               pith_inference_shape(inference, 0).text);
  return pith_infer_same(inference, error);
}

static pith_status infer_layer_normalization(pith_inference *inference, pith_error *error) {
  const pith_tensor *x = inference->inputs[0];
  uint32_t axis;
  PITH_TRY(pith_inference_get_axis(inference, &axis, error));
  for (uint32_t port = 1; port <= 2; port++) {
    const pith_tensor *tensor = inference->inputs[port];
    if (tensor == NULL)
      continue;
    bool equal = tensor->rank == x->rank - axis;
    for (uint32_t i = 0; equal && i < tensor->rank; i++)
      equal = pith_dim_equal(&tensor->dims[i], &x->dims[axis + i]);
    if (!equal)
      return pith_inference_fail(inference, error,
                                 "%s '%s' is %s, not the dimensions of X %s from axis %u on",
                                 inference->node->op->inputs[port].name, tensor->name,
                                 pith_inference_shape(inference, port).text,
                                 pith_inference_shape(inference, 0).text, axis);
  }
  if (!(pith_inference_get_float(inference, "epsilon") >= 0.0))
    return pith_inference_fail(inference, error, "epsilon is below 0");
  if (pith_inference_get_int(inference, "stash_type") != PITH_DTYPE_F32)
    return pith_inference_fail(inference, error, "stash_type is not f32");
  return pith_infer_same(inference, error);
}

#define AXIS_ATTRIBUTE(text)                                                                       \
  {                                                                                                \
    .name = "axis", .type = PITH_ATTRIBUTE_INT, .default_int = -1, .min_int = -PITH_MAX_RANK,      \
    .max_int = PITH_MAX_RANK - 1, .doc = text                                                      \
  }

const pith_operator pith_operator_SOFTMAX = {
    .id = PITH_OP_SOFTMAX,
    .name = "Softmax",
    .domain = "",
    .version = 13,
    .doc = "output = exp(input) / sum of exp(input) along axis, which is the last dimension unless "
           "the rank is 2.",
    .inputs = {{"input", F32, false, .doc = "rank 1 or more"}},
    .outputs = {{"output", F32, false, .doc = "the shape of input"}},
    .attributes = {AXIS_ATTRIBUTE("dimension that is summed over")},
    .infer = infer_axis,
};

const pith_operator pith_operator_LAYER_NORMALIZATION = {
    .id = PITH_OP_LAYER_NORMALIZATION,
    .name = "LayerNormalization",
    .domain = "",
    .version = 17,
    .doc = "Y = (X - mean) / sqrt(variance + epsilon) * Scale + B, mean and (biased) variance over "
           "the dimensions "
           "from axis on.",
    .inputs = {{"X", F32, false, .doc = "rank 1 or more"},
               {"Scale", F32, false, .doc = "the dimensions of X from axis on"},
               {"B", F32, true, .doc = "the dimensions of X from axis on"}},
    .outputs = {{"Y", F32, false, .doc = "the shape of X"}},
    .attributes = {AXIS_ATTRIBUTE("first dimension that is normalized over"),
                   {.name = "epsilon",
                    .type = PITH_ATTRIBUTE_FLOAT,
                    .default_float = 1e-5,
                    .doc = "added to the variance"},
                   {.name = "stash_type",
                    .type = PITH_ATTRIBUTE_DTYPE,
                    .default_int = PITH_DTYPE_F32,
                    .doc = "dtype that mean and variance are computed in"}},
    .infer = infer_layer_normalization,
};

const pith_operator pith_operator_LP_NORMALIZATION = {
    .id = PITH_OP_LP_NORMALIZATION,
    .name = "LpNormalization",
    .domain = "",
    .version = 22,
    .doc = "output = input / the p-norm of input along axis, which is the last dimension unless "
           "the rank is 2. A "
           "norm under 1e-12 counts as 1e-12, so that zeros stay zeros.",
    .inputs = {{"input", F32, false, .doc = "rank 1 or more"}},
    .outputs = {{"output", F32, false, .doc = "the shape of input"}},
    .attributes = {AXIS_ATTRIBUTE("dimension that is normalized over"),
                   {.name = "p",
                    .type = PITH_ATTRIBUTE_INT,
                    .default_int = 2,
                    .min_int = 1,
                    .max_int = 2,
                    .doc = "1: sum of magnitudes, 2: Euclidean"}},
    .infer = infer_axis,
};
