/* The body of every binary_f32 kernel; included after a v16 header. */
#include <stdbool.h>

#include "ops/elementwise/elementwise_f32.h"
#include "ops/elementwise/elementwise_internal.h"
#include "ops/split.h"

enum { BINARY_GRAIN = 1024 }; /* elements that tasks are made of, where the operands are one long row */

V16_INLINE v16 binary_apply(pith_binary function, v16 a, v16 b) {
  switch (function) {
  case PITH_BINARY_ADD: return v16_add(a, b);
  case PITH_BINARY_SUB: return v16_sub(a, b);
  case PITH_BINARY_MUL: return v16_mul(a, b);
  case PITH_BINARY_DIV: return v16_div(a, b);
  case PITH_BINARY_COUNT: break;
  }
  return a;
}

V16_INLINE void binary_row(pith_binary function, const float *a, bool a_moves, const float *b, bool b_moves, float *y,
                           size_t n) {
  const size_t whole = n / 16 * 16;
  const m16 tail = m16_first(n - whole);
  const v16 a0 = v16_set(*a), b0 = v16_set(*b);
  for (size_t i = 0; i < whole; i += 16)
    v16_store(y + i, binary_apply(function, a_moves ? v16_load(a + i) : a0, b_moves ? v16_load(b + i) : b0));
  if (whole < n)
    v16_store_masked(tail, y + whole,
                     binary_apply(function, a_moves ? v16_load_masked(tail, a + whole) : a0,
                                  b_moves ? v16_load_masked(tail, b + whole) : b0));
}

static void binary_dispatch(pith_binary function, const float *a, bool a_moves, const float *b, bool b_moves, float *y,
                            size_t n) {
  switch (function) { /* each call expands with a constant */
  case PITH_BINARY_ADD: binary_row(PITH_BINARY_ADD, a, a_moves, b, b_moves, y, n); break;
  case PITH_BINARY_SUB: binary_row(PITH_BINARY_SUB, a, a_moves, b, b_moves, y, n); break;
  case PITH_BINARY_MUL: binary_row(PITH_BINARY_MUL, a, a_moves, b, b_moves, y, n); break;
  case PITH_BINARY_DIV: binary_row(PITH_BINARY_DIV, a, a_moves, b, b_moves, y, n); break;
  case PITH_BINARY_COUNT: break;
  }
}

/* Both operands lie as y does: no rows to tell apart. */
static bool binary_is_flat(const pith_binary_f32_args *a) {
  return a->a_column_stride == 1 && a->b_column_stride == 1 && a->a_row_stride == a->columns &&
         a->b_row_stride == a->columns;
}

static size_t binary_units(const pith_binary_f32_args *a) {
  if (a->columns == 0)
    return 0;
  return binary_is_flat(a) ? (a->rows * a->columns + BINARY_GRAIN - 1) / BINARY_GRAIN : a->rows;
}

static size_t binary_count(const void *args, size_t threads) {
  const pith_binary_f32_args *a = args;
  return pith_split_count(binary_units(a), binary_is_flat(a) ? BINARY_GRAIN : a->columns, threads);
}

static void binary_run(const void *args, size_t threads, size_t task, void *scratch) {
  (void)scratch;
  const pith_binary_f32_args *a = args;
  const size_t units = binary_units(a), count = binary_count(args, threads);
  size_t begin = pith_split_begin(units, count, task), end = pith_split_begin(units, count, task + 1);
  if (binary_is_flat(a)) {
    const size_t total = a->rows * a->columns;
    begin *= BINARY_GRAIN;
    end = end * BINARY_GRAIN < total ? end * BINARY_GRAIN : total;
    binary_dispatch(a->function, a->a + begin, true, a->b + begin, true, a->y + begin, end - begin);
    return;
  }
  for (size_t row = begin; row < end; ++row)
    binary_dispatch(a->function, a->a + row * a->a_row_stride, a->a_column_stride != 0, a->b + row * a->b_row_stride,
                    a->b_column_stride != 0, a->y + row * a->columns, a->columns);
}

const pith_kernel V16_NAME(pith_binary_f32) = {
    .name = "binary_f32_" V16_ISA_TEXT,
    .needs = V16_NEEDS,
    .count_tasks = binary_count,
    .run = binary_run,
};
