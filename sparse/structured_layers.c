/* Whole layers leave, one after the other. */
#include <math.h>

#include "engine/ir/operator.h"
#include "quant/tap.h"
#include "sparse/structured_internal.h"

/* Moments of one feature of what goes into a layer, x, and comes out, y. */
typedef struct feature_moments {
  double x, y, xx, xy, yy;
} feature_moments;

typedef struct layer_round {
  pith_structured_job *job;
  const pith_graph *graph;
  pith_structured_layer *layers;
  uint32_t count;
  pith_tap tap;
  feature_moments **moments; /* [count][features] */
  uint64_t rows;
  pith_removal removal;
  pith_rewriter reader; /* only to read data with */
  pith_arena arena;
} layer_round;

static size_t count_features(const layer_round *r, uint32_t layer) {
  return (size_t)r->graph->tensors[r->layers[layer].residual.in].dims[1].constant;
}

static pith_status see(void *context, const uint32_t *order, const int32_t *offsets, size_t count,
                       const pith_result *result, pith_error *error) {
  (void)order;
  (void)result;
  layer_round *r = context;
  for (uint32_t layer = 0; layer < r->count; layer++) {
    const pith_view *in = pith_tap_get(&r->tap, 2 * layer);
    const pith_view *out = pith_tap_get(&r->tap, 2 * layer + 1);
    const float *x = in->data, *y = out->data;
    for (size_t i = 0; i < in->rows * in->columns; i++) {
      feature_moments *m = &r->moments[layer][i % in->columns];
      m->x += (double)x[i];
      m->y += (double)y[i];
      m->xx += (double)x[i] * (double)x[i];
      m->xy += (double)x[i] * (double)y[i];
      m->yy += (double)y[i] * (double)y[i];
      if (!isfinite(x[i]) || !isfinite(y[i]))
        return pith_fail(error, PITH_FORMAT,
                         "an activation of layer %u is not finite: nothing can be fitted to it",
                         layer);
    }
  }
  r->rows += (uint64_t)offsets[count];
  if (r->job->done == 0) {
    r->job->out->texts += count;
    r->job->out->tokens += (uint64_t)offsets[count];
  }
  return PITH_OK;
}

static pith_status observe(layer_round *r, pith_error *error) {
  const char **names = PITH_ARENA_NEW(&r->arena, const char *, 2 * (size_t)r->count);
  r->moments = PITH_ARENA_NEW(&r->arena, feature_moments *, r->count);
  if (names == NULL || r->moments == NULL)
    return pith_fail(error, PITH_OUT_OF_MEMORY, "no memory to watch %u layers", r->count);
  for (uint32_t i = 0; i < r->count; i++) {
    names[2 * i] = r->graph->tensors[r->layers[i].residual.in].name;
    names[2 * i + 1] = r->graph->tensors[r->layers[i].residual.out].name;
    r->moments[i] = PITH_ARENA_NEW(&r->arena, feature_moments, count_features(r, i));
    if (r->moments[i] == NULL)
      return pith_fail(error, PITH_OUT_OF_MEMORY, "no memory to watch %u layers", r->count);
  }
  const pith_prune_request *request = r->job->request;
  pith_status status = pith_tap_init(&r->tap, r->job->model, r->graph, names, 2 * r->count,
                                     &request->session, error);
  if (status == PITH_OK)
    status = pith_tap_run(&r->tap, request->source, see, r, NULL, error);
  pith_tap_deinit(&r->tap);
  if (status == PITH_OK && r->rows == 0)
    status = pith_fail(error, PITH_FORMAT, "the calibration data has no text");
  r->job->done++;
  pith_structured_show(r->job);
  return status;
}

/* y is about slope x + shift. */
static void fit_feature(const feature_moments *m, double rows, double *out_slope, double *out_shift,
                        double *out_left, double *out_variance) {
  const double x = m->x / rows, y = m->y / rows;
  const double xx = m->xx / rows - x * x, xy = m->xy / rows - x * y, yy = m->yy / rows - y * y;
  *out_slope = xx > 1e-12 ? xy / xx : 0;
  *out_shift = y - *out_slope * x;
  *out_left = yy - *out_slope * xy;
  *out_variance = yy;
}

/* Shares of the variance of what layer `i` gives: with its input in its place, and with a fit of
 * it. */
static void measure(const layer_round *r, uint32_t i, double *out_plain, double *out_fitted) {
  double plain = 0, left_sum = 0, variance_sum = 0, slope, shift, left, variance;
  for (size_t f = 0; f < count_features(r, i); f++) {
    const feature_moments *m = &r->moments[i][f];
    fit_feature(m, (double)r->rows, &slope, &shift, &left, &variance);
    plain += (m->yy - 2 * m->xy + m->xx) / (double)r->rows;
    left_sum += left;
    variance_sum += variance;
  }
  const double scale = variance_sum > 0 ? 1 / variance_sum : 1;
  *out_plain = plain * scale;
  *out_fitted = left_sum * scale;
}

static pith_status measure_weights(layer_round *r, uint32_t layer, double *out_norm) {
  double squares = 0;
  for (size_t i = 0; i < 6; i++) {
    const pith_tensor_id weight = r->layers[layer].products[i]->inputs[1];
    const pith_dim *dims = r->graph->tensors[weight].dims;
    const size_t count = (size_t)(dims[0].constant * dims[1].constant);
    const float *w = pith_rewriter_read(&r->reader, weight);
    for (size_t e = 0; e < count && w != NULL; e++)
      squares += (double)w[e] * (double)w[e];
  }
  *out_norm = sqrt(squares);
  return r->reader.builder.status;
}

/* The LayerNorm that makes a layer's input, where nothing but the layer reads it: it can take the
 * fit. */
static const pith_node *find_norm(const layer_round *r, const pith_readers *readers,
                                  uint32_t layer) {
  enum { OWN_READERS = 4 }; /* query, key, value and the sum */
  const pith_tensor_id in = r->layers[layer].residual.in;
  const pith_node *norm = pith_graph_get_producer(r->graph, in);
  return norm != NULL && norm->op->id == PITH_OP_LAYER_NORMALIZATION && norm->input_count > 2 &&
                 norm->inputs[2] != PITH_NONE &&
                 pith_readers_count(r->graph, readers, in) == OWN_READERS &&
                 pith_readers_count(r->graph, readers, norm->inputs[1]) == 1 &&
                 pith_readers_count(r->graph, readers, norm->inputs[2]) == 1 &&
                 r->graph->tensors[norm->inputs[1]].rank == 1 &&
                 r->graph->tensors[norm->inputs[2]].rank == 1
             ? norm
             : NULL;
}

static pith_status fold_fit(layer_round *r, uint32_t layer, const pith_node *norm,
                            pith_error *error) {
  const size_t features = count_features(r, layer);
  float *scale = PITH_ARENA_NEW(&r->arena, float, features);
  float *bias = PITH_ARENA_NEW(&r->arena, float, features);
  if (scale == NULL || bias == NULL)
    return pith_fail(error, PITH_OUT_OF_MEMORY, "no memory to fit '%s'", norm->name);
  const float *old = pith_rewriter_read(&r->reader, norm->inputs[1]);
  if (old != NULL)
    memcpy(scale, old, features * sizeof *scale);
  old = pith_rewriter_read(&r->reader, norm->inputs[2]);
  PITH_TRY(r->reader.builder.status);
  for (size_t f = 0; f < features; f++) {
    double slope, shift, left, variance;
    fit_feature(&r->moments[layer][f], (double)r->rows, &slope, &shift, &left, &variance);
    scale[f] = (float)(slope * (double)scale[f]);
    bias[f] = (float)(slope * (double)old[f] + shift);
  }
  r->removal.values[norm->inputs[1]] = scale;
  r->removal.values[norm->inputs[2]] = bias;
  return PITH_OK;
}

/* The layer that leaves, and its row. */
static pith_status choose(layer_round *r, uint32_t *out_layer, pith_structured_row *row,
                          pith_error *error) {
  const bool obs = r->job->request->options->method == PITH_PRUNE_OBS;
  double best = INFINITY;
  *out_layer = PITH_NONE;
  for (uint32_t i = 0; i < r->count; i++) {
    double plain = 0, fitted = 0, score;
    if (r->moments != NULL)
      measure(r, i, &plain, &fitted);
    score = fitted;
    if (!obs)
      PITH_TRY(measure_weights(r, i, &score));
    if (!r->layers[i].stays && score < best) {
      best = score;
      *out_layer = i;
      *row = (pith_structured_row){.before = 1, .plain_error = plain, .error = plain};
    }
  }
  const char *name = *out_layer == PITH_NONE ? "" : r->layers[*out_layer].products[5]->name;
  row->name = pith_arena_string(&r->job->out->arena, name, strlen(name));
  return row->name != NULL ? PITH_OK
                           : pith_fail(error, PITH_OUT_OF_MEMORY, "no memory for row '%s'", name);
}

static pith_status remove_one(layer_round *r, pith_structured_row *row, uint32_t *out_layer,
                              pith_error *error) {
  pith_structured_job *job = r->job;
  PITH_TRY(pith_rewriter_init(&r->reader, r->graph, &job->model->allocator, error));
  PITH_TRY(pith_structured_find_layers(r->graph, &job->request->options->exclude, &r->arena,
                                       &r->layers, &r->count, error));
  PITH_TRY(pith_removal_init(&r->removal, r->graph, &r->arena, error));
  if (job->request->source != NULL)
    PITH_TRY(observe(r, error));
  PITH_TRY(choose(r, out_layer, row, error));
  pith_readers readers;
  PITH_TRY(pith_readers_find(r->graph, &r->arena, &readers, error));
  const pith_node *norm = r->moments == NULL ? NULL : find_norm(r, &readers, *out_layer);
  if (norm != NULL) {
    measure(r, *out_layer, &row->plain_error, &row->error);
    PITH_TRY(fold_fit(r, *out_layer, norm, error));
  }
  const pith_residual *residual = &r->layers[*out_layer].residual;
  r->removal.bypass[residual->out] = residual->in;
  pith_graph *graph;
  PITH_TRY(pith_removal_apply(&r->removal, &job->model->allocator, &graph, error));
  return pith_structured_keep_graph(job, graph, error);
}

static pith_status run_round(pith_structured_job *job, pith_structured_row *row,
                             uint32_t *out_layer, pith_error *error) {
  layer_round r = {.job = job, .graph = job->out->data.graph};
  pith_arena_init(&r.arena, &job->model->allocator);
  const pith_status status = remove_one(&r, row, out_layer, error);
  if (r.reader.from != NULL)
    pith_rewriter_deinit(&r.reader);
  pith_arena_deinit(&r.arena);
  return status;
}

/* Marks the layer that is the `place`th of those that are still there. */
static void mark(bool *const *removed, uint32_t place) {
  uint32_t at = 0;
  while (*removed[at] || place > 0)
    place -= !*removed[at++];
  *removed[at] = true;
}

static pith_status remove_layers(pith_structured_job *job, pith_arena *arena, pith_error *error) {
  const pith_prune_options *options = job->request->options;
  pith_structured_layer *layers;
  uint32_t count, changing = 0;
  PITH_TRY(pith_structured_find_layers(job->model->data.graph, &options->exclude, arena, &layers,
                                       &count, error));
  for (uint32_t i = 0; i < count; i++)
    changing += !layers[i].stays;
  size_t leaving;
  PITH_TRY(pith_structured_count(options->sparsity, count, "layers", &leaving, error));
  if (leaving > changing)
    return pith_fail(error, PITH_INVALID_ARGUMENT,
                     "sparsity %g of %u layers is %zu, and exclude keeps %u of them",
                     options->sparsity, count, leaving, count - changing);
  job->total = job->request->source != NULL ? leaving : 0;
  pith_structured_row *rows = PITH_ARENA_NEW(&job->out->arena, pith_structured_row, leaving);
  bool *marks = PITH_ARENA_NEW(arena, bool, count),
       **removed = PITH_ARENA_NEW(arena, bool *, count);
  if (rows == NULL || marks == NULL || removed == NULL)
    return pith_fail(error, PITH_OUT_OF_MEMORY, "no memory for %u rows", count);
  for (uint32_t i = 0; i < count; i++)
    removed[i] = &marks[i];
  job->out->rows = rows;
  for (; job->out->row_count < leaving; job->out->row_count++) {
    uint32_t layer;
    PITH_TRY(run_round(job, &rows[job->out->row_count], &layer, error));
    mark(removed, layer);
  }
  return pith_structured_describe(job, removed, count, error);
}

pith_status pith_structured_remove_layers(pith_structured_job *job, pith_error *error) {
  pith_arena arena;
  pith_arena_init(&arena, &job->model->allocator);
  const pith_status status = remove_layers(job, &arena, error);
  pith_arena_deinit(&arena);
  return status;
}
