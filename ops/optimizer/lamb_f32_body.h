/* The body of both lamb kernels; included after a v16 header. */
#include <math.h>

#include "ops/optimizer/optimizer_internal.h"
#include "ops/optimizer/optimizer_step.h"

enum { LAMB_COST = 8 }; /* passes over an element */

static size_t lamb_count(const void *args, size_t threads) {
  const pith_lamb_f32_args *a = args;
  return pith_split_count(optimizer_units(a->count), OPTIMIZER_GRAIN * LAMB_COST, threads);
}

V16_INLINE void lamb_vector(const pith_lamb_f32_args *a, const adam_constants *c, size_t i, bool whole, m16 tail, d16 *w_sum,
                            d16 *u_sum) {
  v16 m = optimizer_load(a->m + i, whole, tail), v = optimizer_load(a->v + i, whole, tail);
  const v16 w = optimizer_load(a->w + i, whole, tail);
  adam_moments(c, &m, &v, v16_mul(c->scale, optimizer_load(a->g + i, whole, tail)));
  const v16 direction = adam_direction(c, m, v, v16_set(a->step.root_inverse));
  const v16 u = v16_fma(v16_set(a->step.size), direction, v16_mul(v16_set(a->step.shrink), w));
  *w_sum = d16_add_square(*w_sum, w);
  *u_sum = d16_add_square(*u_sum, u);
  optimizer_store(a->m + i, m, whole, tail);
  optimizer_store(a->v + i, v, whole, tail);
  optimizer_store(a->g + i, u, whole, tail);
}

static void lamb_run(const void *args, size_t threads, size_t task, void *scratch) {
  (void)scratch;
  const pith_lamb_f32_args *a = args;
  size_t begin, end;
  optimizer_part(a->count, lamb_count(args, threads), task, &begin, &end);
  const adam_constants c = adam_constants_make(&a->options, a->gradient_scale);
  for (; begin < end; begin += PITH_SUM_SQUARES_BLOCK) {
    const size_t count = end - begin < PITH_SUM_SQUARES_BLOCK ? end - begin : PITH_SUM_SQUARES_BLOCK;
    const size_t whole = begin + count / 16 * 16;
    const m16 tail = m16_first(begin + count - whole);
    d16 w_sum = d16_zero(), u_sum = d16_zero();
    for (size_t i = begin; i < whole; i += 16)
      lamb_vector(a, &c, i, true, tail, &w_sum, &u_sum);
    if (whole < begin + count)
      lamb_vector(a, &c, whole, false, tail, &w_sum, &u_sum);
    a->w_sums[begin / PITH_SUM_SQUARES_BLOCK] = d16_sum(w_sum);
    a->u_sums[begin / PITH_SUM_SQUARES_BLOCK] = d16_sum(u_sum);
  }
}

const pith_kernel V16_NAME(pith_lamb_f32) = {
    .name = "lamb_f32_" V16_ISA_TEXT,
    .needs = V16_NEEDS,
    .count_tasks = lamb_count,
    .run = lamb_run,
};

static size_t lamb_apply_count(const void *args, size_t threads) {
  const pith_lamb_apply_f32_args *a = args;
  return pith_split_count(optimizer_units(a->count), OPTIMIZER_GRAIN * 3, threads);
}

static void lamb_apply_run(const void *args, size_t threads, size_t task, void *scratch) {
  (void)scratch;
  const pith_lamb_apply_f32_args *a = args;
  size_t begin, end;
  optimizer_part(a->count, lamb_apply_count(args, threads), task, &begin, &end);
  const size_t sums = pith_sum_squares_count(a->count, PITH_SUM_SQUARES_BLOCK);
  const double w_norm = sqrt(pith_sum_doubles(a->w_sums, sums)), u_norm = sqrt(pith_sum_doubles(a->u_sums, sums));
  const double ratio = w_norm > 0 && u_norm > 0 ? w_norm / u_norm : 1;
  const v16 rate = v16_set((float)(-(double)a->rate * ratio));
  const size_t whole = begin + (end - begin) / 16 * 16;
  const m16 tail = m16_first(end - whole);
  for (size_t i = begin; i < whole; i += 16)
    v16_store(a->w + i, v16_fma(rate, v16_load(a->u + i), v16_load(a->w + i)));
  if (whole < end)
    v16_store_masked(tail, a->w + whole,
                     v16_fma(rate, v16_load_masked(tail, a->u + whole), v16_load_masked(tail, a->w + whole)));
}

const pith_kernel V16_NAME(pith_lamb_apply_f32) = {
    .name = "lamb_apply_f32_" V16_ISA_TEXT,
    .needs = V16_NEEDS,
    .count_tasks = lamb_apply_count,
    .run = lamb_apply_run,
};
