#include "compiler/import/layer_sizes.h"

#include <stdio.h>
#include <stdlib.h>

#include "compiler/import/json.h"
#include "models/architectures/encoder.h"

/* One layer's list of heads that are gone; `gone` has a mark for each head. */
static pith_status read_gone(const cJSON *list, int64_t heads, bool *gone, int64_t *out_left,
                             pith_error *error) {
  const char *layer = list->string;
  const cJSON *item;
  int64_t left = heads, head;
  if (!cJSON_IsArray(list))
    return pith_fail(error, PITH_FORMAT, "config.json: pruned_heads[\"%.40s\"] is not a list",
                     layer);
  memset(gone, 0, (size_t)heads);
  cJSON_ArrayForEach(item, list) {
    if (!pith_json_get_int(item, 0, heads - 1, &head) || gone[head])
      return pith_fail(error, PITH_FORMAT,
                       "config.json: pruned_heads[\"%.40s\"]: heads must be 0 to %lld, each once",
                       layer, (long long)heads - 1);
    gone[head] = true;
    left--;
  }
  if (left == 0)
    return pith_fail(error, PITH_UNSUPPORTED,
                     "config.json: pruned_heads[\"%.40s\"] leaves none of %lld heads", layer,
                     (long long)heads);
  *out_left = left;
  return PITH_OK;
}

static pith_status read_heads(const cJSON *pruned, const pith_architecture_config *values,
                              pith_arena *arena, pith_layer_sizes *sizes, pith_error *error) {
  const cJSON *list;
  if (!cJSON_IsObject(pruned))
    return pith_fail(error, PITH_FORMAT,
                     "config.json: pruned_heads is not an object of layers and lists of heads");
  bool *gone = PITH_ARENA_NEW(arena, bool, (size_t)values->heads);
  if (gone == NULL)
    return pith_fail(error, PITH_OUT_OF_MEMORY, "config.json: no memory for %lld heads",
                     (long long)values->heads);
  cJSON_ArrayForEach(list, pruned) {
    char *end;
    const unsigned long long layer = strtoull(list->string, &end, 10);
    if (list->string[0] < '0' || list->string[0] > '9' || *end != '\0' ||
        layer >= (uint64_t)values->layers || sizes[layer].heads != values->heads)
      return pith_fail(error, PITH_FORMAT,
                       "config.json: pruned_heads[\"%.40s\"]: layers must be 0 to %lld, each once",
                       list->string, (long long)values->layers - 1);
    PITH_TRY(read_gone(list, values->heads, gone, &sizes[layer].heads, error));
  }
  return PITH_OK;
}

static pith_status read_intermediate(const cJSON *list, const pith_architecture_config *values,
                                     pith_layer_sizes *sizes, pith_error *error) {
  const cJSON *item;
  int64_t layer = 0;
  if (!cJSON_IsArray(list))
    return pith_fail(error, PITH_FORMAT, "config.json: intermediate_sizes is not a list");
  if (cJSON_GetArraySize(list) != values->layers)
    return pith_fail(error, PITH_FORMAT,
                     "config.json: intermediate_sizes has %d sizes for %lld layers",
                     cJSON_GetArraySize(list), (long long)values->layers);
  cJSON_ArrayForEach(item, list) {
    if (!pith_json_get_int(item, 1, PITH_MAX_INTERMEDIATE, &sizes[layer].intermediate_size))
      return pith_fail(error, PITH_FORMAT,
                       "config.json: intermediate_sizes[%lld] must be an integer from 1 to %d",
                       (long long)layer, PITH_MAX_INTERMEDIATE);
    layer++;
  }
  return PITH_OK;
}

pith_status pith_layer_sizes_read(const cJSON *json, pith_arena *arena,
                                  pith_architecture_config *values, pith_error *error) {
  const cJSON *pruned = cJSON_GetObjectItemCaseSensitive(json, "pruned_heads");
  const cJSON *list = cJSON_GetObjectItemCaseSensitive(json, "intermediate_sizes");
  const bool has_pruned = pruned != NULL && !cJSON_IsNull(pruned);
  const bool has_list = list != NULL && !cJSON_IsNull(list);
  if (!has_pruned && !has_list)
    return PITH_OK;
  pith_layer_sizes *sizes = PITH_ARENA_NEW(arena, pith_layer_sizes, (size_t)values->layers);
  if (sizes == NULL)
    return pith_fail(error, PITH_OUT_OF_MEMORY, "config.json: no memory for %lld layers",
                     (long long)values->layers);
  for (int64_t layer = 0; layer < values->layers; layer++)
    sizes[layer] = (pith_layer_sizes){values->heads, values->intermediate_size};
  if (has_pruned)
    PITH_TRY(read_heads(pruned, values, arena, sizes, error));
  if (has_list)
    PITH_TRY(read_intermediate(list, values, sizes, error));
  values->layer_sizes = sizes;
  return PITH_OK;
}

bool pith_layer_sizes_select(cJSON *config, const uint32_t *layers, uint32_t count) {
  cJSON *heads = cJSON_DetachItemFromObjectCaseSensitive(config, "pruned_heads");
  cJSON *sizes = cJSON_DetachItemFromObjectCaseSensitive(config, "intermediate_sizes");
  cJSON *new_heads = cJSON_CreateObject(), *new_sizes = cJSON_CreateArray();
  bool whole = new_heads != NULL && new_sizes != NULL;
  for (uint32_t layer = 0; layer < count && whole; layer++) {
    char old_key[16], key[16];
    snprintf(old_key, sizeof old_key, "%u", layers[layer]);
    snprintf(key, sizeof key, "%u", layer);
    cJSON *list = cJSON_DetachItemFromObjectCaseSensitive(heads, old_key);
    if (list != NULL)
      whole = cJSON_AddItemToObject(new_heads, key, list);
    const cJSON *size = cJSON_GetArrayItem(sizes, (int)layers[layer]);
    if (size != NULL && whole)
      whole = cJSON_AddItemToArray(new_sizes, cJSON_Duplicate(size, true));
  }
  if (heads != NULL && whole)
    whole = cJSON_AddItemToObject(config, "pruned_heads", new_heads);
  else
    cJSON_Delete(new_heads);
  if (sizes != NULL && whole)
    whole = cJSON_AddItemToObject(config, "intermediate_sizes", new_sizes);
  else
    cJSON_Delete(new_sizes);
  cJSON_Delete(heads);
  cJSON_Delete(sizes);
  return whole;
}
