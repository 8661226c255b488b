/* The gradients of operators: one row each, for the engine's operators and for those of training. */
#ifndef PITH_TRAIN_GRADIENTS_H
#define PITH_TRAIN_GRADIENTS_H

#include "engine/ir/graph.h"

/* The way back through a graph, as the functions of rows see it. Failures are kept by the builder. */
typedef struct pith_backward pith_backward;

typedef struct pith_gradient_row {
  /* Adds nodes for the gradients by those inputs of `node` that are wanted, from `dy`, those of its outputs ([output_count], PITH_NONE:
   * the loss does not depend on it; not all of them). NULL: it has none. */
  void (*build)(pith_backward *backward, const pith_node *node, const pith_tensor_id *dy);
  uint32_t inputs;    /* bit i: it gives a gradient by input i */
  const char *reason; /* why there is none, or none by other inputs that are floats; NULL: all floats have one */
} pith_gradient_row;

/* Of an operator's id, of either list; NULL for an id of neither. */
const pith_gradient_row *pith_gradient_row_get(int op_id);

/* Bit i: the operator takes input i as it is, and nothing flows back to what made it, even where that is learned: a teacher's answers may be
 * another output of the model itself. */
uint32_t pith_gradient_get_stops(int op_id);

/* ---- what the functions are written with ------------------------------------------------------------------------------- */

/* Whether the gradient by this tensor is wanted. PITH_NONE never is. */
bool pith_backward_wants(const pith_backward *backward, pith_tensor_id tensor);
/* Where the value of a tensor of the forward pass is to be read now: itself, or where it was computed again. PITH_NONE stays. */
pith_tensor_id pith_backward_value(const pith_backward *backward, pith_tensor_id tensor);
const pith_tensor *pith_backward_tensor(const pith_backward *backward, pith_tensor_id tensor);
/* Adds `gradient` to that of a tensor; nothing where it is not wanted. */
void pith_backward_add(pith_backward *backward, pith_tensor_id tensor, pith_tensor_id gradient);
/* The same where `tensor` was broadcast: `gradient` is summed over what repeats. */
void pith_backward_add_reduced(pith_backward *backward, pith_tensor_id tensor, pith_tensor_id gradient);
/* Where only rows are wanted of this table (pith_gradient.by_rows): they are `gradient`, for `ids`. False: all of it is wanted. */
bool pith_backward_add_rows(pith_backward *backward, pith_tensor_id table, pith_tensor_id gradient, pith_tensor_id ids);
/* Appends a node of an operator of either list; its first output, the others follow. PITH_NONE after a failure. */
pith_tensor_id pith_backward_build(pith_backward *backward, const pith_node *for_node, int op_id, uint32_t input_count,
                                   const pith_tensor_id *inputs, uint32_t attribute_count, const pith_attribute_setting *attributes);
/* A number, as data. */
pith_tensor_id pith_backward_number(pith_backward *backward, float number);

#endif
