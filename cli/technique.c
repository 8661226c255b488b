#include "cli/technique.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "cli/task.h"
#include "engine/exec/model.h"

enum { CALIBRATION_TOKENS = 512 };

/* ---- options -------------------------------------------------------------------------------------------------------------- */

int pith_cli_read_recipe(const char *recipe, const pith_cli_stage *stage, pith_recipe_section *sections, size_t count,
                         pith_arena *arena) {
  pith_error error = {0};
  pith_status status = PITH_OK;
  if (stage != NULL)
    status = pith_recipe_read_object(stage->where, stage->options, &sections[0], arena, &error);
  else if (recipe != NULL)
    status = pith_recipe_read(recipe, sections, count, arena, &error);
  return status == PITH_OK ? PITH_EXIT_OK : pith_report_error(&error);
}

int pith_cli_apply_given(const pith_option *command_options, const pith_recipe_key *keys, const void *settings,
                         void *options, pith_arena *arena) {
  for (const pith_option *option = command_options; option->name != NULL; option++) {
    const pith_recipe_key *key = pith_recipe_key_find(keys, option->name);
    if (key == NULL)
      continue;
    const pith_cli_given *value = (const pith_cli_given *)((const char *)settings + option->offset);
    const char *text = key->type != PITH_RECIPE_FLAG ? value->text : value->flag ? "true" : NULL;
    pith_error error = {0};
    if (text != NULL && pith_recipe_set(options, key, text, arena, &error) != PITH_OK)
      return pith_usage_error("--%s", error.message);
  }
  return PITH_EXIT_OK;
}

/* ---- before and after ----------------------------------------------------------------------------------------------------- */

/* "1%" of the metric, or "0.005" of it. */
static int read_max_loss(pith_cli_gate *gate, const char *text) {
  gate->max_loss = -1;
  gate->max_loss_text = text;
  if (text == NULL)
    return PITH_EXIT_OK;
  char *end;
  const double loss = strtod(text, &end);
  gate->relative = end != text && *end == '%';
  end += gate->relative;
  if (end == text || *end != '\0' || !(loss >= 0 && loss < 1000))
    return pith_usage_error("--max-loss takes a share such as 1%% or a difference such as 0.005, not '%s'", text);
  gate->max_loss = gate->relative ? loss / 100 : loss;
  return PITH_EXIT_OK;
}

int pith_cli_gate_init(pith_cli_gate *gate, const char *task, const char *data, const char *max_loss) {
  *gate = (pith_cli_gate){.data_path = data};
  if ((task == NULL) != (data == NULL))
    return pith_usage_error("--eval and --eval-data go together");
  if (max_loss != NULL && task == NULL)
    return pith_usage_error("--max-loss goes with --eval and --eval-data");
  if (task != NULL && (gate->task = pith_cli_task_find(task)) == NULL)
    return PITH_EXIT_USAGE;
  return read_max_loss(gate, max_loss);
}

static void show_rows(void *context, uint64_t done) {
  pith_progress_update(context, done);
}

static pith_status measure(const pith_cli_gate *gate, const pith_model *model, const pith_session_options *options,
                           const char *what, pith_evaluation *out, pith_error *error) {
  pith_session *session;
  PITH_TRY(pith_session_create(model, options, &session, error));
  pith_progress progress;
  pith_progress_begin(&progress, what, gate->data.count);
  const pith_status status = pith_evaluate(session, gate->task, &gate->data, show_rows, &progress, out, error);
  pith_progress_end(&progress);
  pith_session_destroy(session);
  return status;
}

pith_status pith_cli_gate_measure_before(pith_cli_gate *gate, const pith_cli_session *open, pith_error *error) {
  if (gate->task == NULL)
    return PITH_OK;
  PITH_TRY(pith_dataset_read(gate->data_path, gate->task->format, NULL, NULL, &gate->data, error));
  return measure(gate, open->model, &open->options, "eval before", &gate->before, error);
}

/* Every metric within the budget, in what it loses. */
static pith_status check_loss(const pith_cli_gate *gate, pith_error *error) {
  for (size_t i = 0; gate->max_loss >= 0 && i < gate->before.metric_count; i++) {
    const double before = gate->before.metrics[i].value, after = gate->after.metrics[i].value;
    const double loss = before - after, limit = gate->relative ? gate->max_loss * fabs(before) : gate->max_loss;
    if (!(loss <= limit + 1e-12))
      return pith_fail(error, PITH_LIMIT, "%s %s falls from %.4f to %.4f: a loss of %.4f (%.2f%%), over the budget of %s "
                       "by %.4f; nothing was written", gate->task->name, gate->before.metrics[i].name, before, after, loss,
                       100 * loss / fabs(before), gate->max_loss_text, loss - limit);
  }
  return PITH_OK;
}

pith_status pith_cli_gate_measure_after(pith_cli_gate *gate, const pith_cli_session *open, const pith_model_data *data,
                                        pith_error *error) {
  if (gate->task == NULL)
    return PITH_OK;
  pith_model model = *open->model;
  model.data = *data;
  PITH_TRY(measure(gate, &model, &open->options, "eval after", &gate->after, error));
  return check_loss(gate, error);
}

pith_status pith_cli_gate_add_report(const pith_cli_gate *gate, pith_model_data *data, pith_arena *arena,
                                     pith_error *error) {
  if (gate->task == NULL)
    return PITH_OK;
  const size_t half = gate->before.metric_count, count = half + gate->after.metric_count;
  pith_report_entry *report = PITH_ARENA_NEW(arena, pith_report_entry, count);
  bool whole = report != NULL;
  for (size_t i = 0; i < count && whole; i++) {
    const pith_evaluation *evaluation = i < half ? &gate->before : &gate->after;
    const size_t m = i < half ? i : i - half;
    report[i] = (pith_report_entry){
        gate->task->name, pith_arena_format(arena, "%s%s", evaluation->metrics[m].name, i < half ? "_float" : ""),
        evaluation->metrics[m].value, evaluation->n};
    whole = report[i].metric != NULL;
  }
  if (!whole)
    return pith_fail(error, PITH_OUT_OF_MEMORY, "no memory for a report of %zu metrics", count);
  data->report = report;
  data->report_count = (uint32_t)count;
  return PITH_OK;
}

void pith_cli_gate_print(const pith_cli_gate *gate) {
  for (size_t i = 0; gate->task != NULL && i < gate->after.metric_count; i++)
    printf("%s %s\t%.4f, was %.4f\n", gate->task->name, gate->after.metrics[i].name, gate->after.metrics[i].value,
           gate->before.metrics[i].value);
}

static void print_metrics(const pith_evaluation *evaluation) {
  for (size_t i = 0; i < evaluation->metric_count; i++) {
    printf("%s\"%s\":", i == 0 ? "{" : ",", evaluation->metrics[i].name);
    pith_json_double(stdout, evaluation->metrics[i].value);
  }
  printf("}");
}

void pith_cli_gate_print_json(const pith_cli_gate *gate) {
  if (gate->task == NULL)
    return;
  printf(",\"eval\":{\"task\":\"%s\",\"n\":%zu,\"before\":", gate->task->name, gate->after.n);
  print_metrics(&gate->before);
  printf(",\"after\":");
  print_metrics(&gate->after);
  printf("}");
}

void pith_cli_gate_deinit(pith_cli_gate *gate) {
  pith_dataset_deinit(&gate->data);
}

/* ---- calibration data ----------------------------------------------------------------------------------------------------- */

pith_status pith_cli_calibration_open(pith_cli_calibration *calibration, const pith_cli_session *open, const char *data,
                                      const char *data_task, uint64_t samples, uint64_t seed, const char *reason,
                                      pith_error *error) {
  if (data != NULL) {
    PITH_TRY(pith_texts_open(&calibration->texts, data, data_task, samples, seed, open->info.task == PITH_TASK_EMBEDDING,
                             error));
    calibration->source = calibration->texts.source;
    calibration->count = calibration->texts.count;
    return PITH_OK;
  }
  if (open->info.has_tokenizer)
    return pith_fail(error, PITH_INVALID_ARGUMENT, "--data is missing: %s", reason);
  PITH_TRY(pith_random_source_init(&calibration->random, &open->model->data, samples == 0 ? 300 : samples, seed, error));
  calibration->source = pith_random_source_get(&calibration->random);
  calibration->count = calibration->random.count;
  (void)pith_report_failure("no data: calibrating on %llu sequences of random token ids, seed %llu",
                            (unsigned long long)calibration->count, (unsigned long long)seed);
  return PITH_OK;
}

void pith_cli_calibration_close(pith_cli_calibration *calibration) {
  pith_texts_close(&calibration->texts);
}

pith_session_options pith_cli_calibration_session(const pith_cli_session *open, const pith_cli_limits *limits) {
  pith_session_options session = open->options;
  if (limits->max_tokens == 0 && session.max_tokens > CALIBRATION_TOKENS)
    session.max_tokens = open->info.max_length > CALIBRATION_TOKENS ? open->info.max_length : CALIBRATION_TOKENS;
  return session;
}

typedef struct passes {
  pith_progress progress;
  uint64_t count; /* sequences of a pass; 0: a stream of unknown length */
  uint32_t pass;
} passes;

static void show_pass(void *context, uint32_t pass, uint64_t sequences) {
  passes *p = context;
  if (p->count == 0 && pass != p->pass) { /* such a stream begins again */
    pith_progress_end(&p->progress);
    pith_progress_begin(&p->progress, "calibrate", 0);
  }
  p->pass = pass;
  pith_progress_update(&p->progress, pass * p->count + sequences);
}

pith_status pith_cli_quantize(const pith_model *model, const pith_quant_options *options,
                              const pith_cli_calibration *calibration, const pith_session_options *session,
                              pith_quantized *out, pith_error *error) {
  passes p = {.count = calibration->count};
  const pith_quantize_request request = {.options = options,
                                         .source = pith_quant_needs_data(options) ? &calibration->source : NULL,
                                         .random_ids = calibration->random.count != 0,
                                         .session = *session,
                                         .progress = show_pass,
                                         .context = &p};
  pith_progress_begin(&p.progress, "calibrate", p.count * pith_quantize_count_passes(options));
  const pith_status status = pith_quantize_model(model, &request, out, error);
  pith_progress_end(&p.progress);
  return status;
}
