/* From a model to its training graph: floats, dropout, a loss and the gradients of what is trained.
 *
 *     inputs ──► the model's operators, dropout between them ──► the named output ──► loss      output 0
 *                                                                               └──► gradients  one or two outputs a parameter
 *
 * Dropout stands where BERT has it, found by structure: behind the LayerNorm of the embeddings, behind each product whose result
 * joins a residual before a LayerNorm, on attention's weights, and before the classifier. */
#ifndef PITH_TRAIN_TRAINING_GRAPH_H
#define PITH_TRAIN_TRAINING_GRAPH_H

#include "engine/format/model_data.h"
#include "engine/lower/lower.h"
#include "train/compare.h"
#include "train/training_quantized.h"

/* Identifier, name of the graph's input, what it is. Sizes are the graph's symbols: tokens, sequences, rows, pairs. */
#define PITH_TRAINING_SINGLES "singles"
#define PITH_TRAINING_INPUT_LIST(X)                                                                                          \
  X(IDS, "input_ids", "s32 [tokens]")                                                                                        \
  X(TYPE_IDS, "token_type_ids", "s32 [tokens]")                                                                              \
  X(OFFSETS, "offsets", "s32 [sequences + 1]")                                                                               \
  X(ROWS, "rows", "s32 [rows], fill-mask: tokens whose ids are to be found")                                                 \
  X(LABELS, "labels", "s32: classification [sequences], tokens [tokens], question answering [sequences, 2] (first and last "  \
                      "token, counted in the sequence), fill-mask [rows], contrastive [pairs] (which second is the right one); " \
                      "-100: does not count")                                                                                \
  X(TARGETS, "targets", "f32: regression, multi-label and ranking [sequences, labels]; embeddings [pairs], their cosine")    \
  X(FIRSTS, "firsts", "s32 [pairs], embeddings: the sequence that is the first of each pair")                                \
  X(SECONDS, "seconds", "s32 [pairs], and the second")                                                                       \
  X(SINGLES, PITH_TRAINING_SINGLES, "s32 [sequences + 1], 0, 1, 2, ..: where the query of each sequence begins in an attention that has one for each") \
  X(TEACHER, "teacher", "f32, distillation: a teacher's logits or embeddings, the shape of the model's own")                \
  X(RANDOM_KEY, "random_key", "s32 [4], dropout: ops/dropout/dropout.h; absent where nothing is dropped")
typedef enum pith_training_input {
#define PITH_TRAINING_INPUT_ENUM(id, name, doc) PITH_TRAINING_INPUT_##id,
  PITH_TRAINING_INPUT_LIST(PITH_TRAINING_INPUT_ENUM)
#undef PITH_TRAINING_INPUT_ENUM
  PITH_TRAINING_INPUT_COUNT
} pith_training_input;

typedef struct pith_training_graph_options {
  double dropout, attention_dropout, classifier_dropout; /* 0 to below 1; 0: no node for it */
  double label_smoothing;         /* classification and tokens */
  const float *class_weights;     /* [labels], or NULL; classification and tokens; copied */
  bool contrastive;               /* embeddings: in-batch negatives; else cosine against a target */
  double temperature;             /* contrastive: cosines are divided by it; above 0 */
  double distill_weight;          /* share of the loss that a teacher's answers have: 0, there is none, to 1, labels are no input */
  double distill_temperature;     /* logits of both are divided by it; above 0 */
  const pith_comparisons *comparisons; /* of layers with a teacher's, which add to that; NULL: there are none */
  const char *const *freeze;      /* [freeze_count] names of parameters with * and ?, which stay as they are */
  uint32_t freeze_count;
  uint32_t dense_rows;            /* a table that one Gather alone reads has its gradient by rows where it has more rows than this */
  bool dequantize;                /* an INT8 model is trained as floats: what comes out is a float model */
  pith_range_training ranges;     /* else: how its activations' ranges go on */
  uint32_t recompute_layers;      /* so many layers from the first on compute their values again on the way back */
} pith_training_graph_options;

typedef struct pith_training_parameter {
  pith_tensor_id tensor; /* of the training graph: f32, row-major; PITH_NONE: no node reads it */
  pith_tensor_id model_tensor; /* the same of the model's graph; PITH_NONE: training alone has it */
  size_t offset, count;  /* elements, in the buffer of all values; offsets are multiples of 16 */
  uint32_t gradient;     /* output of the graph that is its gradient; PITH_NONE: frozen, or nothing that counts reads it */
  uint32_t ids;          /* output: its gradient is by rows (pith_gradient of differentiate.h); PITH_NONE: it is not */
  pith_pattern pattern;  /* of zeros, that the model's weight came with */
} pith_training_parameter;

/* Dense ones first, then those by rows, then what is not trained; each in the model's order, what training alone has behind them. What lies between two in a buffer is
 * never written: 0 in that of the values. */
typedef struct pith_training_graph {
  pith_graph *graph;     /* verified */
  pith_graph *model;     /* the model's own graph, in floats; its parameters read the same values */
  uint32_t inputs[PITH_TRAINING_INPUT_COUNT]; /* place among the graph's inputs; PITH_NONE: it has none */
  uint32_t teacher_values[PITH_TEACHER_VALUES_MOST]; /* the same of the comparisons' values, f32 [tokens, width] each */
  uint32_t parameter_count, trained_count, dense_count; /* all; those that have a gradient; those whose gradient is dense */
  const pith_training_parameter *parameters;            /* [parameter_count] */
  size_t value_count, trained_values, dense_values;     /* elements of the buffer; of its beginning, as above */
  uint32_t layer_count;  /* as train/groups.h counts them */
  pith_training_quantized *quantized; /* NULL: the model is trained in floats */
} pith_training_graph;

/* The loss is that of the model's task: softmax cross entropy (classification, tokens, fill-mask, both ends of an answer), sigmoid
 * cross entropy (multi-label, ranking), mean squared error (regression), cosine or contrastive (embeddings); always a mean over
 * what counts. With a teacher it is (1 - distill_weight) times that + distill_weight times the teacher's part: KL_DIVERGENCE (classification,
 * tokens, fill-mask, answers), T^2 times sigmoid cross entropy against its probabilities (multi-label, ranking), mean squared error (regression),
 * 1 - cosine (embeddings). To that `comparisons` add, and exits (train/training_exits.c) where the model has any. Reads no weight, unless the model is quantized: its parameters are then what its levels stand for. `model` must
 * outlive the result.
 * PITH_UNSUPPORTED for a model without such a task, with an input that is not in the list above, or where an operator has no gradient (named); PITH_INVALID_ARGUMENT for an
 * option that the task has no use for, or a pattern that matches no parameter. */
PITH_WARN_UNUSED pith_status pith_training_graph_create(const pith_model_data *model, const pith_training_graph_options *options,
                                                        const pith_allocator *allocator, pith_training_graph **out_training,
                                                        pith_error *error);
void pith_training_graph_destroy(pith_training_graph *training); /* NULL is accepted */

/* Writes the model's weights to `values` [value_count], 64-byte aligned, and lets both graphs read from there: before programs are
 * made, and `values` must outlive them. */
PITH_WARN_UNUSED pith_status pith_training_graph_load(pith_training_graph *training, float *values, pith_error *error);

/* The parameter that a tensor of the training model is; NULL: it is none (PITH_NONE too). */
const pith_training_parameter *pith_training_graph_find(const pith_training_graph *training, pith_tensor_id model_tensor);

/* Adds to `options`, of which the caller sets the rest, what lowering a training graph needs: its operators, parameters that change
 * from run to run, dense gradients written where pith_executor_bind_output says, and the rewrites. Borrows from `training`. */
void pith_training_graph_set_lowering(const pith_training_graph *training, pith_lower_options *options);

#endif
