/* The body of every pool_grad_f32 kernel; included after a v16 header. */
#include <math.h>
#include <stdbool.h>

#include "ops/pool/pool_grad_f32.h"
#include "ops/pool/pool_internal.h"
#include "ops/split.h"

V16_INLINE v16 pool_grad_load(const float *p, bool whole, m16 last) {
  return whole ? v16_load(p) : v16_load_masked(last, p);
}
V16_INLINE void pool_grad_store(float *p, v16 x, bool whole, m16 last) {
  if (whole)
    v16_store(p, x);
  else
    v16_store_masked(last, p, x);
}

/* dx of 16 features from i on of a sequence whose first token is `first`. */
V16_INLINE void pool_grad_features(const pith_pool_grad_f32_args *a, pith_pool_mode mode, size_t first, size_t tokens, size_t i,
                                   v16 dy, bool whole, m16 last) {
  float *dx = a->dx + first * a->dx_stride + i;
  const v16 zero = v16_set(0.0f);
  if (mode == PITH_POOL_F32_MAX) { /* the first token that is not less takes dy and leaves 0 */
    const float *x = a->x + first * a->x_stride + i;
    v16 max = v16_set(-INFINITY);
    for (size_t t = 0; t < tokens; ++t)
      max = v16_max(max, pool_grad_load(x + t * a->x_stride, whole, last));
    for (size_t t = 0; t < tokens; ++t) {
      const m16 less = v16_less(pool_grad_load(x + t * a->x_stride, whole, last), max);
      pool_grad_store(dx + t * a->dx_stride, v16_select(less, zero, dy), whole, last);
      dy = v16_select(less, dy, zero);
    }
    return;
  }
  const v16 mean = v16_div(dy, v16_set((float)tokens));
  for (size_t t = 0; t < tokens; ++t) {
    const bool chosen = mode == PITH_POOL_F32_CLS ? t == 0 : t + 1 == tokens;
    pool_grad_store(dx + t * a->dx_stride, mode == PITH_POOL_F32_MEAN ? mean : chosen ? dy : zero, whole, last);
  }
}

static void pool_grad_sequence(const pith_pool_grad_f32_args *a, pith_pool_mode mode, size_t sequence) {
  const size_t first = (size_t)a->offsets[sequence], tokens = (size_t)a->offsets[sequence + 1] - first;
  const size_t n = a->features, whole = n / 16 * 16;
  const m16 tail = m16_first(n - whole);
  const float *dy = a->dy + sequence * a->dy_stride;
  for (size_t i = 0; i < whole; i += 16)
    pool_grad_features(a, mode, first, tokens, i, v16_load(dy + i), true, tail);
  if (whole < n)
    pool_grad_features(a, mode, first, tokens, whole, v16_load_masked(tail, dy + whole), false, tail);
}

static size_t pool_grad_count(const void *args, size_t threads) {
  const pith_pool_grad_f32_args *a = args;
  if (a->features == 0 || a->sequences == 0)
    return 0;
  const size_t tokens = (size_t)(a->offsets[a->sequences] - a->offsets[0]);
  return pith_split_count(a->sequences, tokens / a->sequences * a->features, threads);
}

static void pool_grad_run(const void *args, size_t threads, size_t task, void *scratch) {
  (void)scratch;
  const pith_pool_grad_f32_args *a = args;
  const size_t count = pool_grad_count(args, threads), end = pith_split_begin(a->sequences, count, task + 1);
  for (size_t s = pith_split_begin(a->sequences, count, task); s < end; ++s)
    pool_grad_sequence(a, a->mode, s);
}

const pith_kernel V16_NAME(pith_pool_grad_f32) = {
    .name = "pool_grad_f32_" V16_ISA_TEXT,
    .needs = V16_NEEDS,
    .count_tasks = pool_grad_count,
    .run = pool_grad_run,
};
