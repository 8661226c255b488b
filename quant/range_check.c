#include "quant/range_check.h"

#include <math.h>

#include <cjson/cJSON.h>

#include "engine/exec/model.h"
#include "engine/ir/operator.h"
#include "quant/tap.h"

typedef struct checker {
  pith_range_check *out;
  const char **names;
  pith_tap tap;
} checker;

/* ---- what was calibrated --------------------------------------------------------------------------------------------- */

/* False where the node's scale is not one number of the file. */
static bool read_bounds(const pith_graph *graph, const pith_node *node, pith_range_use *use) {
  const pith_tensor *scale = &graph->tensors[node->inputs[1]];
  const pith_tensor *zero =
      node->input_count > 2 && node->inputs[2] != PITH_NONE ? &graph->tensors[node->inputs[2]] : NULL;
  if (scale->rank != 0 || scale->data == NULL || (zero != NULL && zero->data == NULL))
    return false;
  const bool is_signed = graph->tensors[node->outputs[0]].dtype == PITH_DTYPE_S8;
  const int z = zero == NULL ? 0 : is_signed ? *(const int8_t *)zero->data : *(const uint8_t *)zero->data;
  /* Values up to half a step beyond the last level round to it. */
  const float step = *(const float *)scale->data;
  use->low = ((float)((is_signed ? -128 : 0) - z) - 0.5f) * step;
  use->high = ((float)((is_signed ? 127 : 255) - z) + 0.5f) * step;
  return true;
}

/* Ranges seen in calibration, by the newest step that has them. NULL: none. */
static cJSON *open_history(const pith_model_data *data) {
  for (uint32_t i = data->history_count; i-- > 0;)
    if (strcmp(data->history[i].step, "quantize") == 0)
      return cJSON_Parse(data->history[i].json);
  return NULL;
}

static void read_seen(const cJSON *history, pith_range_use *use) {
  const cJSON *ranges = cJSON_GetObjectItemCaseSensitive(history, "ranges");
  const cJSON *range = cJSON_GetObjectItemCaseSensitive(ranges, use->name);
  const cJSON *low = cJSON_GetArrayItem(range, 0), *high = cJSON_GetArrayItem(range, 1);
  const bool known = cJSON_IsNumber(low) && cJSON_IsNumber(high);
  use->seen_low = known ? (float)low->valuedouble : use->low;
  use->seen_high = known ? (float)high->valuedouble : use->high;
}

static pith_status collect(checker *c, const pith_model *model, pith_error *error) {
  const pith_graph *graph = model->data.graph;
  pith_range_check *out = c->out;
  out->uses = PITH_ARENA_NEW(&out->arena, pith_range_use, graph->node_count);
  c->names = PITH_ARENA_NEW(&out->arena, const char *, graph->node_count);
  if (out->uses == NULL || c->names == NULL)
    return pith_fail(error, PITH_OUT_OF_MEMORY, "no memory to check ranges of %u nodes", graph->node_count);
  cJSON *history = open_history(&model->data);
  for (uint32_t n = 0; n < graph->node_count; n++) {
    const pith_node *node = &graph->nodes[n];
    pith_range_use use = {.run_low = INFINITY, .run_high = -INFINITY, .factor = 1};
    if (node->op->id != PITH_OP_QUANTIZE_LINEAR || !read_bounds(graph, node, &use))
      continue;
    const char *name = graph->tensors[node->inputs[0]].name; /* the answers outlive the model */
    use.name = c->names[out->count] = pith_arena_string(&out->arena, name, strlen(name));
    if (use.name == NULL) {
      cJSON_Delete(history);
      return pith_fail(error, PITH_OUT_OF_MEMORY, "no memory to check the range of '%s'", name);
    }
    read_seen(history, &use);
    out->uses[out->count++] = use;
  }
  cJSON_Delete(history);
  if (out->count == 0)
    return pith_fail(error, PITH_INVALID_ARGUMENT, "the model has no calibrated ranges: it is %s",
                     "not quantized, or dynamically");
  return PITH_OK;
}

/* ---- runs ------------------------------------------------------------------------------------------------------------------ */

static pith_status check_batch(void *context, const uint32_t *order, const int32_t *offsets, size_t count,
                               const pith_result *result, pith_error *error) {
  (void)order;
  (void)offsets;
  (void)result;
  (void)error;
  checker *c = context;
  for (uint32_t i = 0; i < c->out->count; i++) {
    pith_range_use *use = &c->out->uses[i];
    const pith_view *view = pith_tap_get(&c->tap, i);
    const float *values = view->data;
    const uint64_t n = pith_view_count(view);
    for (uint64_t e = 0; e < n; e++) {
      use->run_low = fminf(use->run_low, values[e]);
      use->run_high = fmaxf(use->run_high, values[e]);
      use->outside += !(values[e] >= use->low && values[e] <= use->high);
    }
    use->count += n;
  }
  c->out->texts += count;
  return PITH_OK;
}

static double find_factor(float run, float seen, float holds) {
  const double bound = fmax(fabs((double)seen), fabs((double)holds));
  return fabs((double)run) > bound ? fabs((double)run) / bound : 1;
}

static void finish(pith_range_check *check) {
  for (uint32_t i = 0; i < check->count; i++) {
    pith_range_use *use = &check->uses[i];
    if (use->run_low < fminf(use->seen_low, use->low))
      use->factor = find_factor(use->run_low, use->seen_low, use->low);
    if (use->run_high > fmaxf(use->seen_high, use->high))
      use->factor = fmax(use->factor, find_factor(use->run_high, use->seen_high, use->high));
    check->exceeded += use->factor > PITH_RANGE_TOLERANCE;
  }
}

static pith_status run_all(checker *c, const pith_calibration_source *source,
                           void (*progress)(void *context, uint64_t sequences), void *context, pith_error *error) {
  PITH_TRY(source->rewind(source->context, error));
  for (size_t count = 1; count != 0;) {
    pith_arena arena;
    pith_arena_init(&arena, NULL);
    const pith_sequence *sequences;
    pith_status status = source->next(source->context, c->tap.session, &arena, &sequences, &count, error);
    if (status == PITH_OK && count != 0)
      status = pith_feed_run(c->tap.session, sequences, count, &arena, check_batch, c, error);
    pith_arena_deinit(&arena);
    PITH_TRY(status);
    if (progress != NULL)
      progress(context, c->out->texts);
  }
  if (c->out->texts == 0)
    return pith_fail(error, PITH_FORMAT, "there is no text to check ranges with");
  return PITH_OK;
}

pith_status pith_range_check_run(const pith_model *model, const pith_calibration_source *source,
                                 const pith_session_options *session,
                                 void (*progress)(void *context, uint64_t sequences), void *context,
                                 pith_range_check *out_check, pith_error *error) {
  *out_check = (pith_range_check){.count = 0};
  pith_arena_init(&out_check->arena, NULL);
  checker c = {.out = out_check};
  pith_status status = collect(&c, model, error);
  if (status == PITH_OK)
    status = pith_tap_init(&c.tap, model, NULL, c.names, out_check->count, session, error);
  if (status == PITH_OK)
    status = run_all(&c, source, progress, context, error);
  pith_tap_deinit(&c.tap);
  finish(out_check);
  return status;
}

void pith_range_check_deinit(pith_range_check *check) {
  pith_arena_deinit(&check->arena);
  check->count = 0;
}
