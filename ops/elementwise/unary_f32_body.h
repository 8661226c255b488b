/* The body of every unary_f32 kernel; included after a v16 header. */
#include "ops/elementwise/elementwise_f32.h"
#include "ops/elementwise/elementwise_internal.h"
#include "ops/math/functions.h"
#include "ops/split.h"

enum { UNARY_GRAIN = 1024, UNARY_COST = 4 }; /* elements that tasks are made of; passes over an element */

V16_INLINE v16 unary_apply(pith_unary function, v16 x) {
  switch (function) {
  case PITH_UNARY_RELU: return v16_relu(x);
  case PITH_UNARY_GELU: return v16_gelu(x);
  case PITH_UNARY_GELU_TANH: return v16_gelu_tanh(x);
  case PITH_UNARY_TANH: return v16_tanh(x);
  case PITH_UNARY_SIGMOID: return v16_sigmoid(x);
  case PITH_UNARY_ERF: return v16_erf(x);
  case PITH_UNARY_COUNT: break;
  }
  return x;
}

V16_INLINE void unary_loop(pith_unary function, const float *x, float *y, size_t n) {
  const size_t whole = n / 16 * 16;
  const m16 tail = m16_first(n - whole);
  for (size_t i = 0; i < whole; i += 16)
    v16_store(y + i, unary_apply(function, v16_load(x + i)));
  if (whole < n)
    v16_store_masked(tail, y + whole, unary_apply(function, v16_load_masked(tail, x + whole)));
}

static size_t unary_units(const pith_unary_f32_args *a) {
  return (a->count + UNARY_GRAIN - 1) / UNARY_GRAIN;
}

static size_t unary_count(const void *args, size_t threads) {
  return pith_split_count(unary_units(args), UNARY_GRAIN * UNARY_COST, threads);
}

static void unary_run(const void *args, size_t threads, size_t task, void *scratch) {
  (void)scratch;
  const pith_unary_f32_args *a = args;
  const size_t units = unary_units(a), count = unary_count(args, threads);
  const size_t begin = pith_split_begin(units, count, task) * UNARY_GRAIN;
  size_t end = pith_split_begin(units, count, task + 1) * UNARY_GRAIN;
  end = end < a->count ? end : a->count;
  const float *x = a->x + begin;
  float *y = a->y + begin;
  switch (a->function) { /* each call expands with a constant */
  case PITH_UNARY_RELU: unary_loop(PITH_UNARY_RELU, x, y, end - begin); break;
  case PITH_UNARY_GELU: unary_loop(PITH_UNARY_GELU, x, y, end - begin); break;
  case PITH_UNARY_GELU_TANH: unary_loop(PITH_UNARY_GELU_TANH, x, y, end - begin); break;
  case PITH_UNARY_TANH: unary_loop(PITH_UNARY_TANH, x, y, end - begin); break;
  case PITH_UNARY_SIGMOID: unary_loop(PITH_UNARY_SIGMOID, x, y, end - begin); break;
  case PITH_UNARY_ERF: unary_loop(PITH_UNARY_ERF, x, y, end - begin); break;
  case PITH_UNARY_COUNT: break;
  }
}

const pith_kernel V16_NAME(pith_unary_f32) = {
    .name = "unary_f32_" V16_ISA_TEXT,
    .needs = V16_NEEDS,
    .count_tasks = unary_count,
    .run = unary_run,
};
