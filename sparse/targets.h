/* The weights that pruning works on: those of the products that quantization makes INT8, the encoder's. Embeddings, pooler and
 * head are little of the work and stay as they are. */
#ifndef PITH_SPARSE_TARGETS_H
#define PITH_SPARSE_TARGETS_H

#include "compiler/recipe.h"
#include "engine/base/arena.h"

typedef struct pith_prune_target {
  pith_tensor_id weight; /* [n, k] */
  pith_tensor_id input;  /* of the first product that reads it */
  pith_node_id node;     /* that product */
  const char *name;      /* of the weight */
  size_t n, k;
  bool shared; /* products of other inputs read it too */
} pith_prune_target;

typedef struct pith_prune_targets {
  uint32_t count;
  pith_prune_target *list; /* in the order of their products */
} pith_prune_targets;

/* In `arena`. PITH_INVALID_ARGUMENT where the graph is quantized, a pattern of `exclude` matches no such product, or no weight is
 * left. */
PITH_WARN_UNUSED pith_status pith_prune_find_targets(const pith_graph *graph, const pith_name_patterns *exclude,
                                                     pith_arena *arena, pith_prune_targets *out_targets,
                                                     pith_error *error);

#endif
