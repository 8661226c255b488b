/* pith import: a model of another format becomes a .pith file. */
#include <errno.h>
#include <stddef.h>
#include <string.h>
#include <unistd.h>

#include "cli/command.h"
#include "compiler/import/import.h"
#include "engine/format/format.h"

typedef struct import_settings {
  const char *operand;
  const char *output, *class_name;
  bool cased, without_tokenizer;
} import_settings;

static int run(const void *given) {
  const import_settings *settings = given;
  if (settings->cased && settings->without_tokenizer)
    return pith_usage_error("--cased and --without-tokenizer exclude each other");
  if (access(settings->operand, F_OK) != 0)
    return pith_report_failure("%s: %s", settings->operand, strerror(errno));
  pith_import_options import_options = PITH_IMPORT_OPTIONS_INIT;
  import_options.class_name = settings->class_name;
  import_options.cased = settings->cased ? 1 : -1;
  import_options.without_tokenizer = settings->without_tokenizer;
  pith_progress progress;
  pith_progress_begin(&progress, "weights", 0);
  const pith_watcher watcher = pith_progress_get_watcher(&progress);
  import_options.watcher = &watcher;
  pith_error error = {0};
  pith_import import;
  pith_status status = pith_import_huggingface(settings->operand, &import_options, &import, &error);
  if (status == PITH_OK) {
    status = pith_format_write_watched(settings->output, &import.data, &watcher, &error);
    pith_import_deinit(&import);
  }
  pith_progress_end(&progress);
  return status == PITH_OK ? PITH_EXIT_OK : pith_report_error(&error);
}

#define FIELD(name) offsetof(import_settings, name)
static const pith_option options[] = {
    {"output", 'o', true, PITH_OPTION_FILE, "M.pith", FIELD(output), 0, 0, "the file to write"},
    {"class", 0, false, PITH_OPTION_TEXT, "NAME", FIELD(class_name), 0, 0,
     "the head, such as BertForMaskedLM (default: as config.json says)"},
    {"cased", 0, false, PITH_OPTION_FLAG, NULL, FIELD(cased), 0, 0, "a bare vocab.txt keeps case"},
    {"without-tokenizer", 0, false, PITH_OPTION_FLAG, NULL, FIELD(without_tokenizer), 0, 0,
     "leave the tokenizer out"},
    {0},
};

const pith_command pith_command_import = {
    .name = "import",
    .operand = "SRC",
    .summary = "a Hugging Face directory to one .pith file",
    .details = "SRC holds config.json, model.safetensors (or its shards) and tokenizer files, or a "
               "sentence-transformers model. The output appears whole or not at all.",
    .options = options,
    .defaults = &(const import_settings){0},
    .settings_bytes = sizeof(import_settings),
    .run = run,
};
