/* What a loss has of a model's exits: each learns from the labels and from the model's own end, which does not learn from it (self-distillation,
 * Zhang et al. 2019, arXiv:1905.08094, eq. 1 and 2 without hints; FastBERT, Liu et al. 2020, arXiv:2004.02178, eq. 7). */
#include <stdio.h>

#include "engine/exec/exits.h"
#include "engine/ir/operator.h"
#include "train/operators.h"
#include "train/training_graph_internal.h"

static pith_tensor_id add_sum(pith_training_build *build, uint32_t exit, const char *what, pith_tensor_id a, pith_tensor_id b) {
  char name[64];
  snprintf(name, sizeof name, "exit_%u.%s", exit, what);
  return pith_build_node(&build->rewriter.builder, name, PITH_OP_ADD, 2, (pith_tensor_id[]){a, b}, 0, NULL);
}

/* By labels, as the end's. */
static pith_tensor_id add_own(pith_training_build *build, uint32_t exit, pith_tensor_id logits) {
  pith_builder *builder = &build->rewriter.builder;
  char name[64];
  snprintf(name, sizeof name, "exit_%u.loss", exit);
  const pith_tensor_id inputs[3] = {logits, pith_graph_find_tensor(builder->graph, "labels"),
                                    pith_graph_find_tensor(builder->graph, PITH_CLASS_WEIGHTS_NAME)};
  const pith_attribute_setting smoothing = PITH_SET_FLOAT("smoothing", build->options->label_smoothing);
  return pith_build_operator(builder, name, &pith_operator_SOFTMAX_CROSS_ENTROPY, 3, inputs, 1, &smoothing);
}

static pith_tensor_id add_divergence(pith_training_build *build, uint32_t exit, pith_tensor_id logits, pith_tensor_id end) {
  char name[64];
  snprintf(name, sizeof name, "exit_%u.divergence", exit);
  const pith_attribute_setting temperature = PITH_SET_FLOAT("temperature", build->options->distill_temperature);
  return pith_build_operator(&build->rewriter.builder, name, &pith_operator_KL_DIVERGENCE, 3, (pith_tensor_id[]){logits, end, PITH_NONE}, 1,
                             &temperature);
}

pith_tensor_id pith_training_add_exits(pith_training_build *build, pith_tensor_id output, pith_tensor_id loss) {
  pith_builder *builder = &build->rewriter.builder;
  const uint32_t count = pith_exits_count(build->from);
  const double temperature = build->options->distill_temperature;
  if (count != 0 && build->model->task != PITH_TASK_CLASSIFICATION)
    pith_builder_fail(builder, PITH_UNSUPPORTED, "exits are trained for classification, not for %s", pith_task_name(build->model->task));
  else if (count != 0 && !(temperature > 0))
    pith_builder_fail(builder, PITH_INVALID_ARGUMENT, "distill-temperature is %g, not above 0", temperature);
  for (uint32_t i = 0; i < count && builder->status == PITH_OK; i++) {
    const pith_tensor_id logits = pith_rewriter_get(&build->rewriter, pith_exits_get_output(build->from, i));
    if (build->options->distill_weight != 1)
      loss = add_sum(build, i + 1, "with_loss", loss, add_own(build, i + 1, logits));
    loss = add_sum(build, i + 1, "with_divergence", loss, add_divergence(build, i + 1, logits, output));
  }
  return loss;
}
