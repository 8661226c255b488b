/* Losses: one number of rank 0 each, and beside each its gradient by the first operand, which is dLoss times the derivative.
 * ops/loss/loss_f32.h has the formulas. A loss and its gradient have the same operands; the gradient's last one is dLoss. */
#include "ops/loss/relation_f32.h"
#include "train/inference.h"

static uint32_t count_ports(const pith_port *ports) {
  uint32_t count = 0;
  while (ports[count].name != NULL)
    count++;
  return count;
}

/* Of a loss: one number. Of a gradient, whose last port is dLoss: the shape of x. */
static pith_status set_result(pith_inference *inference, pith_error *error) {
  const pith_operator *op = inference->node->op;
  const uint32_t last = count_ports(op->inputs) - 1;
  if (strcmp(op->inputs[last].name, "dLoss") == 0) {
    PITH_TRY(pith_inference_check_rank(inference, last, 0, error));
    return pith_infer_same(inference, error);
  }
  inference->outputs[0].dtype = PITH_DTYPE_F32;
  inference->outputs[0].rank = 0;
  return PITH_OK;
}

static pith_status check_dim(const pith_inference *inference, uint32_t a, uint32_t a_dim, uint32_t b, uint32_t b_dim,
                             pith_error *error) {
  const pith_port *ports = inference->node->op->inputs;
  return pith_dim_equal(&inference->inputs[a]->dims[a_dim], &inference->inputs[b]->dims[b_dim])
             ? PITH_OK
             : pith_inference_fail(inference, error, "%s %s and %s %s do not go together", ports[a].name,
                                   pith_inference_shape(inference, a).text, ports[b].name,
                                   pith_inference_shape(inference, b).text);
}

static pith_status infer_softmax_cross_entropy(pith_inference *inference, pith_error *error) {
  const double smoothing = pith_inference_get_float(inference, "smoothing");
  PITH_TRY(pith_inference_check_rank(inference, 0, 2, error));
  PITH_TRY(pith_inference_check_rank(inference, 1, 1, error));
  PITH_TRY(check_dim(inference, 0, 0, 1, 0, error));
  if (inference->inputs[2] != NULL) {
    PITH_TRY(pith_inference_check_rank(inference, 2, 1, error));
    PITH_TRY(check_dim(inference, 0, 1, 2, 0, error));
  }
  if (!(smoothing >= 0 && smoothing <= 1))
    return pith_inference_fail(inference, error, "smoothing is %g, not from 0 to 1", smoothing);
  return set_result(inference, error);
}

static pith_status infer_span_cross_entropy(pith_inference *inference, pith_error *error) {
  const pith_dim one = pith_dim_of(1);
  pith_dim sequences;
  PITH_TRY(pith_inference_check_rank(inference, 0, 2, error));
  PITH_TRY(pith_inference_check_rank(inference, 1, 2, error));
  PITH_TRY(pith_inference_check_rank(inference, 2, 1, error));
  PITH_TRY(check_dim(inference, 0, 1, 1, 1, error));
  PITH_TRY(pith_dim_combine(&inference->graph->arena, 1, &inference->inputs[2]->dims[0], -1, &one, &sequences, error));
  if (!pith_dim_equal(&inference->inputs[1]->dims[0], &sequences))
    return pith_inference_fail(inference, error, "labels %s is not one row for each sequence of offsets %s",
                               pith_inference_shape(inference, 1).text, pith_inference_shape(inference, 2).text);
  return set_result(inference, error);
}

static pith_status infer_targets(pith_inference *inference, pith_error *error) {
  PITH_TRY(pith_inference_check_same(inference, 0, 1, error));
  return set_result(inference, error);
}

static pith_status infer_cosine(pith_inference *inference, pith_error *error) {
  PITH_TRY(pith_inference_check_rank(inference, 0, 2, error));
  PITH_TRY(pith_inference_check_same(inference, 0, 1, error));
  if (inference->inputs[2] != NULL) {
    PITH_TRY(pith_inference_check_rank(inference, 2, 1, error));
    PITH_TRY(check_dim(inference, 0, 0, 2, 0, error));
  }
  return set_result(inference, error);
}

static pith_status infer_kl(pith_inference *inference, pith_error *error) {
  const double temperature = pith_inference_get_float(inference, "temperature");
  PITH_TRY(pith_inference_check_rank(inference, 0, 2, error));
  PITH_TRY(pith_inference_check_same(inference, 0, 1, error));
  if (inference->inputs[2] != NULL)
    PITH_TRY(pith_inference_check_rank(inference, 2, 1, error));
  if (!(temperature > 0))
    return pith_inference_fail(inference, error, "temperature is %g, not above 0", temperature);
  return set_result(inference, error);
}

static pith_status infer_mean(pith_inference *inference, pith_error *error) {
  return set_result(inference, error);
}

#define LOSS_OUTPUT {{"loss", F32, false, .doc = "[]"}}
#define GRAD_OUTPUT {{"dX", F32, false, .doc = "the shape of x"}}
#define D_LOSS {"dLoss", F32, false, .doc = "[]"}
#define BY_X(name) "The gradient of " name " by x."
/* The two rows of a loss; ports and attributes are lists in parentheses. */
#define UNWRAP(...) __VA_ARGS__
#define LOSS(identifier, text, meaning, ports, rows, function)                                              \
  const pith_operator pith_operator_##identifier = {.id = (pith_operator_id)PITH_OP_##identifier,          \
                                                    .name = text,                                           \
                                                    .domain = "pith",                                       \
                                                    .version = 1,                                           \
                                                    .doc = meaning,                                         \
                                                    .inputs = {UNWRAP ports},                               \
                                                    .outputs = LOSS_OUTPUT,                                 \
                                                    .attributes = {UNWRAP rows},                            \
                                                    .infer = function};                                     \
  const pith_operator pith_operator_##identifier##_GRAD = {.id = (pith_operator_id)PITH_OP_##identifier##_GRAD, \
                                                           .name = text "Grad",                             \
                                                           .domain = "pith",                                \
                                                           .version = 1,                                    \
                                                           .doc = BY_X(text),                               \
                                                           .inputs = {UNWRAP ports, D_LOSS},                \
                                                           .outputs = GRAD_OUTPUT,                          \
                                                           .attributes = {UNWRAP rows},                     \
                                                           .infer = function};

LOSS(SOFTMAX_CROSS_ENTROPY, "SoftmaxCrossEntropy",
     "The mean over rows that count of -log softmax(x)[label], weighted by the label's class weight, with label smoothing as "
     "torch.nn.CrossEntropyLoss has it. A label of -100 does not count.",
     ({"x", F32, false, .doc = "[rows, classes]"}, {"labels", S32, false, .doc = "[rows]"},
      {"class_weights", F32, true, .doc = "[classes]"}),
     ({.name = "smoothing", .type = PITH_ATTRIBUTE_FLOAT, .doc = "share of the target that all classes divide, 0 to 1"}),
     infer_softmax_cross_entropy)

LOSS(SPAN_CROSS_ENTROPY, "SpanCrossEntropy",
     "The mean over labels that count of -log softmax(x)[label] over the tokens of a sequence, in each column alone. A label counts "
     "from its sequence's first token; -100 does not count.",
     ({"x", F32, false, .doc = "[tokens, columns]"}, {"labels", S32, false, .doc = "[sequences, columns]"},
      {"offsets", S32, false, .doc = "[sequences + 1]", .packs = 1 + 0}),
     ({.name = NULL}), infer_span_cross_entropy)

LOSS(SIGMOID_CROSS_ENTROPY, "SigmoidCrossEntropy",
     "The mean over elements of -target log s(x) - (1 - target) log(1 - s(x)), s the sigmoid.",
     ({"x", F32, false, .doc = "any shape"}, {"targets", F32, false, .doc = "the shape of x, 0 to 1"}), ({.name = NULL}), infer_targets)

LOSS(MEAN_SQUARED_ERROR, "MeanSquaredError", "The mean over elements of (x - target)^2.",
     ({"x", F32, false, .doc = "any shape"}, {"targets", F32, false, .doc = "the shape of x"}), ({.name = NULL}), infer_targets)

LOSS(COSINE_LOSS, "CosineLoss",
     "The mean over rows of 1 - c, or with targets of (c - target)^2, c the cosine of x and z, whose norms count as 1e-8 at least.",
     ({"x", F32, false, .doc = "[rows, features]"}, {"z", F32, false, .doc = "[rows, features]"},
      {"targets", F32, true, .doc = "[rows]"}),
     ({.name = NULL}), infer_cosine)

LOSS(KL_DIVERGENCE, "KlDivergence",
     "The mean over rows of T^2 sum of q (log q - log p), p = softmax(x / T), q = softmax(teacher / T). With offsets the softmax is over "
     "the tokens of a sequence, in each column alone.",
     ({"x", F32, false, .doc = "[rows, classes], with offsets [tokens, columns]"}, {"teacher", F32, false, .doc = "the shape of x"},
      {"offsets", S32, true, .doc = "[sequences + 1]", .packs = 1 + 0}),
     ({.name = "temperature", .type = PITH_ATTRIBUTE_FLOAT, .default_float = 1, .doc = "T"}), infer_kl)

LOSS(MEAN, "Mean", "The mean over elements of x.", ({"x", F32, false, .doc = "any shape"}), ({.name = NULL}), infer_mean)

/* ---- rows of errors, which Mean makes a loss of --------------------------------------------------------------------------- */

static pith_status check_relations(const pith_inference *inference, pith_error *error) {
  const pith_tensor *const *in = inference->inputs;
  const int64_t heads = pith_inference_get_int(inference, "num_heads");
  for (uint32_t i = PITH_RELATION_X; i <= PITH_RELATION_TEACHER_Z; i++) {
    PITH_TRY(pith_inference_check_rank(inference, i, 2, error));
    if (!pith_dim_is_constant(&in[i]->dims[1]) || in[i]->dims[1].constant % heads != 0)
      return pith_inference_fail(inference, error, "%s is %s, its features must be a multiple of num_heads %lld",
                                 inference->node->op->inputs[i].name, pith_inference_shape(inference, i).text, (long long)heads);
  }
  PITH_TRY(pith_inference_check_same(inference, PITH_RELATION_X, PITH_RELATION_Z, error));
  PITH_TRY(pith_inference_check_same(inference, PITH_RELATION_TEACHER_X, PITH_RELATION_TEACHER_Z, error));
  PITH_TRY(check_dim(inference, PITH_RELATION_X, 0, PITH_RELATION_TEACHER_X, 0, error));
  if (!(pith_inference_get_float(inference, "scale") >= 0 && pith_inference_get_float(inference, "teacher_scale") >= 0))
    return pith_inference_fail(inference, error, "scale or teacher_scale is below 0");
  return pith_inference_check_rank(inference, PITH_RELATION_OFFSETS, 1, error);
}

static pith_status infer_relations(pith_inference *inference, pith_error *error) {
  PITH_TRY(check_relations(inference, error));
  pith_inference_set_like(inference, 0, PITH_RELATION_X);
  inference->outputs[0].dims[1] = pith_dim_of(pith_inference_get_int(inference, "num_heads"));
  return PITH_OK;
}

static pith_status infer_relations_grad(pith_inference *inference, pith_error *error) {
  const pith_dim heads = pith_dim_of(pith_inference_get_int(inference, "num_heads"));
  PITH_TRY(check_relations(inference, error));
  PITH_TRY(pith_inference_check_rank(inference, PITH_RELATION_D_ERRORS, 2, error));
  PITH_TRY(check_dim(inference, PITH_RELATION_X, 0, PITH_RELATION_D_ERRORS, 0, error));
  if (!pith_dim_equal(&inference->inputs[PITH_RELATION_D_ERRORS]->dims[1], &heads))
    return pith_inference_fail(inference, error, "dErrors is %s, not one number a head",
                               pith_inference_shape(inference, PITH_RELATION_D_ERRORS).text);
  pith_inference_set_like(inference, 0, PITH_RELATION_X);
  pith_inference_set_like(inference, 1, PITH_RELATION_Z);
  return PITH_OK;
}

#define ERROR_NAME(name, text) [PITH_RELATION_##name] = text,
static const char *const error_names[PITH_RELATION_ERROR_COUNT + 1] = {PITH_RELATION_ERROR_LIST(ERROR_NAME)};
#undef ERROR_NAME

#define RELATION_INPUTS                                                                                     \
  {"x", F32, false, .doc = "[tokens, heads * head_size]"}, {"z", F32, false, .doc = "the shape of x"},      \
      {"teacher_x", F32, false, .doc = "[tokens, heads * teacher_size]"},                                   \
      {"teacher_z", F32, false, .doc = "the shape of teacher_x"},                                           \
      {"offsets", S32, false, .doc = "[sequences + 1]", .packs = 1 + PITH_RELATION_X}
#define RELATION_ATTRIBUTES                                                                                 \
  {{.name = "num_heads", .type = PITH_ATTRIBUTE_INT, .required = true, .min_int = 1, .max_int = INT32_MAX,  \
    .doc = "heads that the features of both are divided into"},                                             \
   {.name = "scale", .type = PITH_ATTRIBUTE_FLOAT, .doc = "of x z; 0: 1 / sqrt(head_size)"},                \
   {.name = "teacher_scale", .type = PITH_ATTRIBUTE_FLOAT, .doc = "of teacher_x teacher_z; 0: 1 / sqrt(teacher_size)"}, \
   {.name = "error", .type = PITH_ATTRIBUTE_ENUM, .required = true, .names = error_names, .doc = "how two rows of numbers are compared"}}

const pith_operator pith_operator_RELATION_ERRORS = {
    .id = (pith_operator_id)PITH_OP_RELATION_ERRORS,
    .name = "RelationErrors",
    .domain = "pith",
    .version = 1,
    .doc = "How far a student's relations of tokens are from its teacher's. With s[i, j] = scale x_i z_j over the features of a head, i and j "
           "tokens of one sequence, and t alike of the teacher: kl, the divergence of softmax(s[i]) from softmax(t[i]); squared, the mean over j of "
           "(s[i, j] - t[i, j])^2.",
    .inputs = {RELATION_INPUTS},
    .outputs = {{"errors", F32, false, .doc = "[tokens, num_heads]"}},
    .attributes = RELATION_ATTRIBUTES,
    .infer = infer_relations,
};

const pith_operator pith_operator_RELATION_ERRORS_GRAD = {
    .id = (pith_operator_id)PITH_OP_RELATION_ERRORS_GRAD,
    .name = "RelationErrorsGrad",
    .domain = "pith",
    .version = 1,
    .doc = "The gradients of RelationErrors by x and z.",
    .inputs = {RELATION_INPUTS, {"dErrors", F32, false, .doc = "[tokens, num_heads]"}},
    .outputs = {{"dX", F32, false, .doc = "the shape of x"}, {"dZ", F32, false, .doc = "the shape of z"}},
    .attributes = RELATION_ATTRIBUTES,
    .infer = infer_relations_grad,
};
