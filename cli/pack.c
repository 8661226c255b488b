/* pith pack: weights once more in the file, as the kernels of some CPUs read them. */
#include <stddef.h>
#include <string.h>

#include "cli/command.h"
#include "engine/exec/model.h"
#include "engine/format/format.h"
#include "engine/lower/pack_model.h"

typedef struct pack_settings {
  const char *operand;
  const char *output, *target;
} pack_settings;

static pith_status pack(const pith_model *model, const pack_settings *settings, pith_arena *arena,
                        pith_error *error) {
  pith_model_data packed;
  pith_packing packing;
  PITH_TRY(pith_pack_model(&model->data, settings->target, arena, &packed, &packing, error));
  pith_status status = pith_format_write(settings->output, &packed, error);
  pith_graph_destroy(packed.graph);
  if (status == PITH_OK && packing.weights == 0)
    puts("nothing to pack: every weight already lies as the kernels read it");
  else if (status == PITH_OK)
    printf("packed %u weight%s in %.1f MB for %s\n", packing.weights,
           packing.weights == 1 ? "" : "s", (double)packing.bytes * 1e-6, packing.targets);
  return status;
}

static int run(const void *given) {
  const pack_settings *settings = given;
  pith_error error = {0};
  pith_model *model;
  if (pith_model_open(settings->operand, NULL, &model, &error) != PITH_OK)
    return pith_report_error(&error);
  pith_arena arena;
  pith_arena_init(&arena, NULL);
  pith_status status = pack(model, settings, &arena, &error);
  pith_arena_deinit(&arena);
  pith_model_close(model);
  return status == PITH_OK ? PITH_EXIT_OK : pith_report_error(&error);
}

#define FIELD(name) offsetof(pack_settings, name)
static const pith_option options[] = {
    {"output", 'o', true, PITH_OPTION_FILE, "P.pith", FIELD(output), 0, 0, "the file to write"},
    {"target", 0, false, PITH_OPTION_TEXT, "LIST", FIELD(target), 0, 0,
     "CPU features such as avx512vnni,avx2, or any (default: what this CPU's kernels need)"},
    {0},
};

const pith_command pith_command_pack = {
    .name = "pack",
    .operand = "M.pith",
    .summary = "store weights a second time, as a CPU's kernels read them",
    .details = "A weight that two kinds of kernels read (tied embeddings) is stored as one of them "
               "does; the other repacks it at "
               "each call, unless the file has a copy for this CPU. Answers are the same, the file "
               "is larger.",
    .options = options,
    .defaults = &(const pack_settings){0},
    .settings_bytes = sizeof(pack_settings),
    .run = run,
};
