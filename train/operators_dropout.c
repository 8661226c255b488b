/* Dropout, and attention that drops weights and leaves behind what its gradient needs. */
#include "train/inference.h"

static pith_status infer_dropout(pith_inference *inference, pith_error *error) {
  PITH_TRY(pith_inference_check_rank(inference, 0, 2, error));
  if (inference->inputs[1] != NULL)
    PITH_TRY(pith_inference_check_same(inference, 0, 1, error));
  if (inference->inputs[2] != NULL)
    PITH_TRY(pith_inference_check_rank(inference, 2, 1, error));
  PITH_TRY(pith_inference_check_dropout(inference, 3, error));
  return pith_infer_same(inference, error);
}

/* Ports of both attentions begin alike but for where the offsets stand. */
static pith_status check_attention(const pith_inference *inference, uint32_t offsets, pith_error *error) {
  const pith_tensor *const *in = inference->inputs;
  const int64_t heads = pith_inference_get_int(inference, "num_heads");
  for (uint32_t i = 0; i < 3; i++) {
    PITH_TRY(pith_inference_check_rank(inference, i, 2, error));
    if (!pith_dim_is_constant(&in[i]->dims[1]) || in[i]->dims[1].constant % heads != 0)
      return pith_inference_fail(inference, error, "%s is %s, its features must be a multiple of num_heads %lld",
                                 inference->node->op->inputs[i].name, pith_inference_shape(inference, i).text,
                                 (long long)heads);
  }
  PITH_TRY(pith_inference_check_rank(inference, offsets, 1, error));
  PITH_TRY(pith_inference_check_same(inference, offsets, offsets + 1, error));
  if (!pith_dim_equal(&in[0]->dims[1], &in[1]->dims[1]) || !pith_dim_equal(&in[1]->dims[0], &in[2]->dims[0]))
    return pith_inference_fail(inference, error, "query %s, key %s and value %s do not go together",
                               pith_inference_shape(inference, 0).text, pith_inference_shape(inference, 1).text,
                               pith_inference_shape(inference, 2).text);
  if (!(pith_inference_get_float(inference, "scale") >= 0.0))
    return pith_inference_fail(inference, error, "scale is below 0");
  return pith_inference_check_dropout(inference, offsets + 2, error);
}

static pith_status infer_attention(pith_inference *inference, pith_error *error) {
  PITH_TRY(check_attention(inference, 3, error));
  for (uint32_t i = 0; i < 2; i++) {
    inference->outputs[i].dtype = PITH_DTYPE_F32;
    inference->outputs[i].rank = 2;
    inference->outputs[i].dims[0] = inference->inputs[0]->dims[0];
  }
  inference->outputs[0].dims[1] = inference->inputs[2]->dims[1];
  inference->outputs[1].dims[1] = pith_dim_of(2 * pith_inference_get_int(inference, "num_heads"));
  return PITH_OK;
}

enum { Q, K, V, Y, STATISTICS, DY, OFFSETS };

static pith_status infer_attention_grad(pith_inference *inference, pith_error *error) {
  const pith_tensor *const *in = inference->inputs;
  const pith_dim statistics = pith_dim_of(2 * pith_inference_get_int(inference, "num_heads"));
  PITH_TRY(check_attention(inference, OFFSETS, error));
  PITH_TRY(pith_inference_check_same(inference, Y, DY, error));
  PITH_TRY(pith_inference_check_rank(inference, Y, 2, error));
  PITH_TRY(pith_inference_check_rank(inference, STATISTICS, 2, error));
  if (!pith_dim_equal(&in[Y]->dims[0], &in[Q]->dims[0]) || !pith_dim_equal(&in[Y]->dims[1], &in[V]->dims[1]) ||
      !pith_dim_equal(&in[STATISTICS]->dims[0], &in[Q]->dims[0]) || !pith_dim_equal(&in[STATISTICS]->dims[1], &statistics))
    return pith_inference_fail(inference, error, "y %s and statistics %s are not those of query %s and value %s",
                               pith_inference_shape(inference, Y).text, pith_inference_shape(inference, STATISTICS).text,
                               pith_inference_shape(inference, Q).text, pith_inference_shape(inference, V).text);
  for (uint32_t i = 0; i < 3; i++)
    pith_inference_set_like(inference, i, i);
  return PITH_OK;
}

#define KEY(always) {"random_key", S32, !(always), .doc = "[4]: seed (low, high), step, number of the batch's first sample"}
#define RATIO {.name = "ratio", .type = PITH_ATTRIBUTE_FLOAT, .doc = "probability of an element to become 0, from 0 to below 1"}
#define PLACE                                                                                               \
  {.name = "operator", .type = PITH_ATTRIBUTE_INT, .max_int = INT32_MAX, .doc = "number of this place in the graph, no other's"}

const pith_operator pith_operator_DROPOUT = {
    .id = (pith_operator_id)PITH_OP_DROPOUT,
    .name = "Dropout",
    .domain = "pith",
    .version = 1,
    .doc = "y = dropout(x), or residual + dropout(x): elements become 0 with probability ratio, the others are divided by "
           "1 - ratio. Which ones is decided by seed, step, number of the sample, operator and place in the sample alone. A sample "
           "is a sequence or, without offsets, a row.",
    .inputs = {{"x", F32, false, .doc = "[rows, features]"},
               {"residual", F32, true, .doc = "[rows, features]"},
               {"offsets", S32, true, .doc = "[sequences + 1]", .packs = 1 + 0},
               KEY(true)},
    .outputs = {{"y", F32, false, .doc = "[rows, features]"}},
    .attributes = {RATIO, PLACE},
    .infer = infer_dropout,
};

#define ATTENTION_ATTRIBUTES                                                                                \
  {{.name = "num_heads", .type = PITH_ATTRIBUTE_INT, .required = true, .min_int = 1, .max_int = INT32_MAX / 2,                    \
    .doc = "heads that the features are divided into"},                                                     \
   {.name = "scale", .type = PITH_ATTRIBUTE_FLOAT, .doc = "of the scores; 0: 1 / sqrt(head size)"},         \
   {.name = "causal", .type = PITH_ATTRIBUTE_INT, .max_int = 1, .doc = "1: no token sees a later one"},     \
   RATIO,                                                                                                   \
   PLACE}

const pith_operator pith_operator_TRAINING_ATTENTION = {
    .id = (pith_operator_id)PITH_OP_TRAINING_ATTENTION,
    .name = "TrainingAttention",
    .domain = "pith",
    .version = 1,
    .doc = "PackedAttention with dropout of the softmax's weights: dropout(softmax(scale Q K^T)) V over each sequence's own tokens. "
           "statistics are what the gradient needs of each row and head. random_key may be absent where ratio is 0.",
    .inputs = {{"query", F32, false, .doc = "[tokens_q, heads * head_size]"},
               {"key", F32, false, .doc = "[tokens_kv, heads * head_size]"},
               {"value", F32, false, .doc = "[tokens_kv, heads * value_size]"},
               {"q_offsets", S32, false, .doc = "[sequences + 1]", .packs = 1 + 0},
               {"kv_offsets", S32, false, .doc = "[sequences + 1]", .packs = 1 + 1},
               KEY(false)},
    .outputs = {{"y", F32, false, .doc = "[tokens_q, heads * value_size]"},
                {"statistics", F32, false, .doc = "[tokens_q, heads * 2]"}},
    .attributes = ATTENTION_ATTRIBUTES,
    .infer = infer_attention,
};

const pith_operator pith_operator_TRAINING_ATTENTION_GRAD = {
    .id = (pith_operator_id)PITH_OP_TRAINING_ATTENTION_GRAD,
    .name = "TrainingAttentionGrad",
    .domain = "pith",
    .version = 1,
    .doc = "The gradients of TrainingAttention by query, key and value, from what it read and wrote. Weights and what was dropped "
           "are computed again.",
    .inputs = {{"query", F32, false, .doc = "[tokens_q, heads * head_size]"},
               {"key", F32, false, .doc = "[tokens_kv, heads * head_size]"},
               {"value", F32, false, .doc = "[tokens_kv, heads * value_size]"},
               {"y", F32, false, .doc = "[tokens_q, heads * value_size]"},
               {"statistics", F32, false, .doc = "[tokens_q, heads * 2]"},
               {"dY", F32, false, .doc = "[tokens_q, heads * value_size]"},
               {"q_offsets", S32, false, .doc = "[sequences + 1]", .packs = 1 + Q},
               {"kv_offsets", S32, false, .doc = "[sequences + 1]", .packs = 1 + K},
               KEY(false)},
    .outputs = {{"dQuery", F32, false, .doc = "[tokens_q, heads * head_size]"},
                {"dKey", F32, false, .doc = "[tokens_kv, heads * head_size]"},
                {"dValue", F32, false, .doc = "[tokens_kv, heads * value_size]"}},
    .attributes = ATTENTION_ATTRIBUTES,
    .infer = infer_attention_grad,
};
