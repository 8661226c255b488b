/* A new head on the body of a model: what it is fine-tuned with. */
#ifndef PITH_COMPILER_NEW_HEAD_H
#define PITH_COMPILER_NEW_HEAD_H

#include "compiler/import/import.h"

/* Name, suffix of its Hugging Face class, problem_type of config.json, least labels that it needs: 0 takes none, since it has as
 * many as it has. */
#define PITH_NEW_HEAD_LIST(X)                                                                      \
  X("classification", "ForSequenceClassification", "single_label_classification", 2)               \
  X("multi-label", "ForSequenceClassification", "multi_label_classification", 1)                   \
  X("regression", "ForSequenceClassification", "regression", 0)                                    \
  X("ranking", "ForSequenceClassification", NULL, 0)                                               \
  X("entities", "ForTokenClassification", NULL, 2)                                                 \
  X("question-answering", "ForQuestionAnswering", NULL, 0)                                         \
  X("fill-mask", "ForMaskedLM", NULL, 0)                                                           \
  X("embedding", "Model", NULL, 0) /* the mean of the tokens, its length made 1 */

typedef struct pith_new_head {
  const char *name; /* of the list */
  uint32_t label_count;
  const char *const *labels;
  uint64_t seed;
} pith_new_head;

/* The body of `model` with another head. The body's weights are the model's, whatever head it had; the head's are random by seed
 * as in pith_new_model, and so is a pooler that the model has not. Layers that were taken out before leave no gap in the names. The
 * result's tokenizer is the model's, which must outlive it. PITH_INVALID_ARGUMENT: no such head, or not its labels;
 * PITH_UNSUPPORTED where the model's config.json is not kept, or it is quantized. */
PITH_WARN_UNUSED pith_status pith_model_set_head(const pith_model_data *model,
                                                 const pith_new_head *head,
                                                 const pith_allocator *allocator,
                                                 pith_import *out_import, pith_error *error);

#endif
