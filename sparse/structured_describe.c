/* What the file says of a removal: the sizes in the configuration, and the step's history. */
#include <stdio.h>
#include <string.h>

#include <cjson/cJSON.h>

#include "compiler/history.h"
#include "compiler/import/layer_sizes.h"
#include "sparse/structured_internal.h"

enum { MAX_HEADS = 65536 };

typedef struct description {
  const pith_structured_job *job;
  bool *const *removed;
  uint32_t count;
  cJSON *config;
} description;

/* A key's integer is replaced where it was the old one: names differ between architectures. */
static bool replace_int(cJSON *config, const char *key, double before, double after) {
  const cJSON *item = cJSON_GetObjectItemCaseSensitive(config, key);
  if (!cJSON_IsNumber(item) || item->valuedouble != before)
    return true;
  return cJSON_ReplaceItemInObjectCaseSensitive(config, key, cJSON_CreateNumber(after));
}

/* Heads are named as they were counted before any left: those at the places of `removed` among the
 * ones that `gone` has not. */
static bool add_heads(cJSON *pruned, uint32_t layer, const bool *removed, uint32_t groups) {
  char key[16];
  snprintf(key, sizeof key, "%u", layer);
  const cJSON *old = cJSON_GetObjectItemCaseSensitive(pruned, key), *item;
  bool *gone = pith_allocate(NULL, MAX_HEADS);
  cJSON *list = cJSON_CreateArray();
  bool whole = gone != NULL && list != NULL;
  if (gone != NULL)
    memset(gone, 0, MAX_HEADS);
  cJSON_ArrayForEach(item, old) if (whole && cJSON_IsNumber(item) && item->valuedouble >= 0 &&
                                    item->valuedouble < MAX_HEADS) gone[(size_t)item->valuedouble] =
      true;
  for (uint32_t head = 0, place = 0; whole && place < groups && head < MAX_HEADS; head++)
    if (!gone[head])
      gone[head] = removed[place++];
  uint32_t listed = 0;
  for (uint32_t head = 0; whole && head < MAX_HEADS; head++)
    if (gone[head]) {
      whole = cJSON_AddItemToArray(list, cJSON_CreateNumber(head));
      listed++;
    }
  pith_release(NULL, gone, MAX_HEADS);
  if (listed == 0) {
    cJSON_Delete(list);
    return whole;
  }
  cJSON_DeleteItemFromObjectCaseSensitive(pruned, key);
  return whole && cJSON_AddItemToObject(pruned, key, list);
}

static cJSON *get_or_add_object(cJSON *parent, const char *key) {
  cJSON *object = cJSON_GetObjectItemCaseSensitive(parent, key);
  if (cJSON_IsObject(object))
    return object;
  cJSON_DeleteItemFromObjectCaseSensitive(parent, key);
  return cJSON_AddObjectToObject(parent, key);
}

/* "pruned_heads", as Hugging Face has it. */
static bool describe_heads(const description *d) {
  cJSON *pruned = get_or_add_object(d->config, "pruned_heads");
  bool whole = pruned != NULL;
  for (uint32_t b = 0; b < d->count && whole; b++)
    whole = add_heads(pruned, b, d->removed[b], d->job->out->rows[b].before);
  return whole;
}

/* The one size where layers have the same, else "intermediate_sizes", layer by layer. */
static bool describe_neurons(const description *d) {
  const pith_structured_row *rows = d->job->out->rows;
  bool same = true, were_same = true;
  for (uint32_t b = 0; b < d->count; b++) {
    same &= rows[b].after == rows[0].after;
    were_same &= rows[b].before == rows[0].before;
  }
  cJSON_DeleteItemFromObjectCaseSensitive(d->config, "intermediate_sizes");
  if (same && were_same)
    return replace_int(d->config, "intermediate_size", rows[0].before, rows[0].after) &&
           replace_int(d->config, "hidden_dim", rows[0].before, rows[0].after);
  cJSON *sizes = cJSON_AddArrayToObject(d->config, "intermediate_sizes");
  bool whole = sizes != NULL;
  for (uint32_t b = 0; b < d->count && whole; b++)
    whole = cJSON_AddItemToArray(sizes, cJSON_CreateNumber(rows[b].after));
  return whole;
}

static bool describe_layers(const description *d) {
  uint32_t *layers = pith_allocate(NULL, (d->count + 1) * sizeof *layers), left = 0;
  for (uint32_t layer = 0; layer < d->count && layers != NULL; layer++)
    if (!*d->removed[layer])
      layers[left++] = layer;
  const bool whole = layers != NULL && pith_layer_sizes_select(d->config, layers, left);
  pith_release(NULL, layers, (d->count + 1) * sizeof *layers);
  return whole && replace_int(d->config, "num_hidden_layers", d->count, left) &&
         replace_int(d->config, "n_layers", d->count, left);
}

static pith_status write_config(description *d, pith_error *error) {
  pith_structured *out = d->job->out;
  if (out->data.config_json == NULL || out->data.config_json[0] == '\0')
    return PITH_OK;
  d->config = cJSON_Parse(out->data.config_json);
  if (d->config == NULL)
    return PITH_OK; /* not ours to judge: it stays as it is */
  const bool whole = d->job->structure == PITH_STRUCTURE_HEAD     ? describe_heads(d)
                     : d->job->structure == PITH_STRUCTURE_NEURON ? describe_neurons(d)
                                                                  : describe_layers(d);
  char *text = whole ? cJSON_Print(d->config) : NULL;
  const char *copy = text == NULL ? NULL : pith_arena_string(&out->arena, text, strlen(text));
  cJSON_free(text);
  cJSON_Delete(d->config);
  if (copy == NULL)
    return pith_fail(error, PITH_OUT_OF_MEMORY, "no memory for the model's configuration");
  out->data.config_json = copy;
  return PITH_OK;
}

static cJSON *make_history(const pith_structured_job *job) {
  cJSON *json =
      pith_recipe_describe(job->request->options, pith_prune_keys, job->model->data.graph);
  bool whole = json != NULL;
  if (whole && job->out->texts != 0)
    whole = cJSON_AddNumberToObject(json, job->request->random_ids ? "random_sequences" : "texts",
                                    (double)job->out->texts) != NULL &&
            cJSON_AddNumberToObject(json, "tokens", (double)job->out->tokens) != NULL;
  cJSON *left = whole ? cJSON_AddObjectToObject(json, "left") : NULL;
  for (uint32_t i = 0; left != NULL && i < job->out->row_count && whole; i++)
    whole = cJSON_AddNumberToObject(left, job->out->rows[i].name, job->out->rows[i].after) != NULL;
  if (whole && left != NULL)
    return json;
  cJSON_Delete(json);
  return NULL;
}

pith_status pith_structured_describe_config(pith_structured_job *job, bool *const *removed,
                                            uint32_t count, pith_error *error) {
  description d = {.job = job, .removed = removed, .count = count};
  return write_config(&d, error);
}

pith_status pith_structured_describe(pith_structured_job *job, bool *const *removed, uint32_t count,
                                     pith_error *error) {
  PITH_TRY(pith_structured_describe_config(job, removed, count, error));
  return pith_history_add(&job->out->data, "prune", make_history(job), &job->out->arena, error);
}
