/* pith verify: every check on a file. */
#include <string.h>

#include "cli/command.h"
#include "engine/exec/model.h"
#include "engine/format/format.h"

typedef struct verify_settings {
  const char *operand;
} verify_settings;

static int run(const void *given) {
  const verify_settings *settings = given;
  pith_error error = {0};
  pith_model *model;
  if (pith_model_open(settings->operand, NULL, &model, &error) != PITH_OK)
    return pith_report_error(&error);
  pith_progress progress;
  pith_progress_begin(&progress, "verify", model->size);
  const pith_watcher watcher = pith_progress_get_watcher(&progress);
  pith_status status = pith_format_check_hashes(model->bytes, model->size, &watcher, &error);
  pith_progress_end(&progress);
  if (status == PITH_OK)
    status = pith_format_check_weights(model->data.graph, &error);
  if (status == PITH_OK)
    printf("%s: every check holds\n", settings->operand);
  pith_model_close(model);
  return status == PITH_OK ? PITH_EXIT_OK : pith_report_error(&error);
}

static const pith_option options[] = {{0}};

const pith_command pith_command_verify = {
    .name = "verify",
    .operand = "M.pith",
    .summary = "check a model file whole, hashes included",
    .details = "Loading checks structure, graph and bounds and reads no weight; this reads every byte, "
               "unpacks every weight, and counts what patterns keep.",
    .options = options,
    .defaults = &(const verify_settings){0},
    .settings_bytes = sizeof(verify_settings),
    .run = run,
};
