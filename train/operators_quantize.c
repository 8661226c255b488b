/* What training graphs of INT8 models hold beside their floats. An integer operator takes the place of the float one whose result is its
 * first input: it computes what the integer model does, its gradient is that result's, and the float one computes nothing unless the way
 * back reads it. */
#include "train/inference.h"

static pith_status check_scale(const pith_inference *inference, uint32_t scale, uint32_t zero, pith_error *error) {
  PITH_TRY(pith_inference_check_rank(inference, scale, 0, error));
  return inference->inputs[zero] == NULL ? PITH_OK : pith_inference_check_rank(inference, zero, 0, error);
}

static pith_status check_features(const pith_inference *inference, uint32_t input, pith_error *error) {
  PITH_TRY(pith_inference_check_rank(inference, input, 2, error));
  return pith_dim_is_constant(&inference->inputs[input]->dims[1])
             ? PITH_OK
             : pith_inference_fail(inference, error, "%s is %s, its features must be a number",
                                   inference->node->op->inputs[input].name, pith_inference_shape(inference, input).text);
}

/* ---- activations ------------------------------------------------------------------------------------------------------- */

static pith_status infer_fake_quantize(pith_inference *inference, pith_error *error) {
  const pith_tensor *zero = inference->inputs[2];
  PITH_TRY(check_features(inference, 0, error));
  PITH_TRY(check_scale(inference, 1, 2, error));
  const pith_dtype dtype = (pith_dtype)pith_inference_get_int(inference, "dtype");
  if (zero != NULL && zero->dtype != dtype)
    return pith_inference_fail(inference, error, "zero_point is %s, not %s", pith_dtype_get_info(zero->dtype)->name,
                               pith_dtype_get_info(dtype)->name);
  pith_inference_set_like(inference, 0, 0);
  pith_inference_set_like(inference, 1, 0);
  inference->outputs[1].dtype = dtype;
  return PITH_OK;
}

static pith_status infer_fake_quantize_grad(pith_inference *inference, pith_error *error) {
  PITH_TRY(check_features(inference, 0, error));
  PITH_TRY(pith_inference_check_same(inference, 0, 1, error));
  PITH_TRY(check_scale(inference, 2, 3, error));
  pith_inference_set_like(inference, 0, 0);
  inference->outputs[1].dtype = PITH_DTYPE_F32;
  inference->outputs[1].rank = 1;
  inference->outputs[1].dims[0] = inference->inputs[0]->dims[0];
  return PITH_OK;
}

static pith_status infer_row_ranges(pith_inference *inference, pith_error *error) {
  PITH_TRY(check_features(inference, 0, error));
  pith_inference_set_like(inference, 0, 0);
  inference->outputs[0].dims[1] = pith_dim_of(2);
  return PITH_OK;
}

#define X2 {"X", F32, false, .doc = "[rows, features]"}
#define SCALE {"scale", F32, false, .doc = "[]"}
#define ZERO {"zero_point", U8 | S8, true, .doc = "[]; absent: 0"}
#define DTYPE {.name = "dtype", .type = PITH_ATTRIBUTE_DTYPE, .default_int = PITH_DTYPE_U8, .doc = "u8 or s8"}

const pith_operator pith_operator_FAKE_QUANTIZE = {
    .id = (pith_operator_id)PITH_OP_FAKE_QUANTIZE,
    .name = "FakeQuantize",
    .domain = "pith",
    .version = 1,
    .doc = "QuantizeLinear, by a product with 1 / scale as integer kernels do, and DequantizeLinear of it. The gradient by X is straight "
           "through where X / scale rounds to a level, else 0; that by scale is LSQ's.",
    .inputs = {X2, SCALE, ZERO},
    .outputs = {{"Y", F32, false, .doc = "[rows, features]: dequantized"}, {"Q", U8 | S8, false, .doc = "[rows, features]: levels"}},
    .attributes = {DTYPE},
    .infer = infer_fake_quantize,
};

const pith_operator pith_operator_FAKE_QUANTIZE_GRAD = {
    .id = (pith_operator_id)PITH_OP_FAKE_QUANTIZE_GRAD,
    .name = "FakeQuantizeGrad",
    .domain = "pith",
    .version = 1,
    .doc = "The gradients of FakeQuantize by X and, as parts that rows add to it, by scale.",
    .inputs = {X2, {"dY", F32, false, .doc = "[rows, features]"}, SCALE, ZERO},
    .outputs = {{"dX", F32, false, .doc = "[rows, features]"}, {"dScale", F32, false, .doc = "[rows]"}},
    .attributes = {DTYPE},
    .infer = infer_fake_quantize_grad,
};

const pith_operator pith_operator_ROW_RANGES = {
    .id = (pith_operator_id)PITH_OP_ROW_RANGES,
    .name = "RowRanges",
    .domain = "pith",
    .version = 1,
    .doc = "The least and the largest element of each row, and of 0: what moving averages of ranges are made of.",
    .inputs = {X2},
    .outputs = {{"ranges", F32, false, .doc = "[rows, 2]"}},
    .infer = infer_row_ranges,
};

/* ---- weights ----------------------------------------------------------------------------------------------------------- */

static pith_status infer_fake_quantize_rows(pith_inference *inference, pith_error *error) {
  PITH_TRY(check_features(inference, 0, error));
  return pith_infer_same(inference, error);
}

static pith_status infer_fake_quantize_weights(pith_inference *inference, pith_error *error) {
  const pith_tensor *w = inference->inputs[0];
  PITH_TRY(check_features(inference, 0, error));
  uint64_t bytes;
  PITH_TRY(pith_layout_get_bytes(PITH_LAYOUT_N16K4_S8, PITH_DTYPE_S8, 2, w->dims, &bytes, error));
  if (!pith_dim_is_constant(&w->dims[0]) || bytes > PITH_MAX_DIM)
    return pith_inference_fail(inference, error, "W is %s, its stored blocks must be at most %d bytes",
                               pith_inference_shape(inference, 0).text, PITH_MAX_DIM);
  pith_inference_set_like(inference, 0, 0);
  inference->outputs[1].dtype = PITH_DTYPE_S8;
  inference->outputs[1].rank = 1;
  inference->outputs[1].dims[0] = pith_dim_of((int64_t)bytes);
  inference->outputs[2].dtype = PITH_DTYPE_F32;
  inference->outputs[2].rank = 1;
  inference->outputs[2].dims[0] = w->dims[0];
  return PITH_OK;
}

const pith_operator pith_operator_FAKE_QUANTIZE_ROWS = {
    .id = (pith_operator_id)PITH_OP_FAKE_QUANTIZE_ROWS,
    .name = "FakeQuantizeRows",
    .domain = "pith",
    .version = 1,
    .doc = "Rows as s8 and back, the scale of each its largest magnitude / 127: rows of a table that were looked up. The gradient is "
           "straight through, for no element is out of range.",
    .inputs = {X2},
    .outputs = {{"Y", F32, false, .doc = "[rows, features]"}},
    .infer = infer_fake_quantize_rows,
};

const pith_operator pith_operator_FAKE_QUANTIZE_WEIGHTS = {
    .id = (pith_operator_id)PITH_OP_FAKE_QUANTIZE_WEIGHTS,
    .name = "FakeQuantizeWeights",
    .domain = "pith",
    .version = 1,
    .doc = "FakeQuantizeRows of a product's weights, with the levels in the blocks that integer products read (stored layout n16k4_s8).",
    .inputs = {{"W", F32, false, .doc = "[outputs, inputs]"}},
    .outputs = {{"Y", F32, false, .doc = "[outputs, inputs]"},
                {"packed", S8, false, .doc = "[bytes of the blocks]"},
                {"scale", F32, false, .doc = "[outputs]"}},
    .infer = infer_fake_quantize_weights,
};

/* ---- integers in the place of floats --------------------------------------------------------------------------------------- */

enum { G_Y, G_X, G_X_SCALE, G_X_ZERO, G_W, G_W_SCALE, G_BIAS };

static pith_status infer_integer_product(pith_inference *inference, pith_error *error) {
  const pith_tensor *const *in = inference->inputs;
  PITH_TRY(check_features(inference, G_Y, error));
  PITH_TRY(check_features(inference, G_X, error));
  PITH_TRY(check_scale(inference, G_X_SCALE, G_X_ZERO, error));
  const pith_dim dims[2] = {in[G_Y]->dims[1], in[G_X]->dims[1]};
  uint64_t bytes;
  PITH_TRY(pith_layout_get_bytes(PITH_LAYOUT_N16K4_S8, PITH_DTYPE_S8, 2, dims, &bytes, error));
  const pith_dim packed = pith_dim_of((int64_t)bytes);
  bool fits = pith_dim_equal(&in[G_Y]->dims[0], &in[G_X]->dims[0]) && in[G_W]->rank == 1 && in[G_W_SCALE]->rank == 1 &&
              pith_dim_equal(&in[G_W]->dims[0], &packed) && pith_dim_equal(&in[G_W_SCALE]->dims[0], &dims[0]);
  if (in[G_BIAS] != NULL)
    fits = fits && in[G_BIAS]->rank == 1 && pith_dim_equal(&in[G_BIAS]->dims[0], &dims[0]);
  if (!fits)
    return pith_inference_fail(inference, error, "Y %s is not X %s times W %s with its scales %s and a bias of as many",
                               pith_inference_shape(inference, G_Y).text, pith_inference_shape(inference, G_X).text,
                               pith_inference_shape(inference, G_W).text, pith_inference_shape(inference, G_W_SCALE).text);
  return pith_infer_same(inference, error);
}

const pith_operator pith_operator_INTEGER_PRODUCT = {
    .id = (pith_operator_id)PITH_OP_INTEGER_PRODUCT,
    .name = "IntegerProduct",
    .domain = "pith",
    .version = 1,
    .doc = "The product of levels that an INT8 model computes where the floats give Y, whose gradient it has.",
    .inputs = {{"Y", F32, false, .doc = "[rows, outputs]: not read"},
               {"X", U8, false, .doc = "[rows, inputs]"},
               {"x_scale", F32, false, .doc = "[]"},
               {"x_zero_point", U8, true, .doc = "[]; absent: 0"},
               {"W", S8, false, .doc = "FakeQuantizeWeights' packed"},
               {"w_scale", F32, false, .doc = "[outputs]"},
               {"bias", F32, true, .doc = "[outputs]"}},
    .outputs = {{"result", F32, false, .doc = "[rows, outputs]"}},
    .infer = infer_integer_product,
};

enum { A_Y, A_Q, A_K, A_V, A_Q_OFFSETS, A_KV_OFFSETS, A_Q_SCALE, A_Q_ZERO, A_K_SCALE, A_V_SCALE };

static pith_status infer_integer_attention(pith_inference *inference, pith_error *error) {
  const pith_tensor *const *in = inference->inputs;
  const int64_t heads = pith_inference_get_int(inference, "num_heads");
  for (uint32_t i = A_Y; i <= A_V; i++) {
    PITH_TRY(check_features(inference, i, error));
    if (in[i]->dims[1].constant % heads != 0)
      return pith_inference_fail(inference, error, "%s is %s, its features must be a multiple of num_heads %lld",
                                 inference->node->op->inputs[i].name, pith_inference_shape(inference, i).text, (long long)heads);
  }
  PITH_TRY(check_scale(inference, A_Q_SCALE, A_Q_ZERO, error));
  PITH_TRY(pith_inference_check_rank(inference, A_K_SCALE, 0, error));
  PITH_TRY(pith_inference_check_rank(inference, A_V_SCALE, 0, error));
  PITH_TRY(pith_inference_check_rank(inference, A_Q_OFFSETS, 1, error));
  PITH_TRY(pith_inference_check_same(inference, A_Q_OFFSETS, A_KV_OFFSETS, error));
  if (!pith_dim_equal(&in[A_Q]->dims[1], &in[A_K]->dims[1]) || !pith_dim_equal(&in[A_K]->dims[0], &in[A_V]->dims[0]) ||
      !pith_dim_equal(&in[A_Y]->dims[0], &in[A_Q]->dims[0]) || !pith_dim_equal(&in[A_Y]->dims[1], &in[A_V]->dims[1]))
    return pith_inference_fail(inference, error, "Y %s, query %s, key %s and value %s do not go together",
                               pith_inference_shape(inference, A_Y).text, pith_inference_shape(inference, A_Q).text,
                               pith_inference_shape(inference, A_K).text, pith_inference_shape(inference, A_V).text);
  return pith_infer_same(inference, error);
}

const pith_operator pith_operator_INTEGER_ATTENTION = {
    .id = (pith_operator_id)PITH_OP_INTEGER_ATTENTION,
    .name = "IntegerAttention",
    .domain = "pith",
    .version = 1,
    .doc = "The attention over levels that an INT8 model computes, its softmax in steps of 1/255 of each row's largest weight, where the "
           "floats give Y, whose gradient it has.",
    .inputs = {{"Y", F32, false, .doc = "[tokens_q, heads * value_size]: not read"},
               {"query", U8, false, .doc = "[tokens_q, heads * head_size]"},
               {"key", S8, false, .doc = "[tokens_kv, heads * head_size]"},
               {"value", S8, false, .doc = "[tokens_kv, heads * value_size]"},
               {"q_offsets", S32, false, .doc = "[sequences + 1]", .packs = 1 + A_Q},
               {"kv_offsets", S32, false, .doc = "[sequences + 1]", .packs = 1 + A_K},
               {"q_scale", F32, false, .doc = "[]"},
               {"q_zero_point", U8, true, .doc = "[]; absent: 0"},
               {"k_scale", F32, false, .doc = "[]"},
               {"v_scale", F32, false, .doc = "[]"}},
    .outputs = {{"result", F32, false, .doc = "[tokens_q, heads * value_size]"}},
    .attributes = {{.name = "num_heads", .type = PITH_ATTRIBUTE_INT, .required = true, .min_int = 1, .max_int = INT32_MAX / 2,
                    .doc = "PackedAttention's"},
                   {.name = "scale", .type = PITH_ATTRIBUTE_FLOAT, .doc = "PackedAttention's"},
                   {.name = "causal", .type = PITH_ATTRIBUTE_INT, .max_int = 1, .doc = "PackedAttention's"}},
    .infer = infer_integer_attention,
};

static pith_status infer_gelu_8bit(pith_inference *inference, pith_error *error) {
  PITH_TRY(pith_inference_check_same(inference, 0, 1, error));
  return pith_infer_same(inference, error);
}

static const char *const forms[] = {"none", "tanh", NULL};

const pith_operator pith_operator_GELU_8BIT = {
    .id = (pith_operator_id)PITH_OP_GELU_8BIT,
    .name = "Gelu8Bit",
    .domain = "pith",
    .version = 1,
    .doc = "GELU of X by the polynomial that INT8 models have where only 8 bits of it are wanted, in the place of Y, Gelu's result, whose "
           "gradient it has.",
    .inputs = {{"Y", F32, false, .doc = "any shape: not read"}, {"X", F32, false, .doc = "the shape of Y"}},
    .outputs = {{"result", F32, false, .doc = "the shape of Y"}},
    .attributes = {{.name = "approximate", .type = PITH_ATTRIBUTE_ENUM, .names = forms, .doc = "Gelu's"}},
    .infer = infer_gelu_8bit,
};
