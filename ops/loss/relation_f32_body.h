/* The bodies of the relation_f32 kernels; included after a v16 header. A unit of work is one head of one sequence: it alone writes that
 * head's columns in that sequence's rows. */
#include <stdbool.h>

#include "ops/loss/loss_internal.h"
#include "ops/loss/loss_rows.h"
#include "ops/loss/relation_f32.h"
#include "ops/split.h"

enum { RELATION_ROWS = V16_TILE_VECTORS >= 4 ? 8 : 4 }; /* that are worked on side by side: their sums stay in registers */

/* One side of a unit: x and z from its first token and its head's first feature on. */
typedef struct relation_side {
  const float *x, *z;
  size_t stride, size; /* of a token; of the head */
  float scale;
  float *keys;   /* [size, pad] of z, a feature after the other */
  float *scores; /* [RELATION_ROWS, pad] */
} relation_side;

typedef struct relation_unit {
  relation_side student, teacher;
  size_t first, n, pad, head; /* token; tokens; those, up to whole vectors; which */
} relation_unit;

static size_t relation_pad(size_t tokens) {
  return (tokens + 15) / 16 * 16;
}

static size_t relation_scratch_bytes(const void *args) {
  const pith_relation_f32_args *a = args;
  return relation_pad(a->longest) * (a->head_size + a->teacher_size + 2 * RELATION_ROWS) * sizeof(float);
}

static size_t relation_count(const void *args, size_t threads) {
  const pith_relation_f32_args *a = args;
  const size_t mean = a->sequences > 0 ? a->tokens / a->sequences : 0;
  return a->head_size == 0 ? 0 : pith_split_count(a->sequences * a->heads, mean * mean * (a->head_size + a->teacher_size) / 8, threads);
}

/* Turns z so that a vector has a feature of 16 tokens. */
static void relation_turn(const relation_side *side, size_t n, size_t pad) {
  for (size_t j = 0; j < pad; ++j)
    for (size_t f = 0; f < side->size; ++f)
      side->keys[f * pad + j] = j < n ? side->z[j * side->stride + f] : 0.0f;
}

static relation_unit relation_begin(const pith_relation_f32_args *a, size_t index, float *scratch) {
  const size_t first = (size_t)a->offsets[index / a->heads], n = (size_t)a->offsets[index / a->heads + 1] - first;
  const size_t head = index % a->heads, pad = relation_pad(n);
  const size_t width = a->heads * a->head_size, teacher_width = a->heads * a->teacher_size;
  const size_t at = first * width + head * a->head_size, teacher_at = first * teacher_width + head * a->teacher_size;
  relation_unit u = {.first = first, .n = n, .pad = pad, .head = head};
  u.student = (relation_side){a->x + at, a->z + at, width, a->head_size, a->scale, scratch, NULL};
  u.teacher = (relation_side){a->teacher_x + teacher_at, a->teacher_z + teacher_at, teacher_width, a->teacher_size, a->teacher_scale,
                              scratch + pad * a->head_size, NULL};
  u.student.scores = u.teacher.keys + pad * a->teacher_size;
  u.teacher.scores = u.student.scores + pad * RELATION_ROWS;
  relation_turn(&u.student, n, pad);
  relation_turn(&u.teacher, n, pad);
  return u;
}

/* Scores of `rows` rows from row `row` on; `rows` is a constant. */
V16_INLINE void relation_score(const relation_side *side, size_t row, size_t rows, size_t pad) {
  const float *x = side->x + row * side->stride;
  for (size_t j = 0; j < pad; j += 16) {
    v16 sum[RELATION_ROWS];
    PITH_UNROLL
    for (size_t r = 0; r < rows; ++r)
      sum[r] = v16_set(0.0f);
    for (size_t f = 0; f < side->size; ++f) {
      const v16 key = v16_load(side->keys + f * pad + j);
      PITH_UNROLL
      for (size_t r = 0; r < rows; ++r)
        sum[r] = v16_fma(v16_set(x[r * side->stride + f]), key, sum[r]);
    }
    PITH_UNROLL
    for (size_t r = 0; r < rows; ++r)
      v16_store(side->scores + r * pad + j, v16_mul(sum[r], v16_set(side->scale)));
  }
}

static float relation_squared(const float *s, const float *t, size_t n) {
  const size_t whole = n / 16 * 16;
  const m16 tail = m16_first(n - whole);
  v16 sum = v16_set(0.0f);
  for (size_t i = 0; i < n; i += 16) {
    const v16 d = v16_sub(loss_load(s + i, i < whole, tail), loss_load(t + i, i < whole, tail));
    sum = v16_fma(d, d, sum);
  }
  return (float)((double)v16_sum(sum) / (double)n);
}

V16_INLINE void relation_rows(const pith_relation_f32_args *a, const relation_unit *u, size_t row, size_t rows) {
  relation_score(&u->student, row, rows, u->pad);
  relation_score(&u->teacher, row, rows, u->pad);
  for (size_t r = 0; r < rows; ++r) {
    float *s = u->student.scores + r * u->pad, *t = u->teacher.scores + r * u->pad;
    a->errors[(u->first + row + r) * a->heads + u->head] =
        a->error == PITH_RELATION_KL ? (float)loss_row_divergence(s, t, u->n) : relation_squared(s, t, u->n);
  }
}

/* ---- gradients ------------------------------------------------------------------------------------------------------------ */

/* s = scale * (the gradient by s), from s and t. */
static void relation_slope(const pith_relation_f32_args *a, float *s, float *t, double derror, size_t n) {
  const double scale = derror * (double)a->scale;
  if (a->error == PITH_RELATION_KL) {
    loss_row_divergence_grad(s, t, scale, s, n);
    return;
  }
  for (size_t i = 0; i < n; i += 16) {
    const bool whole = n - i >= 16;
    const m16 tail = m16_first(whole ? 16 : n - i);
    const v16 d = v16_mul(v16_set((float)(2 * scale / (double)n)), v16_sub(loss_load(s + i, whole, tail), loss_load(t + i, whole, tail)));
    v16_store_masked(tail, s + i, d);
  }
}

/* dx of `rows` rows, a constant, from what relation_slope left. */
V16_INLINE void relation_dx(const relation_unit *u, float *dx, size_t rows) {
  const relation_side *side = &u->student;
  for (size_t f = 0; f < side->size; f += 16) {
    const bool whole = side->size - f >= 16;
    const m16 tail = m16_first(whole ? 16 : side->size - f);
    v16 sum[RELATION_ROWS];
    PITH_UNROLL
    for (size_t r = 0; r < rows; ++r)
      sum[r] = v16_set(0.0f);
    for (size_t j = 0; j < u->n; ++j) {
      const v16 z = loss_load(side->z + j * side->stride + f, whole, tail);
      PITH_UNROLL
      for (size_t r = 0; r < rows; ++r)
        sum[r] = v16_fma(v16_set(side->scores[r * u->pad + j]), z, sum[r]);
    }
    PITH_UNROLL
    for (size_t r = 0; r < rows; ++r)
      v16_store_masked(tail, dx + r * side->stride + f, sum[r]);
  }
}

/* Adds those rows to dz, which row 0 begins. */
V16_INLINE void relation_dz(const relation_unit *u, size_t row, float *dz, size_t rows) {
  const relation_side *side = &u->student;
  for (size_t f = 0; f < side->size; f += 16) {
    const bool whole = side->size - f >= 16;
    const m16 tail = m16_first(whole ? 16 : side->size - f);
    v16 x[RELATION_ROWS];
    PITH_UNROLL
    for (size_t r = 0; r < rows; ++r)
      x[r] = loss_load(side->x + (row + r) * side->stride + f, whole, tail);
    for (size_t j = 0; j < u->n; ++j) {
      float *at = dz + j * side->stride + f;
      v16 sum = row == 0 ? v16_set(0.0f) : loss_load(at, whole, tail);
      PITH_UNROLL
      for (size_t r = 0; r < rows; ++r)
        sum = v16_fma(v16_set(side->scores[r * u->pad + j]), x[r], sum);
      v16_store_masked(tail, at, sum);
    }
  }
}

V16_INLINE void relation_grad_rows(const pith_relation_f32_args *a, const relation_unit *u, size_t row, size_t rows) {
  const relation_side *side = &u->student;
  const size_t at = u->first * side->stride + u->head * side->size;
  relation_score(side, row, rows, u->pad);
  relation_score(&u->teacher, row, rows, u->pad);
  for (size_t r = 0; r < rows; ++r)
    relation_slope(a, side->scores + r * u->pad, u->teacher.scores + r * u->pad,
                   (double)a->derrors[(u->first + row + r) * a->heads + u->head], u->n);
  relation_dx(u, a->dx + at + row * side->stride, rows);
  relation_dz(u, row, a->dz + at, rows);
}

/* ---- both ----------------------------------------------------------------------------------------------------------------- */

/* Some rows of a unit, forward or on the way back: `rows` and `back` are constants. */
V16_INLINE void relation_step(const pith_relation_f32_args *a, const relation_unit *u, size_t row, size_t rows, bool back) {
  if (back)
    relation_grad_rows(a, u, row, rows);
  else
    relation_rows(a, u, row, rows);
}

V16_INLINE void relation_walk(const pith_relation_f32_args *a, size_t threads, size_t task, void *scratch, bool back) {
  const size_t units = a->sequences * a->heads, tasks = relation_count(a, threads), end = pith_split_begin(units, tasks, task + 1);
  for (size_t i = pith_split_begin(units, tasks, task); i < end; ++i) {
    const relation_unit u = relation_begin(a, i, scratch);
    size_t row = 0;
    for (; row + RELATION_ROWS <= u.n; row += RELATION_ROWS)
      relation_step(a, &u, row, RELATION_ROWS, back);
    for (; row < u.n; ++row)
      relation_step(a, &u, row, 1, back);
  }
}

static void relation_run(const void *args, size_t threads, size_t task, void *scratch) {
  relation_walk(args, threads, task, scratch, false);
}

static void relation_grad_run(const void *args, size_t threads, size_t task, void *scratch) {
  relation_walk(args, threads, task, scratch, true);
}

const pith_kernel V16_NAME(pith_relation_f32) = {
    .name = "relation_f32_" V16_ISA_TEXT,
    .needs = V16_NEEDS,
    .count_tasks = relation_count,
    .get_scratch_bytes = relation_scratch_bytes,
    .run = relation_run,
};

const pith_kernel V16_NAME(pith_relation_grad_f32) = {
    .name = "relation_grad_f32_" V16_ISA_TEXT,
    .needs = V16_NEEDS,
    .count_tasks = relation_count,
    .get_scratch_bytes = relation_scratch_bytes,
    .run = relation_grad_run,
};
