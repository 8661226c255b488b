/* The way in: models of other formats become a pith_model_data, ready for pith_format_write.
 *
 * Every function here reads files that it does not trust. A failure names the file, the tensor or
 * key, the value and the bound, and leaves nothing behind. Thread-safe: nothing is shared between
 * calls. */
#ifndef PITH_COMPILER_IMPORT_H
#define PITH_COMPILER_IMPORT_H

#include "engine/base/watcher.h"
#include "engine/format/model_data.h"

/* An imported model: graph, weights, tokenizer and texts, all owned by this structure. */
typedef struct pith_import {
  pith_arena arena; /* everything but the graph */
  pith_model_data data;
} pith_import;

/* Releases what a successful import made, its graph included. */
void pith_import_deinit(pith_import *import);

typedef struct pith_import_options {
  const pith_allocator *allocator; /* NULL: the C library's; must outlive the import */
  const char *class_name;          /* the head, such as "BertForMaskedLM"; NULL: as config.json's
                                      `architectures` says */
  int cased;              /* a bare vocab.txt: -1 as the files say, 0 lower-cases, 1 keeps case */
  bool without_tokenizer; /* the directory's tokenizer files are not read */
  const pith_watcher *watcher; /* NULL, or told the bytes of weights that have been read */
} pith_import_options;
#define PITH_IMPORT_OPTIONS_INIT                                                                   \
  { NULL, NULL, -1, false, NULL }

/* Imports a Hugging Face directory: config.json, model.safetensors (or its shards), tokenizer
 * files; or one of sentence-transformers (modules.json). A directory without tokenizer files gives
 * a model without a tokenizer. A classifier of one label, such as a cross-encoder of
 * sentence-transformers, becomes a model that reranks, whose score is the logit's sigmoid; where
 * problem_type is "regression" or the cross-encoder's activation is Identity it becomes a
 * regression, whose value is the logit. `options` may be NULL. PITH_UNSUPPORTED names the architecture, key or module that is
 * not supported; PITH_FORMAT a missing, misshapen, not finite or left-over tensor. */
PITH_WARN_UNUSED pith_status pith_import_huggingface(const char *directory,
                                                     const pith_import_options *options,
                                                     pith_import *out_import, pith_error *error);

typedef struct pith_new_options {
  const pith_allocator *allocator; /* as above */
  const char *class_name; /* as above; a config without `architectures` gives the body alone */
  const char *tokenizer_directory; /* NULL: no tokenizer */
  int cased;
  uint64_t seed;
  const pith_watcher *watcher; /* NULL, or told the bytes of weights that have been made */
} pith_new_options;
#define PITH_NEW_OPTIONS_INIT                                                                      \
  { NULL, NULL, NULL, -1, 0, NULL }

/* Makes a model with random weights from a Hugging Face config.json: normal with mean 0 and the
 * config's initializer_range; LayerNorm scales 1, biases 0. The same config and seed give the same
 * bits on every machine. With a tokenizer, its highest id must lie in the config's vocabulary. */
PITH_WARN_UNUSED pith_status pith_new_model(const char *config_path,
                                            const pith_new_options *options,
                                            pith_import *out_import, pith_error *error);

#endif
