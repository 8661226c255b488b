#include "quant/round.h"

#include "compiler/rewrite/structure.h"
#include "engine/exec/model.h"
#include "engine/ir/operator.h"
#include "quant/blas.h"
#include "quant/fit.h"
#include "quant/moments.h"
#include "quant/quantize.h"
#include "quant/rules.h"
#include "quant/stream.h"

/* Of an input's mean square, added to each. */
static const double DAMPING = 0.01;

enum { FLOAT, INT8, SIDES };

/* One product. */
typedef struct target {
  pith_node_id nodes[SIDES];
  size_t n, k;
  bool owns_bias; /* it can take up means */
  float *new_weight, *new_bias, *scales;
} target;

/* What one call works on. */
typedef struct rounder {
  const pith_round_request *request;
  pith_model model;          /* the request's with the float graph */
  pith_graph *activations;   /* that graph with 8-bit activations, but float weights */
  const pith_graph *graphs[SIDES];
  pith_readers readers[SIDES];
  pith_stream streams[SIDES];
  const float **data[SIDES]; /* [tensor_count] what takes the place of the graph's data */
  pith_rewriter reader;      /* of the float graph's */
  target *targets;
  uint32_t count, done;
  pith_arena arena;
} rounder;

static pith_status no_memory(pith_error *error) {
  return pith_fail(error, PITH_OUT_OF_MEMORY, "no memory to round weights");
}

/* ---- the products -------------------------------------------------------------------------------------------------------- */

static const pith_node *get_node(const rounder *r, const target *t, int side) {
  return &r->graphs[side]->nodes[t->nodes[side]];
}

static pith_tensor_id get_input(const rounder *r, uint32_t t) {
  return get_node(r, &r->targets[t], INT8)->inputs[0];
}

static pith_status find_targets(rounder *r, pith_error *error) {
  const pith_graph *graph = r->graphs[FLOAT];
  pith_quant_view view;
  PITH_TRY(pith_quant_view_init(&view, graph, r->request->options, &r->arena, error));
  r->targets = PITH_ARENA_NEW(&r->arena, target, graph->node_count);
  if (r->targets == NULL)
    return no_memory(error);
  pith_node_id place = 0; /* nodes have the same names and order in both graphs */
  for (uint32_t n = 0; n < graph->node_count; n++) {
    const pith_node *node = &graph->nodes[n];
    if (node->op->id != PITH_OP_GEMM || pith_quant_rule_find(&view, node) == NULL ||
        pith_readers_count(graph, &view.readers, node->inputs[1]) != 1)
      continue;
    while (strcmp(r->graphs[INT8]->nodes[place].name, node->name) != 0)
      place++;
    const pith_tensor *weight = &graph->tensors[node->inputs[1]];
    r->targets[r->count++] = (target){.nodes = {n, place},
                                      .n = (size_t)weight->dims[0].constant,
                                      .k = (size_t)weight->dims[1].constant,
                                      .owns_bias = node->input_count > 2 && node->inputs[2] != PITH_NONE &&
                                                   pith_product_owns_data(graph, &view.readers, node)};
  }
  return PITH_OK;
}

/* ---- rounding ------------------------------------------------------------------------------------------------------------ */

/* The weights are wanted as they are: with H the moments, targets are w H. */
static pith_status round_weight(rounder *r, target *t, const double *w, const pith_moments *m, pith_arena *arena,
                                pith_error *error) {
  const size_t count = t->n * t->k;
  uint8_t *stays = PITH_ARENA_NEW(arena, uint8_t, count);
  double *targets = PITH_ARENA_NEW(arena, double, count);
  t->new_weight = PITH_ARENA_NEW(&r->arena, float, count);
  t->scales = PITH_ARENA_NEW(&r->arena, float, t->n);
  if (stays == NULL || targets == NULL || t->new_weight == NULL || t->scales == NULL)
    return no_memory(error);
  for (size_t i = 0; i < count; i++)
    stays[i] = w[i] != 0;
  pith_blas_dgemm(false, false, t->n, t->k, t->k, 1, w, t->k, m->products, t->k, targets, t->k);
  const pith_fit fit = {.name = r->graphs[FLOAT]->tensors[get_node(r, t, FLOAT)->inputs[1]].name,
                        .n = t->n,
                        .k = t->k,
                        .moments = m->products,
                        .targets = targets,
                        .stays = stays,
                        .rounds = true,
                        .clip = r->request->options->weight_clip,
                        .threadpool = r->request->session.threadpool};
  PITH_TRY(pith_fit_weights(&fit, t->new_weight, t->scales, error));
  r->data[INT8][get_node(r, t, INT8)->inputs[1]] = t->new_weight;
  return PITH_OK;
}

static void add_rows(const rounder *r, int side, pith_tensor_id tensor, double factor, double *sums) {
  for (uint32_t b = 0; b < r->streams[side].batch_count; b++) {
    const pith_stream_value *x = pith_stream_get(&r->streams[side], b, tensor);
    for (size_t i = 0; i < x->rows; i++)
      for (size_t j = 0; j < x->columns; j++)
        sums[j] += factor * (double)((const float *)x->data)[i * x->columns + j];
  }
}

/* To `missing` [n], what the residual lacks in the mean that the product's output is added to. */
static void find_missing(const rounder *r, const target *t, double *missing) {
  for (int side = 0; side < SIDES; side++) {
    const pith_tensor_id other = pith_product_find_residual(r->graphs[side], &r->readers[side], get_node(r, t, side));
    if (other != PITH_NONE && r->streams[side].batches[0][other].data != NULL)
      add_rows(r, side, other, (side == FLOAT ? 1 : -1) / (double)r->streams[side].tokens, missing);
  }
}

static pith_status make_bias(rounder *r, target *t, const double *w, const pith_moments *m, pith_arena *arena, pith_error *error) {
  const pith_node *node = get_node(r, t, FLOAT);
  const float *bias = pith_rewriter_read(&r->reader, node->inputs[2]);
  double *wanted = PITH_ARENA_NEW(arena, double, t->k), *missing = PITH_ARENA_NEW(arena, double, t->n);
  t->new_bias = PITH_ARENA_NEW(&r->arena, float, t->n);
  if (bias == NULL)
    return r->reader.builder.status;
  if (wanted == NULL || missing == NULL || t->new_bias == NULL)
    return no_memory(error);
  find_missing(r, t, missing);
  add_rows(r, FLOAT, node->inputs[0], 1 / (double)m->rows, wanted);
  for (size_t i = 0; i < t->n; i++) {
    double sum = (double)bias[i] + missing[i];
    for (size_t j = 0; j < t->k; j++)
      sum += w[i * t->k + j] * wanted[j] - (double)t->new_weight[i * t->k + j] * m->sums[j] / (double)m->rows;
    t->new_bias[i] = (float)sum;
  }
  r->data[INT8][get_node(r, t, INT8)->inputs[2]] = t->new_bias;
  return PITH_OK;
}

static pith_status round_product(rounder *r, target *t, const pith_moments *m, pith_error *error) {
  pith_arena arena;
  pith_arena_init(&arena, NULL);
  double *w = PITH_ARENA_NEW(&arena, double, t->n * t->k);
  const float *values = w == NULL ? NULL : pith_rewriter_read(&r->reader, get_node(r, t, FLOAT)->inputs[1]);
  pith_status status = w == NULL ? no_memory(error) : values == NULL ? r->reader.builder.status : PITH_OK;
  for (size_t i = 0; i < t->n * t->k && status == PITH_OK; i++)
    w[i] = (double)values[i];
  if (status == PITH_OK)
    status = round_weight(r, t, w, m, &arena, error);
  if (status == PITH_OK && t->owns_bias)
    status = make_bias(r, t, w, m, &arena, error);
  pith_arena_deinit(&arena);
  return status;
}

/* Those from `first` on that read the same input. */
static pith_status round_group(rounder *r, uint32_t first, pith_arena *arena, pith_error *error) {
  bool centered = true;
  for (uint32_t t = first; t < r->count; t++)
    if (get_input(r, t) == get_input(r, first))
      centered &= r->targets[t].owns_bias;
  for (int side = 0; side < SIDES; side++)
    PITH_TRY(pith_stream_run(&r->streams[side], r->targets[first].nodes[side], r->data[side], error));
  pith_moments m;
  PITH_TRY(pith_moments_init(&m, r->targets[first].k, arena, error));
  for (uint32_t b = 0; b < r->streams[INT8].batch_count; b++) {
    const pith_stream_value *x = pith_stream_get(&r->streams[INT8], b, get_input(r, first));
    pith_moments_add(&m, x->data, x->rows);
  }
  pith_moments_finish(&m, centered, DAMPING);
  for (uint32_t t = first; t < r->count; t++)
    if (get_input(r, t) == get_input(r, first)) {
      PITH_TRY(round_product(r, &r->targets[t], &m, error));
      r->done++;
      if (r->request->progress != NULL)
        r->request->progress(r->request->context, r->streams[INT8].sequences * r->done / r->count);
    }
  return PITH_OK;
}

static pith_status round_all(rounder *r, pith_error *error) {
  PITH_TRY(pith_blas_load(error));
  for (int side = 0; side < SIDES; side++) {
    r->data[side] = PITH_ARENA_NEW(&r->arena, const float *, r->graphs[side]->tensor_count);
    if (r->data[side] == NULL)
      return no_memory(error);
    PITH_TRY(pith_readers_find(r->graphs[side], &r->arena, &r->readers[side], error));
  }
  PITH_TRY(find_targets(r, error));
  PITH_TRY(pith_rewriter_init(&r->reader, r->graphs[FLOAT], &r->request->model->allocator, error));
  PITH_TRY(pith_stream_init(&r->streams[FLOAT], &r->model, r->request->source, &r->request->session, error));
  PITH_TRY(pith_stream_copy(&r->streams[INT8], r->graphs[INT8], &r->streams[FLOAT], error));
  for (uint32_t t = 0; t < r->count; t++) {
    if (r->targets[t].new_weight != NULL)
      continue;
    pith_arena arena;
    pith_arena_init(&arena, NULL);
    const pith_status status = round_group(r, t, &arena, error);
    pith_arena_deinit(&arena);
    PITH_TRY(status);
  }
  return PITH_OK;
}

/* ---- the new graph ------------------------------------------------------------------------------------------------------- */

static pith_status store(const rounder *r, pith_rewriter *rewriter, pith_graph **out_graph, const float *const **out_scales) {
  const pith_graph *graph = rewriter->from;
  for (uint32_t i = 0; i < r->count; i++) {
    const target *t = &r->targets[i];
    const pith_tensor_id *inputs = get_node(r, t, FLOAT)->inputs;
    pith_rewriter_set(rewriter, inputs[1], pith_rewriter_add_values(rewriter, &graph->tensors[inputs[1]], t->new_weight));
    if (t->owns_bias)
      pith_rewriter_set(rewriter, inputs[2], pith_rewriter_add_values(rewriter, &graph->tensors[inputs[2]], t->new_bias));
  }
  for (uint32_t n = 0; n < graph->node_count && rewriter->builder.status == PITH_OK; n++) {
    pith_tensor_id inputs[PITH_MAX_PORTS];
    for (uint32_t i = 0; i < graph->nodes[n].input_count; i++)
      inputs[i] = pith_rewriter_get(rewriter, graph->nodes[n].inputs[i]);
    pith_rewriter_add_node(rewriter, &graph->nodes[n], inputs);
  }
  const float **scales = pith_rewriter_allocate(rewriter, rewriter->builder.graph->tensor_count, sizeof *scales);
  for (uint32_t i = 0; i < r->count && rewriter->builder.status == PITH_OK; i++) {
    const target *t = &r->targets[i];
    float *own = pith_rewriter_allocate(rewriter, t->n, sizeof *own);
    if (own != NULL)
      scales[pith_rewriter_get(rewriter, get_node(r, t, FLOAT)->inputs[1])] = memcpy(own, t->scales, t->n * sizeof *own);
  }
  *out_scales = scales;
  return pith_rewriter_finish(rewriter, out_graph);
}

pith_status pith_round_graph(const pith_round_request *request, pith_graph **out_graph, const float *const **out_scales,
                             pith_error *error) {
  rounder r = {.request = request, .model = *request->model, .graphs = {[FLOAT] = request->graph}};
  r.model.data.graph = (pith_graph *)(uintptr_t)request->graph;
  pith_arena_init(&r.arena, NULL);
  pith_status status = pith_quantize_activations(request->graph, request->ranges, request->options, &request->model->allocator,
                                                 &r.activations, error);
  r.graphs[INT8] = r.activations;
  if (status == PITH_OK)
    status = round_all(&r, error);
  if (status == PITH_OK) {
    pith_rewriter rewriter;
    status = pith_rewriter_init(&rewriter, request->graph, &request->model->allocator, error);
    if (status == PITH_OK)
      status = store(&r, &rewriter, out_graph, out_scales);
    pith_rewriter_deinit(&rewriter);
  }
  for (int side = 0; side < SIDES; side++)
    pith_stream_deinit(&r.streams[side]);
  pith_rewriter_deinit(&r.reader);
  pith_graph_destroy(r.activations);
  pith_arena_deinit(&r.arena);
  return status;
}
