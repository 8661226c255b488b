/* pith compress: the stages of a recipe, one after the other, each on what the one before made. */
#include <errno.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cjson/cJSON.h>

#include "cli/stages.h"
#include "compiler/history.h"
#include "compiler/import/json.h"
#include "engine/base/file_writer.h"
#include "engine/base/hash.h"
#include "engine/base/mapped_file.h"
#include "engine/exec/model.h"
#include "engine/format/format.h"

typedef struct compress_settings {
  const char *operand;
  const char *output, *goal, *recipe, *task, *data, *eval_data, *teacher;
  bool resume, json;
  pith_cli_limits limits;
} compress_settings;

typedef char hex[2 * PITH_SHA256_BYTES + 1];

/* What one run works on. */
typedef struct job {
  const compress_settings *settings;
  pith_arena arena;
  pith_mapped_file file;      /* the recipe's, where it is one */
  const char *name;           /* what messages call it */
  pith_cli_stages stages;
  const char *state_path;     /* which stages are done, beside the output */
  hex key;                    /* of model, recipe and data: a run that goes on is of the same ones */
  hex data, eval_data;
  uint32_t done;
  cJSON *told;                /* of each stage: its name, seconds, metrics */
} job;

static pith_status no_memory(pith_error *error) {
  return pith_fail(error, PITH_OUT_OF_MEMORY, "no memory for the stages of a recipe");
}

/* ---- the recipe ------------------------------------------------------------------------------------------------------------- */

static const pith_cli_ready_recipe *find_ready(const char *goal) {
  for (const pith_cli_ready_recipe *ready = pith_cli_ready_recipes; ready->name != NULL; ready++)
    if (strcmp(ready->name, goal) == 0)
      return ready;
  return NULL;
}

static int list_goals(const char *goal) {
  char known[400] = "";
  for (const pith_cli_ready_recipe *ready = pith_cli_ready_recipes; ready->name != NULL; ready++)
    snprintf(known + strlen(known), sizeof known - strlen(known), "%s%s", known[0] == '\0' ? "" : ", ", ready->name);
  return goal == NULL ? pith_usage_error("--for or --recipe is missing; --for takes %s", known)
                      : pith_usage_error("--for is '%.60s'; it takes %s", goal, known);
}

static int read_recipe(job *j) {
  const compress_settings *s = j->settings;
  if ((s->goal != NULL) == (s->recipe != NULL))
    return s->goal == NULL ? list_goals(NULL) : pith_usage_error("--for and --recipe do not go together");
  const pith_cli_place places[] = {{"model", s->operand},
                                   {"task", s->task},
                                   {"data", s->data},
                                   {"eval-data", s->eval_data},
                                   {"teacher", s->teacher == NULL ? s->operand : s->teacher},
                                   {0}};
  pith_error error = {0};
  pith_status status = PITH_OK;
  const void *text;
  size_t bytes;
  if (s->goal != NULL) {
    const pith_cli_ready_recipe *ready = find_ready(s->goal);
    if (ready == NULL)
      return list_goals(s->goal);
    j->name = s->goal;
    text = ready->text;
    bytes = ready->bytes;
  } else {
    j->name = s->recipe;
    status = pith_mapped_file_open(s->recipe, &j->file, &error);
    text = j->file.bytes;
    bytes = j->file.size;
  }
  if (status == PITH_OK)
    status = pith_cli_stages_read(&j->stages, text, bytes, j->name, places, s->output, &j->arena, &error);
  return status == PITH_OK ? PITH_EXIT_OK : pith_report_error(&error);
}

/* ---- what the stages have between them --------------------------------------------------------------------------------------- */

static pith_status hash_file(const char *path, hex out, pith_error *error) {
  out[0] = '\0';
  if (path == NULL)
    return PITH_OK;
  pith_mapped_file file;
  uint8_t digest[PITH_SHA256_BYTES];
  PITH_TRY(pith_mapped_file_open(path, &file, error));
  pith_sha256_digest(file.bytes, file.size, digest);
  pith_mapped_file_close(&file);
  pith_sha256_format(digest, sizeof digest, out);
  return PITH_OK;
}

static pith_status make_key(job *j, pith_error *error) {
  const compress_settings *s = j->settings;
  hex model, teacher;
  uint8_t digest[PITH_SHA256_BYTES];
  PITH_TRY(hash_file(s->operand, model, error));
  PITH_TRY(hash_file(s->teacher, teacher, error));
  PITH_TRY(hash_file(s->data, j->data, error));
  PITH_TRY(hash_file(s->eval_data, j->eval_data, error));
  char *recipe = cJSON_PrintUnformatted(j->stages.json);
  const char *all = recipe == NULL ? NULL : pith_arena_format(&j->arena, "%s%s%s%s%s", model, teacher, j->data, j->eval_data, recipe);
  cJSON_free(recipe);
  if (all == NULL)
    return no_memory(error);
  pith_sha256_digest(all, strlen(all), digest);
  pith_sha256_format(digest, sizeof digest, j->key);
  return PITH_OK;
}

/* The file that stage i (from 1) makes; 0: the model. */
static const char *get_path(job *j, uint32_t i) {
  return i == 0 ? j->settings->operand : pith_cli_stage_path(&j->arena, j->settings->output, i);
}

static pith_status read_state(job *j, pith_error *error) {
  if (!j->settings->resume || access(j->state_path, F_OK) != 0)
    return PITH_OK;
  cJSON *json;
  PITH_TRY(pith_json_open(j->state_path, &json, error));
  const cJSON *key = cJSON_GetObjectItemCaseSensitive(json, "key");
  cJSON *told = cJSON_GetObjectItemCaseSensitive(json, "stages");
  const bool same = cJSON_IsString(key) && strcmp(key->valuestring, j->key) == 0 && cJSON_IsArray(told) &&
                    cJSON_GetArraySize(told) <= (int)j->stages.count;
  if (same) {
    cJSON_Delete(j->told);
    j->told = cJSON_DetachItemViaPointer(json, told);
    j->done = (uint32_t)cJSON_GetArraySize(j->told);
  }
  cJSON_Delete(json);
  return same ? PITH_OK
              : pith_fail(error, PITH_INVALID_ARGUMENT, "%s is of another model, recipe or data: without --resume it begins anew",
                          j->state_path);
}

static pith_status write_state(job *j, pith_error *error) {
  char *told = cJSON_PrintUnformatted(j->told);
  const char *text = told == NULL ? NULL : pith_arena_format(&j->arena, "{\"key\":\"%s\",\"stages\":%s}\n", j->key, told);
  cJSON_free(told);
  if (text == NULL)
    return no_memory(error);
  pith_file_writer writer;
  PITH_TRY(pith_file_writer_open(&writer, j->state_path, error));
  pith_status status = pith_file_writer_write(&writer, text, strlen(text), error);
  if (status == PITH_OK)
    status = pith_file_writer_commit(&writer, error);
  pith_file_writer_discard(&writer);
  return status;
}

/* {"stage":"train","seconds":..,"bytes":..,"metrics":{"sst2 accuracy":..}}; the metrics that the stage measured on what it made. */
static pith_status tell_stage(job *j, uint32_t i, const char *path, double seconds, pith_error *error) {
  pith_model *model;
  struct stat file;
  PITH_TRY(pith_model_open(path, NULL, &model, error));
  cJSON *stage = cJSON_CreateObject();
  bool whole = stage != NULL && stat(path, &file) == 0 &&
               cJSON_AddStringToObject(stage, "stage", j->stages.stages[i].kind->name) != NULL &&
               cJSON_AddNumberToObject(stage, "seconds", seconds) != NULL &&
               cJSON_AddNumberToObject(stage, "bytes", (double)file.st_size) != NULL;
  cJSON *metrics = whole ? cJSON_AddObjectToObject(stage, "metrics") : NULL;
  whole = metrics != NULL;
  for (uint32_t m = 0; m < model->data.report_count && whole; m++)
    whole = cJSON_AddNumberToObject(metrics, model->data.report[m].metric, model->data.report[m].value) != NULL;
  pith_model_close(model);
  if (whole && cJSON_AddItemToArray(j->told, stage))
    return PITH_OK;
  cJSON_Delete(stage);
  return no_memory(error);
}

/* ---- stages ------------------------------------------------------------------------------------------------------------------- */

static pith_cli_stage make_stage(const job *j, uint32_t i) {
  return (pith_cli_stage){.where = j->stages.stages[i].where,
                          .options = j->stages.stages[i].options,
                          .threads = j->settings->limits.threads,
                          .resume = j->settings->resume,
                          .json = j->settings->json};
}

/* All of them, before the first begins. */
static int check_stages(job *j) {
  for (uint32_t i = 0; i < j->stages.count; i++) {
    pith_cli_stage stage = make_stage(j, i);
    stage.check_only = true;
    const int exit_status = j->stages.stages[i].kind->run(&stage);
    if (exit_status != PITH_EXIT_OK)
      return exit_status;
  }
  return PITH_EXIT_OK;
}

static int run_stage(job *j, uint32_t i) {
  pith_error error = {0};
  pith_cli_stage stage = make_stage(j, i);
  stage.model = get_path(j, i);
  stage.output = get_path(j, i + 1);
  if (stage.model == NULL || stage.output == NULL) {
    (void)no_memory(&error);
    return pith_report_error(&error);
  }
  if (!j->settings->json) {
    printf("stage %u of %u: %s\n", i + 1, j->stages.count, j->stages.stages[i].kind->name);
    fflush(stdout);
  }
  const uint64_t begin = pith_now_ns();
  const int exit_status = j->stages.stages[i].kind->run(&stage);
  if (exit_status != PITH_EXIT_OK)
    return exit_status;
  pith_status status = tell_stage(j, i, stage.output, 1e-9 * (double)(pith_now_ns() - begin), &error);
  if (status == PITH_OK)
    status = write_state(j, &error);
  return status == PITH_OK ? PITH_EXIT_OK : pith_report_error(&error);
}

/* ---- the result ---------------------------------------------------------------------------------------------------------------- */

/* {"recipe":{"stages":[..]},"data":SHA-256,"eval_data":SHA-256,"stages":[..]} */
static cJSON *make_history(const job *j) {
  cJSON *history = cJSON_CreateObject();
  bool whole = history != NULL && cJSON_AddItemToObject(history, "recipe", cJSON_Duplicate(j->stages.json, true));
  if (whole && j->data[0] != '\0')
    whole = cJSON_AddStringToObject(history, "data_sha256", j->data) != NULL;
  if (whole && j->eval_data[0] != '\0')
    whole = cJSON_AddStringToObject(history, "eval_data_sha256", j->eval_data) != NULL;
  if (whole && cJSON_AddItemToObject(history, "stages", cJSON_Duplicate(j->told, true)))
    return history;
  cJSON_Delete(history);
  return NULL;
}

/* The last stage's file, with the history of all of them. */
static pith_status write_result(job *j, pith_error *error) {
  const char *last = get_path(j, j->stages.count);
  pith_model *model;
  if (last == NULL)
    return no_memory(error);
  PITH_TRY(pith_model_open(last, NULL, &model, error));
  pith_model_data data = model->data;
  pith_status status = pith_history_add(&data, "compress", make_history(j), &j->arena, error);
  if (status == PITH_OK)
    status = pith_format_write(j->settings->output, &data, error);
  pith_model_close(model);
  return status;
}

static void remove_stages(job *j) {
  for (uint32_t i = 1; i <= j->stages.count; i++) {
    const char *path = get_path(j, i);
    if (path != NULL)
      (void)unlink(path);
  }
  (void)unlink(j->state_path);
}

static void print_result(const job *j) {
  if (j->settings->json) {
    char *told = cJSON_PrintUnformatted(j->told);
    if (told != NULL)
      printf("{\"stages\":%s}\n", told);
    cJSON_free(told);
    return;
  }
  puts("stage\tseconds\tMB\tmetrics");
  for (const cJSON *stage = j->told->child; stage != NULL; stage = stage->next) {
    printf("%s\t%.1f\t%.2f", cJSON_GetObjectItemCaseSensitive(stage, "stage")->valuestring,
           cJSON_GetObjectItemCaseSensitive(stage, "seconds")->valuedouble,
           cJSON_GetObjectItemCaseSensitive(stage, "bytes")->valuedouble * 1e-6);
    const cJSON *metrics = cJSON_GetObjectItemCaseSensitive(stage, "metrics");
    for (const cJSON *metric = metrics->child; metric != NULL; metric = metric->next)
      printf("\t%s %.4f", metric->string, metric->valuedouble);
    puts("");
  }
}

/* ---- all of it ------------------------------------------------------------------------------------------------------------------ */

static pith_status begin(job *j, pith_error *error) {
  j->state_path = pith_arena_format(&j->arena, "%s.stages", j->settings->output);
  j->told = cJSON_CreateArray();
  if (j->state_path == NULL || j->told == NULL)
    return no_memory(error);
  PITH_TRY(make_key(j, error));
  PITH_TRY(read_state(j, error));
  if (!j->settings->resume)
    remove_stages(j);
  return PITH_OK;
}

static int compress(job *j) {
  int exit_status = read_recipe(j);
  if (exit_status == PITH_EXIT_OK)
    exit_status = check_stages(j);
  if (exit_status != PITH_EXIT_OK)
    return exit_status;
  pith_error error = {0};
  if (begin(j, &error) != PITH_OK)
    return pith_report_error(&error);
  for (uint32_t i = j->done; i < j->stages.count && exit_status == PITH_EXIT_OK; i++)
    exit_status = run_stage(j, i);
  if (exit_status != PITH_EXIT_OK)
    return exit_status;
  if (write_result(j, &error) != PITH_OK)
    return pith_report_error(&error);
  print_result(j);
  remove_stages(j);
  return PITH_EXIT_OK;
}

static int run(const void *given) {
  job j = {.settings = given};
  pith_arena_init(&j.arena, NULL);
  const int exit_status = compress(&j);
  cJSON_Delete(j.told);
  pith_cli_stages_deinit(&j.stages);
  pith_mapped_file_close(&j.file);
  pith_arena_deinit(&j.arena);
  return exit_status;
}

#define FIELD(name) offsetof(compress_settings, name)
static const pith_option options[] = {
    {"output", 'o', true, PITH_OPTION_FILE, "OUT.pith", FIELD(output), 0, 0, "the file to write"},
    {"for", 0, false, PITH_OPTION_TEXT, "GOAL", FIELD(goal), 0, 0, "a recipe that comes with pith: int8, qat, sparse, small, or another of those that a wrong name lists"},
    {"recipe", 0, false, PITH_OPTION_FILE, "FILE", FIELD(recipe), 0, 0,
     "JSON: {\"stages\": [{\"prune\": {..}}, {\"train\": {..}}, {\"quantize\": {..}}]}, the keys being those subcommands' options"},
    {"task", 0, false, PITH_OPTION_TEXT, "TASK", FIELD(task), 0, 0, "what stands for $task in the recipe"},
    {"data", 0, false, PITH_OPTION_FILE, "FILE", FIELD(data), 0, 0, "for $data: what to train on"},
    {"eval-data", 0, false, PITH_OPTION_FILE, "FILE", FIELD(eval_data), 0, 0, "for $eval-data: what to measure on"},
    {"teacher", 0, false, PITH_OPTION_FILE, "T.pith", FIELD(teacher), 0, 0, "for $teacher (default: M.pith, which is $model too)"},
    {"resume", 0, false, PITH_OPTION_FLAG, NULL, FIELD(resume), 0, 0, "go on where the run with this output was stopped or killed"},
    {"json", 0, false, PITH_OPTION_FLAG, NULL, FIELD(json), 0, 0,
     "what the stages print with --json, then {\"stages\":[{\"stage\":..,\"seconds\":..,\"bytes\":..,\"metrics\":{..}},..]}"},
    PITH_OPTION_THREADS(compress_settings),
    {0},
};

const pith_command pith_command_compress = {
    .name = "compress",
    .operand = "M.pith",
    .summary = "prunes, trains and quantizes a model by a recipe of stages",
    .details = "Each stage works on what the one before it made; the last one's becomes OUT.pith, which holds the recipe, hashes of the "
               "data, and what each stage measured. All options are checked before the first stage begins. OUT.pith.stage.* and "
               "OUT.pith.stages stand beside the output until then: --resume goes on in the stage that was stopped.",
    .options = options,
    .defaults = &(const compress_settings){0},
    .settings_bytes = sizeof(compress_settings),
    .run = run,
};
