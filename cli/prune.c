/* pith prune: weights of a float model become 0 in a pattern that kernels can use; then, on demand, INT8. */
#include <stddef.h>
#include <string.h>
#include <unistd.h>

#include "cli/technique.h"
#include "cli/shrink.h"
#include "cli/task.h"
#include "engine/exec/model.h"
#include "engine/format/format.h"
#include "quant/recipe.h"
#include "sparse/prune_model.h"
#include "train/sensitivity.h"
#include "train/spool.h"

typedef struct prune_settings {
  const char *operand;
  const char *output, *recipe, *quantize;
  bool json;
#define FIELD(field, name, type, argument, minimum, maximum, words, doc) pith_cli_given field;
  PITH_PRUNE_KEY_LIST(FIELD)
#undef FIELD
  pith_cli_limits limits;
  const pith_cli_stage *stage; /* NULL, or where the options come from */
} prune_settings;

/* What one run works on. */
typedef struct job {
  const prune_settings *settings;
  pith_prune_options options;
  pith_quant_options quant;
  bool quantizes;
  pith_arena arena;
  pith_cli_session open;
  pith_cli_gate gate;
  pith_cli_calibration calibration;
  pith_progress progress;
  const char *state_path; /* what obs has finished, beside the output: a killed run goes on from it */
  pith_cli_shrink shrink;
  pith_pruned pruned;
  pith_quantized quantized;
  pith_model model; /* the open one, its data as it is by now; graphs keep its allocator */
} job;

/* ---- options ------------------------------------------------------------------------------------------------------------ */

static const pith_option options[];

/* Data and the measured task may stand in either section, or in both alike. */
static int share_text(const char *name, const char **a, const char **b) {
  if (*a != NULL && *b != NULL && strcmp(*a, *b) != 0)
    return pith_usage_error("%s is '%s' in prune and '%s' in quantize: it is one for both", name, *a, *b);
  *a = *a == NULL ? *b : *a;
  *b = *a;
  return PITH_EXIT_OK;
}

static int share_options(job *j) {
  struct {
    const char *name, **prune, **quant;
  } shared[] = {
      {"data", &j->options.data, &j->quant.data},
      {"data-task", &j->options.data_task, &j->quant.data_task},
      {"eval", &j->options.eval, &j->quant.eval},
      {"eval-data", &j->options.eval_data, &j->quant.eval_data},
      {"max-loss", &j->options.max_loss, &j->quant.max_loss},
  };
  for (size_t i = 0; i < sizeof shared / sizeof *shared; i++) {
    const int status = share_text(shared[i].name, shared[i].prune, shared[i].quant);
    if (status != PITH_EXIT_OK)
      return status;
  }
  return PITH_EXIT_OK;
}

/* The recipe's keys, then what the command line says. */
static int read_options(job *j) {
  pith_error error = {0};
  j->options = pith_prune_defaults;
  j->quant = pith_quant_defaults;
  pith_recipe_section sections[2] = {{.name = "prune", .keys = pith_prune_keys, .options = &j->options},
                                     {.name = "quantize", .keys = pith_quant_keys, .options = &j->quant}};
  int status = pith_cli_read_recipe(j->settings->recipe, j->settings->stage, sections, 2, &j->arena);
  j->quantizes = sections[1].given || j->settings->quantize != NULL;
  if (status == PITH_EXIT_OK)
    status = pith_cli_apply_given(options, pith_prune_keys, j->settings, &j->options, &j->arena);
  if (status != PITH_EXIT_OK)
    return status;
  if (j->settings->quantize != NULL && pith_recipe_set(&j->quant, pith_recipe_key_find(pith_quant_keys, "mode"),
                                                       j->settings->quantize, &j->arena, &error) != PITH_OK)
    return pith_usage_error("--quantize: %s", error.message);
  if (j->quant.rounding == PITH_ROUNDING_AUTO && j->options.method == PITH_PRUNE_OBS && !j->quant.bias_correction)
    j->quant.rounding = PITH_ROUNDING_GPTQ;
  return j->quantizes ? share_options(j) : PITH_EXIT_OK;
}

/* Heads, neurons or layers leave. */
static bool removes_parts(const job *j) {
  return pith_structure_find(j->options.pattern) != PITH_STRUCTURE_COUNT;
}

/* Weights become 0; only a vocabulary can do without. */
static bool sets_zeros(const job *j) {
  return !removes_parts(j) && (j->options.pattern != NULL || j->options.vocabulary == NULL);
}

static bool uses_gradients(const job *j) {
  return j->options.method == PITH_PRUNE_SENSITIVITY;
}

static bool needs_data(const job *j) {
  return (removes_parts(j) && j->options.data != NULL) || j->options.method == PITH_PRUNE_OBS || (j->quantizes && pith_quant_needs_data(&j->quant));
}

static int check_options(job *j) {
  const pith_prune_options *given = &j->options;
  pith_error error = {0};
  pith_pattern pattern;
  double sparsity;
  pith_status valid = PITH_OK;
  if (removes_parts(j))
    valid = pith_structured_check_options(given, &error);
  else if (sets_zeros(j))
    valid = pith_prune_check_options(given, &pattern, &sparsity, &error);
  if (valid != PITH_OK)
    return pith_usage_error("--%s", error.message);
  if (j->quantizes && pith_quantize_check_options(&j->quant, &error) != PITH_OK)
    return pith_usage_error("quantize: %s", error.message);
  const int status = pith_cli_gate_init(&j->gate, given->eval, given->eval_data, given->max_loss);
  if (status != PITH_EXIT_OK)
    return status;
  if (uses_gradients(j) && !removes_parts(j))
    return pith_usage_error("--method sensitivity goes with --pattern head or neuron");
  if (given->data != NULL && !needs_data(j))
    return pith_usage_error("--data is of no use with --method magnitude: it looks at weights alone");
  if (uses_gradients(j) && (given->data == NULL || given->data_task == NULL))
    return pith_usage_error("--method sensitivity needs labelled texts: --data and --data-task");
  if (!uses_gradients(j) && given->batch != pith_prune_defaults.batch)
    return pith_usage_error("--batch goes with --method sensitivity");
  if (given->vocabulary_size != 0 && given->vocabulary == NULL)
    return pith_usage_error("--vocabulary-size goes with --vocabulary");
  if (given->data_task != NULL && pith_cli_task_find(given->data_task) == NULL)
    return PITH_EXIT_USAGE;
  return PITH_EXIT_OK;
}

/* ---- steps -------------------------------------------------------------------------------------------------------------- */

static void show_work(void *context, uint64_t done, uint64_t total) {
  job *j = context;
  j->progress.total = total;
  pith_progress_update(&j->progress, done);
}

/* The sensitivity of parts of the model as it is by then. */
static pith_status measure(void *context, const pith_model *model, pith_sensitivity *list, uint32_t count, pith_error *error) {
  job *j = context;
  const pith_watcher watcher = pith_progress_get_watcher(&j->progress);
  const pith_sensitivity_options options = {.task = pith_eval_task_find(j->options.data_task),
                                            .path = j->options.data,
                                            .model = model,
                                            .pool = j->open.pool,
                                            .folder = pith_spool_get_folder(j->settings->output, &j->arena),
                                            .samples = j->options.samples,
                                            .seed = j->options.seed,
                                            .batch = j->options.batch,
                                            .watcher = &watcher};
  if (options.folder == NULL)
    return pith_fail(error, PITH_OUT_OF_MEMORY, "no memory for the name of a folder");
  PITH_TRY(pith_sensitivity_measure(&options, list, count, error));
  pith_progress_end(&j->progress);
  pith_progress_begin(&j->progress, "prune", 0);
  return PITH_OK;
}

static pith_status prune(job *j, pith_error *error) {
  const pith_prune_request request = {.options = &j->options,
                                      .source = needs_data(j) ? &j->calibration.source : NULL,
                                      .random_ids = j->calibration.random.count != 0,
                                      .session = pith_cli_calibration_session(&j->open, &j->settings->limits),
                                      .state_path = j->state_path,
                                      .measure = measure,
                                      .progress = show_work,
                                      .context = j};
  j->model = *j->open.model;
  if (j->options.vocabulary != NULL)
    PITH_TRY(pith_cli_shrink_words(&j->shrink, &j->model, j->options.vocabulary, j->options.data_task,
                                   (uint32_t)j->options.vocabulary_size, error));
  pith_progress_begin(&j->progress, "prune", 0);
  pith_status status = PITH_OK;
  if (removes_parts(j))
    status = pith_cli_shrink_parts(&j->shrink, &j->model, &request, error);
  else if (sets_zeros(j)) {
    status = pith_prune_model(&j->model, &request, &j->pruned, error);
    j->model.data = j->pruned.data;
  }
  pith_progress_end(&j->progress);
  return status;
}

static pith_status quantize(job *j, pith_error *error) {
  if (!j->quantizes)
    return PITH_OK;
  const pith_session_options session = pith_cli_calibration_session(&j->open, &j->settings->limits);
  PITH_TRY(pith_cli_quantize(&j->model, &j->quant, &j->calibration, &session, &j->quantized, error));
  j->model.data = j->quantized.data;
  return PITH_OK;
}

static pith_status compress(job *j, pith_error *error) {
  const pith_prune_options *given = &j->options;
  if (sets_zeros(j))
    PITH_TRY(pith_prune_check_model(&j->open.model->data, given, error));
  if (needs_data(j))
    PITH_TRY(pith_cli_calibration_open(&j->calibration, &j->open, given->data, given->data_task, given->samples, given->seed,
                                       given->method == PITH_PRUNE_OBS
                                           ? "obs looks at texts (magnitude needs none)"
                                           : "static ranges are found on texts (dynamic ones need none)",
                                       error));
  PITH_TRY(pith_cli_gate_measure_before(&j->gate, &j->open, error));
  if (given->method == PITH_PRUNE_OBS) {
    j->state_path = pith_arena_format(&j->arena, "%s.state", j->settings->output);
    if (j->state_path == NULL)
      return pith_fail(error, PITH_OUT_OF_MEMORY, "no memory for the name of a file");
  }
  PITH_TRY(prune(j, error));
  PITH_TRY(quantize(j, error));
  PITH_TRY(pith_cli_gate_measure_after(&j->gate, &j->open, &j->model.data, error));
  PITH_TRY(pith_cli_gate_add_report(&j->gate, &j->model.data, &j->arena, error));
  PITH_TRY(pith_format_write(j->settings->output, &j->model.data, error));
  if (j->state_path != NULL)
    (void)unlink(j->state_path);
  return PITH_OK;
}

/* ---- what was done -------------------------------------------------------------------------------------------------------- */

static void print_text(const job *j) {
  const pith_prune_summary *s = &j->pruned.summary;
  pith_cli_shrink_print(&j->shrink, j->options.pattern);
  if (sets_zeros(j))
    printf("%llu of %llu weights in %u products are 0: sparsity %.4f, pattern %s\n", (unsigned long long)s->zeros,
         (unsigned long long)s->elements, s->weights, (double)s->zeros / (double)s->elements, j->options.pattern);
  if (j->quantizes)
    printf("%u products in INT8 (%s): %.1f MB, were %.1f MB\n", j->quantized.summary.products,
           j->quant.mode == PITH_QUANT_STATIC ? "static" : "dynamic", (double)j->quantized.summary.quantized_bytes * 1e-6,
           (double)j->quantized.summary.float_bytes * 1e-6);
  pith_cli_gate_print(&j->gate);
}

static void print_json(const job *j) {
  const pith_prune_summary *s = &j->pruned.summary;
  printf("{");
  pith_cli_shrink_print_json(&j->shrink);
  printf("\"pattern\":\"%s\",\"weights\":%u,\"elements\":%llu,\"zeros\":%llu,\"quantized\":%s", j->options.pattern == NULL ? "" : j->options.pattern,
         s->weights, (unsigned long long)s->elements, (unsigned long long)s->zeros, j->quantizes ? "true" : "false");
  pith_cli_gate_print_json(&j->gate);
  puts("}");
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
      status = compress(&j, &error);
    if (status != PITH_OK)
      exit_status = pith_report_error(&error);
    else
      (j.settings->json ? print_json : print_text)(&j);
  }
  pith_quantized_deinit(&j.quantized);
  pith_pruned_deinit(&j.pruned);
  pith_cli_shrink_deinit(&j.shrink);
  pith_cli_calibration_close(&j.calibration);
  pith_cli_gate_deinit(&j.gate);
  pith_cli_session_close(&j.open);
  pith_arena_deinit(&j.arena);
  return exit_status;
}

int pith_cli_stage_prune(const pith_cli_stage *stage) {
  return run(&(const prune_settings){.operand = stage->model,
                                     .output = stage->output,
                                     .json = stage->json,
                                     .limits = {.threads = stage->threads},
                                     .stage = stage});
}

#define FIELD(name) offsetof(prune_settings, name)
#define ROW(field, name, type, argument, minimum, maximum, words, doc)                                              \
  {name, 0, false, PITH_GIVEN_##type, argument, offsetof(prune_settings, field), 0, 0, doc},
static const pith_option options[] = {
    {"output", 'o', true, PITH_OPTION_FILE, "P.pith", FIELD(output), 0, 0, "the file to write"},
    PITH_PRUNE_KEY_LIST(ROW)
    {"quantize", 0, false, PITH_OPTION_TEXT, "MODE", FIELD(quantize), 0, 0, "then to INT8, static or dynamic, as pith quantize does"},
    {"recipe", 0, false, PITH_OPTION_FILE, "FILE", FIELD(recipe), 0, 0,
     "JSON with the names of these options as keys, or {\"prune\": {...}, \"quantize\": {...}}; what the command line "
     "says comes after"},
    {"json", 0, false, PITH_OPTION_FLAG, NULL, FIELD(json), 0, 0, "what was done, as JSON"},
    PITH_OPTION_THREADS(prune_settings),
    PITH_OPTION_MAX_TOKENS(prune_settings),
    {0},
};

const pith_command pith_command_prune = {
    .name = "prune",
    .operand = "M.pith",
    .summary = "zeros in a float model's weights, without training",
    .details = "Weights of the encoder's products become 0 in a pattern; embeddings, pooler and head stay as they are. The file "
               "holds the recipe. With --quantize or a recipe's quantize section the result is INT8. With --eval and "
               "--max-loss nothing is written where the loss is over the budget.",
    .options = options,
    .defaults = &(const prune_settings){0},
    .settings_bytes = sizeof(prune_settings),
    .run = run,
};
