/* The bodies of the sum of squares, the moving average and axpy; included after a v16 header. */
#include "ops/optimizer/optimizer_internal.h"
#include "ops/optimizer/optimizer_step.h"

/* ---- sum of squares ------------------------------------------------------------------------------------------------ */

static size_t sum_squares_units(const pith_sum_squares_f32_args *a) {
  return a->rows ? a->row_count : pith_sum_squares_count(a->count, a->block);
}

static size_t sum_squares_tasks(const void *args, size_t threads) {
  const pith_sum_squares_f32_args *a = args;
  return pith_split_count(sum_squares_units(a), a->block, threads);
}

static double sum_squares(const float *x, size_t n) {
  const size_t whole = n / 16 * 16;
  d16 sum = d16_zero();
  for (size_t i = 0; i < whole; i += 16)
    sum = d16_add_square(sum, v16_load(x + i));
  if (whole < n)
    sum = d16_add_square(sum, v16_load_masked(m16_first(n - whole), x + whole));
  return d16_sum(sum);
}

static void sum_squares_run(const void *args, size_t threads, size_t task, void *scratch) {
  (void)scratch;
  const pith_sum_squares_f32_args *a = args;
  const size_t units = sum_squares_units(a), tasks = sum_squares_tasks(args, threads);
  for (size_t i = pith_split_begin(units, tasks, task); i < pith_split_begin(units, tasks, task + 1); ++i) {
    const size_t begin = (a->rows ? (size_t)a->rows[i] : i) * a->block;
    a->sums[i] = sum_squares(a->x + begin, a->rows || a->count - begin > a->block ? a->block : a->count - begin);
  }
}

const pith_kernel V16_NAME(pith_sum_squares_f32) = {
    .name = "sum_squares_f32_" V16_ISA_TEXT,
    .needs = V16_NEEDS,
    .count_tasks = sum_squares_tasks,
    .run = sum_squares_run,
};

/* ---- moving average ------------------------------------------------------------------------------------------------ */

static size_t ema_tasks(const void *args, size_t threads) {
  const pith_ema_f32_args *a = args;
  return pith_split_count(optimizer_units(a->count), OPTIMIZER_GRAIN * 3, threads);
}

V16_INLINE void ema_vector(const pith_ema_f32_args *a, size_t i, bool whole, m16 tail) {
  const v16 average = optimizer_load(a->average + i, whole, tail), w = optimizer_load(a->w + i, whole, tail);
  optimizer_store(a->average + i, v16_fma(v16_set(a->one_minus_decay), v16_sub(w, average), average), whole, tail);
}

static void ema_run(const void *args, size_t threads, size_t task, void *scratch) {
  (void)scratch;
  const pith_ema_f32_args *a = args;
  size_t begin, end;
  optimizer_part(a->count, ema_tasks(args, threads), task, &begin, &end);
  const size_t whole = begin + (end - begin) / 16 * 16;
  const m16 tail = m16_first(end - whole);
  for (size_t i = begin; i < whole; i += 16)
    ema_vector(a, i, true, tail);
  if (whole < end)
    ema_vector(a, whole, false, tail);
}

const pith_kernel V16_NAME(pith_ema_f32) = {
    .name = "ema_f32_" V16_ISA_TEXT,
    .needs = V16_NEEDS,
    .count_tasks = ema_tasks,
    .run = ema_run,
};

/* ---- y = a x + y, y = a y ------------------------------------------------------------------------------------------ */

static size_t axpy_tasks(const void *args, size_t threads) {
  const pith_axpy_f32_args *a = args;
  return pith_split_count(optimizer_units(a->count), OPTIMIZER_GRAIN * (a->x ? 3 : 2), threads);
}

V16_INLINE void axpy_vector(const pith_axpy_f32_args *a, size_t i, bool whole, m16 tail) {
  const v16 factor = v16_set(a->a), y = optimizer_load(a->y + i, whole, tail);
  optimizer_store(a->y + i, a->x ? v16_fma(factor, optimizer_load(a->x + i, whole, tail), y) : v16_mul(factor, y), whole,
                  tail);
}

static void axpy_run(const void *args, size_t threads, size_t task, void *scratch) {
  (void)scratch;
  const pith_axpy_f32_args *a = args;
  size_t begin, end;
  optimizer_part(a->count, axpy_tasks(args, threads), task, &begin, &end);
  const size_t whole = begin + (end - begin) / 16 * 16;
  const m16 tail = m16_first(end - whole);
  for (size_t i = begin; i < whole; i += 16)
    axpy_vector(a, i, true, tail);
  if (whole < end)
    axpy_vector(a, whole, false, tail);
}

const pith_kernel V16_NAME(pith_axpy_f32) = {
    .name = "axpy_f32_" V16_ISA_TEXT,
    .needs = V16_NEEDS,
    .count_tasks = axpy_tasks,
    .run = axpy_run,
};
