/* A plan of what leaves a graph so that its tensors shrink, and the graph without it. Part of
 * libpith-compress.
 *
 * A plan is arrays over the graph's tensors and nodes; whoever makes it says of every tensor what
 * stays, and verifying the new graph finds what was forgotten. */
#ifndef PITH_SPARSE_REMOVAL_H
#define PITH_SPARSE_REMOVAL_H

#include "compiler/rewrite/rewriter.h"

/* Places of a dimension that stay, ascending; NULL: all. */
typedef struct pith_kept {
  const uint32_t *places; /* [count] */
  size_t count;
} pith_kept;

/* An INT attribute's new value; `name` NULL: none. */
typedef struct pith_attribute_change {
  const char *name;
  int64_t value;
} pith_attribute_change;

typedef struct pith_removal {
  const pith_graph *graph;
  pith_kept *rows, *columns; /* [tensor_count] of f32 data of rank 1 and 2 */
  const float **values;      /* [tensor_count] NULL, or what it holds instead, row-major, as kept */
  int64_t *features;         /* [tensor_count] 0, or the last dimension of a value */
  pith_tensor_id *bypass;    /* [tensor_count] what takes its place; PITH_NONE: it stays */
  pith_attribute_change *attributes; /* [node_count] */
} pith_removal;

/* Nothing leaves yet. All in `arena`. */
PITH_WARN_UNUSED pith_status pith_removal_init(pith_removal *removal, const pith_graph *graph,
                                               pith_arena *arena, pith_error *error);
/* Places [0, total) without those that `removed` marks, in `arena`; places NULL: no memory. */
pith_kept pith_kept_without(const bool *removed, size_t total, pith_arena *arena);

/* A new graph: what stays, in the old order, less all that nothing reads any more. Outputs keep
 * their names. New data lies in its arena, the rest is borrowed. PITH_INVALID_ARGUMENT where data
 * that shrinks has a pattern of zeros or is not f32. */
PITH_WARN_UNUSED pith_status pith_removal_apply(const pith_removal *removal,
                                                const pith_allocator *allocator,
                                                pith_graph **out_graph, pith_error *error);

#endif
