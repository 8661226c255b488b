/* What a loss has of a teacher's answers. */
#include "engine/ir/operator.h"
#include "train/operators.h"
#include "train/training_graph_internal.h"

static pith_tensor_id add_number(pith_training_build *build, const char *name, double number) {
  pith_builder *builder = &build->rewriter.builder;
  float *data = builder->status == PITH_OK ? pith_rewriter_allocate(&build->rewriter, 16, sizeof *data) : NULL;
  if (data == NULL)
    return PITH_NONE;
  data[0] = (float)number;
  return pith_build_data(builder, PITH_TENSOR_CONSTANT, name, PITH_DTYPE_F32, 0, NULL, PITH_LAYOUT_ROW_MAJOR, data, sizeof *data);
}

pith_tensor_id pith_training_add_product(pith_training_build *build, const char *name, pith_tensor_id x, const char *factor_name,
                                         double factor) {
  const pith_tensor_id number = add_number(build, factor_name, factor);
  return pith_build_node(&build->rewriter.builder, name, PITH_OP_MUL, 2, (pith_tensor_id[]){x, number}, 0, NULL);
}

static pith_tensor_id add_soft(pith_training_build *build, const pith_operator *op, pith_tensor_id x, pith_tensor_id teacher) {
  return pith_build_operator(&build->rewriter.builder, "distill.loss", op, 2, (pith_tensor_id[]){x, teacher}, 0, NULL);
}

/* Over classes; of both ends of an answer over the tokens of each sequence. */
static pith_tensor_id add_divergence(pith_training_build *build, pith_tensor_id x, pith_tensor_id teacher, double t) {
  pith_builder *builder = &build->rewriter.builder;
  const bool spans = build->model->task == PITH_TASK_QUESTION_ANSWERING;
  const pith_tensor_id offsets = spans ? pith_graph_find_tensor(builder->graph, "offsets") : PITH_NONE;
  const pith_attribute_setting temperature = PITH_SET_FLOAT("temperature", t);
  if (spans && offsets == PITH_NONE)
    pith_builder_fail(builder, PITH_UNSUPPORTED, "the model has no input 'offsets'");
  return pith_build_operator(builder, "distill.loss", &pith_operator_KL_DIVERGENCE, 3, (pith_tensor_id[]){x, teacher, offsets}, 1,
                             &temperature);
}

/* Labels that hold or not, each by itself: T^2 times the cross entropy of s(x / T) against s(teacher / T), s the sigmoid. */
static pith_tensor_id add_sigmoids(pith_training_build *build, pith_tensor_id x, pith_tensor_id teacher, double t) {
  const pith_tensor_id cool = pith_training_add_product(build, "distill.student", x, "distill.student_factor", 1 / t);
  const pith_tensor_id cool_teacher = pith_training_add_product(build, "distill.logits", teacher, "distill.teacher_factor", 1 / t);
  const pith_tensor_id targets =
      pith_build_node(&build->rewriter.builder, "distill.targets", PITH_OP_SIGMOID, 1, &cool_teacher, 0, NULL);
  return pith_training_add_product(build, "distill.scaled", add_soft(build, &pith_operator_SIGMOID_CROSS_ENTROPY, cool, targets), "distill.scale", t * t);
}

static pith_tensor_id add_teacher_loss(pith_training_build *build, pith_tensor_id x) {
  pith_builder *builder = &build->rewriter.builder;
  const double t = build->options->distill_temperature;
  const pith_task task = build->model->task;
  if (!(t > 0))
    pith_builder_fail(builder, PITH_INVALID_ARGUMENT, "distill-temperature is %g, not above 0", t);
  if (builder->status != PITH_OK)
    return PITH_NONE;
  const pith_tensor *output = &builder->graph->tensors[x];
  const pith_dim dims[2] = {output->dims[0], output->dims[1]};
  const pith_tensor_id teacher = pith_build_input(builder, "teacher", PITH_DTYPE_F32, 2, dims);
  switch (task) {
  case PITH_TASK_MULTI_LABEL:
  case PITH_TASK_RERANK:
    return add_sigmoids(build, x, teacher, t);
  case PITH_TASK_REGRESSION:
    return add_soft(build, &pith_operator_MEAN_SQUARED_ERROR, x, teacher);
  case PITH_TASK_EMBEDDING:
    return add_soft(build, &pith_operator_COSINE_LOSS, x, teacher);
  default:
    return add_divergence(build, x, teacher, t);
  }
}

pith_tensor_id pith_training_add_distillation(pith_training_build *build, pith_tensor_id output, pith_tensor_id hard) {
  const double weight = build->options->distill_weight;
  const pith_tensor_id soft = add_teacher_loss(build, output);
  if (weight == 1)
    return soft;
  const pith_tensor_id of_labels = pith_training_add_product(build, "distill.of_labels", hard, "distill.label_weight", 1 - weight);
  const pith_tensor_id of_teacher = pith_training_add_product(build, "distill.of_teacher", soft, "distill.teacher_weight", weight);
  return pith_build_node(&build->rewriter.builder, "distill.sum", PITH_OP_ADD, 2, (pith_tensor_id[]){of_labels, of_teacher}, 0, NULL);
}
