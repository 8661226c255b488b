/* Any bytes as config.json: refused with a message, or a configuration whose graph is built and
 * verified, or refused for what its numbers are to each other. */
#include <stdlib.h>

#include "compiler/import/config.h"
#include "compiler/import/json.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

static void require(bool holds) {
  if (!holds)
    abort();
}

static void build(const pith_config *config) {
  if (config->values.layers > 3) /* more of the same, and slow */
    return;
  pith_architecture_request request = {
      .row = config->row, .head = config->head, .config = &config->values};
  pith_graph *graph;
  pith_error error = {PITH_OK, ""};
  pith_status status = pith_architecture_build_graph(&request, NULL, &graph, &error);
  if (status != PITH_OK) {
    require(error.message[0] != '\0');
    return;
  }
  require(graph->output_count == 1 && graph->node_count > (uint32_t)config->values.layers * 10);
  require(pith_graph_verify(graph, &error) == PITH_OK);
  pith_graph_destroy(graph);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size) {
  cJSON *json;
  pith_error error = {PITH_OK, ""};
  if (pith_json_parse(bytes, size, "fuzz", &json, &error) != PITH_OK) {
    require(error.message[0] != '\0');
    return 0;
  }
  pith_arena arena;
  pith_arena_init(&arena, NULL);
  for (int body_only = 0; body_only < 2; body_only++) {
    pith_config_request request = {
        .json = json, .body_only = body_only != 0, .sentence_transformers = json};
    pith_config config;
    pith_status status = pith_config_read(&request, &arena, &config, &error);
    if (status != PITH_OK) {
      require(error.status == status && error.message[0] != '\0');
      continue;
    }
    for (uint32_t i = 0; i < config.label_count; i++)
      require(config.labels[i] != NULL);
    build(&config);
  }
  cJSON_Delete(json);
  pith_arena_deinit(&arena);
  return 0;
}
