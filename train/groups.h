/* What training does to each parameter, by where it stands in the graph and never by its name. */
#ifndef PITH_TRAIN_GROUPS_H
#define PITH_TRAIN_GROUPS_H

#include "engine/ir/graph.h"

typedef struct pith_parameter_group {
  uint32_t depth; /* 0: embeddings; 1 .. layers: of a layer; layers + 1: of the head */
  double rate;    /* factor of the learning rate; 0: frozen */
  bool decays;    /* weight decay applies: a matrix or a table, no bias and nothing of a LayerNorm */
  bool frozen;
} pith_parameter_group;

typedef struct pith_parameter_groups {
  uint32_t layers;
  const pith_parameter_group *list; /* [tensor_count]; of meaning where the tensor is a parameter */
} pith_parameter_groups;

/* A layer is an attention with what follows it up to the next one's projections; the last one ends with its residual sum
 * and the LayerNorm after it; what does not lead to the first output (heads of exits) is of the head. A parameter of several depths has the least: tied tables are embeddings. The rate is
 * `layer_decay` to the power of the depths above, so that the head has 1. `freeze`: [freeze_count] names with * and ?;
 * PITH_INVALID_ARGUMENT names one that is no parameter's. In `arena`. */
PITH_WARN_UNUSED pith_status pith_parameter_groups_find(const pith_graph *graph, double layer_decay,
                                                        const char *const *freeze, uint32_t freeze_count,
                                                        pith_arena *arena, pith_parameter_groups *out_groups,
                                                        pith_error *error);

#endif
