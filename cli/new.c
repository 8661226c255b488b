/* pith new: a model with random weights. */
#include <stddef.h>
#include <string.h>

#include "cli/command.h"
#include "compiler/import/import.h"
#include "engine/format/format.h"

typedef struct new_settings {
  const char *operand;
  const char *output, *tokenizer, *class_name;
  bool cased;
  uint64_t seed;
} new_settings;

static int run(const void *given) {
  const new_settings *settings = given;
  if (settings->cased && settings->tokenizer == NULL)
    return pith_usage_error("--cased goes with --tokenizer");
  pith_new_options new_options = PITH_NEW_OPTIONS_INIT;
  new_options.tokenizer_directory = settings->tokenizer;
  new_options.class_name = settings->class_name;
  new_options.cased = settings->cased ? 1 : -1;
  new_options.seed = settings->seed;
  pith_progress progress;
  pith_progress_begin(&progress, "weights", 0);
  const pith_watcher watcher = pith_progress_get_watcher(&progress);
  new_options.watcher = &watcher;
  pith_error error = {0};
  pith_import model;
  pith_status status = pith_new_model(settings->operand, &new_options, &model, &error);
  if (status == PITH_OK) {
    status = pith_format_write_watched(settings->output, &model.data, &watcher, &error);
    pith_import_deinit(&model);
  }
  pith_progress_end(&progress);
  return status == PITH_OK ? PITH_EXIT_OK : pith_report_error(&error);
}

#define FIELD(name) offsetof(new_settings, name)
static const pith_option options[] = {
    {"output", 'o', true, PITH_OPTION_FILE, "M.pith", FIELD(output), 0, 0, "the file to write"},
    {"seed", 0, true, PITH_OPTION_COUNT, "N", FIELD(seed), 0, UINT64_MAX, "the same seed gives the same weights"},
    {"tokenizer", 0, false, PITH_OPTION_FILE, "DIR", FIELD(tokenizer), 0, 0,
     "take the tokenizer of this Hugging Face directory"},
    {"class", 0, false, PITH_OPTION_TEXT, "NAME", FIELD(class_name), 0, 0,
     "the head, such as BertForMaskedLM (default: as the config says)"},
    {"cased", 0, false, PITH_OPTION_FLAG, NULL, FIELD(cased), 0, 0, "a bare vocab.txt keeps case"},
    {0},
};

const pith_command pith_command_new = {
    .name = "new",
    .operand = "CONFIG.json",
    .summary = "a model with random weights, from a Hugging Face config",
    .details = "For benchmarks and tests: weights are normal with the config's initializer_range.",
    .options = options,
    .defaults = &(const new_settings){0},
    .settings_bytes = sizeof(new_settings),
    .run = run,
};
