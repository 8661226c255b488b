/* pith train: a model learns a task from labelled texts. */
#include <signal.h>
#include <stddef.h>
#include <string.h>

#include "cli/bench_internal.h"
#include "cli/technique.h"
#include "cli/task.h"
#include "engine/exec/parallel.h"
#include "ops/cpu/peak.h"
#include "train/run.h"

typedef struct train_settings {
  const char *operand;
  const char *output, *recipe;
  bool resume, json, profile;
#define FIELD(field, name, type, argument, minimum, maximum, words, doc) pith_cli_given field;
  PITH_TRAIN_KEY_LIST(FIELD)
#undef FIELD
  pith_cli_limits limits;
  const pith_cli_stage *stage; /* NULL, or where the options come from */
} train_settings;

/* What one run works on. */
typedef struct job {
  const train_settings *settings;
  pith_train_options options;
  pith_arena arena;
  pith_cli_session open;
  pith_progress progress;
  pith_watcher watcher;
} job;

static volatile int stopped; /* by a signal */

/* The first time the run saves and ends; once more, and it ends at once. */
static void stop(int number) {
  stopped = 1;
  signal(number, SIG_DFL);
}

/* ---- options ------------------------------------------------------------------------------------------------------------ */

static const pith_option options[];

/* The recipe's keys, then what the command line says. */
static int read_options(job *j) {
  pith_error error = {0};
  j->options = pith_train_defaults;
  pith_recipe_section section = {.name = "train", .keys = pith_train_keys, .options = &j->options};
  int status = pith_cli_read_recipe(j->settings->recipe, j->settings->stage, &section, 1, &j->arena);
  if (status == PITH_EXIT_OK)
    status = pith_cli_apply_given(options, pith_train_keys, j->settings, &j->options, &j->arena);
  if (status != PITH_EXIT_OK)
    return status;
  if ((j->options.task != NULL && pith_cli_task_find(j->options.task) == NULL) ||
      (j->options.eval_task != NULL && pith_cli_task_find(j->options.eval_task) == NULL))
    return PITH_EXIT_USAGE;
  return pith_train_check_options(&j->options, &error) == PITH_OK ? PITH_EXIT_OK : pith_usage_error("--%s", error.message);
}

/* ---- what is done ---------------------------------------------------------------------------------------------------------- */

static void print_metrics_json(const pith_evaluation *evaluation) {
  printf("\"metrics\":{");
  for (size_t i = 0; i < evaluation->metric_count; i++) {
    printf("%s\"%s\":", i == 0 ? "" : ",", evaluation->metrics[i].name);
    pith_json_double(stdout, evaluation->metrics[i].value);
  }
  printf("}");
}

static void print_measurement(const job *j, const pith_run_news *news) {
  if (j->settings->json) {
    printf("{\"step\":%llu,\"epoch\":", (unsigned long long)news->step);
    pith_json_double(stdout, news->epoch);
    printf(",\"loss\":");
    pith_json_double(stdout, news->loss);
    printf(",");
    print_metrics_json(news->evaluation);
    printf(",\"best\":%s}\n", news->best ? "true" : "false");
  } else {
    printf("step %llu of %llu\tepoch %.2f\tloss %.4f", (unsigned long long)news->step, (unsigned long long)news->steps,
           news->epoch, news->loss);
    for (size_t i = 0; i < news->evaluation->metric_count; i++)
      printf("\t%s %.4f", news->evaluation->metrics[i].name, news->evaluation->metrics[i].value);
    puts(news->best ? "\tbest" : "");
  }
  fflush(stdout);
}

static void tell(void *context, const pith_run_news *news) {
  job *j = context;
  if (news->evaluation != NULL) {
    pith_progress_end(&j->progress);
    print_measurement(j, news);
    return;
  }
  if (strcmp(j->progress.what, "train") != 0) {
    pith_progress_end(&j->progress);
    pith_progress_begin(&j->progress, "train", news->steps);
    j->progress.step_done = news->step;
    j->progress.has_end = true;
  }
  snprintf(j->progress.note, sizeof j->progress.note, "loss %.4f", news->loss);
  pith_progress_update(&j->progress, news->step);
}

static void print_summary(const job *j, const pith_run_summary *s) {
  if (!j->settings->json) {
    printf("%llu steps%s\t%.2f steps/s\t%.0f tokens/s\tloss %.4f", (unsigned long long)s->steps,
           s->stopped_early ? ", none better for long" : "", s->steps_per_s, s->tokens_per_s, s->loss);
    if (s->measured)
      printf("\tbest at step %llu:", (unsigned long long)s->best_step);
    for (size_t i = 0; i < s->evaluation.metric_count; i++)
      printf("%s%s %.4f", i == 0 ? " " : ", ", s->evaluation.metrics[i].name, s->evaluation.metrics[i].value);
    puts("");
    return;
  }
  printf("{\"steps\":%llu,\"steps_per_s\":", (unsigned long long)s->steps);
  pith_json_double(stdout, s->steps_per_s);
  printf(",\"tokens_per_s\":");
  pith_json_double(stdout, s->tokens_per_s);
  printf(",\"loss\":");
  pith_json_double(stdout, s->loss);
  printf(",");
  print_metrics_json(&s->evaluation);
  if (s->measured)
    printf(",\"best_step\":%llu", (unsigned long long)s->best_step);
  puts("}");
}

/* One core's peak is measured when the run is over. */
static void print_profile(void *context, const pith_profile_entry *entries, size_t count) {
  const job *j = context;
  const pith_peaks peaks = {.fp32 = pith_peak_measure(PITH_PEAK_FP32, pith_cpu_detect(), 100)};
  const size_t threads = pith_parallel_count_threads(j->open.pool);
  fflush(stdout);
  if (!j->settings->json) {
    pith_bench_print_entries(stdout, NULL, entries, count, peaks, threads, false);
    return;
  }
  fputs("{\"profile\":[", stdout);
  pith_bench_print_entries(stdout, NULL, entries, count, peaks, threads, true);
  puts("]}");
}

static pith_status train(job *j, pith_error *error) {
  const train_settings *settings = j->settings;
  PITH_TRY(pith_cli_model_open(&j->open, settings->operand, &settings->limits, error));
  pith_progress_begin(&j->progress, "tokenize", 0);
  j->watcher = pith_progress_get_watcher(&j->progress);
  const pith_run_request request = {.options = &j->options,
                                    .model = j->open.model,
                                    .output = settings->output,
                                    .pool = j->open.pool,
                                    .resume = settings->resume,
                                    .stop = &stopped,
                                    .watcher = &j->watcher,
                                    .tell = tell,
                                    .tell_profile = settings->profile ? print_profile : NULL,
                                    .context = j};
  signal(SIGINT, stop);
  signal(SIGTERM, stop);
  pith_run_summary summary;
  const pith_status status = pith_train_run(&request, &summary, error);
  pith_progress_end(&j->progress);
  if (status == PITH_OK)
    print_summary(j, &summary);
  return status;
}

static int run(const void *given) {
  job j = {.settings = given};
  pith_arena_init(&j.arena, NULL);
  int exit_status = read_options(&j);
  pith_error error = {0};
  if (exit_status == PITH_EXIT_OK && !pith_cli_checks_only(j.settings->stage) && train(&j, &error) != PITH_OK)
    exit_status = pith_report_error(&error);
  pith_cli_session_close(&j.open);
  pith_arena_deinit(&j.arena);
  return exit_status;
}

int pith_cli_stage_train(const pith_cli_stage *stage) {
  return run(&(const train_settings){.operand = stage->model,
                                     .output = stage->output,
                                     .resume = stage->resume,
                                     .json = stage->json,
                                     .limits = {.threads = stage->threads},
                                     .stage = stage});
}

#define FIELD(name) offsetof(train_settings, name)
#define ROW(field, name, type, argument, minimum, maximum, words, doc)                                              \
  {name, 0, false, PITH_GIVEN_##type, argument, offsetof(train_settings, field), 0, 0, doc},
static const pith_option options[] = {
    {"output", 'o', true, PITH_OPTION_FILE, "OUT.pith", FIELD(output), 0, 0, "the file to write"},
    PITH_TRAIN_KEY_LIST(ROW)
    {"resume", 0, false, PITH_OPTION_FLAG, NULL, FIELD(resume), 0, 0,
     "go on where the run with this output was stopped or killed, if there was one"},
    {"recipe", 0, false, PITH_OPTION_FILE, "FILE", FIELD(recipe), 0, 0,
     "JSON with the names of these options as keys; what the command line says comes after"},
    {"json", 0, false, PITH_OPTION_FLAG, NULL, FIELD(json), 0, 0,
     "a line for each measurement, then {\"steps\":..,\"steps_per_s\":..,\"tokens_per_s\":..,\"loss\":..,\"metrics\":{..}}"},
    {"profile", 0, false, PITH_OPTION_FLAG, NULL, FIELD(profile), 0, 0, "time each operator of the steps"},
    PITH_OPTION_THREADS(train_settings),
    {0},
};

const pith_command pith_command_train = {
    .name = "train",
    .operand = "M.pith",
    .summary = "fine-tunes a model on labelled texts",
    .details = "The model that measures best is written, with what it measured and the whole recipe; where nothing is measured, the "
               "last one. OUT.pith.best and OUT.pith.state.* stand beside it until then: a run that was killed, or stopped by Ctrl-C, "
               "goes on with --resume and ends with the same bits.",
    .options = options,
    .defaults = &(const train_settings){0},
    .settings_bytes = sizeof(train_settings),
    .run = run,
};
