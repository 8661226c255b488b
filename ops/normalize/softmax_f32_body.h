/* The body of every softmax_f32 kernel; included after a v16 header. y = e^(x - max) * (1 / sum). */
#include "ops/normalize/layer_norm_f32.h"
#include "ops/normalize/normalize_internal.h"
#include "ops/normalize/softmax_row.h"
#include "ops/split.h"

enum { SOFTMAX_COST = 4 }; /* passes over an element */

static size_t softmax_count(const void *args, size_t threads) {
  const pith_softmax_f32_args *a = args;
  return a->features == 0 ? 0 : pith_split_count(a->rows, SOFTMAX_COST * a->features, threads);
}

static void softmax_run(const void *args, size_t threads, size_t task, void *scratch) {
  (void)scratch;
  const pith_softmax_f32_args *a = args;
  const size_t count = softmax_count(args, threads), n = a->features, whole = n / 16 * 16;
  const m16 tail = m16_first(n - whole);
  const size_t end = pith_split_begin(a->rows, count, task + 1);
  for (size_t row = pith_split_begin(a->rows, count, task); row < end; ++row) {
    float *y = a->y + row * a->y_stride;
    const v16 inverse = v16_set(softmax_row(a->x + row * a->x_stride, y, n));
    for (size_t i = 0; i < whole; i += 16)
      v16_store(y + i, v16_mul(v16_load(y + i), inverse));
    if (whole < n)
      v16_store_masked(tail, y + whole, v16_mul(v16_load_masked(tail, y + whole), inverse));
  }
}

const pith_kernel V16_NAME(pith_softmax_f32) = {
    .name = "softmax_f32_" V16_ISA_TEXT,
    .needs = V16_NEEDS,
    .count_tasks = softmax_count,
    .run = softmax_run,
};
