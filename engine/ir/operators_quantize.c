/* Floats to 8 bits and back. Scales are data or computed; their values are not seen here: lowering
 * refuses data that is not normal and above 0, and kernels are defined for every scale. */
#include "engine/ir/ir_internal.h"

enum { X, SCALE, ZERO };

static const char *port_name(const pith_inference *inference, uint32_t input) {
  return inference->node->op->inputs[input].name;
}

/* The size that `size` elements in blocks of `block` have, the last one maybe shorter. */
static int64_t count_blocks(int64_t size, int64_t block) {
  return size / block + (size % block != 0);
}

/* The scale has a block's place on the last axis, and the dimensions of x elsewhere. */
static pith_status check_blocks(const pith_inference *inference, uint32_t axis, int64_t block,
                                pith_error *error) {
  const pith_tensor *x = inference->inputs[X], *scale = inference->inputs[SCALE];
  if (axis + 1 != x->rank)
    return pith_inference_fail(inference, error, "blocks lie along axis %u of %s, not the last one",
                               axis, pith_inference_shape(inference, X).text);
  if (!pith_dim_is_constant(&x->dims[axis]))
    return pith_inference_fail(inference, error, "%s %s: the axis of blocks must be a number",
                               port_name(inference, X), pith_inference_shape(inference, X).text);
  const pith_dim blocks = pith_dim_of(count_blocks(x->dims[axis].constant, block));
  bool equal = scale->rank == x->rank && pith_dim_equal(&scale->dims[axis], &blocks);
  for (uint32_t i = 0; equal && i < axis; i++)
    equal = pith_dim_equal(&scale->dims[i], &x->dims[i]);
  return equal ? PITH_OK
               : pith_inference_fail(inference, error,
                                     "%s %s is not %s %s in blocks of %lld along axis %u",
                                     port_name(inference, SCALE),
                                     pith_inference_shape(inference, SCALE).text,
                                     port_name(inference, X),
                                     pith_inference_shape(inference, X).text, (long long)block, axis);
}

/* Nothing, or dimensions of 1, lie before the axis. */
static bool is_first(const pith_tensor *x, uint32_t axis) {
  const pith_dim one = pith_dim_of(1);
  for (uint32_t i = 0; i < axis; i++)
    if (!pith_dim_equal(&x->dims[i], &one))
      return false;
  return true;
}

static pith_status check_axis(const pith_inference *inference, uint32_t axis, pith_error *error) {
  const pith_tensor *x = inference->inputs[X], *scale = inference->inputs[SCALE];
  if (scale->rank != 1)
    return pith_inference_fail(inference, error,
                               "%s %s must have rank 0, rank 1, or block_size and the rank of %s",
                               port_name(inference, SCALE),
                               pith_inference_shape(inference, SCALE).text, port_name(inference, X));
  if (!is_first(x, axis) && axis + 1 != x->rank)
    return pith_inference_fail(inference, error,
                               "axis %u of %s is neither the first nor the last one", axis,
                               pith_inference_shape(inference, X).text);
  if (!pith_dim_equal(&scale->dims[0], &x->dims[axis]))
    return pith_inference_fail(inference, error, "%s %s differs from axis %u of %s %s",
                               port_name(inference, SCALE),
                               pith_inference_shape(inference, SCALE).text, axis,
                               port_name(inference, X), pith_inference_shape(inference, X).text);
  return PITH_OK;
}

/* x, its scale and its zero point, of `dtype`. */
static pith_status check_scale(const pith_inference *inference, pith_dtype dtype,
                               pith_error *error) {
  const pith_tensor *scale = inference->inputs[SCALE], *zero = inference->inputs[ZERO];
  int64_t block = pith_inference_get_int(inference, "block_size");
  uint32_t axis = 0;
  if (scale->rank != 0 || block != 0) {
    PITH_TRY(pith_inference_get_axis(inference, &axis, error));
    PITH_TRY(block != 0 ? check_blocks(inference, axis, block, error)
                        : check_axis(inference, axis, error));
  }
  if (zero == NULL)
    return PITH_OK;
  if (zero->dtype != dtype)
    return pith_inference_fail(inference, error, "%s '%s' is %s, not %s", port_name(inference, ZERO),
                               zero->name, pith_dtype_get_info(zero->dtype)->name,
                               pith_dtype_get_info(dtype)->name);
  bool equal = zero->rank == scale->rank;
  for (uint32_t i = 0; equal && i < zero->rank; i++)
    equal = pith_dim_equal(&zero->dims[i], &scale->dims[i]);
  return equal ? PITH_OK
               : pith_inference_fail(inference, error, "%s %s and %s %s differ in shape",
                                     port_name(inference, SCALE),
                                     pith_inference_shape(inference, SCALE).text,
                                     port_name(inference, ZERO),
                                     pith_inference_shape(inference, ZERO).text);
}

static pith_status infer_quantize(pith_inference *inference, pith_error *error) {
  pith_dtype dtype = (pith_dtype)pith_inference_get_int(inference, "output_dtype");
  PITH_TRY(check_scale(inference, dtype, error));
  PITH_TRY(pith_infer_same(inference, error));
  inference->outputs[0].dtype = dtype; /* u8 or s8: the port's dtypes are checked next */
  return PITH_OK;
}

static pith_status infer_dequantize(pith_inference *inference, pith_error *error) {
  const pith_tensor *x = inference->inputs[X], *scale = inference->inputs[SCALE];
  uint32_t axis = 0;
  if (x->dtype == PITH_DTYPE_S32 && inference->inputs[ZERO] != NULL)
    return pith_inference_fail(inference, error, "x '%s' is s32, which has no zero point", x->name);
  PITH_TRY(check_scale(inference, x->dtype, error));
  if (x->layout != PITH_LAYOUT_ROW_MAJOR && scale->rank != 0) {
    PITH_TRY(pith_inference_get_axis(inference, &axis, error));
    if (scale->rank != 1 || axis != 0)
      return pith_inference_fail(inference, error,
                                 "%s '%s' in layout %s has one scale, or one for each index of axis 0",
                                 port_name(inference, X), x->name, pith_layout_get_name(x->layout));
  }
  PITH_TRY(pith_infer_same(inference, error));
  inference->outputs[0].dtype = PITH_DTYPE_F32;
  return PITH_OK;
}

static pith_status infer_dynamic_quantize(pith_inference *inference, pith_error *error) {
  const pith_tensor *x = inference->inputs[0], *offsets = inference->inputs[1];
  pith_dtype dtype = (pith_dtype)pith_inference_get_int(inference, "dtype");
  int64_t block = pith_inference_get_int(inference, "block_size");
  if (x->rank != 2 || !pith_dim_is_constant(&x->dims[1]))
    return pith_inference_fail(inference, error,
                               "x '%s' is %s, rank 2 and a number of features are needed",
                               x->name, pith_inference_shape(inference, 0).text);
  if (offsets != NULL && offsets->rank != 1)
    return pith_inference_fail(inference, error, "offsets '%s' is %s, rank 1 is needed",
                               offsets->name, pith_inference_shape(inference, 1).text);
  int64_t features = x->dims[1].constant;
  block = block == 0 ? features : block;
  if (features % block != 0)
    return pith_inference_fail(inference, error, "block_size %lld does not divide the features of x %s",
                               (long long)block, pith_inference_shape(inference, 0).text);
  for (int i = 0; i < 3; i++) {
    inference->outputs[i].dtype = i == 1 ? PITH_DTYPE_F32 : dtype;
    inference->outputs[i].rank = 2;
    inference->outputs[i].dims[0] = x->dims[0];
    inference->outputs[i].dims[1] = i == 0 ? x->dims[1] : pith_dim_of(features / block);
  }
  return PITH_OK;
}

#define SCALE_DOC "[], one scale; [axis of x]; or the shape of x with blocks along axis"
#define ZERO_DOC "the shape of the scale; absent: 0"
#define AXIS_ATTRIBUTE                                                                             \
  {                                                                                                \
    .name = "axis", .type = PITH_ATTRIBUTE_INT, .default_int = 1, .min_int = -PITH_MAX_RANK,       \
    .max_int = PITH_MAX_RANK - 1,                                                                  \
    .doc = "dimension of x that scales of rank 1 or in blocks count: the last one or, without "    \
           "blocks, one with nothing but dimensions of 1 before it"                                \
  }
#define BLOCK_ATTRIBUTE(text)                                                                      \
  { .name = "block_size", .type = PITH_ATTRIBUTE_INT, .max_int = INT32_MAX, .doc = text }

const pith_operator pith_operator_QUANTIZE_LINEAR = {
    .id = PITH_OP_QUANTIZE_LINEAR,
    .name = "QuantizeLinear",
    .domain = "",
    .version = 21,
    .doc = "y = saturate(round(x / y_scale) + y_zero_point), halves to even; saturated to 0 .. 255 "
           "(u8) or -128 .. 127 (s8). A NaN becomes the largest value. A scale that is data must be a "
           "normal number above 0: making a session refuses any other.",
    .inputs = {{"x", F32, false, .doc = "any shape"},
               {"y_scale", F32, false, .doc = SCALE_DOC},
               {"y_zero_point", U8 | S8, true, .doc = ZERO_DOC}},
    .outputs = {{"y", U8 | S8, false, .doc = "the shape of x"}},
    .attributes = {AXIS_ATTRIBUTE,
                   BLOCK_ATTRIBUTE("elements along axis that share a scale; 0: no blocks"),
                   {.name = "output_dtype",
                    .type = PITH_ATTRIBUTE_DTYPE,
                    .default_int = PITH_DTYPE_U8,
                    .doc = "dtype of y and y_zero_point"}},
    .infer = infer_quantize,
};

const pith_operator pith_operator_DEQUANTIZE_LINEAR = {
    .id = PITH_OP_DEQUANTIZE_LINEAR,
    .name = "DequantizeLinear",
    .domain = "",
    .version = 21,
    .doc = "y = (x - x_zero_point) * x_scale. x in s32 (a bias) has no zero point; x in a layout of "
           "its own (a weight) has one scale, or one for each index of axis 0. A scale that is data must be a normal number above 0: making "
           "a session refuses any other.",
    .inputs = {{"x", U8 | S8 | S32, false, .doc = "any shape",
                .layouts = 1 << PITH_LAYOUT_N16K4_S8 | 1 << PITH_LAYOUT_B4X1_S8 |
                           1 << PITH_LAYOUT_B4X4_S8},
               {"x_scale", F32, false, .doc = SCALE_DOC},
               {"x_zero_point", U8 | S8, true, .doc = ZERO_DOC}},
    .outputs = {{"y", F32, false, .doc = "the shape of x"}},
    .attributes = {AXIS_ATTRIBUTE,
                   BLOCK_ATTRIBUTE("elements along axis that share a scale; 0: no blocks")},
    .infer = infer_dequantize,
};

const pith_operator pith_operator_DYNAMIC_QUANTIZE = {
    .id = PITH_OP_DYNAMIC_QUANTIZE,
    .name = "DynamicQuantize",
    .domain = "pith",
    .version = 1,
    .doc = "QuantizeLinear with scales that come from x itself: each block of a row has its own; with "
           "offsets, each block of a sequence, written to each of its rows. Over the elements that "
           "share a scale: u8: low = min(0, min x), high = max(0, max x), scale = (high - low) / 255, "
           "zero_point = round(-low / scale); s8: scale = max |x| / 127, zero_point = 0. A scale "
           "below the smallest normal number (0 is) becomes 1; NaNs count as 0, infinities as the "
           "largest float.",
    .inputs = {{"x", F32, false, .doc = "[tokens, features]"},
               {"offsets", S32, true, .doc = "[sequences + 1]", .packs = 1 + 0}},
    .outputs = {{"y", U8 | S8, false, .doc = "[tokens, features]"},
                {"scale", F32, false, .doc = "[tokens, features / block_size]"},
                {"zero_point", U8 | S8, false, .doc = "[tokens, features / block_size]"}},
    .attributes = {{.name = "dtype",
                    .type = PITH_ATTRIBUTE_DTYPE,
                    .default_int = PITH_DTYPE_U8,
                    .doc = "dtype of y and zero_point"},
                   BLOCK_ATTRIBUTE("features that share a scale; 0: all of a row")},
    .infer = infer_dynamic_quantize,
};
