/* The loss of each task. */
#include <string.h>

#include "engine/ir/operator.h"
#include "train/operators.h"
#include "train/training_graph_internal.h"

pith_status pith_training_find_output(const pith_model_data *model, const pith_graph *graph, pith_tensor_id *out_output,
                                      pith_error *error) {
  const char *name = model->task == PITH_TASK_EMBEDDING ? "embedding" : "logits";
  if (model->task == PITH_TASK_NONE)
    return pith_fail(error, PITH_UNSUPPORTED, "the model has no head that could be trained");
  for (uint32_t i = 0; i < graph->output_count; i++)
    if (strcmp(graph->tensors[graph->outputs[i]].name, name) == 0) {
      *out_output = graph->outputs[i];
      const pith_tensor *output = &graph->tensors[*out_output];
      return output->rank == 2 && output->dtype == PITH_DTYPE_F32
                 ? PITH_OK
                 : pith_fail(error, PITH_UNSUPPORTED, "the model's output '%s' has rank %u, not rows of floats", name, output->rank);
    }
  return pith_fail(error, PITH_UNSUPPORTED, "a model for %s has an output '%s', this one has none", pith_task_name(model->task), name);
}

static pith_tensor_id add_loss(pith_training_build *build, const pith_operator *op, uint32_t input_count, const pith_tensor_id *inputs,
                               uint32_t attribute_count, const pith_attribute_setting *attributes) {
  return pith_build_operator(&build->rewriter.builder, "loss", op, input_count, inputs, attribute_count, attributes);
}

/* A copy in the training graph, under a name that no model's own is likely to have. */
static pith_tensor_id add_class_weights(pith_training_build *build, pith_tensor_id logits) {
  pith_builder *builder = &build->rewriter.builder;
  if (build->options->class_weights == NULL || builder->status != PITH_OK)
    return PITH_NONE;
  const int64_t classes = builder->graph->tensors[logits].dims[1].constant;
  float *weights = pith_rewriter_allocate(&build->rewriter, (size_t)classes, sizeof *weights);
  if (weights == NULL)
    return PITH_NONE;
  memcpy(weights, build->options->class_weights, (size_t)classes * sizeof *weights);
  return pith_build_data(builder, PITH_TENSOR_CONSTANT, PITH_CLASS_WEIGHTS_NAME, PITH_DTYPE_F32, 1, &classes, PITH_LAYOUT_ROW_MAJOR,
                         weights, (uint64_t)classes * sizeof *weights);
}

/* One label for each row of logits: of a sequence, a token, or a row that is asked for. */
static pith_tensor_id add_cross_entropy(pith_training_build *build, pith_tensor_id logits) {
  pith_builder *builder = &build->rewriter.builder;
  const pith_dim rows = builder->graph->tensors[logits].dims[0];
  const pith_tensor_id labels = pith_build_input(builder, "labels", PITH_DTYPE_S32, 1, &rows);
  const pith_attribute_setting smoothing = PITH_SET_FLOAT("smoothing", build->options->label_smoothing);
  return add_loss(build, &pith_operator_SOFTMAX_CROSS_ENTROPY, 3,
                  (pith_tensor_id[]){logits, labels, add_class_weights(build, logits)}, 1, &smoothing);
}

static pith_tensor_id add_span(pith_training_build *build, pith_tensor_id logits) {
  pith_builder *builder = &build->rewriter.builder;
  const pith_tensor_id offsets = pith_graph_find_tensor(builder->graph, "offsets");
  const pith_dim one = pith_dim_of(1);
  pith_dim dims[2];
  if (offsets == PITH_NONE) {
    pith_builder_fail(builder, PITH_UNSUPPORTED, "the model has no input 'offsets'");
    return PITH_NONE;
  }
  builder->status = pith_dim_combine(&builder->graph->arena, 1, &builder->graph->tensors[offsets].dims[0], -1, &one, &dims[0], build->error);
  dims[1] = builder->graph->tensors[logits].dims[1];
  const pith_tensor_id labels = pith_build_input(builder, "labels", PITH_DTYPE_S32, 2, dims);
  return add_loss(build, &pith_operator_SPAN_CROSS_ENTROPY, 3, (pith_tensor_id[]){logits, labels, offsets}, 0, NULL);
}

/* A number for each element of logits. */
static pith_tensor_id add_targets(pith_training_build *build, const pith_operator *op, pith_tensor_id logits) {
  pith_builder *builder = &build->rewriter.builder;
  const pith_dim dims[2] = {builder->graph->tensors[logits].dims[0], builder->graph->tensors[logits].dims[1]};
  const pith_tensor_id targets = pith_build_input(builder, "targets", PITH_DTYPE_F32, 2, dims);
  return add_loss(build, op, 2, (pith_tensor_id[]){logits, targets}, 0, NULL);
}

/* Pairs of embeddings: each against its target, or the second of the own pair against those of all others (multiple negatives,
 * Henderson et al. 2017, arXiv:1705.00652): cross entropy of cosines / temperature. */
static pith_tensor_id add_pairs(pith_training_build *build, pith_tensor_id embeddings) {
  pith_builder *builder = &build->rewriter.builder;
  const pith_training_graph_options *options = build->options;
  const pith_dim pairs = pith_build_dim(builder, "pairs", 1, 0);
  static const char *const names[2] = {"firsts", "seconds"}, *const rows[2] = {"loss.firsts", "loss.seconds"},
                           *const units[2] = {"loss.unit_firsts", "loss.unit_seconds"};
  pith_tensor_id sides[2];
  for (int i = 0; i < 2; i++) {
    const pith_tensor_id ids = pith_build_input(builder, names[i], PITH_DTYPE_S32, 1, &pairs);
    sides[i] = pith_build_node(builder, rows[i], PITH_OP_GATHER, 2, (pith_tensor_id[]){embeddings, ids}, 0, NULL);
  }
  if (!options->contrastive) {
    const pith_tensor_id targets = pith_build_input(builder, "targets", PITH_DTYPE_F32, 1, &pairs);
    return add_loss(build, &pith_operator_COSINE_LOSS, 3, (pith_tensor_id[]){sides[0], sides[1], targets}, 0, NULL);
  }
  for (int i = 0; i < 2; i++)
    sides[i] = pith_build_node(builder, units[i], PITH_OP_LP_NORMALIZATION, 1, &sides[i], 0, NULL);
  const pith_attribute_setting attributes[2] = {PITH_SET_INT("transB", 1), PITH_SET_FLOAT("alpha", 1 / options->temperature)};
  const pith_tensor_id scores = pith_build_node(builder, "loss.scores", PITH_OP_GEMM, 2, sides, 2, attributes);
  const pith_tensor_id labels = pith_build_input(builder, "labels", PITH_DTYPE_S32, 1, &pairs);
  return add_loss(build, &pith_operator_SOFTMAX_CROSS_ENTROPY, 2, (pith_tensor_id[]){scores, labels}, 0, NULL);
}

static pith_status check_options(const pith_training_build *build) {
  const pith_training_graph_options *options = build->options;
  const pith_task task = build->model->task;
  const char *name = pith_task_name(task);
  const bool classes = task == PITH_TASK_CLASSIFICATION || task == PITH_TASK_TOKEN_CLASSIFICATION;
  if ((options->label_smoothing != 0 || options->class_weights != NULL) && !classes)
    return pith_fail(build->error, PITH_INVALID_ARGUMENT, "label smoothing and class weights are for classes, not for %s", name);
  if (options->contrastive && task != PITH_TASK_EMBEDDING)
    return pith_fail(build->error, PITH_INVALID_ARGUMENT, "the contrastive loss is for embeddings, not for %s", name);
  if (options->contrastive && !(options->temperature > 0))
    return pith_fail(build->error, PITH_INVALID_ARGUMENT, "temperature is %g, not above 0", options->temperature);
  if (!(options->distill_weight >= 0 && options->distill_weight <= 1))
    return pith_fail(build->error, PITH_INVALID_ARGUMENT, "distill-weight is %g, outside 0 to 1", options->distill_weight);
  return PITH_OK;
}

/* By labels alone. */
static pith_tensor_id add_task_loss(pith_training_build *build, pith_tensor_id output) {
  pith_builder *builder = &build->rewriter.builder;
  switch (build->model->task) {
  case PITH_TASK_CLASSIFICATION:
  case PITH_TASK_TOKEN_CLASSIFICATION:
  case PITH_TASK_FILL_MASK:
    return add_cross_entropy(build, output);
  case PITH_TASK_QUESTION_ANSWERING:
    return add_span(build, output);
  case PITH_TASK_MULTI_LABEL:
  case PITH_TASK_RERANK:
    return add_targets(build, &pith_operator_SIGMOID_CROSS_ENTROPY, output);
  case PITH_TASK_REGRESSION:
    return add_targets(build, &pith_operator_MEAN_SQUARED_ERROR, output);
  case PITH_TASK_EMBEDDING:
    return add_pairs(build, output);
  case PITH_TASK_NONE:
    break;
  }
  pith_builder_fail(builder, PITH_UNSUPPORTED, "the model's task has no loss");
  return PITH_NONE;
}

pith_tensor_id pith_training_add_loss(pith_training_build *build, pith_tensor_id output) {
  pith_builder *builder = &build->rewriter.builder;
  if (builder->status == PITH_OK)
    builder->status = check_options(build);
  if (builder->status != PITH_OK)
    return PITH_NONE;
  const double weight = build->options->distill_weight;
  const pith_tensor_id hard = weight == 1 ? PITH_NONE : add_task_loss(build, output);
  const pith_tensor_id own = weight == 0 ? hard : pith_training_add_distillation(build, output, hard);
  const pith_tensor_id loss = pith_training_add_exits(build, output, own);
  return build->options->comparisons == NULL ? loss : pith_training_add_comparisons(build, loss);
}
