#include "compiler/import/sentence_transformers.h"

#include <limits.h>
#include <stdio.h>

#include "compiler/import/json.h"
#include "engine/ir/operator.h"

static const char *get_text(const cJSON *json, const char *key) {
  return cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(json, key));
}

/* A subfolder's plain name, or "" for the directory itself. */
static bool is_plain_name(const char *name) {
  return name != NULL && name[0] != '.' && strchr(name, '/') == NULL && strlen(name) < 100;
}

/* Opens config.json of a module's folder. */
static pith_status open_config(const char *directory, const char *folder, cJSON **out_json,
                               pith_error *error) {
  char name[128], path[PATH_MAX];
  snprintf(name, sizeof name, "%s/config.json", folder);
  if (!pith_path_join(directory, name, sizeof path, path))
    return pith_fail(error, PITH_IO, "%s/%s: missing", directory, name);
  return pith_json_open(path, out_json, error);
}

static pith_status find_pool_mode(const char *folder, const char *name, int *out_mode,
                                  pith_error *error) {
  static const struct {
    const char *name;
    int mode;
  } modes[] = {
      {"cls", PITH_POOL_CLS},
      {"mean", PITH_POOL_MEAN},
      {"max", PITH_POOL_MAX},
      {"lasttoken", PITH_POOL_LAST},
  };
  for (size_t i = 0; i < sizeof modes / sizeof *modes; i++)
    if (strcmp(modes[i].name, name) == 0) {
      *out_mode = modes[i].mode;
      return PITH_OK;
    }
  return pith_fail(error, PITH_UNSUPPORTED, "%s/config.json: pooling mode '%.60s' is not supported",
                   folder, name);
}

/* One mode, in the form of either generation: "pooling_mode": "mean", or a boolean key per mode. */
static pith_status read_pooling(const cJSON *json, const char *folder,
                                pith_embedding_module *out_module, pith_error *error) {
  static const struct {
    const char *key, *name;
  } flags[] = {
      {"pooling_mode_cls_token", "cls"},
      {"pooling_mode_max_tokens", "max"},
      {"pooling_mode_mean_tokens", "mean"},
      {"pooling_mode_mean_sqrt_len_tokens", "mean_sqrt_len_tokens"},
      {"pooling_mode_weightedmean_tokens", "weightedmean"},
      {"pooling_mode_lasttoken", "lasttoken"},
  };
  const cJSON *mode = cJSON_GetObjectItemCaseSensitive(json, "pooling_mode");
  const char *name = cJSON_GetStringValue(mode);
  if (mode != NULL && name == NULL) {
    if (!cJSON_IsArray(mode) || cJSON_GetArraySize(mode) != 1 || !cJSON_IsString(mode->child))
      return pith_fail(error, PITH_UNSUPPORTED,
                       "%s/config.json: several pooling modes at once are not supported", folder);
    name = mode->child->valuestring;
  }
  for (size_t i = 0; mode == NULL && i < sizeof flags / sizeof *flags; i++)
    if (cJSON_IsTrue(cJSON_GetObjectItemCaseSensitive(json, flags[i].key))) {
      if (name != NULL)
        return pith_fail(error, PITH_UNSUPPORTED,
                         "%s/config.json: pooling modes '%s' and '%s' at once are not "
                         "supported",
                         folder, name, flags[i].name);
      name = flags[i].name;
    }
  out_module->kind = PITH_EMBEDDING_POOL;
  return find_pool_mode(folder, name == NULL ? "mean" : name, &out_module->pool_mode, error);
}

static pith_status read_dense(const cJSON *json, const char *folder,
                              pith_embedding_module *out_module, pith_error *error) {
  static const struct {
    const char *name;
    pith_hidden_act act;
  } activations[] = {{"Identity", PITH_ACT_IDENTITY}, {"Tanh", PITH_ACT_TANH}};
  enum { MAX_FEATURES = 1 << 16 };
  if (!pith_json_get_int(cJSON_GetObjectItemCaseSensitive(json, "in_features"), 1, MAX_FEATURES,
                         &out_module->in) ||
      !pith_json_get_int(cJSON_GetObjectItemCaseSensitive(json, "out_features"), 1, MAX_FEATURES,
                         &out_module->out))
    return pith_fail(error, PITH_FORMAT,
                     "%s/config.json: in_features and out_features must be 1 to %d", folder,
                     MAX_FEATURES);
  out_module->kind = PITH_EMBEDDING_DENSE;
  out_module->name = folder;
  out_module->bias = !cJSON_IsFalse(cJSON_GetObjectItemCaseSensitive(json, "bias"));
  const char *name = get_text(json, "activation_function");
  const char *last = name == NULL ? "Tanh" : strrchr(name, '.'); /* Tanh is the module's default */
  last = last == NULL ? name : last + (*last == '.');
  for (size_t i = 0; i < sizeof activations / sizeof *activations; i++)
    if (strcmp(activations[i].name, last) == 0) {
      out_module->act = activations[i].act;
      return PITH_OK;
    }
  return pith_fail(error, PITH_UNSUPPORTED,
                   "%s/config.json: activation_function '%.100s' is not supported", folder, name);
}

static pith_status read_module(const char *directory, const char *kind, const char *folder,
                               pith_embedding_module *out_module, pith_error *error) {
  static const struct {
    const char *name;
    pith_status (*read)(const cJSON *json, const char *folder, pith_embedding_module *out_module,
                        pith_error *error);
  } readers[] = {{"Pooling", read_pooling}, {"Dense", read_dense}};
  if (strcmp(kind, "Normalize") == 0) {
    out_module->kind = PITH_EMBEDDING_NORMALIZE;
    return PITH_OK;
  }
  for (size_t i = 0; i < sizeof readers / sizeof *readers; i++)
    if (strcmp(kind, readers[i].name) == 0) {
      cJSON *json;
      PITH_TRY(open_config(directory, folder, &json, error));
      pith_status status = readers[i].read(json, folder, out_module, error);
      cJSON_Delete(json);
      return status;
    }
  return pith_fail(error, PITH_UNSUPPORTED, "modules.json: module '%.60s' is not supported", kind);
}

static pith_status read_entries(const cJSON *list, const char *directory, pith_arena *arena,
                                pith_sentence_modules *modules, pith_error *error) {
  const cJSON *item;
  bool first = true;
  cJSON_ArrayForEach(item, list) {
    const char *type = get_text(item, "type"), *path = get_text(item, "path");
    if (type == NULL || path == NULL || !is_plain_name(path))
      return pith_fail(error, PITH_FORMAT,
                       "modules.json: a module without a type, or whose path is no folder of %s",
                       directory);
    const char *kind = strrchr(type, '.');
    kind = kind == NULL ? type : kind + 1;
    const char *folder = pith_arena_string(arena, path, strlen(path));
    if (folder == NULL)
      return pith_fail(error, PITH_OUT_OF_MEMORY, "modules.json: no memory for a path");
    if (first) {
      if (strcmp(kind, "Transformer") != 0)
        return pith_fail(error, PITH_UNSUPPORTED,
                         "modules.json: first module '%.60s' is not supported", kind);
      modules->body =
          path[0] == '\0' ? directory : pith_arena_format(arena, "%s/%s", directory, folder);
      if (modules->body == NULL)
        return pith_fail(error, PITH_OUT_OF_MEMORY, "modules.json: no memory for a path");
      first = false;
      continue;
    }
    if (modules->count == PITH_MAX_MODULES)
      return pith_fail(error, PITH_LIMIT, "modules.json: over %d modules", PITH_MAX_MODULES);
    PITH_TRY(read_module(directory, kind, folder, &modules->modules[modules->count++], error));
  }
  if (first)
    return pith_fail(error, PITH_FORMAT, "modules.json: no modules");
  return PITH_OK;
}

pith_status pith_sentence_modules_read(const char *directory, pith_arena *arena,
                                       pith_sentence_modules *out_modules, pith_error *error) {
  *out_modules = (pith_sentence_modules){.body = directory};
  char path[PATH_MAX];
  if (!pith_path_join(directory, "modules.json", sizeof path, path))
    return PITH_OK;
  cJSON *json;
  PITH_TRY(pith_json_open_list(path, &json, error));
  pith_status status = read_entries(json, directory, arena, out_modules, error);
  cJSON_Delete(json);
  return status;
}
