/* The body of every gather_grad_f32 kernel; included after a v16 header. Tasks are strips of columns, so that no two add to the
 * same element and each element's chain is ascending. */
#include "ops/embedding/embedding_internal.h"
#include "ops/embedding/gather_grad_f32.h"
#include "ops/split.h"

enum { GATHER_GRAD_GRAIN = 64 }; /* columns that tasks are made of */

static size_t gather_grad_units(const pith_gather_grad_f32_args *a) {
  return a->outer == 0 ? 0 : (a->inner + GATHER_GRAD_GRAIN - 1) / GATHER_GRAD_GRAIN;
}

static size_t gather_grad_count(const void *args, size_t threads) {
  const pith_gather_grad_f32_args *a = args;
  return pith_split_count(gather_grad_units(a), a->outer * (2 * a->count + (a->add ? 0 : a->axis)) * GATHER_GRAD_GRAIN, threads);
}

static void gather_grad_zero(float *p, size_t n) {
  const size_t whole = n / 16 * 16;
  const v16 zero = v16_set(0.0f);
  for (size_t i = 0; i < whole; i += 16)
    v16_store(p + i, zero);
  if (whole < n)
    v16_store_masked(m16_first(n - whole), p + whole, zero);
}

static void gather_grad_add(const float *dy, float *dx, size_t n) {
  const size_t whole = n / 16 * 16;
  const m16 tail = m16_first(n - whole);
  for (size_t i = 0; i < whole; i += 16)
    v16_store(dx + i, v16_add(v16_load(dx + i), v16_load(dy + i)));
  if (whole < n)
    v16_store_masked(tail, dx + whole, v16_add(v16_load_masked(tail, dx + whole), v16_load_masked(tail, dy + whole)));
}

static void gather_grad_run(const void *args, size_t threads, size_t task, void *scratch) {
  (void)scratch;
  const pith_gather_grad_f32_args *a = args;
  const size_t units = gather_grad_units(a), count = gather_grad_count(args, threads);
  const size_t begin = pith_split_begin(units, count, task) * GATHER_GRAD_GRAIN;
  size_t end = pith_split_begin(units, count, task + 1) * GATHER_GRAD_GRAIN;
  end = end < a->inner ? end : a->inner;
  for (size_t o = 0; o < a->outer; ++o) {
    float *dx = a->dx + o * a->axis * a->inner + begin;
    const float *dy = a->dy + o * a->count * a->inner + begin;
    for (size_t row = 0; !a->add && row < a->axis; ++row)
      gather_grad_zero(dx + row * a->inner, end - begin);
    for (size_t i = 0; i < a->count; ++i) {
      const size_t index = a->index_bytes == 8 ? (size_t)((const int64_t *)a->indices)[i]
                                               : (size_t)((const int32_t *)a->indices)[i];
      gather_grad_add(dy + i * a->inner, dx + index * a->inner, end - begin);
    }
  }
}

const pith_kernel V16_NAME(pith_gather_grad_f32) = {
    .name = "gather_grad_f32_" V16_ISA_TEXT,
    .needs = V16_NEEDS,
    .count_tasks = gather_grad_count,
    .run = gather_grad_run,
};
