#include "compiler/rewrite/choose.h"

#include "compiler/rewrite/rewriter.h"
#include "engine/format/stored_layout.h"
#include "engine/ir/operator.h"
#include "ops/sparse_gemm/sparse_weights.h"

/* ---- the cost model ----------------------------------------------------------------------------------------------- */

/* What a product takes for a token, in the time that the dense kernel takes to multiply one weight:
 *
 *     weights that are multiplied (dense: n k; sparse: those of its units) * weight + n * output
 *
 * `output` is what it takes to end an output: sums into numbers, bias, storing. INT8 fitted to a short run of
 * pith-bench-kernels with AVX-512 VNNI (off by 11 % in the mean), FP32 estimated from one; `pith pack --tune` measures itself. */
typedef struct cost {
  double weight, output;
} cost;
static const cost costs[PITH_LAYOUT_COUNT] = {
    [PITH_LAYOUT_N16K4_S8] = {1, 65}, [PITH_LAYOUT_B4X1_S8] = {1.33, 40}, [PITH_LAYOUT_B4X4_S8] = {1.19, 25},
    [PITH_LAYOUT_N64_F32] = {1, 20},  [PITH_LAYOUT_B4X1_F32] = {1.9, 20},
};

/* A product among dense ones pays for Reorders, and the model is off by a few percent: what is expected to gain less than that
 * stays dense. */
#define LEAST_GAIN 0.08
#define MOST_KEPT 0.9 /* of all blocks */

static double predict_units(pith_layout layout, size_t n, size_t k, size_t units) {
  const pith_sparse_form form = pith_layout_get_sparse_form(layout);
  const double weights = form == PITH_SPARSE_FORM_COUNT  ? (double)n * (double)k
                         : form == PITH_SPARSE_B4X1_F32 ? 4.0 * (double)units
                                                        : 16.0 * (double)units;
  return weights * costs[layout].weight + (double)n * costs[layout].output;
}

/* The time of a product in `layout`, in the model's unit. */
static double predict_time(pith_layout layout, size_t n, size_t k, const void *w) {
  const pith_sparse_form form = pith_layout_get_sparse_form(layout);
  return predict_units(layout, n, k, form == PITH_SPARSE_FORM_COUNT ? 0 : pith_sparse_count_units(form, n, k, w));
}

static pith_layout get_dense_layout(pith_dtype dtype) {
  return dtype == PITH_DTYPE_S8 ? PITH_LAYOUT_N16K4_S8 : PITH_LAYOUT_N64_F32;
}

double pith_sparse_predict(pith_layout layout, size_t n, size_t k, const void *w) {
  const bool is_float = layout == PITH_LAYOUT_N64_F32 || layout == PITH_LAYOUT_B4X1_F32;
  const double dense = predict_time(is_float ? PITH_LAYOUT_N64_F32 : PITH_LAYOUT_N16K4_S8, n, k, w);
  return dense > 0 ? predict_time(layout, n, k, w) / dense : 1;
}

/* ---- weights of products ------------------------------------------------------------------------------------------- */

/* Every reader of the tensor is a Gemm's [n, k] weight; at least one is. *out_x: the first one's other factor. */
static bool only_products_read(const pith_graph *graph, pith_tensor_id tensor, pith_tensor_id *out_x) {
  bool read = false;
  if (pith_graph_is_output(graph, tensor))
    return false;
  for (uint32_t i = 0; i < graph->node_count; i++) {
    const pith_node *node = &graph->nodes[i];
    for (uint32_t j = 0; j < node->input_count; j++) {
      if (node->inputs[j] != tensor)
        continue;
      if (node->op->id != PITH_OP_GEMM || j != 1 || pith_node_get_attribute(node, "transB")->i == 0)
        return false;
      if (!read)
        *out_x = node->inputs[0];
      read = true;
    }
  }
  return read;
}

/* The tensor that products read for this weight: itself, or what its one DequantizeLinear gives. */
static pith_tensor_id get_operand(const pith_graph *graph, pith_tensor_id tensor) {
  pith_tensor_id operand = PITH_NONE;
  if (graph->tensors[tensor].dtype == PITH_DTYPE_F32)
    return tensor;
  if (pith_graph_is_output(graph, tensor))
    return PITH_NONE;
  for (uint32_t i = 0; i < graph->node_count; i++) {
    const pith_node *node = &graph->nodes[i];
    for (uint32_t j = 0; j < node->input_count; j++) {
      if (node->inputs[j] != tensor)
        continue;
      if (node->op->id != PITH_OP_DEQUANTIZE_LINEAR || j != 0 || operand != PITH_NONE)
        return PITH_NONE;
      operand = node->outputs[0];
    }
  }
  return operand;
}

pith_tensor_id pith_sparse_get_product_input(const pith_graph *graph, pith_tensor_id weight) {
  const pith_tensor *tensor = &graph->tensors[weight];
  pith_tensor_id x = PITH_NONE;
  if (!pith_tensor_is_data(tensor) || tensor->rank != 2 ||
      tensor->dims[0].constant == 0 || tensor->dims[1].constant == 0 ||
      tensor->dims[1].constant > PITH_SPARSE_MAX_K ||
      (tensor->dtype != PITH_DTYPE_F32 && tensor->dtype != PITH_DTYPE_S8))
    return PITH_NONE;
  const pith_tensor_id operand = get_operand(graph, weight);
  return operand != PITH_NONE && only_products_read(graph, operand, &x) ? x : PITH_NONE;
}

static pith_status no_memory(const pith_tensor *tensor, pith_error *error) {
  return pith_fail(error, PITH_OUT_OF_MEMORY, "no memory for the weight '%s'", tensor->name);
}

/* Row-major, in *out_rows of *out_bytes, from the default allocator. */
static pith_status unpack(const pith_tensor *tensor, void **out_rows, uint64_t *out_bytes, pith_error *error) {
  PITH_TRY(pith_layout_get_bytes(PITH_LAYOUT_ROW_MAJOR, tensor->dtype, 2, tensor->dims, out_bytes, error));
  *out_rows = pith_allocate(NULL, (size_t)*out_bytes);
  if (*out_rows == NULL)
    return no_memory(tensor, error);
  pith_status status = pith_tensor_unpack(tensor, *out_rows, NULL, error);
  if (status != PITH_OK)
    pith_release(NULL, *out_rows, (size_t)*out_bytes);
  return status;
}

static pith_status set_rows(pith_graph *graph, pith_tensor_id id, const void *rows, pith_layout layout,
                            pith_arena *arena, pith_error *error) {
  pith_tensor *tensor = &graph->tensors[id];
  uint64_t bytes;
  if (tensor->layout == layout)
    return PITH_OK;
  PITH_TRY(pith_layout_measure(tensor->dtype, 2, tensor->dims, PITH_LAYOUT_ROW_MAJOR, rows, layout, &bytes, NULL, error));
  void *data = pith_arena_array(arena, bytes < 64 ? 64 : (size_t)bytes, 1);
  if (data == NULL)
    return no_memory(tensor, error);
  PITH_TRY(pith_layout_convert(tensor->dtype, 2, tensor->dims, PITH_LAYOUT_ROW_MAJOR, rows, layout, data, NULL, error));
  const pith_pattern pattern = tensor->pattern; /* the same weights: their mask stays */
  const uint64_t kept = tensor->kept;
  tensor->layout = layout;
  pith_graph_set_data(graph, id, data, bytes);
  tensor->pattern = pattern;
  tensor->kept = kept;
  return PITH_OK;
}

pith_status pith_sparse_set_layout(pith_graph *graph, pith_tensor_id id, pith_layout layout, pith_arena *arena,
                                   pith_error *error) {
  void *rows;
  uint64_t bytes;
  if (graph->tensors[id].layout == layout)
    return PITH_OK;
  PITH_TRY(unpack(&graph->tensors[id], &rows, &bytes, error));
  pith_status status = set_rows(graph, id, rows, layout, arena, error);
  pith_release(NULL, rows, (size_t)bytes);
  return status;
}

/* ---- choosing -------------------------------------------------------------------------------------------------------- */

enum { WAYS = 3 }; /* dense and up to two sparse layouts */
static const pith_layout ways_s8[WAYS] = {PITH_LAYOUT_N16K4_S8, PITH_LAYOUT_B4X1_S8, PITH_LAYOUT_B4X4_S8};
static const pith_layout ways_f32[WAYS] = {PITH_LAYOUT_N64_F32, PITH_LAYOUT_B4X1_F32, PITH_LAYOUT_B4X1_F32};

typedef struct weight {
  pith_tensor_id tensor, x;
  double times[WAYS];
  bool stays_dense[WAYS]; /* whatever its group does: blocks would leave out next to nothing */
} weight;

/* The way of least time for the weights of products of one x, summed. */
static pith_layout choose(const pith_graph *graph, const weight *weights, size_t count, size_t of) {
  const pith_dtype dtype = graph->tensors[weights[of].tensor].dtype;
  double sums[WAYS] = {0};
  for (size_t i = 0; i < count; i++)
    for (int way = 0; way < WAYS; way++)
      if (weights[i].x == weights[of].x && graph->tensors[weights[i].tensor].dtype == dtype)
        sums[way] += weights[i].times[way];
  int best = 1;
  for (int way = 2; way < WAYS; way++)
    best = sums[way] < sums[best] ? way : best;
  if (sums[best] > sums[0] * (1 - LEAST_GAIN) || weights[of].stays_dense[best])
    best = 0;
  return dtype == PITH_DTYPE_S8 ? ways_s8[best] : ways_f32[best];
}

static pith_status predict(const pith_graph *graph, weight *w, pith_error *error) {
  const pith_tensor *tensor = &graph->tensors[w->tensor];
  const pith_layout *ways = tensor->dtype == PITH_DTYPE_S8 ? ways_s8 : ways_f32;
  void *rows;
  uint64_t bytes;
  PITH_TRY(unpack(tensor, &rows, &bytes, error));
  const size_t n = (size_t)tensor->dims[0].constant, k = (size_t)tensor->dims[1].constant;
  for (int way = 0; way < WAYS; way++) {
    const pith_sparse_form form = pith_layout_get_sparse_form(ways[way]);
    const size_t units = form == PITH_SPARSE_FORM_COUNT ? 0 : pith_sparse_count_units(form, n, k, rows);
    w->stays_dense[way] =
        form == PITH_SPARSE_FORM_COUNT || (double)units > MOST_KEPT * (double)pith_sparse_max_units(form, n, k);
    w->times[way] = w->stays_dense[way] ? predict_units(ways[0], n, k, 0) : predict_units(ways[way], n, k, units);
  }
  pith_release(NULL, rows, (size_t)bytes);
  return PITH_OK;
}

static pith_status choose_all(pith_graph *graph, weight *weights, pith_arena *arena, pith_sparse_choices *choices,
                              pith_error *error) {
  size_t count = 0;
  for (pith_tensor_id t = 0; t < graph->tensor_count; t++) {
    weight *w = &weights[count];
    w->tensor = t;
    w->x = graph->tensors[t].data == NULL ? PITH_NONE : pith_sparse_get_product_input(graph, t);
    if (w->x == PITH_NONE)
      continue;
    PITH_TRY(predict(graph, w, error));
    count++;
  }
  for (size_t i = 0; i < count; i++) {
    const pith_tensor *tensor = &graph->tensors[weights[i].tensor];
    const pith_layout layout = choose(graph, weights, count, i);
    uint64_t dense;
    PITH_TRY(pith_sparse_set_layout(graph, weights[i].tensor, layout, arena, error));
    PITH_TRY(pith_layout_get_bytes(get_dense_layout(tensor->dtype), tensor->dtype, 2, tensor->dims, &dense, error));
    choices->weights++;
    choices->sparse += pith_layout_get_sparse_form(layout) != PITH_SPARSE_FORM_COUNT;
    choices->dense_bytes += dense;
    choices->bytes += tensor->data_bytes;
  }
  return PITH_OK;
}

pith_status pith_sparse_choose_layouts(pith_graph *graph, pith_arena *arena, pith_sparse_choices *out_choices,
                                       pith_error *error) {
  pith_sparse_choices choices = {0};
  pith_arena scratch;
  pith_arena_init(&scratch, NULL);
  weight *weights = PITH_ARENA_NEW(&scratch, weight, graph->tensor_count);
  pith_status status = weights == NULL ? pith_fail(error, PITH_OUT_OF_MEMORY, "no memory to choose layouts")
                                       : choose_all(graph, weights, arena, &choices, error);
  pith_arena_deinit(&scratch);
  if (status == PITH_OK && out_choices != NULL)
    *out_choices = choices;
  return status;
}
