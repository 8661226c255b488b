/* What `pith prune` does to sizes: words that no text uses, and heads, neurons or layers. */
#ifndef PITH_CLI_SHRINK_H
#define PITH_CLI_SHRINK_H

#include "engine/exec/model.h"
#include "sparse/structured.h"
#include "sparse/vocabulary.h"

typedef struct pith_cli_shrink {
  pith_vocabulary_pruned words;
  pith_structured parts;
  uint64_t texts, tokens, unknown; /* that the words are of */
} pith_cli_shrink;

/* The words of a file of texts (its task as in pith_texts_open) stay, at most `limit` tokens (0: all). `model->data` becomes the
 * smaller one's; the model outlives what `shrink` holds. */
PITH_WARN_UNUSED pith_status pith_cli_shrink_words(pith_cli_shrink *shrink, pith_model *model,
                                                   const char *path, const char *task,
                                                   uint32_t limit, pith_error *error);
/* Heads, neurons or layers leave, as the request's options say; the model as above. */
PITH_WARN_UNUSED pith_status pith_cli_shrink_parts(pith_cli_shrink *shrink, pith_model *model,
                                                   const pith_prune_request *request,
                                                   pith_error *error);
void pith_cli_shrink_print(const pith_cli_shrink *shrink, const char *pattern);
/* Members of an object, each with a comma after it; nothing where nothing was done. */
void pith_cli_shrink_print_json(const pith_cli_shrink *shrink);
void pith_cli_shrink_deinit(pith_cli_shrink *shrink);

#endif
