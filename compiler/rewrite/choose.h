/* How products' weights are stored: in blocks of zeros where the sparse kernel is expected to be faster, else as the dense
 * one reads them. What is stored decides which kernel runs (docs/sparsity.md has the rule). */
#ifndef PITH_COMPILER_CHOOSE_H
#define PITH_COMPILER_CHOOSE_H

#include "engine/ir/graph.h"

/* Of a weight [n, k] that only products read, as [n, k] (f32 directly, s8 through a DequantizeLinear): the other factor of the
 * first of them. PITH_NONE: it is no such weight. Takes time in the size of the graph. */
pith_tensor_id pith_sparse_get_product_input(const pith_graph *graph, pith_tensor_id weight);

/* Rewrites the stored bytes of such a weight; the new ones live in `arena`. */
PITH_WARN_UNUSED pith_status pith_sparse_set_layout(pith_graph *graph, pith_tensor_id tensor, pith_layout layout,
                                                    pith_arena *arena, pith_error *error);

/* The time of a product in a stored layout as a share of the dense one's, by the cost model: below 1 it is expected to be
 * faster. `w` row-major [n, k], s8 or f32 as the layout has it; dense layouts give 1. */
double pith_sparse_predict(pith_layout layout, size_t n, size_t k, const void *w);

/* What pith_sparse_choose_layouts did to the weights of products. */
typedef struct pith_sparse_choices {
  uint32_t weights, sparse;   /* all of them; those now stored in blocks of zeros */
  uint64_t dense_bytes, bytes; /* of all of them: had they all been dense; as they are stored now */
} pith_sparse_choices;

/* Gives every product weight of `graph` the layout that the cost model expects to be fastest, whatever it had; weights of
 * products that read the same input (query, key, value) get one together, because they run as one. Packed copies of a weight
 * that changes are dropped. `graph` is changed in place: clone one that is borrowed. New bytes live in `arena`.
 * `out_choices` may be NULL. */
PITH_WARN_UNUSED pith_status pith_sparse_choose_layouts(pith_graph *graph, pith_arena *arena,
                                                        pith_sparse_choices *out_choices, pith_error *error);

#endif
