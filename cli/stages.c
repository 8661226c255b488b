#include "cli/stages.h"

#include <stdlib.h>
#include <string.h>

#include "compiler/import/json.h"
#include "quant/recipe.h"
#include "sparse/options.h"
#include "train/options.h"

const pith_cli_stage_kind pith_cli_stage_kinds[] = {
    {"prune", pith_prune_keys, pith_cli_stage_prune},
    {"quantize", pith_quant_keys, pith_cli_stage_quantize},
    {"train", pith_train_keys, pith_cli_stage_train},
    {0},
};

static const char *next_kind(void *context) {
  const pith_cli_stage_kind **next = context;
  return (*next)->name == NULL ? NULL : (*next)++->name;
}

static pith_status find_kind(const char *where, const char *name, const pith_cli_stage_kind **out_kind, pith_error *error) {
  for (const pith_cli_stage_kind *kind = pith_cli_stage_kinds; kind->name != NULL; kind++)
    if (strcmp(kind->name, name) == 0) {
      *out_kind = kind;
      return PITH_OK;
    }
  const pith_cli_stage_kind *next = pith_cli_stage_kinds;
  char suggestion[PITH_SUGGESTION_BYTES];
  return pith_fail(error, PITH_INVALID_ARGUMENT, "%s: no stage '%.60s'%s", where, name,
                   pith_suggest_to(name, next_kind, &next, suggestion));
}

const char *pith_cli_stage_path(pith_arena *arena, const char *output, uint32_t i) {
  return pith_arena_format(arena, "%s.stage.%u", output, i);
}

typedef struct reading {
  pith_cli_stages *stages;
  const char *name; /* of the recipe */
  const pith_cli_place *places;
  const char *output;
  pith_arena *arena;
} reading;

static pith_status fill(cJSON *item, const char *value, pith_error *error) {
  return value != NULL && cJSON_SetValuestring(item, value) != NULL
             ? PITH_OK
             : pith_fail(error, PITH_OUT_OF_MEMORY, "no memory for a recipe");
}

static const char stage_place[] = "$stage.";

static bool is_stage(const cJSON *item) {
  return strncmp(item->valuestring, stage_place, strlen(stage_place)) == 0;
}

/* "$stage.2", whose number is one of a stage before. */
static pith_status fill_stage(const reading *r, const char *where, cJSON *item, pith_error *error) {
  const char *number = item->valuestring + strlen(stage_place);
  char *end;
  const unsigned long stage = strtoul(number, &end, 10);
  if (number[0] < '1' || number[0] > '9' || *end != '\0' || stage > r->stages->count)
    return pith_fail(error, PITH_INVALID_ARGUMENT, "%s: %s is '%.60s', which is none of the %u stages before it", where,
                     item->string, item->valuestring, r->stages->count);
  return fill(item, pith_cli_stage_path(r->arena, r->output, (uint32_t)stage), error);
}

/* "$data" becomes what the command line said. */
static pith_status fill_place(const reading *r, const char *where, cJSON *item, pith_error *error) {
  for (const pith_cli_place *place = r->places; place->name != NULL; place++) {
    if (strcmp(item->valuestring + 1, place->name) != 0)
      continue;
    if (place->value == NULL)
      return pith_fail(error, PITH_INVALID_ARGUMENT, "--%s is missing: %s has it as its %s", place->name, where, item->string);
    return fill(item, place->value, error);
  }
  return pith_fail(error, PITH_INVALID_ARGUMENT, "%s: %s is '%.60s', which stands for nothing", where, item->string,
                   item->valuestring);
}

/* `told` is the same stage as the history keeps it: a place of the command line is filled in there too, another stage's file, which
 * will be gone, is not. */
static pith_status read_stage(const reading *r, cJSON *item, const cJSON *told, pith_error *error) {
  pith_cli_stages *stages = r->stages;
  const char *name = r->name;
  const uint32_t i = stages->count;
  cJSON *options = item->child;
  if (!cJSON_IsObject(item) || options == NULL || options->next != NULL || !cJSON_IsObject(options))
    return pith_fail(error, PITH_FORMAT, "%s: stage %u is no object with one technique, such as {\"prune\": {..}}", name, i + 1);
  const char *where = pith_arena_format(r->arena, "%s: stage %u (%.60s)", name, i + 1, options->string);
  if (where == NULL)
    return pith_fail(error, PITH_OUT_OF_MEMORY, "no memory for a recipe");
  stages->stages[i].where = where;
  stages->stages[i].options = options;
  PITH_TRY(find_kind(where, options->string, &stages->stages[i].kind, error));
  cJSON *kept = told->child->child;
  for (cJSON *option = options->child; option != NULL; option = option->next, kept = kept->next) {
    if (!cJSON_IsString(option) || option->valuestring[0] != '$')
      continue;
    const bool of_stage = is_stage(option);
    PITH_TRY(of_stage ? fill_stage(r, where, option, error) : fill_place(r, where, option, error));
    if (!of_stage)
      PITH_TRY(fill(kept, option->valuestring, error));
  }
  stages->count++;
  return PITH_OK;
}

pith_status pith_cli_stages_read(pith_cli_stages *stages, const char *text, size_t bytes, const char *name,
                                 const pith_cli_place *places, const char *output, pith_arena *arena, pith_error *error) {
  const reading r = {.stages = stages, .name = name, .places = places, .output = output, .arena = arena};
  *stages = (pith_cli_stages){0};
  PITH_TRY(pith_json_parse(text, bytes, name, &stages->json, error));
  const cJSON *list = cJSON_GetObjectItemCaseSensitive(stages->json, "stages");
  for (const cJSON *item = stages->json->child; item != NULL; item = item->next)
    if (item->string == NULL || item != list)
      return pith_fail(error, PITH_INVALID_ARGUMENT, "%s: no key '%.60s' in recipes of stages: {\"stages\": [{\"train\": {..}}, ..]}",
                       name, item->string == NULL ? "" : item->string);
  if (!cJSON_IsArray(list) || list->child == NULL)
    return pith_fail(error, PITH_FORMAT, "%s: no stages: {\"stages\": [{\"train\": {..}}, ..]}", name);
  stages->run = cJSON_Duplicate(list, true);
  if (stages->run == NULL)
    return pith_fail(error, PITH_OUT_OF_MEMORY, "no memory for a recipe");
  const cJSON *told = list->child;
  for (cJSON *item = stages->run->child; item != NULL; item = item->next, told = told->next) {
    if (stages->count == PITH_MAX_STAGES)
      return pith_fail(error, PITH_LIMIT, "%s: more than %d stages", name, PITH_MAX_STAGES);
    PITH_TRY(read_stage(&r, item, told, error));
  }
  return PITH_OK;
}

void pith_cli_stages_deinit(pith_cli_stages *stages) {
  cJSON_Delete(stages->json);
  cJSON_Delete(stages->run);
}
