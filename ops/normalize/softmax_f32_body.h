/* The body of every softmax_f32 kernel; included after a v16 header. y = e^(x - max) * (1 / sum). */
#include "ops/normalize/layer_norm_f32.h"
#include "ops/normalize/normalize_internal.h"
#include "ops/normalize/softmax_rows.h"
#include "ops/split.h"

enum { SOFTMAX_COST = 4 }; /* passes over an element */

static size_t softmax_units(const pith_softmax_f32_args *a) {
  return (a->rows + SOFTMAX_ROWS - 1) / SOFTMAX_ROWS;
}

static size_t softmax_count(const void *args, size_t threads) {
  const pith_softmax_f32_args *a = args;
  return a->features == 0 ? 0 : pith_split_count(softmax_units(a), SOFTMAX_ROWS * SOFTMAX_COST * a->features, threads);
}

V16_INLINE void softmax_power_e(v16 *x, size_t count) {
  PITH_UNROLL
  for (size_t i = 0; i < count; ++i)
    x[i] = v16_exp_nonpositive(x[i]);
}

static void softmax_scale_row(float *y, size_t n, float scale) {
  const size_t whole = n / 16 * 16;
  const m16 tail = m16_first(n - whole);
  const v16 s = v16_set(scale);
  for (size_t i = 0; i < whole; i += 16)
    v16_store(y + i, v16_mul(v16_load(y + i), s));
  if (whole < n)
    v16_store_masked(tail, y + whole, v16_mul(v16_load_masked(tail, y + whole), s));
}

static void softmax_run(const void *args, size_t threads, size_t task, void *scratch) {
  (void)scratch;
  const pith_softmax_f32_args *a = args;
  const size_t units = softmax_units(a), count = softmax_count(args, threads);
  const size_t end = pith_split_begin(units, count, task + 1);
  size_t n[SOFTMAX_ROWS];
  for (size_t r = 0; r < SOFTMAX_ROWS; ++r)
    n[r] = a->features;
  for (size_t unit = pith_split_begin(units, count, task); unit < end; ++unit) {
    const size_t row = unit * SOFTMAX_ROWS, rows = a->rows - row < SOFTMAX_ROWS ? a->rows - row : SOFTMAX_ROWS;
    float inverse[SOFTMAX_ROWS], *y = a->y + row * a->y_stride;
    softmax_rows(a->x + row * a->x_stride, a->x_stride, y, a->y_stride, rows, n, false, NULL,
                 softmax_power_e, inverse);
    for (size_t r = 0; r < rows; ++r)
      softmax_scale_row(y + r * a->y_stride, a->features, inverse[r]);
  }
}

const pith_kernel V16_NAME(pith_softmax_f32) = {
    .name = "softmax_f32_" V16_ISA_TEXT,
    .needs = V16_NEEDS,
    .count_tasks = softmax_count,
    .run = softmax_run,
};
