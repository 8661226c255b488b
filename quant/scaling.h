/* Factors on the rows and columns of a graph's data, and on activations before some of their readers. */
#ifndef PITH_QUANT_SCALING_H
#define PITH_QUANT_SCALING_H

#include "compiler/rewrite/rewriter.h"

typedef struct pith_scaling {
  /* By tensor of the graph, each NULL or as long as that dimension: element [r, c] of data is multiplied by
   * rows[r] * columns[c], element [r] of a vector by rows[r]; additions [r] are then added to a vector. */
  float **rows, **columns, **additions;
  /* Activations: a vector that Gemms whose node is in `smoothed` read it multiplied by. */
  float **before;
  bool *smoothed; /* by node */
} pith_scaling;

/* All NULL and false; in `arena`. */
PITH_WARN_UNUSED pith_status pith_scaling_init(pith_scaling *scaling, const pith_graph *graph, pith_arena *arena,
                                               pith_error *error);
PITH_WARN_UNUSED pith_status pith_scaling_apply(const pith_scaling *scaling, const pith_graph *graph,
                                                const pith_allocator *allocator, pith_graph **out_graph,
                                                pith_error *error);

#endif
