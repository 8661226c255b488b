/* pith eval: a model's metrics on a task's data. */
#include <stddef.h>
#include <string.h>

#include "cli/session.h"
#include "cli/task.h"

typedef struct eval_settings {
  const char *operand;
  const char *task, *data;
  bool json;
  pith_cli_limits limits;
} eval_settings;

static void show_progress(void *context, uint64_t done) {
  pith_progress_update(context, done);
}

static void print_result(const pith_eval_task *task, const pith_evaluation *evaluation, bool json) {
  if (!json) {
    printf("%s\t%zu rows\n", task->name, evaluation->n);
    for (size_t i = 0; i < evaluation->metric_count; i++)
      printf("%s\t%.4f\n", evaluation->metrics[i].name, evaluation->metrics[i].value);
    return;
  }
  printf("{\"task\":\"%s\",\"n\":%zu,\"metrics\":{", task->name, evaluation->n);
  for (size_t i = 0; i < evaluation->metric_count; i++) {
    printf("%s\"%s\":", i == 0 ? "" : ",", evaluation->metrics[i].name);
    pith_json_double(stdout, evaluation->metrics[i].value);
  }
  puts("}}");
}

static int run(const void *given) {
  const eval_settings *settings = given;
  const pith_eval_task *task = pith_cli_task_find(settings->task);
  if (task == NULL)
    return PITH_EXIT_USAGE;
  pith_error error = {0};
  pith_dataset dataset;
  if (pith_dataset_read(settings->data, task->format, NULL, &dataset, &error) != PITH_OK)
    return pith_report_error(&error);
  pith_cli_session open;
  pith_evaluation evaluation;
  pith_status status = pith_cli_session_open(&open, settings->operand, &settings->limits, &error);
  if (status == PITH_OK) {
    pith_progress progress;
    pith_progress_begin(&progress, "eval", dataset.count);
    status = pith_evaluate(open.session, task, &dataset, show_progress, &progress, &evaluation, &error);
    pith_progress_end(&progress);
    pith_cli_session_close(&open);
  }
  pith_dataset_deinit(&dataset);
  if (status != PITH_OK)
    return pith_report_error(&error);
  print_result(task, &evaluation, settings->json);
  return PITH_EXIT_OK;
}

#define FIELD(name) offsetof(eval_settings, name)
static const pith_option options[] = {
    {"task", 0, true, PITH_OPTION_TEXT, "TASK", FIELD(task), 0, 0,
     "sst2, mrpc, stsb, squad; classification or regression for data of your own"},
    {"data", 0, true, PITH_OPTION_FILE, "FILE", FIELD(data), 0, 0,
     "the task's file as published, or .jsonl: {\"text\":..,\"pair\":..,\"label\":..} or {\"ids\":[..],\"label\":..} a line"},
    {"json", 0, false, PITH_OPTION_FLAG, NULL, FIELD(json), 0, 0, "{\"task\":..,\"n\":..,\"metrics\":{..}}"},
    PITH_OPTION_THREADS(eval_settings),
    PITH_OPTION_MAX_TOKENS(eval_settings),
    PITH_OPTION_BATCH(eval_settings),
    PITH_OPTION_WITHOUT(eval_settings),
    {0},
};

const pith_command pith_command_eval = {
    .name = "eval",
    .operand = "M.pith",
    .summary = "accuracy of a model on a task's data",
    .details = "Metrics are fractions (accuracy 0.891, Spearman 0.8203). stsb takes a regression model, or an "
               "embedding model whose vectors are compared by their cosine.",
    .options = options,
    .defaults = &(const eval_settings){0},
    .settings_bytes = sizeof(eval_settings),
    .run = run,
};
