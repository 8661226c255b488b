/* The body of every lp_norm_f32 kernel; included after a v16 header. Each element is divided. */
#include "ops/normalize/layer_norm_f32.h"
#include "ops/normalize/lp_norm_sum.h"
#include "ops/normalize/normalize_internal.h"
#include "ops/split.h"

static void lp_norm_row(const float *x, float *y, size_t n, int p, float epsilon) {
  const size_t whole = n / 16 * 16;
  const m16 tail = m16_first(n - whole);
  bool bounded;
  const v16 norm = lp_norm_of(x, n, p, epsilon, &bounded);
  for (size_t i = 0; i < whole; i += 16)
    v16_store(y + i, v16_div(v16_load(x + i), norm));
  if (whole < n)
    v16_store_masked(tail, y + whole, v16_div(v16_load_masked(tail, x + whole), norm));
}

static size_t lp_norm_count(const void *args, size_t threads) {
  const pith_lp_norm_f32_args *a = args;
  return a->features == 0 ? 0 : pith_split_count(a->rows, a->features, threads);
}

static void lp_norm_run(const void *args, size_t threads, size_t task, void *scratch) {
  (void)scratch;
  const pith_lp_norm_f32_args *a = args;
  const size_t count = lp_norm_count(args, threads);
  const size_t end = pith_split_begin(a->rows, count, task + 1);
  for (size_t row = pith_split_begin(a->rows, count, task); row < end; ++row)
    lp_norm_row(a->x + row * a->x_stride, a->y + row * a->y_stride, a->features, a->p, a->epsilon);
}

const pith_kernel V16_NAME(pith_lp_norm_f32) = {
    .name = "lp_norm_f32_" V16_ISA_TEXT,
    .needs = V16_NEEDS,
    .count_tasks = lp_norm_count,
    .run = lp_norm_run,
};
