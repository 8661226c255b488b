#include "quant/calibrate.h"

#include <math.h>
#include <stdlib.h>

#include "engine/exec/session_access.h"
#include "engine/ir/operator.h"
#include "quant/observer.h"
#include "quant/tap.h"

typedef struct watched {
  const char *name;
  pith_observer observer;
  uint32_t channel_count;
  float *channel_max;
  double *channel_sum, *channel_squares;
  uint64_t rows;
} watched;

typedef struct calibration {
  const pith_calibrate_options *options;
  pith_tap tap;
  pith_arena *arena; /* of the ranges */
  watched *tensors;  /* [options->name_count] */
  bool histogram;    /* the second pass */
  uint64_t sequences, tokens;
} calibration;

static void see_channels(watched *w, const pith_view *view) {
  const float *values = view->data;
  for (size_t row = 0; row < view->rows; row++)
    for (uint32_t c = 0; c < w->channel_count; c++) {
      const float x = values[row * view->columns + c];
      w->channel_max[c] = fmaxf(w->channel_max[c], fabsf(x));
      w->channel_sum[c] += (double)x;
      w->channel_squares[c] += (double)x * (double)x;
    }
  w->rows += view->rows;
}

static pith_status see_tensor(calibration *c, uint32_t index, pith_error *error) {
  watched *w = &c->tensors[index];
  const pith_view *view = pith_tap_get(&c->tap, index);
  if (c->histogram) {
    pith_observer_see_values(&w->observer, view->data, pith_view_count(view));
    return PITH_OK;
  }
  uint64_t bad;
  if (!pith_observer_see_range(&w->observer, view->data, pith_view_count(view), &bad))
    return pith_fail(error, PITH_FORMAT, "activation '%s' is %g at token %llu of a batch: it cannot be calibrated",
                     w->name, (double)((const float *)view->data)[bad],
                     (unsigned long long)(bad / (view->columns == 0 ? 1 : view->columns)));
  if (w->channel_count != 0)
    see_channels(w, view);
  return PITH_OK;
}

static pith_status see_batch(void *context, const uint32_t *order, const int32_t *offsets, size_t count,
                             const pith_result *result, pith_error *error) {
  (void)order;
  (void)result;
  calibration *c = context;
  for (uint32_t i = 0; i < c->options->name_count; i++)
    PITH_TRY(see_tensor(c, i, error));
  if (!c->histogram) {
    c->sequences += count;
    c->tokens += (uint64_t)offsets[count];
  }
  return PITH_OK;
}

static void show(void *context, uint64_t sequences) {
  const calibration *c = context;
  if (c->options->progress != NULL)
    c->options->progress(c->options->progress_context, c->histogram, sequences);
}

static pith_status run_pass(calibration *c, const pith_calibration_source *source, pith_error *error) {
  return pith_tap_run(&c->tap, source, see_batch, c, show, error);
}

/* Keys and values become s8: operands 1 and 2 of attention. */
static bool is_signed(const pith_graph *graph, const char *name) {
  const pith_tensor_id id = pith_graph_find_tensor(graph, name);
  for (uint32_t n = 0; n < graph->node_count; n++) {
    const pith_node *node = &graph->nodes[n];
    if (node->op->id == PITH_OP_PACKED_ATTENTION && (node->inputs[1] == id || node->inputs[2] == id))
      return true;
  }
  return false;
}

static pith_status begin(calibration *c, pith_error *error) {
  const uint32_t count = c->options->name_count;
  c->tensors = PITH_ARENA_NEW(c->arena, watched, count);
  if (c->tensors == NULL)
    return pith_fail(error, PITH_OUT_OF_MEMORY, "no memory to calibrate %u tensors", count);
  for (uint32_t i = 0; i < count; i++) {
    watched *w = &c->tensors[i];
    const pith_tensor *tensor = &c->tap.graph->tensors[pith_graph_find_tensor(c->tap.graph, c->options->names[i])];
    w->name = pith_arena_string(c->arena, tensor->name, strlen(tensor->name));
    pith_observer_init(&w->observer, c->options->quant, is_signed(c->tap.graph, tensor->name));
    if (c->options->channels && tensor->rank == 2 && pith_dim_is_constant(&tensor->dims[1])) {
      w->channel_count = (uint32_t)tensor->dims[1].constant;
      w->channel_max = PITH_ARENA_NEW(c->arena, float, w->channel_count);
      w->channel_sum = PITH_ARENA_NEW(c->arena, double, w->channel_count);
      w->channel_squares = PITH_ARENA_NEW(c->arena, double, w->channel_count);
    }
    if (w->name == NULL || (w->channel_count != 0 && (w->channel_max == NULL || w->channel_sum == NULL ||
                                                         w->channel_squares == NULL)))
      return pith_fail(error, PITH_OUT_OF_MEMORY, "no memory to calibrate '%s'", tensor->name);
  }
  return PITH_OK;
}

static pith_status add_histograms(calibration *c, pith_error *error) {
  for (uint32_t i = 0; i < c->options->name_count; i++) {
    uint64_t *bins = PITH_ARENA_NEW(c->arena, uint64_t, PITH_OBSERVER_BINS);
    if (bins == NULL)
      return pith_fail(error, PITH_OUT_OF_MEMORY, "no memory for a histogram of '%s'", c->tensors[i].name);
    pith_observer_begin_histogram(&c->tensors[i].observer, bins);
  }
  c->histogram = true;
  return PITH_OK;
}

static int compare_names(const void *a, const void *b) {
  return strcmp(((const pith_range *)a)->name, ((const pith_range *)b)->name);
}

static pith_status finish(calibration *c, pith_ranges *out_ranges, pith_error *error) {
  out_ranges->ranges = PITH_ARENA_NEW(c->arena, pith_range, c->options->name_count);
  if (out_ranges->ranges == NULL)
    return pith_fail(error, PITH_OUT_OF_MEMORY, "no memory for %u ranges", c->options->name_count);
  for (uint32_t i = 0; i < c->options->name_count; i++) {
    const watched *w = &c->tensors[i];
    pith_range *range = &out_ranges->ranges[i];
    *range = (pith_range){.name = w->name,
                          .seen_low = w->observer.low,
                          .seen_high = w->observer.high,
                          .count = w->observer.count,
                          .channel_count = w->channel_count,
                          .channel_max = w->channel_max,
                          .channel_sum = w->channel_sum,
                          .channel_squares = w->channel_squares,
                          .rows = w->rows};
    pith_observer_choose(&w->observer, &range->low, &range->high);
  }
  out_ranges->count = c->options->name_count;
  out_ranges->texts = c->sequences;
  out_ranges->tokens = c->tokens;
  qsort(out_ranges->ranges, out_ranges->count, sizeof *out_ranges->ranges, compare_names);
  return PITH_OK;
}

static pith_status calibrate(calibration *c, const pith_calibration_source *source, pith_ranges *out_ranges,
                             pith_error *error) {
  PITH_TRY(begin(c, error));
  PITH_TRY(run_pass(c, source, error));
  if (c->tokens == 0)
    return pith_fail(error, PITH_FORMAT, "the calibration data has no text");
  if (pith_observer_needs_histogram(c->options->quant->observer)) {
    PITH_TRY(add_histograms(c, error));
    PITH_TRY(run_pass(c, source, error));
  }
  return finish(c, out_ranges, error);
}

pith_status pith_calibrate(const pith_model *model, const pith_graph *graph, const pith_calibration_source *source,
                           const pith_calibrate_options *options, pith_ranges *out_ranges, pith_error *error) {
  *out_ranges = (pith_ranges){.count = 0};
  pith_arena_init(&out_ranges->arena, &model->allocator);
  calibration c = {.options = options, .arena = &out_ranges->arena};
  pith_status status =
      pith_tap_init(&c.tap, model, graph, options->names, options->name_count, &options->session, error);
  if (status == PITH_OK)
    status = calibrate(&c, source, out_ranges, error);
  pith_tap_deinit(&c.tap);
  return status;
}
