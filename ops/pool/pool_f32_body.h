/* The body of every pool_f32 kernel; included after a v16 header. */
#include <math.h>
#include <stdbool.h>

#include "ops/pool/pool_f32.h"
#include "ops/pool/pool_internal.h"
#include "ops/split.h"

enum { POOL_VECTORS = 4 }; /* chains side by side */

V16_INLINE v16 pool_combine(pith_pool_mode mode, v16 sum, v16 x) {
  if (mode != PITH_POOL_F32_MAX)
    return v16_add(sum, x);
  return v16_select(v16_is_nan(sum), sum, v16_max(sum, x)); /* v16_max keeps a NaN of x, not one of sum */
}

/* `vectors` x 16 features from `x` on; `last` masks the last vector where it is not whole. */
V16_INLINE void pool_block(pith_pool_mode mode, const float *x, size_t x_stride, size_t tokens, float *y, size_t vectors,
                           bool whole, m16 last) {
  v16 sum[POOL_VECTORS];
  PITH_UNROLL
  for (size_t v = 0; v < vectors; ++v)
    sum[v] = v16_set(mode == PITH_POOL_F32_MAX ? -INFINITY : 0.0f);
  for (size_t t = 0; t < tokens; ++t, x += x_stride)
    PITH_UNROLL
    for (size_t v = 0; v < vectors; ++v) {
      const v16 z = whole ? v16_load(x + 16 * v) : v16_load_masked(last, x + 16 * v);
      sum[v] = pool_combine(mode, sum[v], z);
    }
  PITH_UNROLL
  for (size_t v = 0; v < vectors; ++v) {
    const v16 z = mode == PITH_POOL_F32_MAX ? sum[v] : v16_div(sum[v], v16_set((float)tokens));
    if (whole)
      v16_store(y + 16 * v, z);
    else
      v16_store_masked(last, y + 16 * v, z);
  }
}

V16_INLINE void pool_sequence(pith_pool_mode mode, const float *x, size_t x_stride, size_t tokens, float *y, size_t n) {
  const m16 tail = m16_first(n % 16);
  size_t i = 0;
  for (; i + 16 * POOL_VECTORS <= n; i += 16 * POOL_VECTORS)
    pool_block(mode, x + i, x_stride, tokens, y + i, POOL_VECTORS, true, tail);
  for (; i + 16 <= n; i += 16)
    pool_block(mode, x + i, x_stride, tokens, y + i, 1, true, tail);
  if (i < n)
    pool_block(mode, x + i, x_stride, tokens, y + i, 1, false, tail);
}

static void pool_copy(const float *x, float *y, size_t n) {
  const size_t whole = n / 16 * 16;
  for (size_t i = 0; i < whole; i += 16)
    v16_store(y + i, v16_load(x + i));
  if (whole < n)
    v16_store_masked(m16_first(n - whole), y + whole, v16_load_masked(m16_first(n - whole), x + whole));
}

static size_t pool_count(const void *args, size_t threads) {
  const pith_pool_f32_args *a = args;
  if (a->features == 0 || a->sequences == 0)
    return 0;
  const bool all = a->mode == PITH_POOL_F32_MEAN || a->mode == PITH_POOL_F32_MAX;
  const size_t tokens = all ? (size_t)(a->offsets[a->sequences] - a->offsets[0]) : a->sequences;
  return pith_split_count(a->sequences, tokens / a->sequences * a->features, threads);
}

static void pool_run(const void *args, size_t threads, size_t task, void *scratch) {
  (void)scratch;
  const pith_pool_f32_args *a = args;
  const size_t count = pool_count(args, threads);
  const size_t end = pith_split_begin(a->sequences, count, task + 1);
  for (size_t s = pith_split_begin(a->sequences, count, task); s < end; ++s) {
    const size_t first = (size_t)a->offsets[s], tokens = (size_t)(a->offsets[s + 1] - a->offsets[s]);
    const float *x = a->x + first * a->x_stride;
    float *y = a->y + s * a->y_stride;
    switch (a->mode) {
    case PITH_POOL_F32_MEAN: pool_sequence(PITH_POOL_F32_MEAN, x, a->x_stride, tokens, y, a->features); break;
    case PITH_POOL_F32_MAX: pool_sequence(PITH_POOL_F32_MAX, x, a->x_stride, tokens, y, a->features); break;
    case PITH_POOL_F32_CLS: pool_copy(x, y, a->features); break;
    case PITH_POOL_F32_LAST: pool_copy(x + (tokens - 1) * a->x_stride, y, a->features); break;
    }
  }
}

const pith_kernel V16_NAME(pith_pool_f32) = {
    .name = "pool_f32_" V16_ISA_TEXT,
    .needs = V16_NEEDS,
    .count_tasks = pool_count,
    .run = pool_run,
};
