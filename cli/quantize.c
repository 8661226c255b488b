/* pith quantize: a float model becomes an INT8 one. */
#include <math.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "cli/session.h"
#include "cli/task.h"
#include "cli/texts.h"
#include "engine/exec/model.h"
#include "engine/format/format.h"
#include "quant/quantize_model.h"
#include "quant/recipe.h"
#include "quant/report.h"

/* An option of the recipe as it was given: text, or whether a flag was. */
typedef union given {
  const char *text;
  bool flag;
} given;

typedef struct quantize_settings {
  const char *operand;
  const char *output, *recipe;
  bool report, json;
#define FIELD(field, name, type, argument, minimum, maximum, words, doc) given field;
  PITH_QUANT_KEY_LIST(FIELD)
#undef FIELD
  pith_cli_limits limits;
} quantize_settings;

/* What one run works on. */
typedef struct job {
  const quantize_settings *settings;
  pith_quant_options options;
  pith_arena arena;
  pith_cli_session open;
  const pith_eval_task *task; /* NULL: nothing is measured */
  double max_loss;            /* below 0: any */
  bool relative_loss;
  pith_dataset eval_data;
  pith_evaluation before, after;
  pith_texts texts;
  pith_random_source random;
  pith_progress progress;
  uint32_t pass;
  pith_quantized quantized;
  pith_quant_report report;
} job;

enum { CALIBRATION_TOKENS = 512 }; /* in one run: every watched activation keeps a buffer of its own */

/* ---- options ------------------------------------------------------------------------------------------------------------ */

typedef struct given_place {
  const char *name;
  size_t offset;
} given_place;
static const given_place given_places[] = {
#define PLACE(field, name, type, argument, minimum, maximum, words, doc) {name, offsetof(quantize_settings, field)},
    PITH_QUANT_KEY_LIST(PLACE)
#undef PLACE
};

/* The recipe's keys, then what the command line says. */
static int read_options(job *j) {
  const quantize_settings *settings = j->settings;
  pith_error error = {0};
  j->options = pith_quant_defaults;
  if (settings->recipe != NULL && pith_recipe_read(settings->recipe, &j->arena, &j->options, &error) != PITH_OK)
    return pith_report_error(&error);
  for (size_t i = 0; i < sizeof given_places / sizeof *given_places; i++) {
    const pith_quant_key *key = pith_quant_key_find(given_places[i].name);
    const given *value = (const given *)((const char *)settings + given_places[i].offset);
    const char *text = key->type != PITH_QUANT_FLAG ? value->text : value->flag ? "true" : NULL;
    if (text != NULL && pith_quant_set(&j->options, key, text, &j->arena, &error) != PITH_OK)
      return pith_usage_error("--%s", error.message);
  }
  return PITH_EXIT_OK;
}

/* "1%" of the metric, or "0.005" of it. */
static int read_max_loss(job *j) {
  const char *text = j->options.max_loss;
  j->max_loss = -1;
  if (text == NULL)
    return PITH_EXIT_OK;
  char *end;
  const double loss = strtod(text, &end);
  j->relative_loss = end != text && *end == '%';
  end += j->relative_loss;
  if (end == text || *end != '\0' || !(loss >= 0 && loss < 1000))
    return pith_usage_error("--max-loss takes a share such as 1%% or a difference such as 0.005, not '%s'", text);
  j->max_loss = j->relative_loss ? loss / 100 : loss;
  return PITH_EXIT_OK;
}

static bool needs_data(const job *j) {
  return pith_quant_needs_data(&j->options) || j->settings->report;
}

static int check_options(job *j) {
  const pith_quant_options *options = &j->options;
  if ((options->eval == NULL) != (options->eval_data == NULL))
    return pith_usage_error("--eval and --eval-data go together");
  if (options->max_loss != NULL && options->eval == NULL)
    return pith_usage_error("--max-loss goes with --eval and --eval-data");
  if (options->data != NULL && !needs_data(j))
    return pith_usage_error("--data is of no use with --mode dynamic: it needs no ranges");
  if (options->data_task != NULL && pith_cli_task_find(options->data_task) == NULL)
    return PITH_EXIT_USAGE;
  if (options->eval != NULL && (j->task = pith_cli_task_find(options->eval)) == NULL)
    return PITH_EXIT_USAGE;
  return read_max_loss(j);
}

/* ---- steps -------------------------------------------------------------------------------------------------------------- */

static void show_rows(void *context, uint64_t done) {
  pith_progress_update(context, done);
}

static pith_status measure(job *j, pith_session *session, const char *what, pith_evaluation *out, pith_error *error) {
  pith_progress_begin(&j->progress, what, j->eval_data.count);
  const pith_status status = pith_evaluate(session, j->task, &j->eval_data, show_rows, &j->progress, out, error);
  pith_progress_end(&j->progress);
  return status;
}

static pith_status measure_before(job *j, pith_error *error) {
  if (j->task == NULL)
    return PITH_OK;
  PITH_TRY(pith_dataset_read(j->options.eval_data, j->task->format, NULL, &j->eval_data, error));
  PITH_TRY(pith_session_create(j->open.model, &j->open.options, &j->open.session, error));
  PITH_TRY(measure(j, j->open.session, "eval before", &j->before, error));
  pith_session_destroy(j->open.session);
  j->open.session = NULL;
  return PITH_OK;
}

static pith_status measure_after(job *j, pith_error *error) {
  if (j->task == NULL)
    return PITH_OK;
  pith_model quantized = *j->open.model;
  quantized.data = j->quantized.data;
  pith_session *session;
  PITH_TRY(pith_session_create(&quantized, &j->open.options, &session, error));
  const pith_status status = measure(j, session, "eval after", &j->after, error);
  pith_session_destroy(session);
  PITH_TRY(status);
  return pith_quantized_add_report(&j->quantized, j->task->name, &j->before, &j->after, error);
}

/* Every metric within the budget, in what it loses. */
static pith_status check_loss(const job *j, pith_error *error) {
  for (size_t i = 0; j->task != NULL && j->max_loss >= 0 && i < j->before.metric_count; i++) {
    const double before = j->before.metrics[i].value, after = j->after.metrics[i].value;
    const double loss = before - after, limit = j->relative_loss ? j->max_loss * fabs(before) : j->max_loss;
    if (!(loss <= limit + 1e-12))
      return pith_fail(error, PITH_LIMIT, "%s %s falls from %.4f to %.4f: a loss of %.4f (%.2f%%), over the budget of %s "
                       "by %.4f; nothing was written", j->task->name, j->before.metrics[i].name, before, after, loss,
                       100 * loss / fabs(before), j->options.max_loss, loss - limit);
  }
  return PITH_OK;
}

static void show_pass(void *context, uint32_t pass, uint64_t sequences) {
  job *j = context;
  const uint64_t count = j->texts.count != 0 ? j->texts.count : j->random.count;
  if (count == 0 && pass != j->pass) { /* a stream of unknown length begins again */
    pith_progress_end(&j->progress);
    pith_progress_begin(&j->progress, "calibrate", 0);
  }
  j->pass = pass;
  pith_progress_update(&j->progress, pass * count + sequences);
}

static pith_status open_source(job *j, pith_calibration_source *source, bool *out_any, pith_error *error) {
  const pith_quant_options *options = &j->options;
  *out_any = needs_data(j);
  if (!*out_any)
    return PITH_OK;
  if (options->data != NULL) {
    PITH_TRY(pith_texts_open(&j->texts, options->data, options->data_task, options->samples, options->seed,
                             j->open.info.task == PITH_TASK_EMBEDDING, error));
    *source = j->texts.source;
    return PITH_OK;
  }
  if (j->open.info.has_tokenizer)
    return pith_fail(error, PITH_INVALID_ARGUMENT, "--data is missing: %s",
                     options->mode == PITH_QUANT_STATIC ? "static ranges are found on texts (dynamic ones need none)"
                                                        : "SmoothQuant, bias correction and --report look at texts");
  PITH_TRY(pith_random_source_init(&j->random, &j->open.model->data, options->samples == 0 ? 300 : options->samples,
                                   options->seed, error));
  *source = pith_random_source_get(&j->random);
  fprintf(stderr, "pith quantize: no data: calibrating on %llu sequences of random token ids, seed %llu\n",
          (unsigned long long)j->random.count, (unsigned long long)options->seed);
  return PITH_OK;
}

static void show_sequences(void *context, uint64_t sequences) {
  pith_progress_update(context, sequences);
}

static pith_status make_report(job *j, const pith_calibration_source *source, const pith_session_options *session,
                               pith_error *error) {
  if (!j->settings->report)
    return PITH_OK;
  pith_progress_begin(&j->progress, "report", j->texts.count != 0 ? j->texts.count : j->random.count);
  const pith_status status =
      pith_quant_report_make(j->open.model, j->quantized.float_graph, j->quantized.data.graph, source, session,
                             show_sequences, &j->progress, &j->report, error);
  pith_progress_end(&j->progress);
  return status;
}

static pith_status quantize(job *j, pith_error *error) {
  PITH_TRY(pith_quant_check_float(j->open.model->data.graph, error));
  pith_calibration_source source;
  bool any;
  PITH_TRY(open_source(j, &source, &any, error));
  PITH_TRY(measure_before(j, error));
  pith_session_options session = j->open.options;
  if (j->settings->limits.max_tokens == 0 && session.max_tokens > CALIBRATION_TOKENS)
    session.max_tokens = j->open.info.max_length > CALIBRATION_TOKENS ? j->open.info.max_length : CALIBRATION_TOKENS;
  const pith_quantize_request request = {.options = &j->options,
                                         .source = any ? &source : NULL,
                                         .random_ids = j->random.count != 0,
                                         .session = session,
                                         .progress = show_pass,
                                         .context = j};
  const uint64_t count = j->texts.count != 0 ? j->texts.count : j->random.count;
  pith_progress_begin(&j->progress, "calibrate", count * pith_quantize_count_passes(&j->options));
  const pith_status status = pith_quantize_model(j->open.model, &request, &j->quantized, error);
  pith_progress_end(&j->progress);
  PITH_TRY(status);
  PITH_TRY(measure_after(j, error));
  PITH_TRY(check_loss(j, error));
  PITH_TRY(make_report(j, &source, &session, error));
  return pith_format_write(j->settings->output, &j->quantized.data, error);
}

/* ---- what was done -------------------------------------------------------------------------------------------------------- */

static void print_text(const job *j) {
  const pith_quantized *q = &j->quantized;
  const bool is_static = j->options.mode == PITH_QUANT_STATIC;
  printf("%u products in INT8 (%s), %u in float; %u weights and %u tables: %.1f MB, were %.1f MB\n",
         q->summary.products, is_static ? "static" : "dynamic", q->summary.products_kept, q->summary.weights,
         q->summary.tables, (double)q->summary.quantized_bytes * 1e-6, (double)q->summary.float_bytes * 1e-6);
  if (q->ranges.count != 0)
    printf("calibrated on %llu %s, %llu tokens: %u activations\n", (unsigned long long)q->ranges.texts,
           j->random.count != 0 ? "random sequences" : "texts", (unsigned long long)q->ranges.tokens, q->ranges.count);
  if (j->options.equalize)
    printf("equalized %u pairs of products\n", q->equalized);
  if (pith_quant_uses_smoothquant(&j->options))
    printf("smoothed %u activations\n", q->smoothed);
  if (j->options.bias_correction)
    printf("corrected %u biases\n", q->corrected);
  for (size_t i = 0; j->task != NULL && i < j->after.metric_count; i++)
    printf("%s %s\t%.4f, was %.4f\n", j->task->name, j->after.metrics[i].name, j->after.metrics[i].value,
           j->before.metrics[i].value);
  if (j->report.count != 0)
    puts("SQNR dB\tlargest difference\tkind\ttensor");
  for (uint32_t i = 0; i < j->report.count; i++) {
    const pith_quant_error *row = &j->report.errors[i];
    printf("%.2f\t%.6g\t%s\t%s\n", pith_quant_error_sqnr(row), row->largest, pith_quant_error_kind_name(row->kind),
           row->name);
  }
}

static void print_metrics(const pith_evaluation *evaluation) {
  for (size_t i = 0; i < evaluation->metric_count; i++) {
    printf("%s\"%s\":", i == 0 ? "{" : ",", evaluation->metrics[i].name);
    pith_json_double(stdout, evaluation->metrics[i].value);
  }
  printf("}");
}

static void print_json(const job *j) {
  const pith_quantized *q = &j->quantized;
  printf("{\"products\":%u,\"products_float\":%u,\"weights\":%u,\"tables\":%u,\"float_bytes\":%llu,\"bytes\":%llu,"
         "\"activations\":%u,\"texts\":%llu,\"tokens\":%llu,\"random_ids\":%s,\"equalized\":%u,\"smoothed\":%u,"
         "\"corrected\":%u",
         q->summary.products, q->summary.products_kept, q->summary.weights, q->summary.tables,
         (unsigned long long)q->summary.float_bytes, (unsigned long long)q->summary.quantized_bytes, q->ranges.count,
         (unsigned long long)q->ranges.texts, (unsigned long long)q->ranges.tokens,
         j->random.count != 0 ? "true" : "false", q->equalized, q->smoothed, q->corrected);
  if (j->task != NULL) {
    printf(",\"eval\":{\"task\":\"%s\",\"n\":%zu,\"before\":", j->task->name, j->after.n);
    print_metrics(&j->before);
    printf(",\"after\":");
    print_metrics(&j->after);
    printf("}");
  }
  for (uint32_t i = 0; i < j->report.count; i++) {
    const pith_quant_error *row = &j->report.errors[i];
    printf("%s{\"tensor\":", i == 0 ? ",\"report\":[" : ",");
    pith_json_string(stdout, row->name, strlen(row->name));
    printf(",\"kind\":\"%s\",\"elements\":%llu,\"sqnr_db\":", pith_quant_error_kind_name(row->kind),
           (unsigned long long)row->count);
    pith_json_double(stdout, pith_quant_error_sqnr(row));
    printf(",\"largest_difference\":");
    pith_json_double(stdout, row->largest);
    printf("}");
  }
  puts(j->report.count == 0 ? "}" : "]}");
}

static int run(const void *given_settings) {
  job j = {.settings = given_settings};
  pith_arena_init(&j.arena, NULL);
  int exit_status = read_options(&j);
  if (exit_status == PITH_EXIT_OK)
    exit_status = check_options(&j);
  pith_error error = {0};
  if (exit_status == PITH_EXIT_OK) {
    pith_status status = pith_cli_model_open(&j.open, j.settings->operand, &j.settings->limits, &error);
    if (status == PITH_OK)
      status = quantize(&j, &error);
    if (status != PITH_OK)
      exit_status = pith_report_error(&error);
    else
      (j.settings->json ? print_json : print_text)(&j);
  }
  pith_quant_report_deinit(&j.report);
  pith_quantized_deinit(&j.quantized);
  pith_texts_close(&j.texts);
  pith_dataset_deinit(&j.eval_data);
  pith_cli_session_close(&j.open);
  pith_arena_deinit(&j.arena);
  return exit_status;
}

#define FIELD(name) offsetof(quantize_settings, name)
/* Values are checked by the recipe's table, which has their types too: here a value is text. */
#define PITH_GIVEN_WORD PITH_OPTION_TEXT
#define PITH_GIVEN_FLAG PITH_OPTION_FLAG
#define PITH_GIVEN_COUNT PITH_OPTION_TEXT
#define PITH_GIVEN_NUMBER PITH_OPTION_TEXT
#define PITH_GIVEN_TEXT PITH_OPTION_TEXT
#define PITH_GIVEN_FILE PITH_OPTION_FILE
#define PITH_GIVEN_PATTERNS PITH_OPTION_TEXT
#define ROW(field, name, type, argument, minimum, maximum, words, doc)                                              \
  {name, 0, false, PITH_GIVEN_##type, argument, offsetof(quantize_settings, field), 0, 0, doc},
static const pith_option options[] = {
    {"output", 'o', true, PITH_OPTION_FILE, "Q.pith", FIELD(output), 0, 0, "the file to write"},
    PITH_QUANT_KEY_LIST(ROW)
    {"recipe", 0, false, PITH_OPTION_FILE, "FILE", FIELD(recipe), 0, 0,
     "JSON with the names of these options as keys; what the command line says comes after"},
    {"report", 0, false, PITH_OPTION_FLAG, NULL, FIELD(report), 0, 0,
     "the error of every tensor, float against quantized, on the same data"},
    {"json", 0, false, PITH_OPTION_FLAG, NULL, FIELD(json), 0, 0, "what was done, as JSON"},
    PITH_OPTION_THREADS(quantize_settings),
    PITH_OPTION_MAX_TOKENS(quantize_settings),
    {0},
};

const pith_command pith_command_quantize = {
    .name = "quantize",
    .operand = "M.pith",
    .summary = "a float model to INT8, after training",
    .details = "Products, attention and embedding tables become INT8; LayerNorm, softmax, residual sums, pooler and head "
               "stay in float. The file holds the recipe. With --eval and --max-loss nothing is written where the loss is "
               "over the budget.",
    .options = options,
    .defaults = &(const quantize_settings){0},
    .settings_bytes = sizeof(quantize_settings),
    .run = run,
};
