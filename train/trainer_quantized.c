/* What a trainer of an INT8 model has beside its floats: moving averages of ranges, and the INT8 model with the weights of now. */
#include <float.h>

#include "engine/ir/operator.h"
#include "ops/quantize/fake_quantize_f32.h"
#include "quant/ranges.h"
#include "train/trainer_internal.h"

typedef struct pith_trainer_weight {
  const pith_training_parameter *parameter;
  size_t rows, features;
  int8_t *q;    /* [rows, features] */
  float *scale; /* [rows] */
} weight;

static pith_status no_memory(pith_error *error) {
  return pith_fail(error, PITH_OUT_OF_MEMORY, "no memory for an INT8 model's trainer");
}

/* Data has to be aligned to 64, as the arena does with pieces of that size; zeroed. */
static void *allocate(pith_trainer *t, size_t count, size_t element_bytes) {
  size_t bytes;
  return pith_size_multiply(count, element_bytes, &bytes) ? pith_arena_array(&t->arena, bytes < 64 ? 64 : bytes, 1) : NULL;
}

/* ---- ranges ----------------------------------------------------------------------------------------------------------------- */

/* As quantizing sets them. A range of nothing keeps its scale. */
static void set_range(const pith_training_range *range, const float ends[2]) {
  const bool is_signed = range->dtype == PITH_DTYPE_S8;
  const float scale = pith_range_get_scale(ends[0], ends[1], is_signed);
  if (!(scale >= FLT_MIN && scale <= FLT_MAX))
    return;
  *range->value = scale;
  /* Without a zero point it has to stay 0, and the range to reach up to the larger end. */
  if (!is_signed && range->zero == PITH_NONE)
    *range->value = ends[1] / 255.0f >= FLT_MIN ? ends[1] / 255.0f : scale;
  else if (!is_signed)
    *range->zero_value = pith_range_get_zero(ends[0], scale);
}

static void init_ends(const pith_training_range *range, float ends[2]) {
  const float scale = *range->value, zero = (float)*range->zero_value;
  ends[0] = range->dtype == PITH_DTYPE_S8 ? -127.0f * scale : -zero * scale;
  ends[1] = range->dtype == PITH_DTYPE_S8 ? 127.0f * scale : (255.0f - zero) * scale;
}

static void set_ranges(const pith_trainer *t) {
  const pith_training_quantized *q = t->training->quantized;
  for (uint32_t i = 0; i < q->range_count; i++)
    set_range(&q->ranges[i], t->quantized->ends + 2 * i);
}

void pith_trainer_quantized_observe(pith_trainer *t) {
  const pith_training_quantized *q = t->training->quantized;
  if (q == NULL || q->observer_count == 0 || t->step >= t->options.range_freeze)
    return;
  const float share = (float)(1 - t->options.range_momentum);
  for (uint32_t i = 0; i < q->observer_count; i++) {
    const pith_view *view = pith_executor_get_output(t->executor, q->observers[i].output);
    const float *rows = view->data;
    float *ends = t->quantized->ends + 2 * q->observers[i].range, low = 0, high = 0;
    for (size_t r = 0; r < view->rows; r++) {
      low = rows[2 * r] < low ? rows[2 * r] : low;
      high = rows[2 * r + 1] > high ? rows[2 * r + 1] : high;
    }
    ends[0] += share * (low - ends[0]);
    ends[1] += share * (high - ends[1]);
  }
  set_ranges(t);
}

/* A learned scale that a step takes to 0 or below stands for no range. */
void pith_trainer_quantized_settle(pith_trainer *t) {
  const pith_training_quantized *q = t->training->quantized;
  if (q == NULL)
    return;
  if (t->quantized->end_count != 0)
    set_ranges(t);
  for (uint32_t i = 0; q->how == PITH_RANGE_TRAINING_LEARNED && i < q->range_count; i++)
    if (!(*q->ranges[i].value >= FLT_MIN))
      *q->ranges[i].value = FLT_MIN;
}

/* ---- the INT8 model ------------------------------------------------------------------------------------------------------------ */

static const pith_training_parameter *find_parameter(const pith_trainer *t, const char *name) {
  return pith_training_graph_find(t->training, pith_graph_find_tensor(t->training->model, name));
}

/* `dequantize` reads an s8 parameter and its scales: both are from now on where refresh writes them. */
static pith_status add_weight(pith_trainer *t, const pith_node *dequantize, bool *scale_used, pith_error *error) {
  pith_graph *graph = t->quantized->graph;
  const pith_tensor_id id = dequantize->inputs[0], scale = dequantize->inputs[1];
  const pith_tensor *tensor = &graph->tensors[id];
  for (uint32_t i = 0; i < t->quantized->weight_count; i++)
    if (t->quantized->weights[i].q == tensor->data)
      return PITH_OK;
  weight *w = &t->quantized->weights[t->quantized->weight_count];
  *w = (weight){.parameter = find_parameter(t, tensor->name),
                .rows = (size_t)tensor->dims[0].constant,
                .features = (size_t)tensor->dims[1].constant};
  if (w->parameter == NULL || scale_used[scale])
    return pith_fail(error, PITH_UNSUPPORTED, "node '%s': '%s' has not scales of its own", dequantize->name, tensor->name);
  scale_used[scale] = true;
  t->quantized->weight_count++;
  w->q = allocate(t, w->rows * w->features, sizeof *w->q);
  w->scale = allocate(t, w->rows, sizeof *w->scale);
  if (w->q == NULL || w->scale == NULL)
    return no_memory(error);
  graph->tensors[id].layout = PITH_LAYOUT_ROW_MAJOR;
  pith_graph_set_data(graph, id, w->q, w->rows * w->features);
  pith_graph_set_data(graph, scale, w->scale, w->rows * sizeof *w->scale);
  return PITH_OK;
}

static pith_status bind_graph(pith_trainer *t, bool *scale_used, pith_error *error) {
  const pith_training_quantized *q = t->training->quantized;
  pith_graph *graph = t->quantized->graph;
  for (uint32_t i = 0; i < q->range_count; i++) {
    pith_graph_set_data(graph, q->ranges[i].scale, q->ranges[i].value, sizeof(float));
    if (q->ranges[i].zero != PITH_NONE)
      pith_graph_set_data(graph, q->ranges[i].zero, q->ranges[i].zero_value, 1);
  }
  for (pith_tensor_id id = 0; id < graph->tensor_count; id++) {
    pith_tensor *tensor = &graph->tensors[id];
    if (tensor->kind != PITH_TENSOR_PARAMETER || tensor->dtype != PITH_DTYPE_F32)
      continue;
    const pith_training_parameter *parameter = find_parameter(t, tensor->name);
    if (parameter == NULL)
      continue;
    tensor->layout = PITH_LAYOUT_ROW_MAJOR;
    pith_graph_set_data(graph, id, t->values + parameter->offset, parameter->count * sizeof(float));
  }
  for (pith_node_id n = 0; n < graph->node_count; n++) {
    const pith_node *node = &graph->nodes[n];
    if (node->op->id == PITH_OP_DEQUANTIZE_LINEAR && graph->tensors[node->inputs[0]].kind == PITH_TENSOR_PARAMETER)
      PITH_TRY(add_weight(t, node, scale_used, error));
  }
  return PITH_OK;
}

pith_status pith_trainer_quantized_create(pith_trainer *t, pith_error *error) {
  const pith_training_quantized *q = t->training->quantized;
  if (q == NULL)
    return PITH_OK;
  t->quantized = PITH_ARENA_NEW(&t->arena, pith_trainer_quantized, 1);
  bool *scale_used = PITH_ARENA_NEW(&t->arena, bool, q->source->tensor_count);
  if (t->quantized == NULL || scale_used == NULL)
    return no_memory(error);
  t->quantized->weights = PITH_ARENA_NEW(&t->arena, weight, q->source->node_count);
  if (t->quantized->weights == NULL)
    return no_memory(error);
  PITH_TRY(pith_graph_clone(q->source, &t->allocator, &t->quantized->graph, error));
  if (q->how == PITH_RANGE_TRAINING_EMA) {
    t->quantized->ends = allocate(t, 2 * (size_t)q->range_count, sizeof(float));
    if (t->quantized->ends == NULL)
      return no_memory(error);
    t->quantized->end_count = 2 * (size_t)q->range_count;
    for (uint32_t i = 0; i < q->range_count; i++)
      init_ends(&q->ranges[i], t->quantized->ends + 2 * i);
    set_ranges(t); /* as they are after a state was read */
  }
  return bind_graph(t, scale_used, error);
}

void pith_trainer_quantized_destroy(pith_trainer *t) {
  if (t->quantized != NULL)
    pith_graph_destroy(t->quantized->graph);
}

/* Zeros stay zeros and small weights may become zeros: what is kept is counted again. */
static pith_status set_pattern(const pith_trainer *t, pith_tensor *tensor, pith_error *error) {
  const pith_tensor_id id = pith_graph_find_tensor(t->training->model, tensor->name);
  const pith_tensor *like = id == PITH_NONE ? NULL : &t->training->model->tensors[id];
  if (like == NULL || like->pattern.kind == PITH_PATTERN_DENSE)
    return PITH_OK;
  tensor->pattern = like->pattern;
  return pith_pattern_count_kept(&like->pattern, (uint64_t)like->dims[0].constant, (uint64_t)like->dims[1].constant, tensor->data,
                                 tensor->dtype == PITH_DTYPE_F32, &tensor->kept, error);
}

pith_status pith_trainer_quantized_refresh(pith_trainer *t, pith_error *error) {
  const pith_kernel *kernel = pith_trainer_select(pith_fake_quantize_rows_f32_kernels);
  if (t->quantized == NULL)
    return PITH_OK;
  for (uint32_t i = 0; i < t->quantized->weight_count; i++) {
    const weight *w = &t->quantized->weights[i];
    const pith_fake_quantize_rows_f32_args args = {
        .x = t->values + w->parameter->offset, .rows = w->rows, .features = w->features, .q = w->q, .scale = w->scale};
    pith_trainer_run_calls(t, &(pith_trainer_call){kernel, &args}, 1);
  }
  pith_graph *graph = t->quantized->graph;
  for (pith_tensor_id id = 0; id < graph->tensor_count; id++)
    if (graph->tensors[id].kind == PITH_TENSOR_PARAMETER)
      PITH_TRY(set_pattern(t, &graph->tensors[id], error));
  return PITH_OK;
}
