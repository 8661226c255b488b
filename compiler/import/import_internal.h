/* What every way in shares once the graph is built and filled. */
#ifndef PITH_COMPILER_IMPORT_INTERNAL_H
#define PITH_COMPILER_IMPORT_INTERNAL_H

#include "compiler/import/config.h"
#include "compiler/import/import.h"

/* Compiles the tokenizer of `directory` into the import; its ids must lie in the vocabulary. */
PITH_WARN_UNUSED pith_status pith_import_add_tokenizer(pith_import *import, const char *directory,
                                                       int cased, int64_t vocab_size,
                                                       pith_error *error);
/* The model's facts from its config: architecture, task, labels, sizes. */
void pith_import_set_config(pith_import *import, const pith_config *config);
/* Keeps the bytes of config.json. */
PITH_WARN_UNUSED pith_status pith_import_add_config_text(pith_import *import, const char *path,
                                                         pith_error *error);
/* One entry of history; `json` (an object) is deleted in every case, NULL is a failure. */
PITH_WARN_UNUSED pith_status pith_import_add_history(pith_import *import, const char *step,
                                                     cJSON *json, pith_error *error);

#endif
