#include <string.h>

#include "cli/bench_internal.h"
#include "engine/ir/operator.h"

/* Columns of a tensor: its last dimension, a constant for everything that products read. */
static double last_dim(const pith_tensor *tensor) {
  return tensor->rank == 0 ? 1 : (double)tensor->dims[tensor->rank - 1].constant;
}

static pith_status count_elements(const pith_tensor *tensor, const int64_t *symbols, double *out_count,
                                  pith_error *error) {
  *out_count = 1;
  for (uint32_t d = 0; d < tensor->rank; d++) {
    int64_t value;
    PITH_TRY(pith_dim_evaluate(&tensor->dims[d], symbols, &value, error));
    *out_count *= (double)value;
  }
  return PITH_OK;
}

pith_status pith_bench_count_flops(const pith_graph *graph, const int32_t *offsets, size_t sequences, size_t rows,
                                   double *out_flops, pith_error *error) {
  enum { SYMBOLS_MAX = 16 };
  const struct {
    const char *name;
    int64_t value;
  } known[] = {{"tokens", offsets[sequences]}, {"sequences", (int64_t)sequences}, {"rows", (int64_t)rows}};
  int64_t symbols[SYMBOLS_MAX] = {0};
  if (graph->symbol_count > SYMBOLS_MAX)
    return pith_fail(error, PITH_UNSUPPORTED, "the graph has %u symbols, over %d", graph->symbol_count, SYMBOLS_MAX);
  for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
    pith_symbol_id symbol = pith_graph_find_symbol(graph, known[i].name);
    if (symbol != PITH_NONE)
      symbols[symbol] = known[i].value;
  }
  double squares = 0; /* sum of L^2 */
  for (size_t i = 0; i < sequences; i++) {
    double length = (double)(offsets[i + 1] - offsets[i]);
    squares += length * length;
  }

  double flops = 0;
  for (uint32_t n = 0; n < graph->node_count; n++) {
    const pith_node *node = &graph->nodes[n];
    const pith_tensor *first = &graph->tensors[node->inputs[0]];
    if (node->op->id == PITH_OP_GEMM || node->op->id == PITH_OP_MATMUL) {
      double outputs;
      PITH_TRY(count_elements(&graph->tensors[node->outputs[0]], symbols, &outputs, error));
      bool transposed = node->op->id == PITH_OP_GEMM && pith_node_get_attribute(node, "transA")->i != 0;
      int64_t inner = 0;
      PITH_TRY(pith_dim_evaluate(&first->dims[transposed ? 0 : first->rank - 1], symbols, &inner, error));
      flops += 2 * outputs * (double)inner;
    } else if (node->op->id == PITH_OP_PACKED_ATTENTION) {
      const pith_tensor *value = &graph->tensors[node->inputs[2]];
      flops += 2 * squares * (last_dim(first) + last_dim(value));
    }
  }
  *out_flops = flops;
  return PITH_OK;
}

pith_status pith_bench_count_ids(const pith_graph *graph, int64_t *out_count, pith_error *error) {
  pith_tensor_id ids = pith_graph_find_tensor(graph, "input_ids");
  int64_t count = INT32_MAX;
  bool found = false;
  for (uint32_t n = 0; n < graph->node_count && ids != PITH_NONE; n++) {
    const pith_node *node = &graph->nodes[n];
    if (node->op->id != PITH_OP_GATHER || node->inputs[1] != ids)
      continue;
    int64_t rows = graph->tensors[node->inputs[0]].dims[0].constant;
    count = rows < count ? rows : count;
    found = true;
  }
  if (!found || count < 1)
    return pith_fail(error, PITH_UNSUPPORTED, "the model looks up no embedding by its input ids");
  *out_count = count;
  return PITH_OK;
}
