/* The weights that are being pruned, row-major and writable, with their masks. */
#ifndef PITH_SPARSE_WEIGHTS_H
#define PITH_SPARSE_WEIGHTS_H

#include "sparse/mask.h"
#include "sparse/options.h"
#include "sparse/targets.h"

typedef struct pith_prune_weights {
  pith_prune_targets targets;
  pith_pattern pattern;
  float **values;        /* [targets.count] of [n, k] */
  pith_mask_part *parts; /* [targets.count] their grids and masks; scores are those of whoever selects */
  uint64_t elements;     /* of all */
  const float **data;    /* [tensor_count] of the graph: row-major data in the place of its own, biases too; NULL: its own */
  pith_arena arena;      /* of all of this */
} pith_prune_weights;

/* Reads all weights. pith_prune_weights_deinit follows, whether this fails or not. */
PITH_WARN_UNUSED pith_status pith_prune_weights_init(pith_prune_weights *weights, const pith_graph *graph,
                                                     const pith_name_patterns *exclude, const pith_pattern *pattern,
                                                     const pith_allocator *allocator, pith_error *error);
void pith_prune_weights_deinit(pith_prune_weights *weights);
uint64_t pith_prune_weights_count_zeros(const pith_prune_weights *weights);

/* Marks what goes of parts that have scores, in the options' scope and bounds. */
PITH_WARN_UNUSED pith_status pith_prune_select(pith_mask_part *parts, uint32_t count, const pith_pattern *pattern,
                                               const pith_prune_options *options, double sparsity, pith_error *error);
/* Masks by magnitude, in the options' scope; nothing is set to 0 yet. */
PITH_WARN_UNUSED pith_status pith_prune_select_magnitude(pith_prune_weights *weights, const pith_prune_options *options,
                                                         double sparsity, pith_error *error);

/* A new graph with these weights and `data`, the weights' patterns and counts set. */
PITH_WARN_UNUSED pith_status pith_prune_weights_store(const pith_prune_weights *weights, const pith_graph *graph,
                                                      const pith_allocator *allocator, pith_graph **out_graph,
                                                      pith_error *error);

#endif
