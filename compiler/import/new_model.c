/* Models with random weights, from a config alone. */
#include <inttypes.h>
#include <stdio.h>

#include "compiler/import/import_internal.h"
#include "compiler/import/json.h"
#include "compiler/import/weights.h"

static pith_status add_history(pith_import *import, uint64_t seed, pith_error *error) {
  char text[32];
  snprintf(text, sizeof text, "%" PRIu64, seed); /* a JSON number would lose digits past 2^53 */
  cJSON *json = cJSON_CreateObject();
  if (json != NULL && cJSON_AddStringToObject(json, "seed", text) == NULL) {
    cJSON_Delete(json);
    json = NULL;
  }
  return pith_import_add_history(import, "new", json, error);
}

static pith_status make_model(pith_import *import, const char *config_path, const cJSON *json,
                              const pith_new_options *options, pith_error *error) {
  pith_config_request config_request = {.json = json, .class_name = options->class_name};
  pith_config config;
  PITH_TRY(pith_config_read(&config_request, &import->arena, &config, error));
  pith_import_set_config(import, &config);
  pith_architecture_request request = {
      .row = config.row, .head = config.head, .config = &config.values};
  PITH_TRY(
      pith_architecture_build_graph(&request, import->arena.allocator, &import->data.graph, error));
  pith_random_weights random = {.seed = options->seed,
                                .deviation = config.values.initializer_range};
  pith_weight_source source = pith_random_weights_get_source(&random);
  source.watcher = options->watcher;
  PITH_TRY(pith_weights_fill(import->data.graph, &source, &import->arena, error));
  if (options->tokenizer_directory != NULL)
    PITH_TRY(pith_import_add_tokenizer(import, options->tokenizer_directory, options->cased,
                                       config.values.vocab_size, error));
  PITH_TRY(pith_import_add_config_text(import, config_path, error));
  return add_history(import, options->seed, error);
}

pith_status pith_new_model(const char *config_path, const pith_new_options *options,
                           pith_import *out_import, pith_error *error) {
  static const pith_new_options defaults = PITH_NEW_OPTIONS_INIT;
  if (options == NULL)
    options = &defaults;
  cJSON *json;
  PITH_TRY(pith_json_open(config_path, &json, error));
  pith_import import = {.data = {.config_json = ""}};
  pith_arena_init(&import.arena, options->allocator);
  pith_status status = make_model(&import, config_path, json, options, error);
  cJSON_Delete(json);
  if (status != PITH_OK) {
    pith_import_deinit(&import);
    return status;
  }
  *out_import = import;
  return PITH_OK;
}
