#include "compiler/import/import_internal.h"

#include "engine/base/mapped_file.h"
#include "models/tokenizer/tokenizer.h"

void pith_import_deinit(pith_import *import) {
  pith_graph_destroy(import->data.graph);
  pith_arena_deinit(&import->arena);
  import->data = (pith_model_data){.graph = NULL};
}

pith_status pith_import_add_tokenizer(pith_import *import, const char *directory, int cased,
                                      int64_t vocab_size, pith_error *error) {
  pith_tokenizer_data *tokenizer = PITH_ARENA_NEW(&import->arena, pith_tokenizer_data, 1);
  if (tokenizer == NULL)
    return pith_fail(error, PITH_OUT_OF_MEMORY, "%s: no memory for a tokenizer", directory);
  pith_tokenizer_source source = {.directory = directory, .cased = cased};
  PITH_TRY(pith_tokenizer_compile(&source, &import->arena, tokenizer, error));
  if (tokenizer->token_count > (uint64_t)vocab_size)
    return pith_fail(error, PITH_FORMAT,
                     "%s: the tokenizer has ids up to %u, the model's vocabulary is %lld",
                     directory, tokenizer->token_count - 1, (long long)vocab_size);
  import->data.tokenizer = tokenizer;
  return PITH_OK;
}

void pith_import_set_config(pith_import *import, const pith_config *config) {
  pith_model_data *data = &import->data;
  data->architecture = config->row->model_type;
  data->task = config->task;
  data->label_count = config->label_count;
  data->labels = config->labels;
  data->hidden_size = (uint32_t)config->values.hidden_size;
  data->max_length = (uint32_t)config->row->get_max_length(&config->values);
}

pith_status pith_import_add_config_text(pith_import *import, const char *path, pith_error *error) {
  pith_mapped_file file;
  PITH_TRY(pith_mapped_file_open(path, &file, error));
  import->data.config_json = pith_arena_string(&import->arena, file.bytes, file.size);
  pith_mapped_file_close(&file);
  if (import->data.config_json == NULL)
    return pith_fail(error, PITH_OUT_OF_MEMORY, "%s: no memory for its text", path);
  return PITH_OK;
}

pith_status pith_import_add_history(pith_import *import, const char *step, cJSON *json,
                                    pith_error *error) {
  char *text = json == NULL ? NULL : cJSON_PrintUnformatted(json);
  cJSON_Delete(json);
  const char *copy = text == NULL ? NULL : pith_arena_string(&import->arena, text, strlen(text));
  cJSON_free(text);
  pith_history_entry *entry = PITH_ARENA_NEW(&import->arena, pith_history_entry, 1);
  if (copy == NULL || entry == NULL)
    return pith_fail(error, PITH_OUT_OF_MEMORY, "history: no memory for the step '%s'", step);
  *entry = (pith_history_entry){.step = step, .version = PITH_VERSION, .json = copy};
  import->data.history = entry;
  import->data.history_count = 1;
  return PITH_OK;
}
