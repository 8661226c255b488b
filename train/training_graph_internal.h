/* What the files that make training graphs share. */
#ifndef PITH_TRAIN_TRAINING_GRAPH_INTERNAL_H
#define PITH_TRAIN_TRAINING_GRAPH_INTERNAL_H

#include "compiler/rewrite/rewriter.h"
#include "train/training_graph.h"

/* Inputs for a teacher's values, from 1. */
#define PITH_TEACHER_VALUE_NAME "teacher_value_%u"

/* Of a tensor of the model's graph: whether its rows are first tokens alone in the training graph, or, where that has all its rows, what
 * holds the first tokens of them (PITH_NONE: nothing needed that yet) and the tensor of the new graph that they were taken of. */
typedef struct pith_training_first_token {
  bool alone;
  pith_tensor_id made, of;
} pith_training_first_token;

#define PITH_CLASS_WEIGHTS_NAME "loss.class_weights"

typedef struct pith_training_build {
  const pith_model_data *model;
  const pith_training_graph_options *options;
  const pith_graph *from; /* the model's graph in floats */
  pith_rewriter rewriter; /* of it, to the training graph */
  pith_error *error;
  pith_tensor_id projection; /* a parameter that the model has not (train/compare.h); PITH_NONE: there is none */
  pith_training_first_token *first_tokens; /* [from->tensor_count] */
  /* Where an INT8 model is trained as such (training_quantized.h). */
  pith_training_quantized *quantized; /* NULL: it is not */
  pith_readers quantized_readers;     /* of its graph */
  pith_tensor_id *quantized_made;     /* [its tensor_count] of levels: the same in floats, in the new graph; the levels are the next */
} pith_training_build;

/* The output that the task's loss is of: logits or embeddings. PITH_UNSUPPORTED where the task has no loss or the model no such
 * output. */
PITH_WARN_UNUSED pith_status pith_training_find_output(const pith_model_data *model, const pith_graph *graph,
                                                       pith_tensor_id *out_output, pith_error *error);

/* Every node of the model, with dropout among them and attention as training has it. `output`: see above, of `from`. */
void pith_training_add_model(pith_training_build *build, pith_tensor_id output);

/* Which tensors need their sequences' first tokens alone; before the first node is added. The builder has what fails. */
void pith_training_find_first_tokens(pith_training_build *build, const pith_readers *readers);
bool pith_training_has_first_tokens(const pith_training_build *build, pith_tensor_id old);
/* What a node reads whose output needs those alone; other nodes' inputs stay as they are. */
void pith_training_use_first_tokens(pith_training_build *build, const pith_node *node, pith_tensor_id *inputs);
/* Adds such a node, or lets go the SequencePool that they make needless; false: it is neither. */
bool pith_training_add_by_first_tokens(pith_training_build *build, const pith_node *node, const pith_tensor_id *inputs);

/* Inputs for labels or targets, and the loss of `output`, a tensor of the new graph; PITH_NONE after a failure, which the builder has. */
pith_tensor_id pith_training_add_loss(pith_training_build *build, pith_tensor_id output);

/* An input for a teacher's answers, and the sum of `hard`, the loss by labels, and that by the teacher in their shares; of a share of 1
 * `hard` is not read. */
pith_tensor_id pith_training_add_distillation(pith_training_build *build, pith_tensor_id output, pith_tensor_id hard);
/* `loss` and what comparisons of layers add to it; inputs for a teacher's values. The model's operators are there already. */
pith_tensor_id pith_training_add_comparisons(pith_training_build *build, pith_tensor_id loss);
/* `loss` and what the model's exits add to it (train/training_exits.c), which learn from `output` too; the loss itself where it has none. */
pith_tensor_id pith_training_add_exits(pith_training_build *build, pith_tensor_id output, pith_tensor_id loss);
/* x times a number, which becomes data called `factor_name`. */
pith_tensor_id pith_training_add_product(pith_training_build *build, const char *name, pith_tensor_id x, const char *factor_name,
                                         double factor);

/* Where an INT8 model is trained as such; else they do nothing. After the rewriter is there; before node `n` of the model is added, for
 * what it shall read; after, for what its output is then; and after the other outputs. */
PITH_WARN_UNUSED pith_status pith_training_quantized_begin(pith_training_build *build);
void pith_training_quantize_inputs(pith_training_build *build, pith_node_id n, pith_tensor_id *inputs);
void pith_training_replace_output(pith_training_build *build, pith_node_id n, const pith_tensor_id *inputs);
void pith_training_add_observers(pith_training_build *build);

#endif
