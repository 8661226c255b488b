#include "compiler/import/new_head.h"

#include <stdio.h>
#include <stdlib.h>

#include "compiler/history.h"
#include "compiler/import/import_internal.h"
#include "compiler/import/json.h"
#include "compiler/import/weights.h"
#include "engine/format/stored_layout.h"
#include "engine/ir/operator.h"

typedef struct kind {
  const char *name, *suffix, *problem_type;
  uint32_t least_labels;
} kind;
static const kind kinds[] = {
#define ROW(name, suffix, problem_type, least_labels) {name, suffix, problem_type, least_labels},
    PITH_NEW_HEAD_LIST(ROW)
#undef ROW
};
enum { KINDS = sizeof kinds / sizeof *kinds };

static const kind *find_kind(const char *name) {
  for (size_t i = 0; i < KINDS; i++)
    if (strcmp(kinds[i].name, name) == 0)
      return &kinds[i];
  return NULL;
}

static pith_status check(const pith_new_head *head, pith_error *error) {
  const kind *k = find_kind(head->name);
  if (k == NULL) {
    char known[200] = "";
    for (size_t i = 0; i < KINDS; i++)
      snprintf(known + strlen(known), sizeof known - strlen(known), "%s%s", i == 0 ? "" : ", ",
               kinds[i].name);
    return pith_fail(error, PITH_INVALID_ARGUMENT, "no head '%.60s'; there are %s", head->name, known);
  }
  if (k->least_labels == 0 && head->label_count != 0)
    return pith_fail(error, PITH_INVALID_ARGUMENT, "a head for %s takes no labels", k->name);
  if (head->label_count < k->least_labels)
    return pith_fail(error, PITH_INVALID_ARGUMENT, "a head for %s needs labels, at least %u", k->name,
                     k->least_labels);
  for (uint32_t i = 0; i < head->label_count; i++)
    for (uint32_t j = 0; j <= i; j++)
      if (head->labels[i][0] == '\0' || (j < i && strcmp(head->labels[i], head->labels[j]) == 0))
        return pith_fail(error, PITH_INVALID_ARGUMENT, "labels: '%.60s' is empty or stands twice",
                         head->labels[i]);
  return PITH_OK;
}

/* ---- config.json -------------------------------------------------------------------------------
 */

static bool add_labels(cJSON *config, const pith_new_head *head, uint32_t count) {
  cJSON *names = cJSON_AddObjectToObject(config, "id2label");
  cJSON *numbers = cJSON_AddObjectToObject(config, "label2id");
  bool whole = names != NULL && numbers != NULL;
  for (uint32_t i = 0; i < count && whole; i++) {
    char key[16], label[24];
    snprintf(key, sizeof key, "%u", i);
    snprintf(label, sizeof label, "LABEL_%u", i);
    const char *name = head->label_count != 0 ? head->labels[i] : label;
    whole = cJSON_AddStringToObject(names, key, name) != NULL &&
            cJSON_AddNumberToObject(numbers, name, i) != NULL;
  }
  return whole;
}

/* The keys that say what the head is. */
static bool change_config(cJSON *config, const pith_new_head *head, const kind *k,
                          const char *class_name) {
  static const char *const gone[] = {"architectures", "id2label",   "label2id",
                                     "num_labels",    "problem_type", "sentence_transformers",
                                     "sbert_ce_default_activation_function"};
  for (size_t i = 0; i < sizeof gone / sizeof *gone; i++)
    cJSON_DeleteItemFromObjectCaseSensitive(config, gone[i]);
  cJSON *classes = cJSON_AddArrayToObject(config, "architectures");
  if (classes == NULL || !cJSON_AddItemToArray(classes, cJSON_CreateString(class_name)))
    return false;
  if (k->problem_type != NULL && cJSON_AddStringToObject(config, "problem_type", k->problem_type) == NULL)
    return false;
  const bool sequence = strcmp(k->suffix, "ForSequenceClassification") == 0;
  const uint32_t count = head->label_count != 0 ? head->label_count : sequence ? 1 : 0;
  return count == 0 || add_labels(config, head, count);
}

/* ---- weights -----------------------------------------------------------------------------------
 */

typedef struct source {
  const pith_graph *body; /* where the body's weights come from */
  const char *prefix;     /* of the body's parameters below a head */
  pith_random_weights random;
} source;

/* The number behind "layer." in a name, its end to *out_end; -1: there is none. */
static long find_layer(const char *name, const char **out_begin, char **out_end) {
  const char *at = strstr(name, "layer.");
  if (at == NULL || at[6] < '0' || at[6] > '9')
    return -1;
  *out_begin = at + 6;
  return strtol(at + 6, out_end, 10);
}

/* The name's layer as it is counted in the other graph: the one that as many stand before. */
static long renumber(const pith_graph *graph, long layer) {
  long before = -1;
  for (long rank = 0;; rank++) {
    long next = -1;
    for (pith_tensor_id t = 0; t < graph->tensor_count; t++) {
      const char *begin;
      char *end;
      const long own = graph->tensors[t].kind == PITH_TENSOR_PARAMETER
                           ? find_layer(graph->tensors[t].name, &begin, &end)
                           : -1;
      if (own > before && (next < 0 || own < next))
        next = own;
    }
    if (rank == layer || next < 0)
      return next;
    before = next;
  }
}

/* The parameter of the old graph that stands for `name` of the new one: its layer counted anew, with or without the prefix. */
static pith_tensor_id find_old(const source *s, const char *name) {
  char own[300];
  const char *begin;
  char *end;
  const long layer = find_layer(name, &begin, &end);
  if (layer < 0)
    snprintf(own, sizeof own, "%s", name);
  else
    snprintf(own, sizeof own, "%.*s%ld%s", (int)(begin - name), name, renumber(s->body, layer), end);
  pith_tensor_id found = pith_graph_find_tensor(s->body, own);
  const size_t prefix_bytes = strlen(s->prefix);
  if (found == PITH_NONE && strncmp(own, s->prefix, prefix_bytes) == 0)
    found = pith_graph_find_tensor(s->body, own + prefix_bytes);
  if (found == PITH_NONE) {
    char with[400];
    snprintf(with, sizeof with, "%s%s", s->prefix, own);
    found = pith_graph_find_tensor(s->body, with);
  }
  return found;
}

/* What a body cannot be without. */
static bool is_of_body(const char *name) {
  return strstr(name, "layer.") != NULL || strstr(name, "embeddings") != NULL;
}

/* A head's parameters have names outside the body's prefix, or none of a body's where there is no prefix. */
static bool is_of_head(const source *s, const char *name) {
  return strncmp(name, s->prefix, strlen(s->prefix)) != 0 && !is_of_body(name);
}

static pith_status read_value(void *context, const pith_graph *graph, pith_tensor_id id, uint64_t count,
                              float *out_values, pith_error *error) {
  source *s = context;
  const pith_tensor *tensor = &graph->tensors[id];
  const pith_tensor_id old = is_of_head(s, tensor->name) ? PITH_NONE : find_old(s, tensor->name);
  if (old == PITH_NONE && is_of_body(tensor->name))
    return pith_fail(error, PITH_UNSUPPORTED, "the model has no '%s' (a quantized one has to be float)",
                     tensor->name);
  const pith_weight_source random = pith_random_weights_get_source(&s->random);
  if (old == PITH_NONE)
    return random.read(random.context, graph, id, count, out_values, error);
  const pith_tensor *from = &s->body->tensors[old];
  bool same = from->dtype == PITH_DTYPE_F32 && from->rank == tensor->rank && from->data != NULL;
  for (uint32_t d = 0; d < tensor->rank && same; d++)
    same = pith_dim_equal(&from->dims[d], &tensor->dims[d]);
  if (!same)
    return pith_fail(error, PITH_UNSUPPORTED, "the model's '%s' is not what its config.json says", from->name);
  return pith_tensor_unpack(from, out_values, NULL, error);
}

/* ---- the model ---------------------------------------------------------------------------------
 */

static pith_status add_history(pith_import *import, const pith_new_head *head, pith_error *error) {
  char seed[24];
  snprintf(seed, sizeof seed, "%llu", (unsigned long long)head->seed);
  cJSON *json = cJSON_CreateObject();
  bool whole = json != NULL && cJSON_AddStringToObject(json, "head", head->name) != NULL &&
               cJSON_AddStringToObject(json, "seed", seed) != NULL;
  cJSON *labels = whole && head->label_count != 0 ? cJSON_AddArrayToObject(json, "labels") : NULL;
  for (uint32_t i = 0; i < head->label_count && whole; i++)
    whole = cJSON_AddItemToArray(labels, cJSON_CreateString(head->labels[i]));
  if (!whole) {
    cJSON_Delete(json);
    json = NULL;
  }
  return pith_history_add(&import->data, "head", json, &import->arena, error);
}

static pith_status build(pith_import *import, const pith_model_data *model, const pith_new_head *head,
                         cJSON *json, pith_error *error) {
  const kind *k = find_kind(head->name);
  const pith_architecture *row = pith_architecture_find(model->architecture);
  if (row == NULL)
    return pith_fail(error, PITH_UNSUPPORTED, "architecture '%.60s' has no heads", model->architecture);
  const char *class_name = pith_arena_format(&import->arena, "%s%s", row->class_prefix, k->suffix);
  if (class_name == NULL || !change_config(json, head, k, class_name))
    return pith_fail(error, PITH_OUT_OF_MEMORY, "no memory for a configuration");
  static const pith_embedding_module modules[] = {{.kind = PITH_EMBEDDING_POOL, .pool_mode = PITH_POOL_MEAN},
                                                  {.kind = PITH_EMBEDDING_NORMALIZE}};
  const bool embeds = strcmp(k->suffix, "Model") == 0;
  pith_config config;
  PITH_TRY(pith_config_read(&(pith_config_request){.json = json, .body_only = embeds}, &import->arena, &config, error));
  const uint32_t max_length = model->max_length;
  pith_import_set_config(import, &config);
  import->data.max_length = max_length;
  if (embeds)
    import->data.task = PITH_TASK_EMBEDDING;
  const pith_architecture_request request = {.row = config.row,
                                             .head = config.head,
                                             .config = &config.values,
                                             .module_count = embeds ? sizeof modules / sizeof *modules : 0,
                                             .modules = modules};
  PITH_TRY(pith_architecture_build_graph(&request, import->arena.allocator, &import->data.graph, error));
  source s = {.body = model->graph,
              .prefix = row->prefix,
              .random = {.seed = head->seed, .deviation = config.values.initializer_range}};
  PITH_TRY(pith_weights_fill(import->data.graph, &(pith_weight_source){read_value, &s, NULL}, &import->arena, error));
  char *text = cJSON_Print(json);
  import->data.config_json = text == NULL ? NULL : pith_arena_string(&import->arena, text, strlen(text));
  cJSON_free(text);
  if (import->data.config_json == NULL)
    return pith_fail(error, PITH_OUT_OF_MEMORY, "no memory for a configuration");
  return add_history(import, head, error);
}

pith_status pith_model_set_head(const pith_model_data *model, const pith_new_head *head,
                                const pith_allocator *allocator, pith_import *out_import,
                                pith_error *error) {
  PITH_TRY(check(head, error));
  if (model->config_json == NULL || model->config_json[0] == '\0')
    return pith_fail(error, PITH_UNSUPPORTED, "the model has no config.json: nothing says how its body is built");
  cJSON *json;
  PITH_TRY(pith_json_parse(model->config_json, strlen(model->config_json), "config.json", &json, error));
  pith_import import = {.data = *model};
  import.data.graph = NULL;
  import.data.report = NULL;
  import.data.report_count = 0;
  pith_arena_init(&import.arena, allocator);
  const pith_status status = build(&import, model, head, json, error);
  cJSON_Delete(json);
  if (status != PITH_OK)
    pith_import_deinit(&import);
  else
    *out_import = import;
  return status;
}
