/* modules.json of a sentence-transformers directory. */
#ifndef PITH_COMPILER_SENTENCE_TRANSFORMERS_H
#define PITH_COMPILER_SENTENCE_TRANSFORMERS_H

#include "compiler/import/checkpoint.h"

enum { PITH_MAX_MODULES = 16 };

typedef struct pith_sentence_modules {
  const char *body; /* the directory of the Transformer module */
  size_t count; /* modules after it; 0: there is no pooling, the model is what its config says */
  pith_embedding_module modules[PITH_MAX_MODULES];
} pith_sentence_modules;

/* Reads modules.json and the modules' config.json files. Without modules.json: the directory itself
 * is the body, no modules. Texts live in `arena`. PITH_UNSUPPORTED names the module or pooling mode
 * that is not supported. */
PITH_WARN_UNUSED pith_status pith_sentence_modules_read(const char *directory, pith_arena *arena,
                                                        pith_sentence_modules *out_modules,
                                                        pith_error *error);

#endif
