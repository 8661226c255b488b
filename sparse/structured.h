/* Attention heads, FFN neurons and whole layers leave a float model, and its tensors shrink: what
 * `pith prune --pattern head|neuron|layer` does. Part of libpith-compress.
 *
 *   head    rows of query, key and value, inputs of attention's output product; heads keep their
 * size neuron  rows of the first FFN product, inputs of the second layer   attention and FFN: what
 * comes in goes out
 *
 * Each layer may end with its own sizes. Operators are found by what they do
 * (compiler/rewrite/structure.h). */
#ifndef PITH_SPARSE_STRUCTURED_H
#define PITH_SPARSE_STRUCTURED_H

#include "sparse/prune_model.h"

#define PITH_STRUCTURE_LIST(X) X(HEAD, "head") X(NEURON, "neuron") X(LAYER, "layer")
typedef enum pith_structure {
#define PITH_STRUCTURE_ENUM(name, text) PITH_STRUCTURE_##name,
  PITH_STRUCTURE_LIST(PITH_STRUCTURE_ENUM)
#undef PITH_STRUCTURE_ENUM
      PITH_STRUCTURE_COUNT
} pith_structure;
/* PITH_STRUCTURE_COUNT: none has this name, or `pattern` is NULL. */
pith_structure pith_structure_find(const char *pattern);
const char *pith_structure_get_name(pith_structure structure);

/* What became of one layer's attention or FFN, or of a layer that left. */
typedef struct pith_structured_row {
  const char *name;       /* of its last product */
  uint32_t before, after; /* heads, neurons, or 1 and 0 */
  /* Of what it gives, shares of its variance: by removal alone, and with the other weights making
   * it good. 0 without data. */
  double plain_error, error;
} pith_structured_row;

typedef struct pith_structured {
  pith_model_data data; /* config_json says the new sizes where it can */
  uint32_t row_count;
  const pith_structured_row *rows;
  uint64_t texts, tokens; /* that were seen */
  pith_graph **graphs;    /* each may borrow data of those before it; the last is data.graph */
  uint32_t graph_count;
  pith_arena arena;
} pith_structured;

/* What the options' own values allow: PITH_INVALID_ARGUMENT says what does not go. */
PITH_WARN_UNUSED pith_status pith_structured_check_options(const pith_prune_options *options,
                                                           pith_error *error);

/* Of the options' keys: `pattern` names the structure; `sparsity` is the share of all heads,
 * neurons or layers that leave, rounded to whole ones; scope LAYER takes that share of each layer,
 * GLOBAL from where it costs least, leaving one at least and no more than `minimum` and `maximum`
 * say; `exclude` names products whose layer stays as it is.
 *
 * Magnitude: the L2 norm of all weights that leave. OBS (needs data): how much the output changes
 * when the rest makes good for it (sparse/structured_solve.h); for layers what a diagonal fit of
 * input to output leaves. Sensitivity (heads and neurons; needs `measure`): a head costs the sum over batches of |dL/d mask|,
 * the layer's heads normalised to L2 norm 1 (Michel et al. 2019, arXiv:1905.10650), a neuron that of |sum over its inputs of
 * g w|. With data, whatever the method, the weights that stay and the bias are
 * then fitted by least squares to what the product gave, layer after layer, each on the model as it
 * is by then; the fit of a layer that left goes into the LayerNorm before it.
 *
 * PITH_INVALID_ARGUMENT where nothing or all would leave, the graph has no such structure, is
 * quantized, or its weights have patterns. `model` stays open for as long as the result lives.
 * pith_structured_deinit follows, whether this fails or not. */
PITH_WARN_UNUSED pith_status pith_prune_structured(const pith_model *model,
                                                   const pith_prune_request *request,
                                                   pith_structured *out, pith_error *error);
/* Only these layers stay, ascending places from 0, their weights as they are: a student of the model. PITH_INVALID_ARGUMENT where
 * one of them is not there, they do not ascend, or the graph has no layers or is quantized. The rest as above. */
PITH_WARN_UNUSED pith_status pith_keep_layers(const pith_model *model, const uint32_t *layers,
                                              uint32_t count, pith_structured *out, pith_error *error);
void pith_structured_deinit(pith_structured *structured);

#endif
