/* From a float model to one with zeros in a pattern, ready to be written: what `pith prune` does. Part of libpith-compress.
 *
 * Sparsity counts every weight of the encoder's products; the masks of all steps of a schedule hold on. */
#ifndef PITH_SPARSE_PRUNE_MODEL_H
#define PITH_SPARSE_PRUNE_MODEL_H

#include "engine/format/model_data.h"
#include "quant/calibrate.h"
#include "compiler/rewrite/choose.h"
#include "sparse/options.h"

/* Parts of a weight [n, k] that leave together, and what each is worth: sum over batches of |sum over the part of g w|, where g is the
 * gradient of the batch's mean loss by the weight. */
typedef struct pith_sensitivity {
  const char *weight; /* its name */
  bool by_input;      /* parts are equal shares of the inputs, else of the outputs */
  size_t groups;
  double *values;     /* [groups] is set */
} pith_sensitivity;

typedef struct pith_prune_request {
  const pith_prune_options *options;
  const pith_calibration_source *source; /* NULL: none, which is an error with OBS */
  bool random_ids;                       /* the source's are no texts: the history says so */
  pith_session_options session;          /* of the runs */
  const char *state_path;                /* NULL, or a file for what OBS has finished, which a next run goes on from; stays */
  /* SENSITIVITY: fills the values of all, of labelled data that the library's runs without gradients know nothing of
   * (train/sensitivity.h). */
  pith_status (*measure)(void *context, const pith_model *model, pith_sensitivity *list, uint32_t count, pith_error *error);
  /* NULL, or told of what is done of how much: weights and, with OBS, runs over the data between them. */
  void (*progress)(void *context, uint64_t done, uint64_t total);
  void *context;
} pith_prune_request;

typedef struct pith_prune_summary {
  uint32_t weights;
  uint64_t elements, zeros; /* of the weights that were pruned, after */
  pith_sparse_choices choices; /* how the weights of all products are stored */
} pith_prune_summary;

typedef struct pith_pruned {
  pith_model_data data; /* tokenizer, labels and config stay the float model's */
  pith_prune_summary summary;
  pith_graph *graph;
  pith_arena arena;
} pith_pruned;

/* What can be told before any work: options that do not go together or with this model, a model that is quantized. */
PITH_WARN_UNUSED pith_status pith_prune_check_model(const pith_model_data *data, const pith_prune_options *options,
                                                    pith_error *error);

/* `model` stays open for as long as the result lives. PITH_INVALID_ARGUMENT where options do not go together or with this
 * model, or it is quantized; PITH_FORMAT where a weight is not finite. pith_pruned_deinit follows, whether this fails or not. */
PITH_WARN_UNUSED pith_status pith_prune_model(const pith_model *model, const pith_prune_request *request,
                                              pith_pruned *out, pith_error *error);
void pith_pruned_deinit(pith_pruned *pruned);

#endif
