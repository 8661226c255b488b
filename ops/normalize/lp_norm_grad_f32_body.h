/* The body of every lp_norm_grad_f32 kernel; included after a v16 header. The norm has the bits of lp_norm_f32. */
#include "ops/normalize/lp_norm_grad_f32.h"
#include "ops/normalize/lp_norm_sum.h"
#include "ops/normalize/normalize_internal.h"
#include "ops/split.h"

/* factor: the sum of y dy, or 0 where the norm is not that of x. */
V16_INLINE v16 lp_norm_grad_apply(v16 x, v16 dy, v16 norm, v16 factor, int p) {
  const v16 zero = v16_set(0.0f);
  const v16 moves = v16_select(v16_less(zero, v16_abs(x)), v16_set(1.0f), zero);
  const v16 direction = p == 1 ? v16_copysign(moves, x) : v16_div(x, norm);
  return v16_div(v16_fma(v16_sub(zero, direction), factor, dy), norm);
}

static void lp_norm_grad_row(const float *x, const float *dy, float *dx, size_t n, int p, float epsilon) {
  const size_t whole = n / 16 * 16;
  const m16 tail = m16_first(n - whole);
  bool bounded;
  const v16 norm = lp_norm_of(x, n, p, epsilon, &bounded);
  v16 sum = v16_set(0.0f);
  for (size_t i = 0; i < whole; i += 16)
    sum = v16_fma(v16_div(v16_load(x + i), norm), v16_load(dy + i), sum);
  if (whole < n)
    sum = v16_fma(v16_div(v16_load_masked(tail, x + whole), norm), v16_load_masked(tail, dy + whole), sum);
  sum = v16_set(bounded ? 0.0f : v16_sum(sum));
  for (size_t i = 0; i < whole; i += 16)
    v16_store(dx + i, lp_norm_grad_apply(v16_load(x + i), v16_load(dy + i), norm, sum, p));
  if (whole < n)
    v16_store_masked(tail, dx + whole,
                     lp_norm_grad_apply(v16_load_masked(tail, x + whole), v16_load_masked(tail, dy + whole), norm, sum, p));
}

static size_t lp_norm_grad_count(const void *args, size_t threads) {
  const pith_lp_norm_grad_f32_args *a = args;
  return a->features == 0 ? 0 : pith_split_count(a->rows, 4 * a->features, threads);
}

static void lp_norm_grad_run(const void *args, size_t threads, size_t task, void *scratch) {
  (void)scratch;
  const pith_lp_norm_grad_f32_args *a = args;
  const size_t count = lp_norm_grad_count(args, threads), end = pith_split_begin(a->rows, count, task + 1);
  for (size_t row = pith_split_begin(a->rows, count, task); row < end; ++row)
    lp_norm_grad_row(a->x + row * a->x_stride, a->dy + row * a->dy_stride, a->dx + row * a->dx_stride, a->features, a->p,
                     a->epsilon);
}

const pith_kernel V16_NAME(pith_lp_norm_grad_f32) = {
    .name = "lp_norm_grad_f32_" V16_ISA_TEXT,
    .needs = V16_NEEDS,
    .count_tasks = lp_norm_grad_count,
    .run = lp_norm_grad_run,
};
