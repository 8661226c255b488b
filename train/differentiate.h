/* Reverse mode over a graph: the gradients of a loss, as more nodes of the same graph.
 *
 *     for each node from the loss back to the wanted tensors:
 *       gradient of its outputs (several readers: their sum) ──► the node's row of train/gradients.h ──► gradients of its inputs
 *
 * Only nodes that lie between a wanted tensor and the loss get any: what is frozen costs nothing. */
#ifndef PITH_TRAIN_DIFFERENTIATE_H
#define PITH_TRAIN_DIFFERENTIATE_H

#include "engine/ir/graph.h"

/* The gradient of the loss by one tensor. */
typedef struct pith_gradient {
  pith_tensor_id of; /* given: f32 */
  bool by_rows;      /* given: where one Gather (axis 0, s32 indices of rank 1) alone reads it, only what is added to the rows looked
                        up is wanted */
  pith_tensor_id gradient; /* f32, the shape of `of`, or by rows [n, features]; PITH_NONE: the loss does not depend on it */
  pith_tensor_id ids;      /* by rows: s32 [n], the row of `of` that each row of the gradient is for; a row may come several times, and
                              its gradient is their sum. PITH_NONE: not by rows */
} pith_gradient;

typedef struct pith_differentiate_options {
  /* Ranges of nodes whose values are not kept for the way back but computed again there, with the same bits: segment i is the nodes
   * segment_begins[i] .. segment_begins[i + 1]. What a later node reads on its own way back is kept. */
  uint32_t segment_count;
  const pith_node_id *segment_begins; /* [segment_count + 1], ascending */
} pith_differentiate_options;

/* Appends the nodes and fills `gradients` [count]. `loss` has rank 0. `graph` must be verified; it is verified again by whoever has
 * added outputs. `options` may be NULL. PITH_UNSUPPORTED where an operator on the way has no gradient: names node and reason. After
 * a failure the graph is of no use. Not thread-safe. */
PITH_WARN_UNUSED pith_status pith_differentiate(pith_graph *graph, pith_tensor_id loss, pith_gradient *gradients, size_t count,
                                                const pith_differentiate_options *options, pith_error *error);

#endif
