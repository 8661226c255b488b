/* config.json of a Hugging Face directory: architecture, head, sizes, task and labels. */
#ifndef PITH_COMPILER_CONFIG_H
#define PITH_COMPILER_CONFIG_H

#include <cjson/cJSON.h>

#include "engine/format/model_data.h"
#include "models/architectures/architecture.h"

typedef struct pith_config {
  const pith_architecture *row;
  const pith_architecture_head *head;
  pith_architecture_config values;
  pith_task task;
  uint32_t label_count;
  const char *const *labels; /* in the order of their indices; NULL where the head has none */
} pith_config;

typedef struct pith_config_request {
  const cJSON *json;      /* config.json's object */
  const char *class_name; /* overrides `architectures`; NULL: does not */
  bool body_only;         /* the head is left away (sentence embeddings) */
  const cJSON
      *sentence_transformers; /* config_sentence_transformers.json's object; NULL: there is none */
} pith_config_request;

/* Labels and sizes of layers live in `arena`. PITH_UNSUPPORTED and PITH_FORMAT name the key and its
 * value. */
PITH_WARN_UNUSED pith_status pith_config_read(const pith_config_request *request, pith_arena *arena,
                                              pith_config *out_config, pith_error *error);

#endif
