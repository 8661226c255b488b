#include "compiler/recipe.h"

#include <errno.h>
#include <fnmatch.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "compiler/import/json.h"
#include "compiler/suggest.h"
#include "engine/base/hash.h"

bool pith_name_patterns_match(const pith_name_patterns *patterns, const char *name) {
  for (uint32_t i = 0; i < patterns->count; i++)
    if (fnmatch(patterns->list[i], name, 0) == 0)
      return true;
  return false;
}

const pith_recipe_key *pith_recipe_key_find(const pith_recipe_key *keys, const char *name) {
  for (const pith_recipe_key *key = keys; key->name != NULL; key++)
    if (strcmp(key->name, name) == 0)
      return key;
  return NULL;
}

/* ---- from text ------------------------------------------------------------------------------------------------------ */

static int find_word(const pith_recipe_key *key, const char *value) {
  for (int i = 0; key->words != NULL && key->words[i] != NULL; i++)
    if (strcmp(key->words[i], value) == 0)
      return i;
  return -1;
}

/* "min_max, mse" */
static const char *list_words(const pith_recipe_key *key, char *text, size_t bytes) {
  text[0] = '\0';
  for (int i = 0; key->words != NULL && key->words[i] != NULL; i++)
    snprintf(text + strlen(text), bytes - strlen(text), "%s%s", i == 0 ? "" : ", ", key->words[i]);
  return text;
}

static pith_status set_word(const pith_recipe_key *key, const char *value, void *field, pith_error *error) {
  const int word = find_word(key, value);
  char known[200];
  if (word < 0)
    return pith_fail(error, PITH_INVALID_ARGUMENT, "%s is '%.60s'; it takes %s", key->name, value,
                     list_words(key, known, sizeof known));
  const unsigned place = (unsigned)word; /* an enum with no negative value */
  memcpy(field, &place, sizeof place);
  return PITH_OK;
}

static pith_status set_number(const pith_recipe_key *key, const char *value, void *field, pith_error *error) {
  char *end = NULL, known[200];
  errno = 0;
  double number = strtod(value, &end);
  const bool read = end != value && *end == '\0' && errno == 0 && number >= key->minimum && number <= key->maximum &&
                    (key->type == PITH_RECIPE_NUMBER || number == floor(number));
  if (key->type == PITH_RECIPE_COUNT && read) {
    *(uint64_t *)field = (uint64_t)number;
    return PITH_OK;
  }
  const int word = find_word(key, value);
  if (!read && word < 0)
    return pith_fail(error, PITH_INVALID_ARGUMENT, "%s is '%.60s'; it takes %s from %.17g to %.17g%s%s", key->name,
                     value, key->type == PITH_RECIPE_COUNT ? "a whole number" : "a number", key->minimum, key->maximum,
                     key->words == NULL ? "" : ", ", list_words(key, known, sizeof known));
  *(double *)field = read ? number : -1.0 - word;
  return PITH_OK;
}

static pith_status no_memory(const pith_recipe_key *key, pith_error *error) {
  return pith_fail(error, PITH_OUT_OF_MEMORY, "no memory for the value of %s", key->name);
}

static pith_status set_text(const pith_recipe_key *key, const char *value, pith_arena *arena, void *field,
                            pith_error *error) {
  if (*value == '\0')
    return pith_fail(error, PITH_INVALID_ARGUMENT, "%s is empty", key->name);
  const char *copy = pith_arena_string(arena, value, strlen(value));
  if (copy == NULL)
    return no_memory(key, error);
  *(const char **)field = copy;
  return PITH_OK;
}

static pith_status set_patterns(pith_name_patterns *patterns, const pith_recipe_key *key, const char *value,
                                pith_arena *arena, pith_error *error) {
  patterns->count = 0;
  for (const char *begin = value;;) {
    const size_t bytes = strcspn(begin, ",");
    if (bytes == 0)
      return pith_fail(error, PITH_INVALID_ARGUMENT, "%s has an empty pattern: '%.60s'", key->name, value);
    if (patterns->count == PITH_MAX_NAME_PATTERNS)
      return pith_fail(error, PITH_LIMIT, "%s has more than %d patterns", key->name, PITH_MAX_NAME_PATTERNS);
    const char *copy = pith_arena_string(arena, begin, bytes);
    if (copy == NULL)
      return no_memory(key, error);
    patterns->list[patterns->count++] = copy;
    if (begin[bytes] == '\0')
      return PITH_OK;
    begin += bytes + 1;
  }
}

pith_status pith_recipe_set(void *options, const pith_recipe_key *key, const char *value, pith_arena *arena,
                            pith_error *error) {
  void *field = (char *)options + key->offset;
  switch (key->type) {
  case PITH_RECIPE_WORD:
    return set_word(key, value, field, error);
  case PITH_RECIPE_FLAG:
    if (strcmp(value, "true") != 0 && strcmp(value, "false") != 0)
      return pith_fail(error, PITH_INVALID_ARGUMENT, "%s is '%.60s'; it takes true or false", key->name, value);
    *(bool *)field = value[0] == 't';
    return PITH_OK;
  case PITH_RECIPE_COUNT:
  case PITH_RECIPE_NUMBER:
    return set_number(key, value, field, error);
  case PITH_RECIPE_TEXT:
  case PITH_RECIPE_FILE:
    return set_text(key, value, arena, field, error);
  case PITH_RECIPE_PATTERNS:
    return set_patterns(field, key, value, arena, error);
  }
  return pith_fail(error, PITH_INVALID_ARGUMENT, "unknown key");
}

/* ---- JSON ------------------------------------------------------------------------------------------------------------- */

/* The value as pith_recipe_set takes it, in `arena`; NULL where its JSON type is another than the key's. */
static const char *format_value(const pith_recipe_key *key, const cJSON *item, pith_arena *arena) {
  switch (key->type) {
  case PITH_RECIPE_FLAG:
    return !cJSON_IsBool(item) ? NULL : cJSON_IsTrue(item) ? "true" : "false";
  case PITH_RECIPE_COUNT:
    return cJSON_IsNumber(item) ? pith_arena_format(arena, "%.17g", item->valuedouble) : NULL;
  case PITH_RECIPE_NUMBER:
    if (cJSON_IsNumber(item))
      return pith_arena_format(arena, "%.17g", item->valuedouble);
    return cJSON_IsString(item) && find_word(key, item->valuestring) >= 0 ? item->valuestring : NULL;
  case PITH_RECIPE_WORD:
  case PITH_RECIPE_TEXT:
  case PITH_RECIPE_FILE:
    return cJSON_IsString(item) ? item->valuestring : NULL;
  case PITH_RECIPE_PATTERNS:
    break;
  }
  if (!cJSON_IsArray(item))
    return cJSON_IsString(item) ? item->valuestring : NULL;
  const char *joined = NULL;
  for (const cJSON *pattern = item->child; pattern != NULL; pattern = pattern->next) {
    if (!cJSON_IsString(pattern))
      return NULL;
    joined = pith_arena_format(arena, "%s%s%s", joined == NULL ? "" : joined, joined == NULL ? "" : ",",
                               pattern->valuestring);
    if (joined == NULL)
      return NULL;
  }
  return joined == NULL ? "" : joined; /* an empty list is no pattern: an error of pith_recipe_set */
}

static const char *describe_type(const pith_recipe_key *key) {
  static const char *const names[] = {
      [PITH_RECIPE_WORD] = "text",  [PITH_RECIPE_FLAG] = "true or false", [PITH_RECIPE_COUNT] = "a number",
      [PITH_RECIPE_NUMBER] = "a number", [PITH_RECIPE_TEXT] = "text", [PITH_RECIPE_FILE] = "text",
      [PITH_RECIPE_PATTERNS] = "a list of texts"};
  return names[key->type];
}

/* Names of a table's keys, one after the other. */
static const char *next_key(void *context) {
  const pith_recipe_key **next = context;
  return (*next)->name == NULL ? NULL : (*next)++->name;
}

static pith_status read_key(const char *path, const cJSON *item, const pith_recipe_section *section, pith_arena *arena,
                            pith_error *error) {
  const pith_recipe_key *key = pith_recipe_key_find(section->keys, item->string);
  if (key == NULL) {
    const pith_recipe_key *next = section->keys;
    char suggestion[PITH_SUGGESTION_BYTES];
    return pith_fail(error, PITH_INVALID_ARGUMENT, "%s: no key '%.60s' in recipes of %s%s", path, item->string, section->name,
                     pith_suggest_to(item->string, next_key, &next, suggestion));
  }
  for (const cJSON *before = item->prev; before->next != NULL; before = before->prev)
    if (strcmp(before->string, item->string) == 0)
      return pith_fail(error, PITH_INVALID_ARGUMENT, "%s: key '%s' stands twice", path, item->string);
  const char *value = format_value(key, item, arena);
  if (value == NULL)
    return pith_fail(error, PITH_INVALID_ARGUMENT, "%s: %s takes %s", path, key->name, describe_type(key));
  pith_error reason = {0};
  const pith_status status = pith_recipe_set(section->options, key, value, arena, &reason);
  return status == PITH_OK ? PITH_OK : pith_fail(error, status, "%s: %s", path, reason.message);
}

static pith_status read_keys(const char *path, const cJSON *object, pith_recipe_section *section, pith_arena *arena,
                             pith_error *error) {
  if (section->given)
    return pith_fail(error, PITH_INVALID_ARGUMENT, "%s: '%s' stands twice", path, section->name);
  section->given = true;
  for (const cJSON *item = object->child; item != NULL; item = item->next)
    PITH_TRY(read_key(path, item, section, arena, error));
  return PITH_OK;
}

typedef struct section_names {
  const pith_recipe_section *next;
  size_t left;
} section_names;

static const char *next_section(void *context) {
  section_names *names = context;
  return names->left == 0 ? NULL : (names->left--, (names->next++)->name);
}

static pith_status read_sections(const char *path, const cJSON *json, pith_recipe_section *sections, size_t count,
                                 pith_arena *arena, pith_error *error) {
  for (const cJSON *item = json->child; item != NULL; item = item->next) {
    size_t s = 0;
    while (s < count && strcmp(sections[s].name, item->string) != 0)
      s++;
    if (s == count || !cJSON_IsObject(item)) {
      section_names names = {sections, count};
      char suggestion[PITH_SUGGESTION_BYTES];
      return pith_fail(error, PITH_INVALID_ARGUMENT, "%s: '%.60s' is no section of this recipe%s", path, item->string,
                       pith_suggest_to(item->string, next_section, &names, suggestion));
    }
    PITH_TRY(read_keys(path, item, &sections[s], arena, error));
  }
  return PITH_OK;
}

pith_status pith_recipe_read_object(const char *where, const cJSON *object, pith_recipe_section *section, pith_arena *arena,
                                    pith_error *error) {
  section->given = false;
  return read_keys(where, object, section, arena, error);
}

pith_status pith_recipe_read(const char *path, pith_recipe_section *sections, size_t section_count, pith_arena *arena,
                             pith_error *error) {
  cJSON *json;
  PITH_TRY(pith_json_open(path, &json, error));
  bool sectioned = false;
  for (const cJSON *item = json->child; item != NULL; item = item->next)
    sectioned |= cJSON_IsObject(item);
  for (size_t s = 0; s < section_count; s++)
    sections[s].given = false;
  const pith_status status = sectioned ? read_sections(path, json, sections, section_count, arena, error)
                                       : read_keys(path, json, &sections[0], arena, error);
  cJSON_Delete(json);
  return status;
}

static cJSON *write_patterns(const pith_name_patterns *patterns) {
  cJSON *list = cJSON_CreateArray();
  for (uint32_t i = 0; i < patterns->count; i++)
    if (!cJSON_AddItemToArray(list, cJSON_CreateString(patterns->list[i]))) {
      cJSON_Delete(list);
      return NULL;
    }
  return list;
}

static cJSON *write_value(const void *options, const pith_recipe_key *key) {
  const void *field = (const char *)options + key->offset;
  switch (key->type) {
  case PITH_RECIPE_WORD: {
    unsigned place;
    memcpy(&place, field, sizeof place);
    return cJSON_CreateString(key->words[place]);
  }
  case PITH_RECIPE_FLAG:
    return cJSON_CreateBool(*(const bool *)field);
  case PITH_RECIPE_COUNT: { /* cJSON writes large numbers with 15 digits */
    char number[24];
    snprintf(number, sizeof number, "%llu", (unsigned long long)*(const uint64_t *)field);
    return cJSON_CreateRaw(number);
  }
  case PITH_RECIPE_NUMBER: {
    const double number = *(const double *)field;
    return number < 0 && key->words != NULL ? cJSON_CreateString(key->words[(int)(-1.0 - number)])
                                            : cJSON_CreateNumber(number);
  }
  case PITH_RECIPE_TEXT:
  case PITH_RECIPE_FILE:
    return cJSON_CreateString(*(const char *const *)field);
  case PITH_RECIPE_PATTERNS:
    break;
  }
  return write_patterns(field);
}

static bool is_absent(const void *options, const pith_recipe_key *key) {
  const void *field = (const char *)options + key->offset;
  return key->type == PITH_RECIPE_PATTERNS
             ? ((const pith_name_patterns *)field)->count == 0
             : (key->type == PITH_RECIPE_TEXT || key->type == PITH_RECIPE_FILE) && *(const char *const *)field == NULL;
}

cJSON *pith_recipe_write(const void *options, const pith_recipe_key *keys) {
  cJSON *json = cJSON_CreateObject();
  for (const pith_recipe_key *key = keys; key->name != NULL; key++)
    if (!is_absent(options, key) && !cJSON_AddItemToObject(json, key->name, write_value(options, key))) {
      cJSON_Delete(json);
      return NULL;
    }
  return json;
}

/* ---- which graph ------------------------------------------------------------------------------------------------------- */

static void hash_text(void *context, const char *text, size_t bytes) {
  pith_sha256_update(context, text, bytes);
}

void pith_recipe_hash_graph(const pith_graph *graph, char *out_text) {
  pith_sha256 hash;
  pith_sha256_init(&hash);
  pith_graph_print(graph, &(const pith_text_sink){hash_text, &hash});
  uint8_t digest[PITH_SHA256_BYTES];
  pith_sha256_finish(&hash, digest);
  pith_sha256_format(digest, 8, out_text);
}

cJSON *pith_recipe_describe(const void *options, const pith_recipe_key *keys, const pith_graph *graph) {
  char hash[17];
  pith_recipe_hash_graph(graph, hash);
  cJSON *json = cJSON_CreateObject(), *recipe = pith_recipe_write(options, keys);
  cJSON_DeleteItemFromObjectCaseSensitive(recipe, "graph");
  if (cJSON_AddStringToObject(recipe, "graph", hash) != NULL && cJSON_AddItemToObject(json, "recipe", recipe))
    return json;
  cJSON_Delete(recipe);
  cJSON_Delete(json);
  return NULL;
}

pith_status pith_recipe_check_graph(const char *wanted, const pith_graph *graph, pith_error *error) {
  char hash[17];
  pith_recipe_hash_graph(graph, hash);
  if (wanted != NULL && strcmp(wanted, hash) != 0)
    return pith_fail(error, PITH_INVALID_ARGUMENT, "the recipe is for another model: its graph is %.40s, this one's %s",
                     wanted, hash);
  return PITH_OK;
}
