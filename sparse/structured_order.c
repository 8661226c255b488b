/* Which heads and neurons leave first, where no activations are looked at. */
#include <math.h>

#include "sparse/structured_internal.h"

static bool is_of_heads(const pith_structured_plan *p) {
  return p->job->structure == PITH_STRUCTURE_HEAD;
}

/* The least values first, of equal ones those that come first; costs are `scale` times the values. */
static void order_by(pith_structured_plan *p, uint32_t b, const double *values, double scale) {
  const size_t groups = p->blocks[b].groups;
  for (size_t i = 0; i < groups; i++) {
    size_t best = SIZE_MAX;
    for (size_t g = 0; g < groups; g++)
      if (!p->removed[b][g] && (best == SIZE_MAX || values[g] < values[best]))
        best = g;
    p->removed[b][best] = true;
    p->order[b][i] = (uint32_t)best;
    p->costs[b][i] = scale * values[best];
  }
  memset(p->removed[b], 0, groups * sizeof *p->removed[b]);
}

/* ---- magnitude ------------------------------------------------------------------------------------------------------- */

/* Squares of a weight or bias, added up by groups of rows or of columns. */
static pith_status add_squares(pith_structured_plan *p, pith_tensor_id id, bool by_column, size_t groups, double *squares) {
  const float *values = id == PITH_NONE ? NULL : pith_rewriter_read(&p->reader, id);
  if (values == NULL)
    return p->reader.builder.status;
  const pith_tensor *tensor = &p->reader.from->tensors[id];
  const size_t rows = (size_t)tensor->dims[0].constant;
  const size_t columns = tensor->rank == 1 ? 1 : (size_t)tensor->dims[1].constant;
  for (size_t r = 0; r < rows; r++)
    for (size_t c = 0; c < columns; c++)
      squares[(by_column ? c : r) / ((by_column ? columns : rows) / groups)] +=
          (double)values[r * columns + c] * (double)values[r * columns + c];
  return PITH_OK;
}

static pith_status order_by_magnitude(pith_structured_plan *p, uint32_t b, pith_error *error) {
  const pith_structured_block *block = &p->blocks[b];
  const bool heads = is_of_heads(p);
  const pith_node *const firsts[3] = {heads ? block->attention.query : block->chain.first,
                                      heads ? block->attention.key : NULL,
                                      heads ? block->attention.value : NULL};
  double *squares = PITH_ARENA_NEW(&p->arena, double, block->groups);
  if (squares == NULL)
    return pith_fail(error, PITH_OUT_OF_MEMORY, "no memory for %zu scores", block->groups);
  for (int i = 0; i < 3 && firsts[i] != NULL; i++) {
    PITH_TRY(add_squares(p, firsts[i]->inputs[1], false, block->groups, squares));
    PITH_TRY(add_squares(p, pith_structured_get_bias(firsts[i]), false, block->groups, squares));
  }
  PITH_TRY(add_squares(p, block->last->inputs[1], true, block->groups, squares));
  double sum = 0;
  for (size_t g = 0; g < block->groups; g++) {
    squares[g] = sqrt(squares[g]);
    sum += squares[g];
  }
  order_by(p, b, squares, sum > 0 ? 1 / sum : 0); /* shares of the block, so that blocks compare */
  return PITH_OK;
}

/* ---- sensitivity ----------------------------------------------------------------------------------------------------- */

/* Of a head, its slice of the inputs of attention's output product. With masks m_h on what the heads give, that product's output is
 * y = sum_h m_h W_h c_h, W_h [n, size] the slice and c_h what head h gives, so that over all tokens t
 *     dL/dm_h = sum_t (dL/dy_t)^T W_h c_ht = sum over i, j of W_h,ij sum_t dL/dy_ti c_htj = sum over i, j of W_h,ij dL/dW_h,ij
 * at m = 1: the mask's gradient is the sum of g w over the slice. A mask on the attention's weights (head_mask of transformers) is the
 * same one, since c_h is linear in them. Of a neuron, its row of the first product. */
static pith_sensitivity make_sensitivity(pith_structured_plan *p, uint32_t b) {
  const pith_structured_block *block = &p->blocks[b];
  const pith_node *product = is_of_heads(p) ? block->last : block->chain.first;
  return (pith_sensitivity){.weight = p->reader.from->tensors[product->inputs[1]].name,
                            .by_input = is_of_heads(p),
                            .groups = block->groups,
                            .values = PITH_ARENA_NEW(&p->arena, double, block->groups)};
}

static double get_norm(const pith_sensitivity *s) {
  double squares = 0;
  for (size_t g = 0; g < s->groups; g++)
    squares += s->values[g] * s->values[g];
  return sqrt(squares);
}

static pith_status order_by_sensitivity(pith_structured_plan *p, pith_error *error) {
  const pith_prune_request *request = p->job->request;
  pith_sensitivity *list = PITH_ARENA_NEW(&p->arena, pith_sensitivity, p->count);
  bool whole = list != NULL;
  uint32_t count = 0;
  for (uint32_t b = 0; b < p->count && whole; b++)
    if (!p->blocks[b].stays) {
      list[count] = make_sensitivity(p, b);
      whole = list[count++].values != NULL;
    }
  if (!whole)
    return pith_fail(error, PITH_OUT_OF_MEMORY, "no memory for the scores of %u layers", p->count);
  PITH_TRY(request->measure(request->context, p->job->model, list, count, error));
  const pith_sensitivity *s = list;
  for (uint32_t b = 0; b < p->count; b++) {
    if (p->blocks[b].stays)
      continue;
    const double norm = is_of_heads(p) ? get_norm(s) : 1; /* layers differ in scale: Michel et al. 2019, section 4.1 */
    order_by(p, b, (s++)->values, norm > 0 ? 1 / norm : 0);
  }
  return PITH_OK;
}

pith_status pith_structured_order(pith_structured_plan *plan, pith_error *error) {
  if (plan->job->request->options->method == PITH_PRUNE_SENSITIVITY)
    return order_by_sensitivity(plan, error);
  for (uint32_t b = 0; b < plan->count; b++)
    if (!plan->blocks[b].stays)
      PITH_TRY(order_by_magnitude(plan, b, error));
  return PITH_OK;
}
