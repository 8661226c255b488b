/* Operators that only training graphs hold: rows like the engine's (engine/ir/operator.h), with ids that count on from there.
 * Files never hold them and libpith does not carry them. docs/operators.md says what each does. */
#ifndef PITH_TRAIN_OPERATORS_H
#define PITH_TRAIN_OPERATORS_H

#include "engine/ir/operator.h"
#include "engine/lower/lower.h"

/* Identifier, name. */
#define PITH_TRAINING_OPERATOR_LIST(X)                                                                      \
  X(DROPOUT, "Dropout")                                                                                     \
  X(TRAINING_ATTENTION, "TrainingAttention")                                                                \
  X(TRAINING_ATTENTION_GRAD, "TrainingAttentionGrad")                                                       \
  X(UNARY_GRAD, "UnaryGrad")                                                                                \
  X(REDUCE_SUM, "ReduceSum")                                                                                \
  X(GATHER_GRAD, "GatherGrad")                                                                              \
  X(SOFTMAX_GRAD, "SoftmaxGrad")                                                                            \
  X(LAYER_NORMALIZATION_GRAD, "LayerNormalizationGrad")                                                     \
  X(LAYER_NORMALIZATION_SCALE_GRAD, "LayerNormalizationScaleGrad")                                          \
  X(LP_NORMALIZATION_GRAD, "LpNormalizationGrad")                                                           \
  X(SEQUENCE_POOL_GRAD, "SequencePoolGrad")                                                                 \
  X(FAKE_QUANTIZE, "FakeQuantize")                                                                          \
  X(FAKE_QUANTIZE_GRAD, "FakeQuantizeGrad")                                                                 \
  X(FAKE_QUANTIZE_ROWS, "FakeQuantizeRows")                                                                 \
  X(FAKE_QUANTIZE_WEIGHTS, "FakeQuantizeWeights")                                                           \
  X(ROW_RANGES, "RowRanges")                                                                                \
  X(INTEGER_PRODUCT, "IntegerProduct")                                                                      \
  X(INTEGER_ATTENTION, "IntegerAttention")                                                                  \
  X(GELU_8BIT, "Gelu8Bit")                                                                                  \
  X(SOFTMAX_CROSS_ENTROPY, "SoftmaxCrossEntropy")                                                           \
  X(SOFTMAX_CROSS_ENTROPY_GRAD, "SoftmaxCrossEntropyGrad")                                                  \
  X(SPAN_CROSS_ENTROPY, "SpanCrossEntropy")                                                                 \
  X(SPAN_CROSS_ENTROPY_GRAD, "SpanCrossEntropyGrad")                                                        \
  X(SIGMOID_CROSS_ENTROPY, "SigmoidCrossEntropy")                                                           \
  X(SIGMOID_CROSS_ENTROPY_GRAD, "SigmoidCrossEntropyGrad")                                                  \
  X(MEAN_SQUARED_ERROR, "MeanSquaredError")                                                                 \
  X(MEAN_SQUARED_ERROR_GRAD, "MeanSquaredErrorGrad")                                                        \
  X(COSINE_LOSS, "CosineLoss")                                                                              \
  X(COSINE_LOSS_GRAD, "CosineLossGrad")                                                                     \
  X(KL_DIVERGENCE, "KlDivergence")                                                                          \
  X(KL_DIVERGENCE_GRAD, "KlDivergenceGrad")                                                                 \
  X(MEAN, "Mean")                                                                                           \
  X(MEAN_GRAD, "MeanGrad")                                                                                  \
  X(RELATION_ERRORS, "RelationErrors")                                                                      \
  X(RELATION_ERRORS_GRAD, "RelationErrorsGrad")
typedef enum pith_training_operator_id {
  PITH_TRAINING_OP_FIRST = PITH_OP_COUNT - 1,
#define PITH_TRAINING_OPERATOR_ENUM(id, name) PITH_OP_##id,
  PITH_TRAINING_OPERATOR_LIST(PITH_TRAINING_OPERATOR_ENUM)
#undef PITH_TRAINING_OPERATOR_ENUM
  PITH_TRAINING_OP_END
} pith_training_operator_id;
/* Inputs of RelationErrors, and the one that its gradient has besides. */
enum {
  PITH_RELATION_X,
  PITH_RELATION_Z,
  PITH_RELATION_TEACHER_X,
  PITH_RELATION_TEACHER_Z,
  PITH_RELATION_OFFSETS,
  PITH_RELATION_D_ERRORS
};
enum { PITH_TRAINING_OP_COUNT = PITH_TRAINING_OP_END - PITH_OP_COUNT };

#define PITH_TRAINING_OPERATOR_DECLARE(id, name) extern const pith_operator pith_operator_##id;
PITH_TRAINING_OPERATOR_LIST(PITH_TRAINING_OPERATOR_DECLARE)
#undef PITH_TRAINING_OPERATOR_DECLARE

/* A row of either list; NULL for an id of neither. */
const pith_operator *pith_training_operator_get(int id);

/* pith_lower_options.translate of graphs that hold these operators. */
pith_status pith_training_translate(const struct pith_translation *translation);

/* Whether ReduceSum's attribute axes has dimension `d` of data with that rank; axes may count from the end, and none are all. */
bool pith_reduce_has_axis(const pith_attribute *axes, uint32_t rank, uint32_t d);

/* The part of docs/operators.md that is about them. */
void pith_training_operators_print_markdown(const pith_text_sink *sink);

#endif
