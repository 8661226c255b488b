/* pith quantize: a float model becomes an INT8 one. */
#include <stddef.h>
#include <string.h>

#include "cli/technique.h"
#include "cli/task.h"
#include "engine/exec/model.h"
#include "engine/format/format.h"
#include "quant/recipe.h"
#include "quant/report.h"

typedef struct quantize_settings {
  const char *operand;
  const char *output, *recipe;
  bool report, json;
#define FIELD(field, name, type, argument, minimum, maximum, words, doc) pith_cli_given field;
  PITH_QUANT_KEY_LIST(FIELD)
#undef FIELD
  pith_cli_limits limits;
  const pith_cli_stage *stage; /* NULL, or where the options come from */
} quantize_settings;

/* What one run works on. */
typedef struct job {
  const quantize_settings *settings;
  pith_quant_options options;
  pith_arena arena;
  pith_cli_session open;
  pith_cli_gate gate;
  pith_cli_calibration calibration;
  pith_progress progress;
  pith_quantized quantized;
  pith_quant_report report;
} job;

/* ---- options ------------------------------------------------------------------------------------------------------------ */

static const pith_option options[];

/* The recipe's keys, then what the command line says. */
static int read_options(job *j) {
  j->options = pith_quant_defaults;
  pith_recipe_section section = {.name = "quantize", .keys = pith_quant_keys, .options = &j->options};
  const int status = pith_cli_read_recipe(j->settings->recipe, j->settings->stage, &section, 1, &j->arena);
  return status != PITH_EXIT_OK ? status : pith_cli_apply_given(options, pith_quant_keys, j->settings, &j->options, &j->arena);
}

static bool needs_data(const job *j) {
  return pith_quant_needs_data(&j->options) || j->settings->report;
}

static int check_options(job *j) {
  const pith_quant_options *given = &j->options;
  const int status = pith_cli_gate_init(&j->gate, given->eval, given->eval_data, given->max_loss);
  if (status != PITH_EXIT_OK)
    return status;
  pith_error error = {0};
  if (pith_quantize_check_options(given, &error) != PITH_OK)
    return pith_usage_error("%s", error.message);
  if (given->data != NULL && !needs_data(j))
    return pith_usage_error("--data is of no use with --mode dynamic: it needs no ranges");
  if (given->data_task != NULL && pith_cli_task_find(given->data_task) == NULL)
    return PITH_EXIT_USAGE;
  return PITH_EXIT_OK;
}

/* ---- steps -------------------------------------------------------------------------------------------------------------- */

static pith_status open_source(job *j, pith_error *error) {
  const pith_quant_options *given = &j->options;
  return !needs_data(j)
             ? PITH_OK
             : pith_cli_calibration_open(&j->calibration, &j->open, given->data, given->data_task, given->samples, given->seed,
                                         given->mode == PITH_QUANT_STATIC
                                             ? "static ranges are found on texts (dynamic ones need none)"
                                             : "SmoothQuant, bias correction, GPTQ and --report look at texts",
                                         error);
}

static void show_sequences(void *context, uint64_t sequences) {
  pith_progress_update(context, sequences);
}

static pith_status make_report(job *j, const pith_session_options *session, pith_error *error) {
  if (!j->settings->report)
    return PITH_OK;
  pith_progress_begin(&j->progress, "report", j->calibration.count);
  const pith_status status =
      pith_quant_report_make(j->open.model, j->quantized.float_graph, j->quantized.data.graph, &j->calibration.source,
                             session,
                             show_sequences, &j->progress, &j->report, error);
  pith_progress_end(&j->progress);
  return status;
}

static pith_status quantize(job *j, pith_error *error) {
  PITH_TRY(pith_quant_check_float(j->open.model->data.graph, error));
  PITH_TRY(open_source(j, error));
  PITH_TRY(pith_cli_gate_measure_before(&j->gate, &j->open, error));
  const pith_session_options session = pith_cli_calibration_session(&j->open, &j->settings->limits);
  PITH_TRY(pith_cli_quantize(j->open.model, &j->options, &j->calibration, &session, &j->quantized, error));
  pith_model_data *data = &j->quantized.data;
  PITH_TRY(pith_cli_gate_measure_after(&j->gate, &j->open, data, error));
  PITH_TRY(pith_cli_gate_add_report(&j->gate, data, &j->quantized.arena, error));
  PITH_TRY(make_report(j, &session, error));
  return pith_format_write(j->settings->output, data, error);
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
           j->calibration.random.count != 0 ? "random sequences" : "texts", (unsigned long long)q->ranges.tokens, q->ranges.count);
  if (j->options.equalize)
    printf("equalized %u pairs of products\n", q->equalized);
  if (pith_quant_uses_smoothquant(&j->options))
    printf("smoothed %u activations\n", q->smoothed);
  if (j->options.bias_correction)
    printf("corrected %u biases\n", q->corrected);
  pith_cli_gate_print(&j->gate);
  if (j->report.count != 0)
    puts("SQNR dB\tlargest difference\tkind\ttensor");
  for (uint32_t i = 0; i < j->report.count; i++) {
    const pith_quant_error *row = &j->report.errors[i];
    printf("%.2f\t%.6g\t%s\t%s\n", pith_quant_error_sqnr(row), row->largest, pith_quant_error_kind_name(row->kind),
           row->name);
  }
}

static void print_json(const job *j) {
  const pith_quantized *q = &j->quantized;
  printf("{\"products\":%u,\"products_float\":%u,\"weights\":%u,\"tables\":%u,\"float_bytes\":%llu,\"bytes\":%llu,"
         "\"activations\":%u,\"texts\":%llu,\"tokens\":%llu,\"random_ids\":%s,\"equalized\":%u,\"smoothed\":%u,"
         "\"corrected\":%u",
         q->summary.products, q->summary.products_kept, q->summary.weights, q->summary.tables,
         (unsigned long long)q->summary.float_bytes, (unsigned long long)q->summary.quantized_bytes, q->ranges.count,
         (unsigned long long)q->ranges.texts, (unsigned long long)q->ranges.tokens,
         j->calibration.random.count != 0 ? "true" : "false", q->equalized, q->smoothed, q->corrected);
  pith_cli_gate_print_json(&j->gate);
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
  if (exit_status == PITH_EXIT_OK && !pith_cli_checks_only(j.settings->stage)) {
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
  pith_cli_calibration_close(&j.calibration);
  pith_cli_gate_deinit(&j.gate);
  pith_cli_session_close(&j.open);
  pith_arena_deinit(&j.arena);
  return exit_status;
}

int pith_cli_stage_quantize(const pith_cli_stage *stage) {
  return run(&(const quantize_settings){.operand = stage->model,
                                        .output = stage->output,
                                        .json = stage->json,
                                        .limits = {.threads = stage->threads},
                                        .stage = stage});
}

#define FIELD(name) offsetof(quantize_settings, name)
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
