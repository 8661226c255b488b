/* The body of every reduce_sum_f32 kernel; included after a v16 header. Down columns a few rows at a time are added to y, which
 * stays in the first cache, so that x is read from one end to the other. */
#include <stdbool.h>

#include "ops/reduce/reduce_internal.h"
#include "ops/reduce/reduce_sum_f32.h"
#include "ops/split.h"

enum {
  REDUCE_ROWS = 8,        /* added at once */
  REDUCE_COLUMN_GRAIN = 64 /* columns that tasks are made of */
};

/* inner 1: units are rows of x; otherwise strips of columns, those of the first [axis, inner] first. */
static size_t reduce_strips(const pith_reduce_sum_f32_args *a) {
  return a->inner == 1 ? 1 : (a->inner + REDUCE_COLUMN_GRAIN - 1) / REDUCE_COLUMN_GRAIN;
}

static size_t reduce_count(const void *args, size_t threads) {
  const pith_reduce_sum_f32_args *a = args;
  return pith_split_count(a->outer * reduce_strips(a), (a->inner == 1 ? 1 : REDUCE_COLUMN_GRAIN) * a->axis, threads);
}

static float reduce_row(const float *x, size_t n) {
  const size_t whole = n / 16 * 16;
  v16 sum = v16_set(0.0f);
  for (size_t i = 0; i < whole; i += 16)
    sum = v16_add(sum, v16_load(x + i));
  if (whole < n)
    sum = v16_add(sum, v16_load_masked(m16_first(n - whole), x + whole));
  return v16_sum(sum);
}

V16_INLINE void reduce_step(const float *x, size_t stride, size_t rows, float *y, bool first, bool whole, m16 tail) {
  v16 sum = first ? v16_set(0.0f) : whole ? v16_load(y) : v16_load_masked(tail, y);
  for (size_t r = 0; r < rows; ++r)
    sum = v16_add(sum, whole ? v16_load(x + r * stride) : v16_load_masked(tail, x + r * stride));
  if (whole)
    v16_store(y, sum);
  else
    v16_store_masked(tail, y, sum);
}

/* x [axis, inner]: columns begin to end - 1. */
static void reduce_columns(const float *x, size_t axis, size_t inner, float *y, size_t begin, size_t end) {
  const size_t whole = begin + (end - begin) / 16 * 16;
  const m16 tail = m16_first(end - whole);
  size_t row = 0;
  do { /* no row: the sums are 0 */
    const size_t rows = axis - row < REDUCE_ROWS ? axis - row : REDUCE_ROWS;
    for (size_t i = begin; i < whole; i += 16)
      reduce_step(x + row * inner + i, inner, rows, y + i, row == 0, true, tail);
    if (whole < end)
      reduce_step(x + row * inner + whole, inner, rows, y + whole, row == 0, false, tail);
    row += rows;
  } while (row < axis);
}

static void reduce_run(const void *args, size_t threads, size_t task, void *scratch) {
  (void)scratch;
  const pith_reduce_sum_f32_args *a = args;
  const size_t strips = reduce_strips(a), count = reduce_count(args, threads);
  const size_t end = pith_split_begin(a->outer * strips, count, task + 1);
  for (size_t unit = pith_split_begin(a->outer * strips, count, task); unit < end;) {
    const size_t outer = unit / strips, strip = unit % strips;
    const size_t last = end - unit < strips - strip ? strip + end - unit : strips; /* of this [axis, inner] */
    const float *x = a->x + outer * a->axis * a->inner;
    if (a->inner == 1)
      a->y[outer] = reduce_row(x, a->axis);
    else
      reduce_columns(x, a->axis, a->inner, a->y + outer * a->inner, strip * REDUCE_COLUMN_GRAIN,
                     last * REDUCE_COLUMN_GRAIN < a->inner ? last * REDUCE_COLUMN_GRAIN : a->inner);
    unit += last - strip;
  }
}

const pith_kernel V16_NAME(pith_reduce_sum_f32) = {
    .name = "reduce_sum_f32_" V16_ISA_TEXT,
    .needs = V16_NEEDS,
    .count_tasks = reduce_count,
    .run = reduce_run,
};
