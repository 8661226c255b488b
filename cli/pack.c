/* pith pack: weights once more in the file, as the kernels of some CPUs read them; and, with --tune, stored as they run
 * fastest. */
#include <cjson/cJSON.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "cli/bench_internal.h"
#include "cli/session.h"
#include "engine/exec/model.h"
#include "engine/format/format.h"
#include "engine/lower/pack_model.h"
#include "sparse/tune.h"

typedef struct pack_settings {
  const char *operand;
  const char *output, *target;
  bool tune, json;
  uint64_t batch, sequence;
  pith_cli_limits limits;
} pack_settings;

/* ---- tuning ------------------------------------------------------------------------------------------------------- */

typedef struct tune_progress {
  pith_progress progress;
  bool begun;
} tune_progress;

static void report_run(void *context, size_t done, size_t total) {
  tune_progress *p = context;
  if (!p->begun)
    pith_progress_begin(&p->progress, "runs", total);
  p->begun = true;
  pith_progress_update(&p->progress, done);
}

static pith_status tune(const pith_cli_session *open, const pack_settings *settings, pith_arena *arena,
                        pith_model_data *out_data, pith_tuning *out_tuning, pith_error *error) {
  tune_progress progress = {0};
  pith_tune_options options = {
      .batch = settings->batch,
      .sequence = settings->sequence,
      .threadpool = open->pool,
      .report = report_run,
      .context = &progress,
  };
  PITH_TRY(pith_bench_count_ids(open->model->data.graph, &options.id_count, error));
  pith_status status = pith_sparse_tune(&open->model->data, &options, arena, out_data, out_tuning, error);
  if (progress.begun)
    pith_progress_end(&progress.progress);
  return status;
}

static void print_tuning(const pith_tuning *tuning) {
  if (tuning->layer_count == 0) {
    puts("nothing to tune: no product's weights have zeros that leave out blocks");
    return;
  }
  printf("%-44s %9s %9s %9s %9s %9s  %s\n", "ms at each layout", "4x1 kept", "4x4 kept", "dense", "4x1", "4x4", "mixed");
  for (uint32_t i = 0; i < tuning->layer_count; i++) {
    const pith_tune_layer *layer = &tuning->layers[i];
    printf("%-44.44s %8.1f%% %8.1f%% %9.4f", layer->name, 100 * layer->occupancy[PITH_TUNE_4X1],
           100 * layer->occupancy[PITH_TUNE_4X4], 1e3 * layer->seconds[PITH_TUNE_DENSE]);
    for (int way = PITH_TUNE_4X1; way <= PITH_TUNE_4X4; way++)
      if (layer->seconds[way] > 0)
        printf(" %9.4f", 1e3 * layer->seconds[way]);
      else
        printf(" %9s", "");
    printf("  %s\n", pith_tune_way_get_name(layer->way));
  }
  printf("the model, %zu x %zu, %zu thread%s:", tuning->batch, tuning->sequence, tuning->threads,
         tuning->threads == 1 ? "" : "s");
  for (int way = 0; way < PITH_TUNE_WAY_COUNT; way++)
    if (tuning->seconds[way] > 0)
      printf("%s %s %.3f ms", way == 0 ? "" : ",", pith_tune_way_get_name((pith_tune_way)way), 1e3 * tuning->seconds[way]);
  printf("; stored %s\n", pith_tune_way_get_name(tuning->way));
}

/* ---- all of it ---------------------------------------------------------------------------------------------------- */

static void print_packing(const pith_packing *packing) {
  if (packing->weights == 0)
    puts("nothing to pack: every weight already lies as the kernels read it");
  else
    printf("packed %u weight%s in %.1f MB for %s\n", packing->weights, packing->weights == 1 ? "" : "s",
           (double)packing->bytes * 1e-6, packing->targets);
}

static pith_status print_json(const pith_packing *packing, const pith_tuning *tuning, pith_error *error) {
  cJSON *json = cJSON_CreateObject(), *pack = json == NULL ? NULL : cJSON_AddObjectToObject(json, "pack");
  bool ok = pack != NULL && cJSON_AddNumberToObject(pack, "weights", packing->weights) != NULL &&
            cJSON_AddNumberToObject(pack, "bytes", (double)packing->bytes) != NULL &&
            cJSON_AddStringToObject(pack, "targets", packing->targets) != NULL;
  if (ok && tuning != NULL) {
    cJSON *figures = pith_tuning_to_json(tuning);
    ok = figures != NULL && cJSON_AddItemToObject(json, "tune", figures);
  }
  char *text = ok ? cJSON_PrintUnformatted(json) : NULL;
  cJSON_Delete(json);
  if (text == NULL)
    return pith_fail(error, PITH_OUT_OF_MEMORY, "no memory for the report");
  puts(text);
  free(text);
  return PITH_OK;
}

static pith_status pack(const pith_cli_session *open, const pack_settings *settings, pith_arena *arena,
                        pith_error *error) {
  pith_model_data data = open->model->data, packed;
  pith_packing packing;
  pith_tuning tuning;
  if (settings->tune)
    PITH_TRY(tune(open, settings, arena, &data, &tuning, error));
  pith_status status = pith_pack_model(&data, settings->target, arena, &packed, &packing, error);
  if (status == PITH_OK) {
    status = pith_format_write(settings->output, &packed, error);
    pith_graph_destroy(packed.graph);
  }
  if (settings->tune)
    pith_graph_destroy(data.graph);
  if (status == PITH_OK && settings->json)
    return print_json(&packing, settings->tune ? &tuning : NULL, error);
  if (status == PITH_OK && settings->tune)
    print_tuning(&tuning);
  if (status == PITH_OK)
    print_packing(&packing);
  return status;
}

static int run(const void *given) {
  pack_settings settings = *(const pack_settings *)given;
  if (!settings.tune && (settings.batch != 0 || settings.sequence != 0 || settings.limits.threads != 0))
    return pith_usage_error("--batch, --seq and --threads go with --tune");
  settings.batch = settings.batch == 0 ? 1 : settings.batch;
  settings.sequence = settings.sequence == 0 ? 128 : settings.sequence;
  if (!settings.tune)
    settings.limits.threads = 1;
  pith_error error = {0};
  pith_cli_session open;
  if (pith_cli_model_open(&open, settings.operand, &settings.limits, &error) != PITH_OK)
    return pith_report_error(&error);
  pith_arena arena;
  pith_arena_init(&arena, NULL);
  pith_status status = pack(&open, &settings, &arena, &error);
  pith_arena_deinit(&arena);
  pith_cli_session_close(&open);
  return status == PITH_OK ? PITH_EXIT_OK : pith_report_error(&error);
}

#define FIELD(name) offsetof(pack_settings, name)
static const pith_option options[] = {
    {"output", 'o', true, PITH_OPTION_FILE, "P.pith", FIELD(output), 0, 0, "the file to write"},
    {"target", 0, false, PITH_OPTION_TEXT, "LIST", FIELD(target), 0, 0,
     "CPU features such as avx512vnni,avx2, or any (default: what this CPU's kernels need)"},
    {"tune", 0, false, PITH_OPTION_FLAG, NULL, FIELD(tune), 0, 0,
     "first time every product dense and sparse and store its weights as they ran fastest"},
    {"batch", 0, false, PITH_OPTION_COUNT, "B", FIELD(batch), 1, 1 << 20, "tune: sequences in one run (default: 1)"},
    {"seq", 0, false, PITH_OPTION_COUNT, "S", FIELD(sequence), 1, 1 << 20,
     "tune: tokens of each sequence (default: 128)"},
    {"json", 0, false, PITH_OPTION_FLAG, NULL, FIELD(json), 0, 0, "one JSON object"},
    PITH_OPTION_THREADS(pack_settings),
    {0},
};

const pith_command pith_command_pack = {
    .name = "pack",
    .operand = "M.pith",
    .summary = "store weights a second time, as a CPU's kernels read them",
    .details = "A weight that two kinds of kernels read (tied embeddings) is stored as one of them "
               "does; the other repacks it at "
               "each call, unless the file has a copy for this CPU. Answers are the same, the file "
               "is larger. --tune decides which weights with blocks of zeros (pith prune) are stored without them: the whole "
               "model runs with each layout by turns at the batch it will be used with, every product keeps what was "
               "fastest, and the model stays dense where that as a whole is not faster. Decision and times are in the file's "
               "history. Answers do not change.",
    .options = options,
    .defaults = &(const pack_settings){0},
    .settings_bytes = sizeof(pack_settings),
    .run = run,
};
