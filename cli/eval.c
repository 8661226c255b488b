/* pith eval: a model's metrics on a task's data. */
#include <stddef.h>
#include <string.h>

#include "cli/session.h"
#include "cli/task.h"
#include "cli/texts.h"
#include "engine/exec/exits.h"
#include "quant/range_check.h"

typedef struct eval_settings {
  const char *operand;
  const char *task, *data;
  pith_dataset_columns columns;
  bool json, ranges;
  pith_cli_limits limits;
} eval_settings;

/* What one run finds. */
typedef struct found {
  const pith_eval_task *task; /* NULL: only ranges */
  pith_evaluation evaluation;
  uint64_t exits[PITH_EXITS_MOST + 1]; /* rows that were done at each, the end last */
  size_t exit_count;                   /* 0: every row went through the whole model */
  double threshold, seconds;           /* of it; that all rows took */
  pith_range_check check;     /* empty unless asked for */
} found;

static void show_progress(void *context, uint64_t done) {
  pith_progress_update(context, done);
}

/* ---- answers --------------------------------------------------------------------------------------------- */

static void print_text(const found *f) {
  if (f->task != NULL)
    printf("%s\t%zu rows\n", f->task->name, f->evaluation.n);
  for (size_t i = 0; i < f->evaluation.metric_count; i++)
    printf("%s\t%.4f\n", f->evaluation.metrics[i].name, f->evaluation.metrics[i].value);
  for (size_t i = 0; i < f->exit_count; i++)
    if (i + 1 < f->exit_count)
      printf("exit %zu\t%llu rows\n", i + 1, (unsigned long long)f->exits[i]);
    else
      printf("end\t%llu rows\n", (unsigned long long)f->exits[i]);
  if (f->exit_count != 0)
    printf("rows/s\t%.1f\n", (double)f->evaluation.n / f->seconds);
  if (f->check.count != 0)
    puts("beyond\tsaturated\trun low\trun high\tcalibrated low\tcalibrated high\ttensor");
  for (uint32_t i = 0; i < f->check.count; i++) {
    const pith_range_use *use = &f->check.uses[i];
    printf("%.2fx\t%.4f%%\t%.6g\t%.6g\t%.6g\t%.6g\t%s\n", use->factor,
           100 * (double)use->outside / (double)use->count, (double)use->run_low, (double)use->run_high,
           (double)use->seen_low, (double)use->seen_high, use->name);
  }
}

static void print_numbers(const char *before, const float *numbers, size_t count) {
  printf("%s", before);
  for (size_t i = 0; i < count; i++) {
    printf("%s", i == 0 ? "[" : ",");
    pith_json_float(stdout, numbers[i]);
  }
  printf("]");
}

static void print_ranges(const pith_range_check *check) {
  for (uint32_t i = 0; i < check->count; i++) {
    const pith_range_use *use = &check->uses[i];
    printf("%s{\"tensor\":", i == 0 ? "\"ranges\":[" : ",");
    pith_json_string(stdout, use->name, strlen(use->name));
    print_numbers(",\"run\":", (const float[]){use->run_low, use->run_high}, 2);
    print_numbers(",\"calibrated\":", (const float[]){use->seen_low, use->seen_high}, 2);
    print_numbers(",\"holds\":", (const float[]){use->low, use->high}, 2);
    printf(",\"count\":%llu,\"saturated\":%llu,\"beyond\":", (unsigned long long)use->count,
           (unsigned long long)use->outside);
    pith_json_double(stdout, use->factor);
    printf("}");
  }
  printf("]");
}

static void print_exits(const found *f) {
  printf(",\"exit_threshold\":");
  pith_json_double(stdout, f->threshold);
  for (size_t i = 0; i < f->exit_count; i++)
    printf("%s%llu", i == 0 ? ",\"exits\":[" : ",", (unsigned long long)f->exits[i]);
  printf("],\"rows_per_s\":");
  pith_json_double(stdout, (double)f->evaluation.n / f->seconds);
}

static void print_json(const found *f) {
  printf("{");
  if (f->task != NULL)
    printf("\"task\":\"%s\",\"n\":%zu,\"metrics\":{", f->task->name, f->evaluation.n);
  for (size_t i = 0; i < f->evaluation.metric_count; i++) {
    printf("%s\"%s\":", i == 0 ? "" : ",", f->evaluation.metrics[i].name);
    pith_json_double(stdout, f->evaluation.metrics[i].value);
  }
  printf("%s%s", f->task != NULL ? "}" : "", f->task != NULL && f->check.count != 0 ? "," : "");
  if (f->exit_count != 0)
    print_exits(f);
  if (f->check.count != 0)
    print_ranges(&f->check);
  puts("}");
}

/* One line where a range that was calibrated did not hold. */
static void warn(const pith_range_check *check) {
  const pith_range_use *worst = NULL;
  for (uint32_t i = 0; i < check->count; i++)
    if (check->uses[i].factor > PITH_RANGE_TOLERANCE && (worst == NULL || check->uses[i].factor > worst->factor))
      worst = &check->uses[i];
  if (worst != NULL)
    fprintf(stderr, "pith eval: warning: %u of %u activations exceed their calibrated ranges, most of all '%s': %.2f times, "
            "%.4f%% of its values saturate\n", check->exceeded, check->count, worst->name, worst->factor,
            100 * (double)worst->outside / (double)worst->count);
}

/* ---- runs ------------------------------------------------------------------------------------------------ */

static pith_status evaluate(const eval_settings *settings, pith_cli_session *open, const pith_dataset *dataset,
                            found *f, pith_error *error) {
  if (f->task == NULL)
    return PITH_OK;
  PITH_TRY(pith_session_create(open->model, &open->options, &open->session, error));
  const uint64_t begin = pith_clock_now_ns();
  pith_progress progress;
  pith_progress_begin(&progress, settings->ranges ? "metrics" : "eval", dataset->count);
  const pith_status status =
      pith_evaluate(open->session, f->task, dataset, show_progress, &progress, &f->evaluation, error);
  pith_progress_end(&progress);
  f->seconds = (double)(pith_clock_now_ns() - begin) * 1e-9;
  const uint64_t *exits = pith_session_get_exits(open->session, &f->exit_count);
  f->threshold = settings->limits.exit_threshold;
  for (size_t i = 0; i < f->exit_count; i++)
    f->exits[i] = exits[i];
  return status;
}

static pith_status check_ranges(const eval_settings *settings, pith_cli_session *open, found *f, pith_error *error) {
  if (!settings->ranges)
    return PITH_OK;
  pith_session_destroy(open->session); /* its memory is not needed twice */
  open->session = NULL;
  pith_texts texts;
  pith_progress progress;
  pith_status status = pith_texts_open(&texts, settings->data, settings->task, 0, 0,
                                       open->info.task == PITH_TASK_EMBEDDING, error);
  pith_progress_begin(&progress, "ranges", texts.count);
  if (status == PITH_OK)
    status = pith_range_check_run(open->model, &texts.source, &open->options, show_progress, &progress, &f->check, error);
  pith_progress_end(&progress);
  pith_texts_close(&texts);
  return status;
}

static pith_status run_all(const eval_settings *settings, const pith_dataset *dataset, found *f, pith_error *error) {
  enum { HIDDEN_TOKENS = 512 }; /* in one run of a fill-mask model */
  pith_cli_limits limits = settings->limits;
  limits.max_rows = HIDDEN_TOKENS;
  pith_cli_session open;
  PITH_TRY(pith_cli_model_open(&open, settings->operand, &limits, error));
  pith_status status = evaluate(settings, &open, dataset, f, error);
  if (status == PITH_OK)
    status = check_ranges(settings, &open, f, error);
  pith_cli_session_close(&open);
  return status;
}

static int run(const void *given) {
  const eval_settings *settings = given;
  if (settings->task == NULL && !settings->ranges)
    return pith_usage_error("--task TASK is missing (see pith eval --help)");
  if (settings->ranges && settings->limits.exit_threshold != 0)
    return pith_usage_error("--ranges are of the whole model: it goes without --exit-threshold");
  found f = {.task = settings->task == NULL ? NULL : pith_cli_task_find(settings->task)};
  if (settings->task != NULL && f.task == NULL)
    return PITH_EXIT_USAGE;
  const int usage = pith_cli_columns_check(&settings->columns);
  if (usage != PITH_EXIT_OK)
    return usage;
  pith_error error = {0};
  pith_dataset dataset = {0};
  pith_status status = PITH_OK;
  if (f.task != NULL)
    status = pith_dataset_read(settings->data, f.task->format, &settings->columns, NULL, &dataset, &error);
  if (status == PITH_OK)
    status = run_all(settings, &dataset, &f, &error);
  if (status == PITH_OK) {
    (settings->json ? print_json : print_text)(&f);
    warn(&f.check);
  }
  pith_range_check_deinit(&f.check);
  pith_dataset_deinit(&dataset);
  return status == PITH_OK ? PITH_EXIT_OK : pith_report_error(&error);
}

#define FIELD(name) offsetof(eval_settings, name)
static const pith_option options[] = {
    {"task", 0, false, PITH_OPTION_TEXT, "TASK", FIELD(task), 0, 0,
     "sst2, mrpc, stsb, squad; for data of your own classification, multi-label, regression, entities or fill-mask; may be left "
     "out with --ranges"},
    {"data", 0, true, PITH_OPTION_FILE, "FILE", FIELD(data), 0, 0,
     "the task's file as published; .tsv or .csv; entities: a word a line; fill-mask: a text a line; or .jsonl: "
     "{\"text\":..,\"pair\":..,\"label\":..} or {\"ids\":[..],\"label\":..} a line"},
    PITH_OPTION_COLUMNS(eval_settings),
    {"json", 0, false, PITH_OPTION_FLAG, NULL, FIELD(json), 0, 0, "{\"task\":..,\"n\":..,\"metrics\":{..}}"},
    {"ranges", 0, false, PITH_OPTION_FLAG, NULL, FIELD(ranges), 0, 0,
     "activations against the ranges they were calibrated with (static INT8); texts may be lines too"},
    PITH_OPTION_THREADS(eval_settings),
    PITH_OPTION_MAX_TOKENS(eval_settings),
    PITH_OPTION_BATCH(eval_settings),
    PITH_OPTION_WITHOUT(eval_settings),
    PITH_OPTION_EXIT_THRESHOLD(eval_settings),
    {0},
};

const pith_command pith_command_eval = {
    .name = "eval",
    .operand = "M.pith",
    .summary = "accuracy of a model on a task's data",
    .details = "Metrics are fractions (accuracy 0.891, Spearman 0.8203). stsb takes a regression model, or an "
               "embedding model whose vectors are compared by their cosine. With --exit-threshold also how many rows were done at each exit "
               "of the model, and rows a second.",
    .options = options,
    .defaults = &(const eval_settings){0},
    .settings_bytes = sizeof(eval_settings),
    .run = run,
};
