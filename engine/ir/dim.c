#include "engine/ir/ir_internal.h"

bool pith_dim_equal(const pith_dim *a, const pith_dim *b) {
  if (a->constant != b->constant || a->term_count != b->term_count)
    return false;
  for (uint32_t i = 0; i < a->term_count; i++)
    if (a->terms[i].symbol != b->terms[i].symbol ||
        a->terms[i].coefficient != b->terms[i].coefficient)
      return false;
  return true;
}

/* *sum += factor * value */
static bool accumulate(int64_t *sum, int64_t factor, int64_t value) {
  int64_t product;
  return !__builtin_mul_overflow(factor, value, &product) &&
         !__builtin_add_overflow(*sum, product, sum);
}

static pith_status fail_overflow(pith_error *error) {
  return pith_fail(error, PITH_LIMIT, "a dimension overflows 64 bits");
}

pith_status pith_dim_combine(pith_arena *arena, int64_t a_factor, const pith_dim *a,
                             int64_t b_factor, const pith_dim *b, pith_dim *out_dim,
                             pith_error *error) {
  pith_dim result = {0};
  if (!accumulate(&result.constant, a_factor, a->constant) ||
      !accumulate(&result.constant, b_factor, b->constant))
    return fail_overflow(error);
  size_t most = (size_t)a->term_count + b->term_count;
  if (most != 0) {
    pith_dim_term *terms = PITH_ARENA_NEW(arena, pith_dim_term, most);
    if (terms == NULL)
      return pith_fail(error, PITH_OUT_OF_MEMORY, "no memory for a dimension of %zu terms", most);
    uint32_t i = 0, j = 0;
    while (i < a->term_count || j < b->term_count) {
      pith_symbol_id symbol = UINT32_MAX;
      if (i < a->term_count)
        symbol = a->terms[i].symbol;
      if (j < b->term_count && b->terms[j].symbol < symbol)
        symbol = b->terms[j].symbol;
      int64_t coefficient = 0;
      if (i < a->term_count && a->terms[i].symbol == symbol &&
          !accumulate(&coefficient, a_factor, a->terms[i++].coefficient))
        return fail_overflow(error);
      if (j < b->term_count && b->terms[j].symbol == symbol &&
          !accumulate(&coefficient, b_factor, b->terms[j++].coefficient))
        return fail_overflow(error);
      if (coefficient != 0)
        terms[result.term_count++] = (pith_dim_term){symbol, coefficient};
    }
    if (result.term_count > PITH_MAX_DIM_TERMS)
      return pith_fail(error, PITH_LIMIT, "a dimension of %u terms is over %d", result.term_count,
                       PITH_MAX_DIM_TERMS);
    result.terms = terms;
  }
  *out_dim = result;
  return PITH_OK;
}

pith_status pith_dim_evaluate(const pith_dim *dim, const int64_t *symbol_values, int64_t *out_value,
                              pith_error *error) {
  int64_t value = dim->constant;
  for (uint32_t i = 0; i < dim->term_count; i++)
    if (!accumulate(&value, dim->terms[i].coefficient, symbol_values[dim->terms[i].symbol]))
      return fail_overflow(error);
  if (value < 0)
    return pith_fail(error, PITH_LIMIT, "a dimension evaluates to %lld, below 0", (long long)value);
  *out_value = value;
  return PITH_OK;
}

static pith_status check_dim(const pith_graph *graph, const char *what, const char *name,
                             uint32_t index, const pith_dim *dim, pith_error *error) {
  if (dim->term_count == 0) {
    if (dim->constant < 1 || dim->constant > PITH_MAX_DIM)
      return pith_fail(error, PITH_FORMAT, "%s '%s': dimension %u is %lld, not in 1 .. %d", what,
                       name, index, (long long)dim->constant, PITH_MAX_DIM);
    return PITH_OK;
  }
  if (dim->constant < -PITH_MAX_DIM || dim->constant > PITH_MAX_DIM)
    return pith_fail(error, PITH_FORMAT, "%s '%s': dimension %u adds %lld, over +-%d", what, name,
                     index, (long long)dim->constant, PITH_MAX_DIM);
  if (dim->term_count > PITH_MAX_DIM_TERMS)
    return pith_fail(error, PITH_FORMAT, "%s '%s': dimension %u has %u terms, over %d", what, name,
                     index, dim->term_count, PITH_MAX_DIM_TERMS);
  if (dim->terms == NULL)
    return pith_fail(error, PITH_FORMAT, "%s '%s': dimension %u has no terms, %u expected", what,
                     name, index, dim->term_count);
  for (uint32_t i = 0; i < dim->term_count; i++) {
    const pith_dim_term *term = &dim->terms[i];
    if (term->symbol >= graph->symbol_count)
      return pith_fail(error, PITH_FORMAT, "%s '%s': dimension %u names symbol %u of %u", what,
                       name, index, term->symbol, graph->symbol_count);
    if (i != 0 && term->symbol <= dim->terms[i - 1].symbol)
      return pith_fail(error, PITH_FORMAT,
                       "%s '%s': dimension %u has symbol %u after %u, terms must ascend", what,
                       name, index, term->symbol, dim->terms[i - 1].symbol);
    /* A size must not shrink where a symbol grows: memory is planned at the symbols' largest values. */
    if (term->coefficient < 1 || term->coefficient > PITH_MAX_DIM)
      return pith_fail(error, PITH_FORMAT, "%s '%s': dimension %u has coefficient %lld, not in 1 .. %d",
                       what, name, index, (long long)term->coefficient, PITH_MAX_DIM);
  }
  return PITH_OK;
}

pith_status pith_shape_check(const pith_graph *graph, const char *what, const char *name,
                             uint32_t rank, const pith_dim *dims, pith_error *error) {
  if (rank > PITH_MAX_RANK)
    return pith_fail(error, PITH_FORMAT, "%s '%s': rank %u is over %d", what, name, rank,
                     PITH_MAX_RANK);
  for (uint32_t i = 0; i < rank; i++)
    PITH_TRY(check_dim(graph, what, name, i, &dims[i], error));
  return PITH_OK;
}
