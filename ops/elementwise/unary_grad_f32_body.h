/* The body of every unary_grad_f32 kernel; included after a v16 header. */
#include "ops/elementwise/elementwise_internal.h"
#include "ops/elementwise/unary_grad_f32.h"
#include "ops/math/functions.h"
#include "ops/split.h"

enum { UNARY_GRAD_GRAIN = 1024, UNARY_GRAD_COST = 4 }; /* elements that tasks are made of; passes over an element */

/* e / (1 + e)^2, e = exp(-|x|): the derivative of the sigmoid, without cancellation. */
V16_INLINE v16 v16_sigmoid_grad(v16 x) {
  const v16 e = v16_exp_nonpositive(v16_sub(v16_set(-0.0f), v16_abs(x))), s = v16_add(v16_set(1.0f), e);
  return v16_div(e, v16_mul(s, s));
}

V16_INLINE v16 unary_grad_apply(pith_unary function, v16 x) {
  switch (function) {
  case PITH_UNARY_RELU: return v16_select(v16_less(v16_set(0.0f), x), v16_set(1.0f), v16_set(0.0f));
  case PITH_UNARY_GELU: return v16_gelu_grad_by_table(x, v16_gelu_table);
  case PITH_UNARY_GELU_TANH: return v16_gelu_grad_by_table(x, v16_gelu_tanh_table);
  case PITH_UNARY_TANH: return v16_mul(v16_set(4.0f), v16_sigmoid_grad(v16_add(x, x))); /* tanh x = 2 s(2 x) - 1 */
  case PITH_UNARY_SIGMOID: return v16_sigmoid_grad(x);
  case PITH_UNARY_ERF: /* 2 / sqrt(pi) e^(-x^2) */
    return v16_mul(v16_set(0x1.20dd76p+0f), v16_exp_nonpositive(v16_mul(v16_sub(v16_set(-0.0f), x), x)));
  case PITH_UNARY_COUNT: break;
  }
  return x;
}

V16_INLINE void unary_grad_loop(pith_unary function, const float *x, const float *dy, float *dx, size_t n) {
  const size_t whole = n / 16 * 16;
  const m16 tail = m16_first(n - whole);
  for (size_t i = 0; i < whole; i += 16)
    v16_store(dx + i, v16_mul(v16_load(dy + i), unary_grad_apply(function, v16_load(x + i))));
  if (whole < n)
    v16_store_masked(tail, dx + whole,
                     v16_mul(v16_load_masked(tail, dy + whole), unary_grad_apply(function, v16_load_masked(tail, x + whole))));
}

static size_t unary_grad_units(const pith_unary_grad_f32_args *a) {
  return (a->count + UNARY_GRAD_GRAIN - 1) / UNARY_GRAD_GRAIN;
}

static size_t unary_grad_count(const void *args, size_t threads) {
  return pith_split_count(unary_grad_units(args), UNARY_GRAD_GRAIN * UNARY_GRAD_COST, threads);
}

static void unary_grad_run(const void *args, size_t threads, size_t task, void *scratch) {
  (void)scratch;
  const pith_unary_grad_f32_args *a = args;
  const size_t units = unary_grad_units(a), count = unary_grad_count(args, threads);
  const size_t begin = pith_split_begin(units, count, task) * UNARY_GRAD_GRAIN;
  size_t end = pith_split_begin(units, count, task + 1) * UNARY_GRAD_GRAIN;
  end = end < a->count ? end : a->count;
  const float *x = a->x + begin, *dy = a->dy + begin;
  float *dx = a->dx + begin;
  switch (a->function) { /* each call expands with a constant */
  case PITH_UNARY_RELU: unary_grad_loop(PITH_UNARY_RELU, x, dy, dx, end - begin); break;
  case PITH_UNARY_GELU: unary_grad_loop(PITH_UNARY_GELU, x, dy, dx, end - begin); break;
  case PITH_UNARY_GELU_TANH: unary_grad_loop(PITH_UNARY_GELU_TANH, x, dy, dx, end - begin); break;
  case PITH_UNARY_TANH: unary_grad_loop(PITH_UNARY_TANH, x, dy, dx, end - begin); break;
  case PITH_UNARY_SIGMOID: unary_grad_loop(PITH_UNARY_SIGMOID, x, dy, dx, end - begin); break;
  case PITH_UNARY_ERF: unary_grad_loop(PITH_UNARY_ERF, x, dy, dx, end - begin); break;
  case PITH_UNARY_COUNT: break;
  }
}

const pith_kernel V16_NAME(pith_unary_grad_f32) = {
    .name = "unary_grad_f32_" V16_ISA_TEXT,
    .needs = V16_NEEDS,
    .count_tasks = unary_grad_count,
    .run = unary_grad_run,
};
