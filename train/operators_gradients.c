/* Gradients of the engine's operators, and the sum over dimensions that broadcasting needs. */
#include "ops/elementwise/elementwise_f32.h"
#include "train/inference.h"

/* ---- element by element ---------------------------------------------------------------------------------------------- */

static pith_status infer_unary_grad(pith_inference *inference, pith_error *error) {
  PITH_TRY(pith_inference_check_same(inference, 0, 1, error));
  return pith_infer_same(inference, error);
}

#define UNARY_NAME(name, text) [PITH_UNARY_##name] = text,
static const char *const unary_names[PITH_UNARY_COUNT + 1] = {PITH_UNARY_LIST(UNARY_NAME)};
#undef UNARY_NAME

const pith_operator pith_operator_UNARY_GRAD = {
    .id = (pith_operator_id)PITH_OP_UNARY_GRAD,
    .name = "UnaryGrad",
    .domain = "pith",
    .version = 1,
    .doc = "dX = dY times the derivative of a function at X.",
    .inputs = {{"X", F32, false, .doc = "any shape"}, {"dY", F32, false, .doc = "the shape of X"}},
    .outputs = {{"dX", F32, false, .doc = "the shape of X"}},
    .attributes = {{.name = "function", .type = PITH_ATTRIBUTE_ENUM, .required = true, .names = unary_names, .doc = "which function"}},
    .infer = infer_unary_grad,
};

bool pith_reduce_has_axis(const pith_attribute *axes, uint32_t rank, uint32_t d) {
  for (uint32_t i = 0; i < axes->ints.count; i++)
    if (axes->ints.values[i] + (axes->ints.values[i] < 0 ? (int64_t)rank : 0) == (int64_t)d)
      return true;
  return axes->ints.count == 0;
}

/* Only the first or the last dimensions, so that a run knows from the two sizes how they fall apart; those of 1 are in any. */
static pith_status infer_reduce_sum(pith_inference *inference, pith_error *error) {
  const pith_tensor *x = inference->inputs[0];
  const pith_attribute *axes = pith_node_get_attribute(inference->node, "axes");
  const bool keep = pith_inference_get_int(inference, "keepdims") != 0;
  const pith_dim one = pith_dim_of(1);
  uint32_t rank = 0, runs = 0;
  bool before = false, first = false, any = false; /* `first`: the first dimension that is not 1 is summed over */
  for (uint32_t i = 0; i < axes->ints.count; i++)
    if (axes->ints.values[i] < -(int64_t)x->rank || axes->ints.values[i] >= (int64_t)x->rank)
      return pith_inference_fail(inference, error, "axis %lld is not of data %s", (long long)axes->ints.values[i],
                                 pith_inference_shape(inference, 0).text);
  for (uint32_t d = 0; d < x->rank; d++) {
    const bool reduced = pith_reduce_has_axis(axes, x->rank, d);
    if (!reduced || keep)
      inference->outputs[0].dims[rank++] = reduced ? one : x->dims[d];
    if (pith_dim_equal(&x->dims[d], &one))
      continue;
    first = any ? first : reduced;
    any = true;
    runs += reduced && !before;
    before = reduced;
  }
  if (runs > 1 || (runs == 1 && !first && !before))
    return pith_inference_fail(inference, error, "the axes are neither the first nor the last of data %s",
                               pith_inference_shape(inference, 0).text);
  inference->outputs[0].dtype = PITH_DTYPE_F32;
  inference->outputs[0].rank = rank;
  return PITH_OK;
}

const pith_operator pith_operator_REDUCE_SUM = {
    .id = (pith_operator_id)PITH_OP_REDUCE_SUM,
    .name = "ReduceSum",
    .domain = "",
    .version = 11,
    .doc = "The sum over some dimensions, the first or the last ones of data (dimensions of 1 do not count).",
    .inputs = {{"data", F32, false, .doc = "any shape"}},
    .outputs = {{"reduced", F32, false, .doc = "data without the axes, or with 1 for each"}},
    .attributes = {{.name = "axes", .type = PITH_ATTRIBUTE_INTS, .doc = "dimensions that are summed over; none: all"},
                   {.name = "keepdims", .type = PITH_ATTRIBUTE_INT, .default_int = 1, .max_int = 1, .doc = "0: they go; 1: they become 1"}},
    .infer = infer_reduce_sum,
};

/* ---- look-ups and sequences -------------------------------------------------------------------------------------------- */

static pith_status infer_gather_grad(pith_inference *inference, pith_error *error) {
  const pith_tensor *data = inference->inputs[0], *indices = inference->inputs[1], *dy = inference->inputs[2];
  uint32_t axis;
  PITH_TRY(pith_inference_get_axis(inference, &axis, error));
  bool fits = dy->rank == data->rank - 1 + indices->rank;
  for (uint32_t d = 0; fits && d < dy->rank; d++) {
    const pith_dim *want = d < axis                   ? &data->dims[d]
                           : d < axis + indices->rank ? &indices->dims[d - axis]
                                                      : &data->dims[d - indices->rank + 1];
    fits = pith_dim_equal(&dy->dims[d], want);
  }
  if (!fits)
    return pith_inference_fail(inference, error, "dY %s is not data %s at indices %s", pith_inference_shape(inference, 2).text,
                               pith_inference_shape(inference, 0).text, pith_inference_shape(inference, 1).text);
  /* As the kernel of Gather has it. */
  for (uint32_t d = axis == 0 ? 1 : axis; d < data->rank; d++)
    if (!pith_dim_is_constant(&data->dims[d]) || (d == axis && data->dims[d].constant == 0))
      return pith_inference_fail(inference, error, "dimension %u of data %s must be a number", d,
                                 pith_inference_shape(inference, 0).text);
  pith_inference_set_like(inference, 0, 0);
  return PITH_OK;
}

const pith_operator pith_operator_GATHER_GRAD = {
    .id = (pith_operator_id)PITH_OP_GATHER_GRAD,
    .name = "GatherGrad",
    .domain = "pith",
    .version = 1,
    .doc = "The gradient of Gather by data: dY added where it was looked up, in ascending order of the indices' places. data gives its shape only.",
    .inputs = {{"data", F32, false, .doc = "rank 1 or more"},
               {"indices", S32 | S64, false, .doc = "any shape"},
               {"dY", F32, false, .doc = "the shape of data with that of indices in the place of axis"}},
    .outputs = {{"dData", F32, false, .doc = "the shape of data"}},
    .attributes = {{.name = "axis", .type = PITH_ATTRIBUTE_INT, .min_int = -PITH_MAX_RANK, .max_int = PITH_MAX_RANK - 1,
                    .doc = "dimension of data that indices count"}},
    .infer = infer_gather_grad,
};

static pith_status infer_pool_grad(pith_inference *inference, pith_error *error) {
  const pith_tensor *x = inference->inputs[0], *offsets = inference->inputs[1], *dy = inference->inputs[2];
  const pith_dim one = pith_dim_of(1);
  pith_dim sequences;
  PITH_TRY(pith_inference_check_rank(inference, 0, 2, error));
  PITH_TRY(pith_inference_check_rank(inference, 1, 1, error));
  PITH_TRY(pith_inference_check_rank(inference, 2, 2, error));
  PITH_TRY(pith_dim_combine(&inference->graph->arena, 1, &offsets->dims[0], -1, &one, &sequences, error));
  if (!pith_dim_equal(&dy->dims[0], &sequences) || !pith_dim_equal(&dy->dims[1], &x->dims[1]))
    return pith_inference_fail(inference, error, "dY %s is not one row for each sequence of x %s",
                               pith_inference_shape(inference, 2).text, pith_inference_shape(inference, 0).text);
  pith_inference_set_like(inference, 0, 0);
  return PITH_OK;
}

static const char *const pool_names[] = {
    [PITH_POOL_MEAN] = "mean", [PITH_POOL_CLS] = "cls", [PITH_POOL_MAX] = "max", [PITH_POOL_LAST] = "last", NULL};
const pith_operator pith_operator_SEQUENCE_POOL_GRAD = {
    .id = (pith_operator_id)PITH_OP_SEQUENCE_POOL_GRAD,
    .name = "SequencePoolGrad",
    .domain = "pith",
    .version = 1,
    .doc = "The gradient of SequencePool. Only max reads what is in x; of equal maxima the first token's is the one.",
    .inputs = {{"x", F32, false, .doc = "[tokens, features]"},
               {"offsets", S32, false, .doc = "[sequences + 1]", .packs = 1 + 0},
               {"dY", F32, false, .doc = "[sequences, features]"}},
    .outputs = {{"dX", F32, false, .doc = "[tokens, features]"}},
    .attributes = {{.name = "mode", .type = PITH_ATTRIBUTE_ENUM, .names = pool_names, .doc = "SequencePool's"}},
    .infer = infer_pool_grad,
};

/* ---- normalizations -------------------------------------------------------------------------------------------------- */

static pith_status infer_along_axis(pith_inference *inference, pith_error *error) {
  const uint32_t rank = inference->inputs[0]->rank;
  uint32_t axis;
  PITH_TRY(pith_inference_get_axis(inference, &axis, error));
  PITH_TRY(pith_inference_check_same(inference, 0, 1, error));
  if (axis + 1 != rank && rank != 2)
    return pith_inference_fail(inference, error, "axis %u of %s must be the last one, or the rank 2", axis,
                               pith_inference_shape(inference, 0).text);
  return pith_infer_same(inference, error);
}

#define AXIS_ATTRIBUTE(text)                                                                                \
  {.name = "axis", .type = PITH_ATTRIBUTE_INT, .default_int = -1, .min_int = -PITH_MAX_RANK, .max_int = PITH_MAX_RANK - 1, .doc = text}

const pith_operator pith_operator_SOFTMAX_GRAD = {
    .id = (pith_operator_id)PITH_OP_SOFTMAX_GRAD,
    .name = "SoftmaxGrad",
    .domain = "pith",
    .version = 1,
    .doc = "The gradient of Softmax, from its output: Y (dY - sum of Y dY along axis).",
    .inputs = {{"Y", F32, false, .doc = "rank 1 or more"}, {"dY", F32, false, .doc = "the shape of Y"}},
    .outputs = {{"dX", F32, false, .doc = "the shape of Y"}},
    .attributes = {AXIS_ATTRIBUTE("Softmax's")},
    .infer = infer_along_axis,
};

const pith_operator pith_operator_LP_NORMALIZATION_GRAD = {
    .id = (pith_operator_id)PITH_OP_LP_NORMALIZATION_GRAD,
    .name = "LpNormalizationGrad",
    .domain = "pith",
    .version = 1,
    .doc = "The gradient of LpNormalization, from its input; where the norm is under 1e-12, dY / 1e-12.",
    .inputs = {{"X", F32, false, .doc = "rank 1 or more"}, {"dY", F32, false, .doc = "the shape of X"}},
    .outputs = {{"dX", F32, false, .doc = "the shape of X"}},
    .attributes = {AXIS_ATTRIBUTE("LpNormalization's"),
                   {.name = "p", .type = PITH_ATTRIBUTE_INT, .default_int = 2, .min_int = 1, .max_int = 2, .doc = "LpNormalization's"}},
    .infer = infer_along_axis,
};

/* `scale`: an input that has the dimensions from axis on. */
static pith_status check_scale(const pith_inference *inference, uint32_t scale, uint32_t axis, pith_error *error) {
  const pith_tensor *x = inference->inputs[0], *tensor = inference->inputs[scale];
  bool equal = tensor->rank == x->rank - axis;
  for (uint32_t d = 0; equal && d < tensor->rank; d++)
    equal = pith_dim_equal(&tensor->dims[d], &x->dims[axis + d]);
  return equal ? PITH_OK
               : pith_inference_fail(inference, error, "Scale %s is not the dimensions of X %s from axis %u on",
                                     pith_inference_shape(inference, scale).text, pith_inference_shape(inference, 0).text, axis);
}

/* One number for each row. */
static void set_rows(pith_inference *inference, uint32_t output, uint32_t axis) {
  pith_inference_set_like(inference, output, 0);
  inference->outputs[output].rank = axis;
}

static pith_status infer_norm_grad(pith_inference *inference, pith_error *error) {
  uint32_t axis;
  PITH_TRY(pith_inference_get_axis(inference, &axis, error));
  PITH_TRY(check_scale(inference, 1, axis, error));
  PITH_TRY(pith_inference_check_same(inference, 0, 2, error));
  if (!(pith_inference_get_float(inference, "epsilon") >= 0.0))
    return pith_inference_fail(inference, error, "epsilon is below 0");
  set_rows(inference, 1, axis);
  set_rows(inference, 2, axis);
  return pith_infer_same(inference, error);
}

static pith_status infer_norm_scale_grad(pith_inference *inference, pith_error *error) {
  const pith_tensor *x = inference->inputs[0], *mean = inference->inputs[2];
  uint32_t axis;
  PITH_TRY(pith_inference_get_axis(inference, &axis, error));
  PITH_TRY(pith_inference_check_same(inference, 0, 1, error));
  PITH_TRY(pith_inference_check_same(inference, 2, 3, error));
  bool rows = mean->rank == axis;
  for (uint32_t d = 0; rows && d < axis; d++)
    rows = pith_dim_equal(&mean->dims[d], &x->dims[d]);
  if (!rows)
    return pith_inference_fail(inference, error, "mean %s is not the dimensions of X %s before axis %u",
                               pith_inference_shape(inference, 2).text, pith_inference_shape(inference, 0).text, axis);
  for (uint32_t output = 0; output < 2; output++) {
    inference->outputs[output].dtype = PITH_DTYPE_F32;
    inference->outputs[output].rank = x->rank - axis;
    for (uint32_t d = axis; d < x->rank; d++)
      inference->outputs[output].dims[d - axis] = x->dims[d];
  }
  return PITH_OK;
}

const pith_operator pith_operator_LAYER_NORMALIZATION_GRAD = {
    .id = (pith_operator_id)PITH_OP_LAYER_NORMALIZATION_GRAD,
    .name = "LayerNormalizationGrad",
    .domain = "pith",
    .version = 1,
    .doc = "The gradient of LayerNormalization by X; also the mean and 1 / sqrt(variance + epsilon) of each row.",
    .inputs = {{"X", F32, false, .doc = "rank 1 or more"},
               {"Scale", F32, false, .doc = "the dimensions of X from axis on"},
               {"dY", F32, false, .doc = "the shape of X"}},
    .outputs = {{"dX", F32, false, .doc = "the shape of X"},
                {"mean", F32, false, .doc = "the dimensions of X before axis"},
                {"inverse", F32, false, .doc = "the dimensions of X before axis"}},
    .attributes = {AXIS_ATTRIBUTE("LayerNormalization's"),
                   {.name = "epsilon", .type = PITH_ATTRIBUTE_FLOAT, .default_float = 1e-5, .doc = "LayerNormalization's"}},
    .infer = infer_norm_grad,
};

const pith_operator pith_operator_LAYER_NORMALIZATION_SCALE_GRAD = {
    .id = (pith_operator_id)PITH_OP_LAYER_NORMALIZATION_SCALE_GRAD,
    .name = "LayerNormalizationScaleGrad",
    .domain = "pith",
    .version = 1,
    .doc = "The gradients of LayerNormalization by Scale and B; mean and inverse are LayerNormalizationGrad's.",
    .inputs = {{"X", F32, false, .doc = "rank 1 or more"},
               {"dY", F32, false, .doc = "the shape of X"},
               {"mean", F32, false, .doc = "the dimensions of X before axis"},
               {"inverse", F32, false, .doc = "the dimensions of X before axis"}},
    .outputs = {{"dScale", F32, false, .doc = "the dimensions of X from axis on"},
                {"dB", F32, false, .doc = "the dimensions of X from axis on"}},
    .attributes = {AXIS_ATTRIBUTE("LayerNormalization's")},
    .infer = infer_norm_scale_grad,
};
