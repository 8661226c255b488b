/* The body of both adamw kernels; included after a v16 header.
 *
 * A row that missed steps goes through them one by one in registers, ROW_VECTORS x 16 elements at a time. Its push, size times
 * direction, falls by beta1 / sqrt(beta2) a step, and when no later one can be as much as 2^-26 of its weight (half of the
 * distance to the next float is at least 2^-25 of it) the root and the quotient are left out: only m, v and the decay of w
 * go on, each rounded as the dense kernel rounds it. */
#include <math.h>

#include "ops/optimizer/optimizer_internal.h"
#include "ops/optimizer/optimizer_step.h"

enum { ADAMW_COST = 8, ROW_VECTORS = 4, ROW_PATIENCE = 8 }; /* passes over an element; steps between two looks at the push */

V16_INLINE void adamw_apply(const adam_constants *c, pith_adamw_step step, v16 *w, v16 *m, v16 *v, v16 g) {
  adam_moments(c, m, v, g);
  *w = optimizer_shrink(*w, step.shrink);
  *w = v16_fma(v16_set(-step.size), adam_direction(c, *m, *v, v16_set(step.root_inverse)), *w);
}

static size_t adamw_count(const void *args, size_t threads) {
  const pith_adamw_f32_args *a = args;
  return pith_split_count(optimizer_units(a->count), OPTIMIZER_GRAIN * ADAMW_COST, threads);
}

V16_INLINE void adamw_vector(const pith_adamw_f32_args *a, const adam_constants *c, size_t i, bool whole, m16 tail) {
  v16 w = optimizer_load(a->w + i, whole, tail), m = optimizer_load(a->m + i, whole, tail);
  v16 v = optimizer_load(a->v + i, whole, tail);
  adamw_apply(c, a->step, &w, &m, &v, v16_mul(c->scale, optimizer_load(a->g + i, whole, tail)));
  optimizer_store(a->w + i, w, whole, tail);
  optimizer_store(a->m + i, m, whole, tail);
  optimizer_store(a->v + i, v, whole, tail);
}

static void adamw_run(const void *args, size_t threads, size_t task, void *scratch) {
  (void)scratch;
  const pith_adamw_f32_args *a = args;
  size_t begin, end;
  optimizer_part(a->count, adamw_count(args, threads), task, &begin, &end);
  const adam_constants c = adam_constants_make(&a->options, a->gradient_scale);
  const size_t whole = begin + (end - begin) / 16 * 16;
  const m16 tail = m16_first(end - whole);
  for (size_t i = begin; i < whole; i += 16)
    adamw_vector(a, &c, i, true, tail);
  if (whole < end)
    adamw_vector(a, &c, whole, false, tail);
}

const pith_kernel V16_NAME(pith_adamw_f32) = {
    .name = "adamw_f32_" V16_ISA_TEXT,
    .needs = V16_NEEDS,
    .count_tasks = adamw_count,
    .run = adamw_run,
};

/* ---- rows ---------------------------------------------------------------------------------------------------------- */

static size_t adamw_rows_count(const void *args, size_t threads) {
  const pith_adamw_rows_f32_args *a = args;
  return a->features == 0 ? 0 : pith_split_count(a->row_count, 16 * a->features, threads > 1 ? 4 * threads : 1);
}

/* What bounds the pushes of the missed steps [begin, end). */
typedef struct adamw_bound {
  v16 size;         /* at least that of each step over 2^-26 of what decay leaves of w */
  v16 root_inverse; /* at most that of each step */
} adamw_bound;

static adamw_bound adamw_bound_make(const pith_adamw_rows_f32_args *a, size_t begin, size_t end) {
  double size = 0, left = 1, root_inverse = INFINITY;
  for (size_t s = begin; s < end; ++s) {
    size = (double)a->steps[s].size > size ? (double)a->steps[s].size : size;
    left *= 1 - (double)a->steps[s].shrink;
    root_inverse = (double)a->steps[s].root_inverse < root_inverse ? (double)a->steps[s].root_inverse : root_inverse;
  }
  const bool falls = a->options.beta1 * a->options.beta1 < a->options.beta2 && left > 0;
  return (adamw_bound){v16_set(falls ? (float)(size * 0x1p26 / left) : INFINITY), v16_set((float)root_inverse)};
}

typedef struct adamw_state {
  v16 w[ROW_VECTORS], m[ROW_VECTORS], v[ROW_VECTORS];
} adamw_state;

/* Whether no later push of these can change a weight. Pushes of rows without momentum are 0. */
V16_INLINE bool adamw_is_settled(const adam_constants *c, const adamw_bound *bound, const adamw_state *x, size_t vectors) {
  v16 over = v16_set(0.0f);
  PITH_UNROLL
  for (size_t k = 0; k < vectors; ++k) {
    const v16 push = v16_mul(bound->size, v16_abs(adam_direction(c, x->m[k], x->v[k], bound->root_inverse)));
    const v16 one = v16_set(1.0f), none = v16_set(0.0f);
    const m16 moves = v16_less(none, v16_abs(x->m[k]));
    over = v16_max(over, v16_select(moves, v16_select(v16_less(push, v16_abs(x->w[k])), none, one), none));
  }
  return v16_largest(over) == 0;
}

/* What is left of adamw_apply in steps whose gradient and push are 0; w, m and v apart, so that zeros cost nothing. m falls, so
 * it may be flushed after several steps as well as after each. */
V16_INLINE void adamw_decay(const adam_constants *c, const pith_adamw_step *steps, size_t count, size_t vectors, adamw_state *x) {
  v16 m = v16_set(0.0f), v = m;
  PITH_UNROLL
  for (size_t k = 0; k < vectors; ++k) {
    m = v16_max(m, v16_abs(x->m[k]));
    v = v16_max(v, x->v[k]);
  }
  for (size_t s = 0; s < count; ++s)
    PITH_UNROLL
    for (size_t k = 0; k < vectors; ++k)
      x->w[k] = optimizer_shrink(x->w[k], steps[s].shrink);
  for (size_t s = 0; v16_largest(v) != 0 && s < count; ++s)
    PITH_UNROLL
    for (size_t k = 0; k < vectors; ++k)
      x->v[k] = v16_mul(c->beta2, x->v[k]);
  for (size_t s = 0; v16_largest(m) != 0 && s < count;) {
    for (const size_t until = count - s < ROW_PATIENCE ? count : s + ROW_PATIENCE; s < until; ++s)
      PITH_UNROLL
      for (size_t k = 0; k < vectors; ++k)
        x->m[k] = v16_fma(c->keep1, v16_sub(v16_set(0.0f), x->m[k]), x->m[k]);
    m = v16_set(0.0f);
    PITH_UNROLL
    for (size_t k = 0; k < vectors; ++k) {
      x->m[k] = momentum_flush(x->m[k]);
      m = v16_max(m, v16_abs(x->m[k]));
    }
  }
}

/* `vectors` is a constant where this is expanded; `whole` false: 1 vector. */
V16_INLINE void adamw_replay(const pith_adamw_rows_f32_args *a, const adam_constants *c, const adamw_bound *bound, size_t at,
                             size_t begin, size_t end, size_t vectors, bool whole, m16 tail) {
  const v16 zero = v16_set(0.0f);
  adamw_state x;
  PITH_UNROLL
  for (size_t k = 0; k < vectors; ++k) {
    x.w[k] = optimizer_load(a->w + at + 16 * k, whole, tail);
    x.m[k] = optimizer_load(a->m + at + 16 * k, whole, tail);
    x.v[k] = optimizer_load(a->v + at + 16 * k, whole, tail);
  }
  size_t s = begin;
  while (s < end && !adamw_is_settled(c, bound, &x, vectors))
    for (const size_t until = end - s < ROW_PATIENCE ? end : s + ROW_PATIENCE; s < until; ++s)
      PITH_UNROLL
      for (size_t k = 0; k < vectors; ++k)
        adamw_apply(c, a->steps[s], &x.w[k], &x.m[k], &x.v[k], zero);
  adamw_decay(c, a->steps + s, end - s, vectors, &x);
  PITH_UNROLL
  for (size_t k = 0; k < vectors; ++k) {
    if (a->g)
      adamw_apply(c, a->steps[end], &x.w[k], &x.m[k], &x.v[k],
                  v16_mul(c->scale, optimizer_load(a->g + at + 16 * k, whole, tail)));
    optimizer_store(a->w + at + 16 * k, x.w[k], whole, tail);
    optimizer_store(a->m + at + 16 * k, x.m[k], whole, tail);
    optimizer_store(a->v + at + 16 * k, x.v[k], whole, tail);
  }
}

static void adamw_row(const pith_adamw_rows_f32_args *a, const adam_constants *c, size_t row) {
  const size_t begin = a->done[row], end = a->step_count - (a->g ? 1 : 0);
  if (begin == a->step_count)
    return;
  const adamw_bound bound = adamw_bound_make(a, begin, end);
  const size_t first = row * a->features, last = first + a->features;
  size_t at = first;
  for (; at + 16 * ROW_VECTORS <= last; at += 16 * ROW_VECTORS)
    adamw_replay(a, c, &bound, at, begin, end, ROW_VECTORS, true, m16_first(16));
  for (; at < last; at += 16) /* a last whole one too */
    adamw_replay(a, c, &bound, at, begin, end, 1, false, m16_first(last - at < 16 ? last - at : 16));
  a->done[row] = (uint32_t)a->step_count;
}

static void adamw_rows_run(const void *args, size_t threads, size_t task, void *scratch) {
  (void)scratch;
  const pith_adamw_rows_f32_args *a = args;
  const adam_constants c = adam_constants_make(&a->options, a->gradient_scale);
  const size_t count = adamw_rows_count(args, threads), end = pith_split_begin(a->row_count, count, task + 1);
  for (size_t i = pith_split_begin(a->row_count, count, task); i < end; ++i)
    adamw_row(a, &c, a->rows ? (size_t)a->rows[i] : i);
}

const pith_kernel V16_NAME(pith_adamw_rows_f32) = {
    .name = "adamw_rows_f32_" V16_ISA_TEXT,
    .needs = V16_NEEDS,
    .count_tasks = adamw_rows_count,
    .run = adamw_rows_run,
};
