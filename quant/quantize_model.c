#include "quant/quantize_model.h"

#include <stdio.h>

#include <cjson/cJSON.h>

#include "compiler/history.h"
#include "compiler/rewrite/choose.h"
#include "engine/exec/model.h"
#include "quant/observer.h"
#include "quant/recipe.h"
#include "quant/round.h"
#include "quant/transform.h"

/* What one call works on. */
typedef struct job {
  const pith_model *model;
  const pith_quantize_request *request;
  const pith_graph *graph; /* the newest */
  pith_quantized *out;
  uint32_t passes;
} job;

uint32_t pith_quantize_count_passes(const pith_quant_options *options) {
  if (!pith_quant_needs_data(options))
    return 0;
  const bool histogram = pith_observer_needs_histogram(options->observer);
  const bool again = options->mode == PITH_QUANT_STATIC || options->bias_correction;
  const uint32_t rounding = options->rounding == PITH_ROUNDING_GPTQ;
  const uint32_t found = again ? 1 + histogram : 0;
  return (pith_quant_uses_smoothquant(options) ? 1 + found : found) + rounding;
}

pith_status pith_quantize_check_options(const pith_quant_options *options, pith_error *error) {
#define WORD(name, text) text,
  static const char *const observers[] = {PITH_OBSERVER_LIST(WORD)};
#undef WORD
  const pith_quant_options *defaults = &pith_quant_defaults;
  const char *observer = observers[options->observer];
  if (options->mode == PITH_QUANT_DYNAMIC && options->observer != defaults->observer)
    return pith_fail(error, PITH_INVALID_ARGUMENT,
                     "observer %s does nothing in dynamic mode, where each token has a range of its own", observer);
  if (options->percentile != defaults->percentile && options->observer != PITH_OBSERVER_PERCENTILE)
    return pith_fail(error, PITH_INVALID_ARGUMENT, "percentile %g does nothing with observer %s: it goes with %s",
                     options->percentile, observer, observers[PITH_OBSERVER_PERCENTILE]);
  if (options->averaging != defaults->averaging && options->observer != PITH_OBSERVER_MOVING_AVERAGE)
    return pith_fail(error, PITH_INVALID_ARGUMENT, "averaging %g does nothing with observer %s: it goes with %s",
                     options->averaging, observer, observers[PITH_OBSERVER_MOVING_AVERAGE]);
  if (options->seed != 0 && options->samples == 0 && options->data != NULL)
    return pith_fail(error, PITH_INVALID_ARGUMENT, "seed %llu does nothing with samples 0: all texts are used",
                     (unsigned long long)options->seed);
  if (options->bias_correction && options->rounding == PITH_ROUNDING_GPTQ)
    return pith_fail(error, PITH_INVALID_ARGUMENT, "bias-correction does nothing with rounding gptq, which fits biases itself");
  return PITH_OK;
}

static void keep_graph(job *j, pith_graph *graph) {
  j->out->graphs[j->out->graph_count++] = graph;
  j->graph = graph;
}

/* ---- calibration ---------------------------------------------------------------------------------------------------------- */

static void show(void *context, uint32_t pass, uint64_t sequences) {
  const job *j = context;
  if (j->request->progress != NULL)
    j->request->progress(j->request->context, j->passes + pass, sequences);
}

/* Before SmoothQuant only the features' extremes are wanted, which one pass gives. */
static pith_status calibrate(job *j, bool before_smoothing, pith_error *error) {
  pith_quant_options options = *j->request->options;
  if (before_smoothing)
    options.observer = PITH_OBSERVER_MIN_MAX;
  if (j->request->source == NULL)
    return pith_fail(error, PITH_INVALID_ARGUMENT, "these options need calibration data, and there is none");
  pith_calibrate_options calibration = {.quant = &options,
                                        .channels = pith_quant_needs_channels(&options),
                                        .session = j->request->session,
                                        .progress = show,
                                        .progress_context = j};
  pith_arena arena;
  pith_arena_init(&arena, &j->model->allocator);
  pith_ranges_deinit(&j->out->ranges);
  pith_status status =
      pith_quant_list_activations(j->graph, &options, &arena, &calibration.names, &calibration.name_count, error);
  if (status == PITH_OK)
    status = pith_calibrate(j->model, j->graph, j->request->source, &calibration, &j->out->ranges, error);
  j->passes += 1 + pith_observer_needs_histogram(options.observer);
  pith_arena_deinit(&arena);
  return status;
}

/* ---- GPTQ ------------------------------------------------------------------------------------------------------------------- */

static void show_rounding(void *context, uint64_t sequences) {
  show(context, 0, sequences);
}

static pith_status round_weights(job *j, const float *const **out_scales, pith_error *error) {
  const pith_round_request request = {.model = j->model,
                                      .graph = j->graph,
                                      .ranges = &j->out->ranges,
                                      .options = j->request->options,
                                      .source = j->request->source,
                                      .session = j->request->session,
                                      .progress = show_rounding,
                                      .context = j};
  pith_graph *graph;
  if (request.source == NULL)
    return pith_fail(error, PITH_INVALID_ARGUMENT, "rounding gptq needs calibration data, and there is none");
  PITH_TRY(pith_round_graph(&request, &graph, out_scales, error));
  keep_graph(j, graph);
  return PITH_OK;
}

/* ---- history ----------------------------------------------------------------------------------------------------------------- */

static bool add_ranges(const pith_ranges *ranges, cJSON *json) {
  cJSON *list = cJSON_AddObjectToObject(json, "ranges");
  for (uint32_t i = 0; list != NULL && i < ranges->count; i++) {
    const pith_range *range = &ranges->ranges[i];
    char seen[64]; /* nine digits give the float back; cJSON would write 17 */
    snprintf(seen, sizeof seen, "[%.9g,%.9g]", (double)range->seen_low, (double)range->seen_high);
    if (!cJSON_AddItemToObject(list, range->name, cJSON_CreateRaw(seen)))
      return false;
  }
  return list != NULL;
}

static cJSON *describe(const job *j) {
  const pith_quant_options *options = j->request->options;
  const pith_ranges *ranges = &j->out->ranges;
  cJSON *json = pith_recipe_describe(options, pith_quant_keys, j->model->data.graph);
  bool whole = json != NULL;
  if (whole && ranges->count != 0)
    whole = cJSON_AddNumberToObject(json, j->request->random_ids ? "random_sequences" : "texts",
                                    (double)ranges->texts) != NULL &&
            cJSON_AddNumberToObject(json, "tokens", (double)ranges->tokens) != NULL;
  if (whole && options->mode == PITH_QUANT_STATIC)
    whole = add_ranges(ranges, json);
  if (whole)
    return json;
  cJSON_Delete(json);
  return NULL;
}

/* ---- steps ------------------------------------------------------------------------------------------------------------------- */

static pith_status quantize(job *j, pith_error *error) {
  const pith_quant_options *options = j->request->options;
  const pith_allocator *allocator = &j->model->allocator;
  pith_quantized *out = j->out;
  pith_graph *graph;
  PITH_TRY(pith_quantize_check_options(options, error));
  PITH_TRY(pith_quant_check_float(j->graph, error));
  PITH_TRY(pith_recipe_check_graph(options->graph, j->graph, error));
  if (options->equalize) {
    PITH_TRY(pith_equalize_graph(j->graph, options, allocator, &graph, &out->equalized, error));
    keep_graph(j, graph);
  }
  if (pith_quant_uses_smoothquant(options)) {
    PITH_TRY(calibrate(j, true, error));
    PITH_TRY(pith_smooth_graph(j->graph, &out->ranges, options, allocator, &graph, &out->smoothed, error));
    keep_graph(j, graph);
  }
  if (options->mode == PITH_QUANT_STATIC || options->bias_correction)
    PITH_TRY(calibrate(j, false, error));
  out->float_graph = j->graph;
  if (options->bias_correction) {
    PITH_TRY(pith_correct_biases(j->graph, &out->ranges, options, allocator, &graph, &out->corrected, error));
    keep_graph(j, graph);
  }
  const float *const *scales = NULL;
  if (options->rounding == PITH_ROUNDING_GPTQ)
    PITH_TRY(round_weights(j, &scales, error));
  PITH_TRY(pith_quantize_graph(j->graph, &out->ranges, options, scales, allocator, &graph, &out->summary, error));
  keep_graph(j, graph);
  PITH_TRY(pith_sparse_choose_layouts(graph, &graph->arena, NULL, error));
  out->data.graph = graph;
  return pith_history_add(&j->out->data, "quantize", describe(j), &j->out->arena, error);
}

pith_status pith_quantize_model(const pith_model *model, const pith_quantize_request *request, pith_quantized *out,
                                pith_error *error) {
  *out = (pith_quantized){.data = model->data};
  pith_arena_init(&out->arena, &model->allocator);
  pith_arena_init(&out->ranges.arena, &model->allocator);
  out->data.report = NULL; /* measured on other weights */
  out->data.report_count = 0;
  job j = {.model = model, .request = request, .graph = model->data.graph, .out = out};
  return quantize(&j, error);
}

void pith_quantized_deinit(pith_quantized *quantized) {
  while (quantized->graph_count > 0)
    pith_graph_destroy(quantized->graphs[--quantized->graph_count]);
  pith_ranges_deinit(&quantized->ranges);
  pith_arena_deinit(&quantized->arena);
}
