/* Hugging Face and sentence-transformers directories. */
#include <limits.h>

#include "compiler/import/checkpoint.h"
#include "compiler/import/import_internal.h"
#include "compiler/import/json.h"
#include "compiler/import/sentence_transformers.h"

/* The JSON files of a directory while it is read; an absent file is NULL. */
typedef struct directory_files {
  cJSON *config;                /* config.json, of the body */
  cJSON *tokenizer_config;      /* tokenizer_config.json, of the body */
  cJSON *sentence_bert;         /* sentence_bert_config.json, of the body */
  cJSON *sentence_transformers; /* config_sentence_transformers.json */
} directory_files;

static void close_files(directory_files *files) {
  cJSON_Delete(files->config);
  cJSON_Delete(files->tokenizer_config);
  cJSON_Delete(files->sentence_bert);
  cJSON_Delete(files->sentence_transformers);
}

static pith_status open_optional(const char *directory, const char *name, cJSON **out_json,
                                 pith_error *error) {
  char path[PATH_MAX];
  return pith_path_join(directory, name, sizeof path, path) ? pith_json_open(path, out_json, error)
                                                            : PITH_OK;
}

static pith_status open_files(const char *directory, const char *body, directory_files *out_files,
                              pith_error *error) {
  char path[PATH_MAX];
  if (!pith_path_join(body, "config.json", sizeof path, path))
    return pith_fail(error, PITH_IO, "%s: no config.json", body);
  PITH_TRY(pith_json_open(path, &out_files->config, error));
  PITH_TRY(open_optional(body, "tokenizer_config.json", &out_files->tokenizer_config, error));
  PITH_TRY(open_optional(body, "sentence_bert_config.json", &out_files->sentence_bert, error));
  return open_optional(directory, "config_sentence_transformers.json",
                       &out_files->sentence_transformers, error);
}

/* The length limit: sentence_bert_config.json's, else tokenizer_config.json's where it is at most
 * the positions (that file often says 10^30), else the positions. */
static pith_status read_max_length(const directory_files *files, uint32_t positions,
                                   uint32_t *out_length, pith_error *error) {
  const cJSON *item = cJSON_GetObjectItemCaseSensitive(files->sentence_bert, "max_seq_length");
  int64_t length;
  *out_length = positions;
  if (item != NULL && !cJSON_IsNull(item)) {
    if (!pith_json_get_int(item, 1, positions, &length))
      return pith_fail(error, PITH_FORMAT,
                       "sentence_bert_config.json: max_seq_length must be 1 to %u, the positions",
                       positions);
    *out_length = (uint32_t)length;
    return PITH_OK;
  }
  item = cJSON_GetObjectItemCaseSensitive(files->tokenizer_config, "model_max_length");
  if (pith_json_get_int(item, 1, positions, &length))
    *out_length = (uint32_t)length;
  return PITH_OK;
}

static bool has_tokenizer(const char *directory) {
  static const char *const names[] = {"tokenizer.json", "vocab.txt", "vocab.json"};
  char path[PATH_MAX];
  for (size_t i = 0; i < sizeof names / sizeof *names; i++)
    if (pith_path_join(directory, names[i], sizeof path, path))
      return true;
  return false;
}

/* Options of sentence-transformers that change the text before the tokenizer sees it. */
static pith_status check_text_options(const directory_files *files,
                                      const pith_tokenizer_data *tokenizer, pith_error *error) {
  const cJSON *prompt =
      cJSON_GetObjectItemCaseSensitive(files->sentence_transformers, "default_prompt_name");
  if (cJSON_IsString(prompt))
    return pith_fail(error, PITH_UNSUPPORTED,
                     "config_sentence_transformers.json: default_prompt_name '%.60s' is not "
                     "supported, only null",
                     prompt->valuestring);
  if (!cJSON_IsTrue(cJSON_GetObjectItemCaseSensitive(files->sentence_bert, "do_lower_case")) ||
      tokenizer == NULL)
    return PITH_OK;
  for (uint32_t steps = tokenizer->normalizer; steps != 0; steps >>= 4)
    if ((steps & 15) == PITH_NORMALIZE_LOWERCASE)
      return PITH_OK; /* the tokenizer does it anyway */
  return pith_fail(error, PITH_UNSUPPORTED,
                   "sentence_bert_config.json: do_lower_case true is not supported with a "
                   "tokenizer that keeps case");
}

/* The model's and the Dense modules' weights, into the graph. */
static pith_status fill_graph(pith_import *import, const char *directory,
                              const pith_sentence_modules *modules, const pith_watcher *watcher,
                              pith_checkpoint *checkpoint, pith_error *error) {
  PITH_TRY(pith_checkpoint_add(checkpoint, modules->body, "", error));
  for (size_t i = 0; i < modules->count; i++) {
    if (modules->modules[i].kind != PITH_EMBEDDING_DENSE)
      continue;
    const char *folder =
        pith_arena_format(&import->arena, "%s/%s", directory, modules->modules[i].name);
    const char *prefix = pith_arena_format(&import->arena, "%s.", modules->modules[i].name);
    if (folder == NULL || prefix == NULL)
      return pith_fail(error, PITH_OUT_OF_MEMORY, "%s: no memory for a path", directory);
    PITH_TRY(pith_checkpoint_add(checkpoint, folder, prefix, error));
  }
  pith_weight_source source = pith_checkpoint_get_source(checkpoint);
  source.watcher = watcher;
  PITH_TRY(pith_weights_fill(import->data.graph, &source, &import->arena, error));
  return pith_checkpoint_check_leftovers(checkpoint, error);
}

/* The directory's own name: where it stood is nobody's business. */
static const char *get_source_name(const char *directory, pith_arena *arena) {
  size_t end = strlen(directory);
  while (end > 1 && directory[end - 1] == '/')
    end--;
  size_t begin = end;
  while (begin > 0 && directory[begin - 1] != '/')
    begin--;
  return pith_arena_string(arena, directory + begin, end - begin);
}

static pith_status add_history(pith_import *import, const char *directory,
                               const pith_config *config, pith_error *error) {
  const char *name = get_source_name(directory, &import->arena);
  const char *class_name = pith_arena_format(&import->arena, "%s%s", config->row->class_prefix,
                                             config->head->class_suffix);
  cJSON *json = cJSON_CreateObject();
  if (json != NULL && (class_name == NULL || name == NULL ||
                       cJSON_AddStringToObject(json, "source", name) == NULL ||
                       cJSON_AddStringToObject(json, "class", class_name) == NULL)) {
    cJSON_Delete(json);
    json = NULL;
  }
  return pith_import_add_history(import, "import", json, error);
}

static pith_status build_and_fill(pith_import *import, const char *directory,
                                  const pith_config *config, const pith_sentence_modules *modules,
                                  const pith_watcher *watcher, pith_error *error) {
  pith_architecture_request request = {
      .row = config->row,
      .head = config->head,
      .config = &config->values,
      .module_count = modules->count,
      .modules = modules->modules,
  };
  PITH_TRY(
      pith_architecture_build_graph(&request, import->arena.allocator, &import->data.graph, error));
  pith_checkpoint checkpoint;
  pith_status status = pith_checkpoint_init(&checkpoint, config->row, modules->count + 1,
                                            import->arena.allocator, error);
  if (status == PITH_OK)
    status = fill_graph(import, directory, modules, watcher, &checkpoint, error);
  pith_checkpoint_deinit(&checkpoint);
  return status;
}

static pith_status import_files(pith_import *import, const char *directory,
                                const pith_import_options *options,
                                const pith_sentence_modules *modules, const directory_files *files,
                                pith_error *error) {
  pith_config_request request = {
      .json = files->config,
      .class_name = options->class_name,
      .body_only = modules->count != 0,
      .sentence_transformers = files->sentence_transformers,
  };
  pith_config config;
  PITH_TRY(pith_config_read(&request, &import->arena, &config, error));
  pith_import_set_config(import, &config);
  if (modules->count != 0)
    import->data.task = PITH_TASK_EMBEDDING;
  PITH_TRY(build_and_fill(import, directory, &config, modules, options->watcher, error));
  PITH_TRY(read_max_length(files, import->data.max_length, &import->data.max_length, error));
  if (!options->without_tokenizer && has_tokenizer(modules->body))
    PITH_TRY(pith_import_add_tokenizer(import, modules->body, options->cased,
                                       config.values.vocab_size, error));
  PITH_TRY(check_text_options(files, import->data.tokenizer, error));

  char path[PATH_MAX];
  if (!pith_path_join(modules->body, "config.json", sizeof path, path))
    return pith_fail(error, PITH_IO, "%s: config.json is gone", modules->body);
  PITH_TRY(pith_import_add_config_text(import, path, error));
  return add_history(import, directory, &config, error);
}

static pith_status import_directory(pith_import *import, const char *directory,
                                    const pith_import_options *options, pith_error *error) {
  pith_sentence_modules modules;
  PITH_TRY(pith_sentence_modules_read(directory, &import->arena, &modules, error));
  directory_files files = {NULL, NULL, NULL, NULL};
  pith_status status = open_files(directory, modules.body, &files, error);
  if (status == PITH_OK)
    status = import_files(import, directory, options, &modules, &files, error);
  close_files(&files);
  return status;
}

pith_status pith_import_huggingface(const char *directory, const pith_import_options *options,
                                    pith_import *out_import, pith_error *error) {
  static const pith_import_options defaults = PITH_IMPORT_OPTIONS_INIT;
  if (options == NULL)
    options = &defaults;
  pith_import import = {.data = {.config_json = ""}};
  pith_arena_init(&import.arena, options->allocator);
  pith_status status = import_directory(&import, directory, options, error);
  if (status != PITH_OK) {
    pith_import_deinit(&import);
    return status;
  }
  *out_import = import;
  return PITH_OK;
}
