#include "quant/transform.h"

#include <float.h>
#include <math.h>

#include "compiler/rewrite/structure.h"
#include "engine/ir/operator.h"
#include "quant/rules.h"
#include "quant/scaling.h"
#include "quant/weights.h"

/* What the three share: the graph's rules, factors being collected, and the weights as they are read. */
typedef struct transform {
  pith_rewriter rewriter; /* only to read data with */
  pith_quant_view view;
  pith_scaling scaling;
  const pith_ranges *ranges;
  uint32_t count;
  pith_error *error;
} transform;

static pith_status transform_init(transform *t, const pith_graph *graph, const pith_ranges *ranges,
                                  const pith_quant_options *options, const pith_allocator *allocator,
                                  pith_error *error) {
  *t = (transform){.ranges = ranges, .error = error};
  PITH_TRY(pith_rewriter_init(&t->rewriter, graph, allocator, error));
  PITH_TRY(pith_quant_view_init(&t->view, graph, options, &t->rewriter.scratch, error));
  return pith_scaling_init(&t->scaling, graph, &t->rewriter.scratch, error);
}

static float *new_vector(transform *t, size_t count) {
  float *vector = PITH_ARENA_NEW(&t->rewriter.scratch, float, count);
  if (vector == NULL)
    pith_builder_fail(&t->rewriter.builder, PITH_OUT_OF_MEMORY, "no memory for %zu factors", count);
  return vector;
}

static uint32_t count_readers(const transform *t, pith_tensor_id id) {
  return pith_readers_count(t->view.graph, &t->view.readers, id);
}

/* Whether the data of a product may be scaled: nothing else reads it. */
static bool owns_data(const transform *t, const pith_node *gemm) {
  return pith_product_owns_data(t->view.graph, &t->view.readers, gemm);
}

static const pith_node *get_producer(const transform *t, pith_tensor_id id, int op) {
  const pith_node *node = pith_graph_get_producer(t->view.graph, id);
  return node != NULL && (int)node->op->id == op ? node : NULL;
}

static bool is_quantized_gemm(const transform *t, const pith_node *node) {
  return node->op->id == PITH_OP_GEMM && pith_quant_rule_find(&t->view, node) != NULL;
}

/* max |w| of every row, or column; weights are read once for all. */
static void find_largest(transform *t, pith_tensor_id weight, bool of_columns, float *largest) {
  const pith_tensor *tensor = &t->view.graph->tensors[weight];
  const size_t rows = (size_t)tensor->dims[0].constant, columns = (size_t)tensor->dims[1].constant;
  const float *w = pith_rewriter_read(&t->rewriter, weight);
  for (size_t r = 0; w != NULL && r < rows; r++)
    for (size_t c = 0; c < columns; c++) {
      float *place = &largest[of_columns ? c : r];
      *place = fmaxf(*place, fabsf(w[r * columns + c]));
    }
}

/* Divides what the product gives by s: its rows and its bias. */
static void divide_rows(transform *t, const pith_node *gemm, size_t count, const float *s) {
  for (uint32_t input = 1; input < gemm->input_count; input++) {
    if (gemm->inputs[input] == PITH_NONE)
      continue;
    float *rows = t->scaling.rows[gemm->inputs[input]];
    if (rows == NULL) {
      rows = t->scaling.rows[gemm->inputs[input]] = new_vector(t, count);
      for (size_t i = 0; rows != NULL && i < count; i++)
        rows[i] = 1.0f;
    }
    for (size_t i = 0; rows != NULL && i < count; i++)
      rows[i] /= s[i];
  }
}

static void multiply_columns(transform *t, const pith_node *gemm, float *s) {
  t->scaling.columns[gemm->inputs[1]] = s;
}

/* ---- SmoothQuant ------------------------------------------------------------------------------------------------- */

static void make_factors(const float *x, const float *w, size_t count, double alpha, float *out_s) {
  for (size_t j = 0; j < count; j++) {
    const double s = x[j] > 0 && w[j] > 0 ? pow((double)x[j], alpha) / pow((double)w[j], 1 - alpha) : 1.0;
    out_s[j] = (float)fmin(fmax(s, 1e-4), 1e4);
  }
}

/* Of one product, summed over its outputs; see the header. `s` NULL: all 1. */
static double estimate_error(const float *w, size_t rows, size_t count, const pith_range *x, const float *s) {
  /* How far each side reaches, as one-sided activations (GELU's) spend all levels on one: the lesser side of a feature is at
   * most the lesser side of the tensor. */
  const double lesser_bound = fmin(-(double)x->seen_low, (double)x->seen_high);
  double greater = 0, lesser = 0, error = 0;
  for (size_t j = 0; j < count; j++) {
    const double inverse = s == NULL ? 1.0 : 1.0 / (double)s[j];
    greater = fmax(greater, (double)x->channel_max[j] * inverse);
    lesser = fmax(lesser, fmin((double)x->channel_max[j], fmax(lesser_bound, 0)) * inverse);
  }
  const double x_step = (greater + lesser) / 255;
  for (size_t n = 0; n < rows; n++) {
    double w_largest = 0, w_squares = 0, x_squares = 0;
    for (size_t j = 0; j < count; j++) {
      const double factor = s == NULL ? 1.0 : (double)s[j], v = (double)w[n * count + j] * factor;
      w_largest = fmax(w_largest, fabs(v));
      w_squares += v * v;
      x_squares += x->channel_squares[j] / (factor * factor);
    }
    const double w_step = w_largest / 127;
    error += x_step * x_step * w_squares + w_step * w_step * x_squares / (double)x->rows;
  }
  return error;
}

enum { ALPHA_STEPS = 20, CANDIDATES = ALPHA_STEPS + 2 }; /* the last: as it is */

/* Whether product `reader` of x is smoothed with it. */
static bool is_smoothed(const transform *t, const pith_reader *reader) {
  const pith_node *node = &t->view.graph->nodes[reader->node];
  return reader->input == 0 && is_quantized_gemm(t, node) && owns_data(t, node);
}

/* False: x is better left as it is. `s` gets the factors. */
static bool choose_factors(transform *t, pith_tensor_id x, const pith_range *range, const float *largest, float *s) {
  const size_t count = range->channel_count;
  const double alpha = t->view.options->smoothquant;
  if (alpha >= 0) {
    make_factors(range->channel_max, largest, count, alpha, s);
    return true;
  }
  double errors[CANDIDATES] = {0};
  const pith_readers *readers = &t->view.readers;
  for (uint32_t i = readers->first[x]; i < readers->first[x + 1]; i++) {
    if (!is_smoothed(t, &readers->all[i]))
      continue;
    const pith_tensor_id weight = t->view.graph->nodes[readers->all[i].node].inputs[1];
    const size_t rows = (size_t)t->view.graph->tensors[weight].dims[0].constant;
    const float *w = pith_rewriter_read(&t->rewriter, weight);
    for (int c = 0; w != NULL && c < CANDIDATES; c++) {
      make_factors(range->channel_max, largest, count, (double)c / ALPHA_STEPS, s);
      errors[c] += estimate_error(w, rows, count, range, c <= ALPHA_STEPS ? s : NULL);
    }
  }
  int best = ALPHA_STEPS + 1;
  for (int c = 0; c <= ALPHA_STEPS; c++)
    if (errors[c] < errors[best])
      best = c;
  make_factors(range->channel_max, largest, count, (double)best / ALPHA_STEPS, s);
  return best <= ALPHA_STEPS;
}

/* What can take 1 / s and nothing but the smoothed products reads: a LayerNormalization, or the product that makes attention's
 * values. NULL: none. */
static const pith_node *find_folding_producer(const transform *t, pith_tensor_id x) {
  const pith_node *norm = get_producer(t, x, PITH_OP_LAYER_NORMALIZATION);
  if (norm != NULL)
    return count_readers(t, norm->inputs[1]) == 1 && t->view.graph->tensors[norm->inputs[1]].rank == 1 &&
                   (norm->input_count < 3 || norm->inputs[2] == PITH_NONE || count_readers(t, norm->inputs[2]) == 1)
               ? norm
               : NULL;
  const pith_node *attention = get_producer(t, x, PITH_OP_PACKED_ATTENTION);
  const pith_node *values = attention == NULL ? NULL : get_producer(t, attention->inputs[2], PITH_OP_GEMM);
  return values != NULL && count_readers(t, values->outputs[0]) == 1 && owns_data(t, values) &&
                 is_quantized_gemm(t, values)
             ? values
             : NULL;
}

static void fold_into_producer(transform *t, const pith_node *producer, size_t count, float *inverse, const float *s) {
  if (producer->op->id == PITH_OP_GEMM) {
    divide_rows(t, producer, count, s);
    return;
  }
  t->scaling.rows[producer->inputs[1]] = inverse;
  if (producer->input_count > 2 && producer->inputs[2] != PITH_NONE)
    t->scaling.rows[producer->inputs[2]] = inverse;
}

static void smooth_tensor(transform *t, pith_tensor_id x) {
  const pith_graph *graph = t->view.graph;
  const pith_readers *readers = &t->view.readers;
  const pith_tensor *tensor = &graph->tensors[x];
  uint32_t products = 0;
  for (uint32_t i = readers->first[x]; i < readers->first[x + 1]; i++) {
    const pith_node *node = &graph->nodes[readers->all[i].node];
    products += readers->all[i].input == 0 && is_quantized_gemm(t, node) && owns_data(t, node) &&
                t->scaling.columns[node->inputs[1]] == NULL;
  }
  const pith_node *producer = products == count_readers(t, x) ? find_folding_producer(t, x) : NULL;
  if (products == 0 || (producer == NULL && t->view.options->smoothquant == PITH_SMOOTHQUANT_FREE &&
                         get_producer(t, x, PITH_OP_LAYER_NORMALIZATION) == NULL))
    return;
  const pith_range *range = pith_ranges_find(t->ranges, tensor->name);
  const size_t count = (size_t)tensor->dims[1].constant;
  if (range == NULL || range->channel_count != count) {
    pith_builder_fail(&t->rewriter.builder, PITH_INVALID_ARGUMENT, "tensor '%s' has no range of its features",
                      tensor->name);
    return;
  }
  float *largest = new_vector(t, count), *s = new_vector(t, count), *inverse = new_vector(t, count);
  if (t->rewriter.builder.status != PITH_OK)
    return;
  for (uint32_t i = readers->first[x]; i < readers->first[x + 1]; i++) {
    const pith_node *node = &graph->nodes[readers->all[i].node];
    if (readers->all[i].input == 0 && is_quantized_gemm(t, node) && owns_data(t, node))
      find_largest(t, node->inputs[1], true, largest);
  }
  if (!choose_factors(t, x, range, largest, s) || t->rewriter.builder.status != PITH_OK)
    return;
  for (size_t j = 0; j < count; j++)
    inverse[j] = 1.0f / s[j];
  for (uint32_t i = readers->first[x]; i < readers->first[x + 1]; i++) {
    const pith_node *node = &graph->nodes[readers->all[i].node];
    if (readers->all[i].input == 0 && is_quantized_gemm(t, node) && owns_data(t, node)) {
      multiply_columns(t, node, s);
      t->scaling.smoothed[readers->all[i].node] = true;
    }
  }
  if (producer != NULL)
    fold_into_producer(t, producer, count, inverse, s);
  else
    t->scaling.before[x] = inverse;
  t->count++;
}

/* ---- equalisation --------------------------------------------------------------------------------------------------- */

/* The product whose outputs are, one by one and with any factor above 0, the inputs of `gemm`; NULL: none. */
static const pith_node *find_first_product(const transform *t, const pith_node *gemm) {
  pith_feature_chain chain;
  if (!pith_feature_chain_find(t->view.graph, &t->view.readers, gemm, &chain) ||
      !(pith_feature_chain_is(&chain, PITH_OP_RELU) || pith_feature_chain_is(&chain, PITH_OP_PACKED_ATTENTION)))
    return NULL;
  return is_quantized_gemm(t, chain.first) && owns_data(t, chain.first) ? chain.first : NULL;
}

static void equalize_pair(transform *t, const pith_node *first, const pith_node *second) {
  const size_t count = (size_t)t->view.graph->tensors[second->inputs[1]].dims[1].constant;
  float *rows = new_vector(t, count), *columns = new_vector(t, count), *s = new_vector(t, count);
  if (t->rewriter.builder.status != PITH_OK)
    return;
  find_largest(t, first->inputs[1], false, rows);
  find_largest(t, second->inputs[1], true, columns);
  for (size_t d = 0; d < count; d++)
    s[d] = rows[d] > 0 && columns[d] > 0 ? fminf(fmaxf(sqrtf(rows[d] / columns[d]), 1e-4f), 1e4f) : 1.0f;
  divide_rows(t, first, count, s);
  multiply_columns(t, second, s);
  t->count++;
}

/* ---- bias ------------------------------------------------------------------------------------------------------------ */

static void correct_bias(transform *t, const pith_node *gemm) {
  const pith_tensor *weight = &t->view.graph->tensors[gemm->inputs[1]];
  const pith_tensor *x = &t->view.graph->tensors[gemm->inputs[0]];
  const size_t rows = (size_t)weight->dims[0].constant, columns = (size_t)weight->dims[1].constant;
  const pith_range *range = pith_ranges_find(t->ranges, x->name);
  if (range == NULL || range->channel_count != columns || range->rows == 0) {
    pith_builder_fail(&t->rewriter.builder, PITH_INVALID_ARGUMENT, "tensor '%s' has no range of its features", x->name);
    return;
  }
  const float *w = pith_rewriter_read(&t->rewriter, gemm->inputs[1]);
  int8_t *q = w == NULL ? NULL : pith_arena_array(&t->rewriter.values, rows * columns, 1);
  float *scales = new_vector(t, rows), *additions = new_vector(t, rows);
  if (q == NULL)
    pith_builder_fail(&t->rewriter.builder, PITH_OUT_OF_MEMORY, "tensor '%s': no memory", weight->name);
  if (t->rewriter.builder.status != PITH_OK)
    return;
  pith_weight_rows_choose_scales(w, rows, columns, t->view.options->weight_clip, scales);
  pith_weight_rows_round(w, rows, columns, scales, q);
  for (size_t n = 0; n < rows; n++) {
    double sum = 0, bound = 0;
    for (size_t j = 0; j < columns; j++) {
      const double mean = range->channel_sum[j] / (double)range->rows;
      sum += ((double)w[n * columns + j] - (double)scales[n] * q[n * columns + j]) * mean;
      bound += (double)scales[n] * fabs(mean);
    }
    if (fabs(sum) <= bound) {
      additions[n] = (float)sum;
      t->count++;
    }
  }
  t->scaling.additions[gemm->inputs[2]] = additions;
}

/* ---- entry points ---------------------------------------------------------------------------------------------------- */

static void smooth_all(transform *t) {
  for (pith_tensor_id x = 0; x < t->view.graph->tensor_count && t->rewriter.builder.status == PITH_OK; x++)
    if (t->view.graph->tensors[x].kind == PITH_TENSOR_VALUE && t->view.graph->tensors[x].rank == 2)
      smooth_tensor(t, x);
}

static void equalize_all(transform *t) {
  for (uint32_t n = 0; n < t->view.graph->node_count && t->rewriter.builder.status == PITH_OK; n++) {
    const pith_node *gemm = &t->view.graph->nodes[n];
    if (!is_quantized_gemm(t, gemm) || !owns_data(t, gemm))
      continue;
    const pith_node *first = find_first_product(t, gemm);
    if (first != NULL)
      equalize_pair(t, first, gemm);
  }
}

static void correct_all(transform *t) {
  for (uint32_t n = 0; n < t->view.graph->node_count && t->rewriter.builder.status == PITH_OK; n++) {
    const pith_node *gemm = &t->view.graph->nodes[n];
    if (is_quantized_gemm(t, gemm) && owns_data(t, gemm) && gemm->input_count > 2 && gemm->inputs[2] != PITH_NONE)
      correct_bias(t, gemm);
  }
}

static pith_status run(const pith_graph *graph, const pith_ranges *ranges, const pith_quant_options *options,
                       const pith_allocator *allocator, void (*collect)(transform *t), pith_graph **out_graph,
                       uint32_t *out_count, pith_error *error) {
  transform t;
  pith_status status = transform_init(&t, graph, ranges, options, allocator, error);
  if (status == PITH_OK) {
    collect(&t);
    status = t.rewriter.builder.status;
  }
  if (status == PITH_OK)
    status = pith_scaling_apply(&t.scaling, graph, allocator, out_graph, error);
  if (status == PITH_OK)
    *out_count = t.count;
  pith_rewriter_deinit(&t.rewriter);
  return status;
}

pith_status pith_smooth_graph(const pith_graph *graph, const pith_ranges *ranges, const pith_quant_options *options,
                              const pith_allocator *allocator, pith_graph **out_graph, uint32_t *out_count,
                              pith_error *error) {
  return run(graph, ranges, options, allocator, smooth_all, out_graph, out_count, error);
}

pith_status pith_equalize_graph(const pith_graph *graph, const pith_quant_options *options,
                                const pith_allocator *allocator, pith_graph **out_graph, uint32_t *out_count,
                                pith_error *error) {
  return run(graph, NULL, options, allocator, equalize_all, out_graph, out_count, error);
}

pith_status pith_correct_biases(const pith_graph *graph, const pith_ranges *ranges, const pith_quant_options *options,
                                const pith_allocator *allocator, pith_graph **out_graph, uint32_t *out_count,
                                pith_error *error) {
  return run(graph, ranges, options, allocator, correct_all, out_graph, out_count, error);
}
