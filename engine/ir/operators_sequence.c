/* Ours: the operators that know where one packed sequence ends and the next begins. */
#include "engine/ir/ir_internal.h"

static pith_status check_rank(const pith_inference *inference, uint32_t input, uint32_t rank,
                              pith_error *error) {
  const pith_tensor *tensor = inference->inputs[input];
  if (tensor->rank != rank)
    return pith_inference_fail(inference, error, "%s '%s' is %s, rank %u is needed",
                               inference->node->op->inputs[input].name, tensor->name,
                               pith_inference_shape(inference, input).text, rank);
  return PITH_OK;
}

static pith_status check_features(const pith_inference *inference, uint32_t input, int64_t heads,
                                  pith_error *error) {
  const pith_tensor *tensor = inference->inputs[input];
  if (!pith_dim_is_constant(&tensor->dims[1]) || tensor->dims[1].constant % heads != 0)
    return pith_inference_fail(inference, error,
                               "%s '%s' is %s, its features must be a multiple of num_heads %lld",
                               inference->node->op->inputs[input].name, tensor->name,
                               pith_inference_shape(inference, input).text, (long long)heads);
  return PITH_OK;
}

static pith_status fail_shapes(const pith_inference *inference, uint32_t a, uint32_t b,
                               const char *what, pith_error *error) {
  const pith_port *ports = inference->node->op->inputs;
  return pith_inference_fail(inference, error, "%s %s and %s %s differ in %s", ports[a].name,
                             pith_inference_shape(inference, a).text, ports[b].name,
                             pith_inference_shape(inference, b).text, what);
}

static pith_status infer_packed_attention(pith_inference *inference, pith_error *error) {
  const pith_tensor *const *in = inference->inputs;
  int64_t heads = pith_inference_get_int(inference, "num_heads");
  for (uint32_t i = 0; i < 3; i++) {
    PITH_TRY(check_rank(inference, i, 2, error));
    PITH_TRY(check_features(inference, i, heads, error));
  }
  PITH_TRY(check_rank(inference, 3, 1, error));
  PITH_TRY(check_rank(inference, 4, 1, error));
  if (!pith_dim_equal(&in[0]->dims[1], &in[1]->dims[1]))
    return fail_shapes(inference, 0, 1, "features", error);
  if (!pith_dim_equal(&in[1]->dims[0], &in[2]->dims[0]))
    return fail_shapes(inference, 1, 2, "tokens", error);
  if (!pith_dim_equal(&in[3]->dims[0], &in[4]->dims[0]))
    return fail_shapes(inference, 3, 4, "sequences", error);
  if (!(pith_inference_get_float(inference, "scale") >= 0.0))
    return pith_inference_fail(inference, error, "scale is below 0");
  int64_t softmax_dtype = pith_inference_get_int(inference, "softmax_dtype");
  if (softmax_dtype != PITH_DTYPE_F32 && softmax_dtype != PITH_DTYPE_U8)
    return pith_inference_fail(inference, error, "softmax_dtype is %s, not f32 or u8",
                               pith_dtype_get_info((pith_dtype)softmax_dtype)->name);
  inference->outputs[0].dtype = in[0]->dtype;
  inference->outputs[0].rank = 2;
  inference->outputs[0].dims[0] = in[0]->dims[0];
  inference->outputs[0].dims[1] = in[2]->dims[1];
  return PITH_OK;
}

static pith_status infer_packed_positions(pith_inference *inference, pith_error *error) {
  PITH_TRY(check_rank(inference, 0, 1, error));
  PITH_TRY(check_rank(inference, 1, 1, error));
  if (pith_inference_get_int(inference, "padding_id") >= 0 &&
      pith_inference_get_int(inference, "start") < 1)
    return pith_inference_fail(inference, error, "with a padding_id start must be 1 or more");
  inference->outputs[0].dtype = PITH_DTYPE_S32;
  inference->outputs[0].rank = 1;
  inference->outputs[0].dims[0] = inference->inputs[1]->dims[0];
  return PITH_OK;
}

static pith_status infer_sequence_pool(pith_inference *inference, pith_error *error) {
  PITH_TRY(check_rank(inference, 0, 2, error));
  PITH_TRY(check_rank(inference, 1, 1, error));
  const pith_dim one = pith_dim_of(1);
  inference->outputs[0].dtype = inference->inputs[0]->dtype;
  inference->outputs[0].rank = 2;
  inference->outputs[0].dims[1] = inference->inputs[0]->dims[1];
  return pith_dim_combine(&inference->graph->arena, 1, &inference->inputs[1]->dims[0], -1, &one,
                          &inference->outputs[0].dims[0], error);
}

const pith_operator pith_operator_PACKED_ATTENTION = {
    .id = PITH_OP_PACKED_ATTENTION,
    .name = "PackedAttention",
    .domain = "pith",
    .version = 1,
    .doc = "For each sequence and head, softmax(scale Q K^T) V over the sequence's own tokens. "
           "Sequence i is rows "
           "q_offsets[i] .. q_offsets[i+1] of query and rows kv_offsets[i] .. kv_offsets[i+1] of "
           "key and value.",
    .inputs = {{"query", F32, false, .doc = "[tokens_q, num_heads * head_size]"},
               {"key", F32, false, .doc = "[tokens_kv, num_heads * head_size]"},
               {"value", F32, false, .doc = "[tokens_kv, num_heads * value_size]"},
               {"q_offsets", S32, false, .doc = "[sequences + 1]", .packs = 1 + 0},
               {"kv_offsets", S32, false, .doc = "[sequences + 1]", .packs = 1 + 1}},
    .outputs = {{"output", F32, false, .doc = "[tokens_q, num_heads * value_size]"}},
    .attributes = {{.name = "num_heads",
                    .type = PITH_ATTRIBUTE_INT,
                    .required = true,
                    .default_int = 1,
                    .min_int = 1,
                    .max_int = 65536,
                    .doc = "heads that the features divide into"},
                   {.name = "scale",
                    .type = PITH_ATTRIBUTE_FLOAT,
                    .default_float = 0.0,
                    .doc = "factor of the scores; 0: 1 / sqrt(head_size)"},
                   {.name = "causal",
                    .type = PITH_ATTRIBUTE_INT,
                    .max_int = 1,
                    .doc = "1: query i sees key j only where j <= i + (keys - queries)"},
                   {.name = "softmax_dtype",
                    .type = PITH_ATTRIBUTE_DTYPE,
                    .default_int = PITH_DTYPE_F32,
                    .doc = "u8: each weight of a row becomes round(255 weight / largest weight), and "
                           "the row is divided by their sum"}},
    .infer = infer_packed_attention,
};

const pith_operator pith_operator_PACKED_POSITIONS = {
    .id = PITH_OP_PACKED_POSITIONS,
    .name = "PackedPositions",
    .domain = "pith",
    .version = 1,
    .doc = "The position of each token in its sequence, plus start. With padding_id >= 0, as "
           "RoBERTa counts: tokens "
           "with that id are not counted and get start - 1.",
    .inputs = {{"offsets", S32, false, .doc = "[sequences + 1]", .packs = 1 + 1},
               {"ids", S32, false, .doc = "[tokens]"}},
    .outputs = {{"positions", S32, false, .doc = "[tokens]"}},
    .attributes = {{.name = "start",
                    .type = PITH_ATTRIBUTE_INT,
                    .max_int = 65535,
                    .doc = "position of a sequence's first token"},
                   {.name = "padding_id",
                    .type = PITH_ATTRIBUTE_INT,
                    .default_int = -1,
                    .min_int = -1,
                    .max_int = INT32_MAX,
                    .doc = "id that is not counted; -1: every token is"}},
    .infer = infer_packed_positions,
};

static const char *const pool_names[] = {"mean", "cls", "max", "last", NULL};
const pith_operator pith_operator_SEQUENCE_POOL = {
    .id = PITH_OP_SEQUENCE_POOL,
    .name = "SequencePool",
    .domain = "pith",
    .version = 1,
    .doc = "One row for each sequence: the mean or maximum of its tokens, its first token (cls) or "
           "its last.",
    .inputs = {{"x", F32, false, .doc = "[tokens, features]"},
               {"offsets", S32, false, .doc = "[sequences + 1]", .packs = 1 + 0}},
    .outputs = {{"y", F32, false, .doc = "[sequences, features]"}},
    .attributes = {{.name = "mode",
                    .type = PITH_ATTRIBUTE_ENUM,
                    .default_int = PITH_POOL_MEAN,
                    .names = pool_names,
                    .doc = "how a sequence becomes one row"}},
    .infer = infer_sequence_pool,
};
