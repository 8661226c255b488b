/* What the files of structured removal share with each other only. */
#ifndef PITH_SPARSE_STRUCTURED_INTERNAL_H
#define PITH_SPARSE_STRUCTURED_INTERNAL_H

#include "compiler/rewrite/structure.h"
#include "engine/exec/model.h"
#include "sparse/removal.h"
#include "sparse/structured.h"

/* A part of one layer from which groups leave: attention with its heads, or an FFN with its
 * neurons. */
typedef struct pith_structured_block {
  const pith_node *last;          /* the product whose inputs leave */
  pith_feature_chain chain;       /* to it */
  pith_attention_block attention; /* heads */
  size_t n, groups, size;         /* outputs of `last`; its inputs are groups * size */
  bool stays;                     /* `exclude` names one of its products */
} pith_structured_block;

typedef struct pith_structured_layer {
  pith_residual residual;
  const pith_node *products[6]; /* query, key, value, output, inner, outer */
  bool stays;
} pith_structured_layer;

/* What one call works on. */
typedef struct pith_structured_job {
  const pith_model *model;
  const pith_prune_request *request;
  pith_structure structure;
  pith_structured *out;
  uint64_t done, total; /* for progress */
} pith_structured_job;

void pith_structured_show(const pith_structured_job *job);
/* Takes ownership of a graph, which becomes the result's. */
PITH_WARN_UNUSED pith_status pith_structured_keep_graph(pith_structured_job *job, pith_graph *graph,
                                                        pith_error *error);

/* All blocks of heads or neurons, or all layers, in order and in `arena`. PITH_INVALID_ARGUMENT
 * where every one stays. */
PITH_WARN_UNUSED pith_status pith_structured_find_blocks(
    const pith_graph *graph, pith_structure structure, const pith_name_patterns *exclude,
    pith_arena *arena, pith_structured_block **out_blocks, uint32_t *out_count, pith_error *error);
PITH_WARN_UNUSED pith_status pith_structured_find_layers(const pith_graph *graph,
                                                         const pith_name_patterns *exclude,
                                                         pith_arena *arena,
                                                         pith_structured_layer **out_layers,
                                                         uint32_t *out_count, pith_error *error);

/* Heads or neurons that leave: of which block how many, and which. */
typedef struct pith_structured_plan {
  pith_structured_job *job;
  pith_structured_block *blocks; /* [count] */
  uint32_t count;
  size_t *leave;    /* [count] groups */
  uint32_t **order; /* [count] groups as they leave */
  double **costs;   /* [count] of each */
  bool **removed;   /* [count] marks of groups */
  pith_removal removal;
  pith_rewriter reader; /* only to read data with */
  pith_arena arena;
} pith_structured_plan;
/* Orders and costs of all blocks that do not stay, by what needs no activations: magnitude, sensitivity. */
PITH_WARN_UNUSED pith_status pith_structured_order(pith_structured_plan *plan, pith_error *error);
static inline pith_tensor_id pith_structured_get_bias(const pith_node *product) {
  return product->input_count > 2 ? product->inputs[2] : PITH_NONE;
}

/* How many of `total` the share `sparsity` is. PITH_INVALID_ARGUMENT: none, or all; `what` names
 * them. */
PITH_WARN_UNUSED pith_status pith_structured_count(double sparsity, size_t total, const char *what,
                                                   size_t *out_count, pith_error *error);

PITH_WARN_UNUSED pith_status pith_structured_remove_groups(pith_structured_job *job,
                                                           pith_error *error);
PITH_WARN_UNUSED pith_status pith_structured_remove_layers(pith_structured_job *job,
                                                           pith_error *error);

/* config_json with the sizes that are new; the other also adds the step's history. `removed`: by block, the groups
 * that left as marks; by layer one mark. `count`: all blocks or layers that there were. */
PITH_WARN_UNUSED pith_status pith_structured_describe_config(pith_structured_job *job,
                                                             bool *const *removed, uint32_t count,
                                                             pith_error *error);
PITH_WARN_UNUSED pith_status pith_structured_describe(pith_structured_job *job,
                                                      bool *const *removed, uint32_t count,
                                                      pith_error *error);

#endif
