#include "compiler/import/config.h"

#include <stdio.h>
#include <stdlib.h>

#include "compiler/import/json.h"
#include "compiler/import/layer_sizes.h"

enum { MAX_LABELS = 1 << 20 };

/* The item of a key that is present and not null, else NULL. */
static const cJSON *find_key(const cJSON *json, const char *name) {
  const cJSON *item = name == NULL ? NULL : cJSON_GetObjectItemCaseSensitive(json, name);
  return cJSON_IsNull(item) ? NULL : item;
}

/* A value as it may stand in a message. */
typedef struct value_text {
  char text[64];
} value_text;
static value_text describe(const cJSON *item) {
  value_text value = {"?"};
  if (cJSON_IsString(item))
    snprintf(value.text, sizeof value.text, "\"%.50s\"", item->valuestring);
  else if (cJSON_IsNumber(item))
    snprintf(value.text, sizeof value.text, "%.17g", item->valuedouble);
  else
    snprintf(value.text, sizeof value.text, "%s",
             cJSON_IsBool(item)    ? (cJSON_IsTrue(item) ? "true" : "false")
             : cJSON_IsArray(item) ? "a list"
             : cJSON_IsNull(item)  ? "null"
                                   : "an object");
  return value;
}

static pith_status read_key(const cJSON *json, const pith_config_key *key,
                            pith_architecture_config *out_values, pith_error *error) {
  const cJSON *item = find_key(json, key->name);
  if (item == NULL)
    item = find_key(json, key->alias);
  int64_t *integer = (int64_t *)((char *)out_values + key->offset);
  double *real = (double *)((char *)out_values + key->offset);
  pith_hidden_act act;
  switch (key->type) {
  case PITH_CONFIG_INT:
    *integer = (int64_t)key->default_value;
    if (cJSON_IsNull(cJSON_GetObjectItemCaseSensitive(json, key->name)) && key->min < 0)
      *integer = -1; /* null where the key may be absent: pad_token_id */
    if (item != NULL && !pith_json_get_int(item, (int64_t)key->min, (int64_t)key->max, integer))
      return pith_fail(error, PITH_FORMAT,
                       "config.json: %s is %s, an integer from %.0f to %.0f is needed", key->name,
                       describe(item).text, key->min, key->max);
    return PITH_OK;
  case PITH_CONFIG_FLOAT:
    *real = key->default_value;
    if (item != NULL) {
      if (!cJSON_IsNumber(item) ||
          !(item->valuedouble >= key->min && item->valuedouble <= key->max))
        return pith_fail(error, PITH_FORMAT,
                         "config.json: %s is %s, a number from %g to %g is needed", key->name,
                         describe(item).text, key->min, key->max);
      *real = item->valuedouble;
    }
    return PITH_OK;
  case PITH_CONFIG_BOOL:
    *integer = (int64_t)key->default_value;
    if (item != NULL) {
      if (!cJSON_IsBool(item))
        return pith_fail(error, PITH_FORMAT, "config.json: %s is %s, true or false is needed",
                         key->name, describe(item).text);
      *integer = cJSON_IsTrue(item);
    }
    return PITH_OK;
  case PITH_CONFIG_ACT:
    *integer = (int64_t)key->default_value;
    if (item != NULL) {
      if (!cJSON_IsString(item) || !pith_hidden_act_find(item->valuestring, &act))
        return pith_fail(error, PITH_UNSUPPORTED, "config.json: %s %s is not supported", key->name,
                         describe(item).text);
      *integer = act;
    }
    return PITH_OK;
  case PITH_CONFIG_FALSE:
    if (item != NULL && !cJSON_IsFalse(item))
      return pith_fail(error, PITH_UNSUPPORTED, "config.json: %s %s is not supported, only false",
                       key->name, describe(item).text);
    return PITH_OK;
  case PITH_CONFIG_TEXT:
    if (item != NULL && (!cJSON_IsString(item) || strcmp(item->valuestring, key->text) != 0))
      return pith_fail(error, PITH_UNSUPPORTED, "config.json: %s %s is not supported, only \"%s\"",
                       key->name, describe(item).text, key->text);
    return PITH_OK;
  }
  return pith_fail(error, PITH_INVALID_ARGUMENT, "config.json: %s: no such type of key", key->name);
}

/* A key that changes any model's formula and that no architecture supports. */
static pith_status check_foreign_key(const cJSON *json, pith_error *error) {
  const cJSON *item = find_key(json, "quantization_config");
  if (item != NULL && item->child != NULL)
    return pith_fail(error, PITH_UNSUPPORTED, "config.json: quantization_config is not supported");
  return PITH_OK;
}

static pith_status find_head(const pith_config_request *request, pith_config *config,
                             pith_error *error) {
  const char *class_name = request->class_name;
  const cJSON *classes = find_key(request->json, "architectures");
  if (classes != NULL &&
      (!cJSON_IsArray(classes) || (classes->child != NULL && !cJSON_IsString(classes->child))))
    return pith_fail(error, PITH_FORMAT, "config.json: architectures is not a list of names");
  if (class_name == NULL && classes != NULL && classes->child != NULL)
    class_name = classes->child->valuestring;
  if (request->body_only || class_name == NULL) {
    for (config->head = config->row->heads; config->head->class_suffix != NULL; config->head++)
      if (config->head->head == PITH_HEAD_BODY)
        return PITH_OK;
    return pith_fail(error, PITH_UNSUPPORTED,
                     "config.json: model_type '%s' has no class without a head",
                     config->row->model_type);
  }
  config->head = pith_architecture_find_head(config->row, class_name);
  if (config->head == NULL)
    return pith_fail(error, PITH_UNSUPPORTED,
                     "config.json: class '%.100s' of model_type '%s' is not supported", class_name,
                     config->row->model_type);
  return PITH_OK;
}

/* id2label in the order of its indices; else LABEL_0 .. for num_labels, 2 by default, as the
 * Hugging Face class. */
static pith_status read_labels(const cJSON *json, pith_arena *arena, pith_config *config,
                               pith_error *error) {
  const cJSON *map = find_key(json, "id2label"), *number = find_key(json, "num_labels"), *item;
  int64_t count = 2;
  if (map != NULL && !cJSON_IsObject(map))
    return pith_fail(error, PITH_FORMAT, "config.json: id2label is not an object");
  if (map != NULL)
    count = cJSON_GetArraySize(map);
  else if (number != NULL && !pith_json_get_int(number, 1, MAX_LABELS, &count))
    return pith_fail(error, PITH_FORMAT,
                     "config.json: num_labels is %s, an integer from 1 to %d is needed",
                     describe(number).text, MAX_LABELS);
  if (count < 1 || count > MAX_LABELS)
    return pith_fail(error, PITH_FORMAT,
                     "config.json: id2label has %lld labels, 1 to %d are needed", (long long)count,
                     MAX_LABELS);
  const char **labels = PITH_ARENA_NEW(arena, const char *, (size_t)count);
  if (labels == NULL)
    return pith_fail(error, PITH_OUT_OF_MEMORY, "config.json: no memory for %lld labels",
                     (long long)count);
  cJSON_ArrayForEach(item, map) {
    char *end;
    unsigned long long index = strtoull(item->string, &end, 10);
    if (item->string[0] < '0' || item->string[0] > '9' || *end != '\0' ||
        index >= (uint64_t)count || labels[index] != NULL || !cJSON_IsString(item))
      return pith_fail(
          error, PITH_FORMAT,
          "config.json: id2label[\"%.40s\"]: keys must be 0 to %lld, each once, with a text",
          item->string, (long long)count - 1);
    labels[index] = pith_arena_string(arena, item->valuestring, strlen(item->valuestring));
    if (labels[index] == NULL)
      return pith_fail(error, PITH_OUT_OF_MEMORY, "config.json: no memory for a label");
  }
  for (int64_t i = 0; i < count; i++)
    if (labels[i] == NULL &&
        (labels[i] = pith_arena_format(arena, "LABEL_%lld", (long long)i)) == NULL)
      return pith_fail(error, PITH_OUT_OF_MEMORY, "config.json: no memory for a label");
  config->label_count = (uint32_t)count;
  config->labels = labels;
  return PITH_OK;
}

/* The task of a cross-encoder of sentence-transformers with one label, else NONE. It scores a pair
 * by a sigmoid unless its activation is Identity, which leaves the logit: regression. Releases
 * before 4 say what it is by a key of config.json, 4 and 5 by a section, later ones by a file of
 * their own. */
static pith_status find_cross_encoder_task(const pith_config_request *request,
                                           const pith_config *config, pith_task *out_task,
                                           pith_error *error) {
  const cJSON *section = find_key(request->json, "sentence_transformers");
  const cJSON *own_type = find_key(request->sentence_transformers, "model_type");
  const cJSON *activation = find_key(request->json, "sbert_ce_default_activation_function");
  if (cJSON_IsString(own_type) && strcmp(own_type->valuestring, "CrossEncoder") == 0)
    section = request->sentence_transformers;
  bool is_cross_encoder = activation != NULL || section != NULL;
  *out_task = is_cross_encoder && config->label_count == 1 ? PITH_TASK_RERANK : PITH_TASK_NONE;
  if (find_key(section, "activation_fn") != NULL)
    activation = find_key(section, "activation_fn");
  if (activation == NULL)
    return PITH_OK;
  const char *name = cJSON_IsString(activation) ? strrchr(activation->valuestring, '.') : NULL;
  bool is_identity = name != NULL && strcmp(name, ".Identity") == 0;
  if (is_identity && *out_task == PITH_TASK_RERANK)
    *out_task = PITH_TASK_REGRESSION;
  if (name == NULL || (strcmp(name, ".Sigmoid") != 0 && !is_identity))
    return pith_fail(error, PITH_UNSUPPORTED,
                     "config.json: cross-encoder activation %s is not supported",
                     describe(activation).text);
  return PITH_OK;
}

static pith_status find_sequence_task(const pith_config_request *request, pith_config *config,
                                      pith_error *error) {
  static const struct {
    const char *name;
    pith_task task;
  } types[] = {
      {"regression", PITH_TASK_REGRESSION},
      {"single_label_classification", PITH_TASK_CLASSIFICATION},
      {"multi_label_classification", PITH_TASK_MULTI_LABEL},
  };
  PITH_TRY(find_cross_encoder_task(request, config, &config->task, error));
  if (config->task != PITH_TASK_NONE)
    return PITH_OK;
  const cJSON *type = find_key(request->json, "problem_type");
  if (type == NULL) {
    /* One label: transformers' text-classification pipeline applies a sigmoid unless problem_type
     * is "regression". */
    config->task = config->label_count == 1 ? PITH_TASK_RERANK : PITH_TASK_CLASSIFICATION;
    return PITH_OK;
  }
  for (size_t i = 0; i < sizeof types / sizeof *types; i++)
    if (cJSON_IsString(type) && strcmp(type->valuestring, types[i].name) == 0) {
      config->task = types[i].task;
      return PITH_OK;
    }
  return pith_fail(error, PITH_UNSUPPORTED, "config.json: problem_type %s is not supported",
                   describe(type).text);
}

static pith_status find_task(const pith_config_request *request, pith_arena *arena,
                             pith_config *config, pith_error *error) {
  switch (config->head->head) {
  case PITH_HEAD_BODY:
    config->task = PITH_TASK_NONE;
    return PITH_OK;
  case PITH_HEAD_MASKED:
    config->task = PITH_TASK_FILL_MASK;
    return PITH_OK;
  case PITH_HEAD_SPAN:
    config->task = PITH_TASK_QUESTION_ANSWERING;
    PITH_TRY(read_labels(request->json, arena, config, error));
    config->values.label_count = config->label_count;
    config->label_count = 0; /* start and end are no labels */
    config->labels = NULL;
    return PITH_OK;
  case PITH_HEAD_TOKEN:
    config->task = PITH_TASK_TOKEN_CLASSIFICATION;
    PITH_TRY(read_labels(request->json, arena, config, error));
    break;
  case PITH_HEAD_SEQUENCE:
    PITH_TRY(read_labels(request->json, arena, config, error));
    PITH_TRY(find_sequence_task(request, config, error));
    break;
  }
  config->values.label_count = config->label_count;
  return PITH_OK;
}

pith_status pith_config_read(const pith_config_request *request, pith_arena *arena,
                             pith_config *out_config, pith_error *error) {
  const cJSON *json = request->json;
  pith_config config = {.row = NULL};
  const cJSON *type = find_key(json, "model_type");
  if (!cJSON_IsString(type))
    return pith_fail(error, PITH_FORMAT, "config.json: no model_type");
  config.row = pith_architecture_find(type->valuestring);
  if (config.row == NULL)
    return pith_fail(error, PITH_UNSUPPORTED, "config.json: model_type '%.100s' is not supported",
                     type->valuestring);
  PITH_TRY(check_foreign_key(json, error));
  for (const pith_config_key *key = config.row->keys; key->name != NULL; key++)
    PITH_TRY(read_key(json, key, &config.values, error));
  PITH_TRY(pith_layer_sizes_read(json, arena, &config.values, error));
  PITH_TRY(find_head(request, &config, error));
  PITH_TRY(find_task(request, arena, &config, error));
  *out_config = config;
  return PITH_OK;
}
