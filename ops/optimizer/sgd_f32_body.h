/* The body of both sgd kernels; included after a v16 header. A row that missed steps goes through them one by one in registers:
 * a step without a gradient is three operations. */
#include "ops/optimizer/optimizer_internal.h"
#include "ops/optimizer/optimizer_step.h"

enum { SGD_COST = 6, SGD_ROW_VECTORS = 4 }; /* passes over an element */

typedef struct sgd_constants {
  v16 momentum, scale;
  bool nesterov;
} sgd_constants;

V16_INLINE void sgd_apply(const sgd_constants *c, pith_sgd_step step, v16 *w, v16 *m, v16 g) {
  const v16 minus_rate = v16_set(-step.rate);
  *w = optimizer_shrink(*w, step.shrink);
  *m = momentum_flush(v16_fma(c->momentum, *m, g));
  *w = v16_fma(minus_rate, c->nesterov ? v16_fma(c->momentum, *m, g) : *m, *w);
}

static size_t sgd_count(const void *args, size_t threads) {
  const pith_sgd_f32_args *a = args;
  return pith_split_count(optimizer_units(a->count), OPTIMIZER_GRAIN * SGD_COST, threads);
}

V16_INLINE void sgd_vector(const pith_sgd_f32_args *a, const sgd_constants *c, size_t i, bool whole, m16 tail) {
  v16 w = optimizer_load(a->w + i, whole, tail);
  const v16 g = v16_mul(c->scale, optimizer_load(a->g + i, whole, tail));
  if (a->m) {
    v16 m = optimizer_load(a->m + i, whole, tail);
    sgd_apply(c, a->step, &w, &m, g);
    optimizer_store(a->m + i, m, whole, tail);
  } else {
    w = v16_fma(v16_set(-a->step.rate), g, optimizer_shrink(w, a->step.shrink));
  }
  optimizer_store(a->w + i, w, whole, tail);
}

static void sgd_run(const void *args, size_t threads, size_t task, void *scratch) {
  (void)scratch;
  const pith_sgd_f32_args *a = args;
  size_t begin, end;
  optimizer_part(a->count, sgd_count(args, threads), task, &begin, &end);
  const sgd_constants c = {v16_set(a->momentum), v16_set(a->gradient_scale), a->nesterov};
  const size_t whole = begin + (end - begin) / 16 * 16;
  const m16 tail = m16_first(end - whole);
  for (size_t i = begin; i < whole; i += 16)
    sgd_vector(a, &c, i, true, tail);
  if (whole < end)
    sgd_vector(a, &c, whole, false, tail);
}

const pith_kernel V16_NAME(pith_sgd_f32) = {
    .name = "sgd_f32_" V16_ISA_TEXT,
    .needs = V16_NEEDS,
    .count_tasks = sgd_count,
    .run = sgd_run,
};

/* ---- rows ---------------------------------------------------------------------------------------------------------- */

static size_t sgd_rows_count(const void *args, size_t threads) {
  const pith_sgd_rows_f32_args *a = args;
  return a->features == 0 ? 0 : pith_split_count(a->row_count, 16 * a->features, threads > 1 ? 4 * threads : 1);
}

/* `vectors` is a constant where this is expanded; `whole` false: 1 vector. */
V16_INLINE void sgd_replay(const pith_sgd_rows_f32_args *a, const sgd_constants *c, size_t at, size_t begin, size_t end,
                           size_t vectors, bool whole, m16 tail) {
  const v16 zero = v16_set(0.0f);
  v16 w[SGD_ROW_VECTORS], m[SGD_ROW_VECTORS];
  PITH_UNROLL
  for (size_t k = 0; k < vectors; ++k) {
    w[k] = optimizer_load(a->w + at + 16 * k, whole, tail);
    m[k] = a->m ? optimizer_load(a->m + at + 16 * k, whole, tail) : zero;
  }
  for (size_t s = begin; s < end; ++s)
    PITH_UNROLL
    for (size_t k = 0; k < vectors; ++k)
      sgd_apply(c, a->steps[s], &w[k], &m[k], zero);
  PITH_UNROLL
  for (size_t k = 0; k < vectors; ++k) {
    if (a->g)
      sgd_apply(c, a->steps[end], &w[k], &m[k], v16_mul(c->scale, optimizer_load(a->g + at + 16 * k, whole, tail)));
    optimizer_store(a->w + at + 16 * k, w[k], whole, tail);
    if (a->m)
      optimizer_store(a->m + at + 16 * k, m[k], whole, tail);
  }
}

static void sgd_row(const pith_sgd_rows_f32_args *a, const sgd_constants *c, size_t row) {
  const size_t begin = a->done[row], end = a->step_count - (a->g ? 1 : 0);
  if (begin == a->step_count)
    return;
  const size_t first = row * a->features, last = first + a->features;
  size_t at = first;
  for (; at + 16 * SGD_ROW_VECTORS <= last; at += 16 * SGD_ROW_VECTORS)
    sgd_replay(a, c, at, begin, end, SGD_ROW_VECTORS, true, m16_first(16));
  for (; at < last; at += 16)
    sgd_replay(a, c, at, begin, end, 1, false, m16_first(last - at < 16 ? last - at : 16));
  a->done[row] = (uint32_t)a->step_count;
}

static void sgd_rows_run(const void *args, size_t threads, size_t task, void *scratch) {
  (void)scratch;
  const pith_sgd_rows_f32_args *a = args;
  const sgd_constants c = {v16_set(a->momentum), v16_set(a->gradient_scale), a->nesterov};
  const size_t count = sgd_rows_count(args, threads), end = pith_split_begin(a->row_count, count, task + 1);
  for (size_t i = pith_split_begin(a->row_count, count, task); i < end; ++i)
    sgd_row(a, &c, a->rows ? (size_t)a->rows[i] : i);
}

const pith_kernel V16_NAME(pith_sgd_rows_f32) = {
    .name = "sgd_rows_f32_" V16_ISA_TEXT,
    .needs = V16_NEEDS,
    .count_tasks = sgd_rows_count,
    .run = sgd_rows_run,
};
