/* The body of every softmax_grad_f32 kernel; included after a v16 header. */
#include "ops/normalize/normalize_internal.h"
#include "ops/normalize/softmax_grad_f32.h"
#include "ops/split.h"

static void softmax_grad_row(const float *y, const float *dy, float *dx, size_t n) {
  const size_t whole = n / 16 * 16;
  const m16 tail = m16_first(n - whole);
  v16 sum = v16_set(0.0f);
  for (size_t i = 0; i < whole; i += 16)
    sum = v16_fma(v16_load(y + i), v16_load(dy + i), sum);
  if (whole < n)
    sum = v16_fma(v16_load_masked(tail, y + whole), v16_load_masked(tail, dy + whole), sum);
  sum = v16_set(v16_sum(sum));
  for (size_t i = 0; i < whole; i += 16)
    v16_store(dx + i, v16_mul(v16_load(y + i), v16_sub(v16_load(dy + i), sum)));
  if (whole < n)
    v16_store_masked(tail, dx + whole,
                     v16_mul(v16_load_masked(tail, y + whole), v16_sub(v16_load_masked(tail, dy + whole), sum)));
}

static size_t softmax_grad_count(const void *args, size_t threads) {
  const pith_softmax_grad_f32_args *a = args;
  return a->features == 0 ? 0 : pith_split_count(a->rows, 2 * a->features, threads);
}

static void softmax_grad_run(const void *args, size_t threads, size_t task, void *scratch) {
  (void)scratch;
  const pith_softmax_grad_f32_args *a = args;
  const size_t count = softmax_grad_count(args, threads), end = pith_split_begin(a->rows, count, task + 1);
  for (size_t row = pith_split_begin(a->rows, count, task); row < end; ++row)
    softmax_grad_row(a->y + row * a->y_stride, a->dy + row * a->dy_stride, a->dx + row * a->dx_stride, a->features);
}

const pith_kernel V16_NAME(pith_softmax_grad_f32) = {
    .name = "softmax_grad_f32_" V16_ISA_TEXT,
    .needs = V16_NEEDS,
    .count_tasks = softmax_grad_count,
    .run = softmax_grad_run,
};
