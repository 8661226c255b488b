/* The bodies of the losses that compare elements or rows; included after a v16 header. */
#include <math.h>
#include <stdbool.h>

#include "ops/loss/loss_f32.h"
#include "ops/loss/loss_internal.h"
#include "ops/math/functions.h"
#include "ops/math/log.h"
#include "ops/split.h"

enum { PAIR_GRAIN = 1024 }; /* elements that tasks are made of */

static size_t pair_one_task(const void *args, size_t threads) {
  (void)args, (void)threads;
  return 1;
}

static size_t pair_units(size_t count) {
  return (count + PAIR_GRAIN - 1) / PAIR_GRAIN;
}
static void pair_part(size_t count, size_t tasks, size_t task, size_t *begin, size_t *end) {
  *begin = pith_split_begin(pair_units(count), tasks, task) * PAIR_GRAIN;
  *end = pith_split_begin(pair_units(count), tasks, task + 1) * PAIR_GRAIN;
  *end = *end < count ? *end : count;
}

V16_INLINE v16 pair_load(const float *p, bool whole, m16 tail) {
  return whole ? v16_load(p) : v16_load_masked(tail, p);
}
V16_INLINE void pair_store(float *p, v16 x, bool whole, m16 tail) {
  if (whole)
    v16_store(p, x);
  else
    v16_store_masked(tail, p, x);
}

/* ---- sigmoid cross entropy: max(x, 0) - x target + log(1 + e^-|x|) ---------------------------------------------------- */

static void sigmoid_run(const void *args, size_t threads, size_t task, void *scratch) {
  (void)threads, (void)task, (void)scratch;
  const pith_sigmoid_cross_entropy_f32_args *a = args;
  double sum = 0;
  for (size_t i = 0; i < a->count; i += 16) {
    const size_t n = a->count - i < 16 ? a->count - i : 16;
    const v16 x = v16_load_masked(m16_first(n), a->x + i);
    float e[16];
    v16_store(e, v16_exp_nonpositive(v16_sub(v16_set(-0.0f), v16_abs(x))));
    for (size_t j = 0; j < n; ++j) {
      const double z = (double)a->x[i + j];
      sum += (z > 0 ? z : 0) - z * (double)a->targets[i + j] + pith_log(1 + (double)e[j]);
    }
  }
  *a->loss = a->count > 0 ? (float)(sum / (double)a->count) : 0;
}

const pith_kernel V16_NAME(pith_sigmoid_cross_entropy_f32) = {
    .name = "sigmoid_cross_entropy_f32_" V16_ISA_TEXT,
    .needs = V16_NEEDS,
    .count_tasks = pair_one_task,
    .run = sigmoid_run,
};

static size_t sigmoid_grad_count(const void *args, size_t threads) {
  const pith_sigmoid_cross_entropy_f32_args *a = args;
  return pith_split_count(pair_units(a->count), 4 * PAIR_GRAIN, threads);
}

static void sigmoid_grad_run(const void *args, size_t threads, size_t task, void *scratch) {
  (void)scratch;
  const pith_sigmoid_cross_entropy_f32_args *a = args;
  size_t begin, end;
  pair_part(a->count, sigmoid_grad_count(args, threads), task, &begin, &end);
  const v16 scale = v16_set((float)((double)*a->dloss / (double)a->count));
  for (size_t i = begin; i < end; i += 16) {
    const bool whole = end - i >= 16;
    const m16 tail = m16_first(whole ? 16 : end - i);
    const v16 s = v16_sigmoid(pair_load(a->x + i, whole, tail));
    pair_store(a->dx + i, v16_mul(scale, v16_sub(s, pair_load(a->targets + i, whole, tail))), whole, tail);
  }
}

const pith_kernel V16_NAME(pith_sigmoid_cross_entropy_grad_f32) = {
    .name = "sigmoid_cross_entropy_grad_f32_" V16_ISA_TEXT,
    .needs = V16_NEEDS,
    .count_tasks = sigmoid_grad_count,
    .run = sigmoid_grad_run,
};

/* ---- mean squared error ---------------------------------------------------------------------------------------------- */

static void squared_run(const void *args, size_t threads, size_t task, void *scratch) {
  (void)threads, (void)task, (void)scratch;
  const pith_mean_squared_error_f32_args *a = args;
  d16 sum = d16_zero();
  for (size_t i = 0; i < a->count; i += 16) {
    const bool whole = a->count - i >= 16;
    const m16 tail = m16_first(whole ? 16 : a->count - i);
    sum = d16_add_square(sum, v16_sub(pair_load(a->x + i, whole, tail), pair_load(a->targets + i, whole, tail)));
  }
  *a->loss = a->count > 0 ? (float)(d16_sum(sum) / (double)a->count) : 0;
}

const pith_kernel V16_NAME(pith_mean_squared_error_f32) = {
    .name = "mean_squared_error_f32_" V16_ISA_TEXT,
    .needs = V16_NEEDS,
    .count_tasks = pair_one_task,
    .run = squared_run,
};

static size_t squared_grad_count(const void *args, size_t threads) {
  const pith_mean_squared_error_f32_args *a = args;
  return pith_split_count(pair_units(a->count), PAIR_GRAIN, threads);
}

static void squared_grad_run(const void *args, size_t threads, size_t task, void *scratch) {
  (void)scratch;
  const pith_mean_squared_error_f32_args *a = args;
  size_t begin, end;
  pair_part(a->count, squared_grad_count(args, threads), task, &begin, &end);
  const v16 scale = v16_set((float)(2 * (double)*a->dloss / (double)a->count));
  for (size_t i = begin; i < end; i += 16) {
    const bool whole = end - i >= 16;
    const m16 tail = m16_first(whole ? 16 : end - i);
    const v16 d = v16_sub(pair_load(a->x + i, whole, tail), pair_load(a->targets + i, whole, tail));
    pair_store(a->dx + i, v16_mul(scale, d), whole, tail);
  }
}

const pith_kernel V16_NAME(pith_mean_squared_error_grad_f32) = {
    .name = "mean_squared_error_grad_f32_" V16_ISA_TEXT,
    .needs = V16_NEEDS,
    .count_tasks = squared_grad_count,
    .run = squared_grad_run,
};

/* ---- mean ------------------------------------------------------------------------------------------------------------ */

static void mean_run(const void *args, size_t threads, size_t task, void *scratch) {
  (void)threads, (void)task, (void)scratch;
  const pith_mean_f32_args *a = args;
  double sum = 0;
  for (size_t i = 0; i < a->count; ++i)
    sum += (double)a->x[i];
  *a->loss = a->count > 0 ? (float)(sum / (double)a->count) : 0;
}

const pith_kernel V16_NAME(pith_mean_f32) = {
    .name = "mean_f32_" V16_ISA_TEXT,
    .needs = V16_NEEDS,
    .count_tasks = pair_one_task,
    .run = mean_run,
};

static size_t mean_grad_count(const void *args, size_t threads) {
  const pith_mean_f32_args *a = args;
  return pith_split_count(pair_units(a->count), PAIR_GRAIN, threads);
}

static void mean_grad_run(const void *args, size_t threads, size_t task, void *scratch) {
  (void)scratch;
  const pith_mean_f32_args *a = args;
  size_t begin, end;
  pair_part(a->count, mean_grad_count(args, threads), task, &begin, &end);
  const float each = (float)((double)*a->dloss / (double)a->count);
  for (size_t i = begin; i < end; ++i)
    a->dx[i] = each;
}

const pith_kernel V16_NAME(pith_mean_grad_f32) = {
    .name = "mean_grad_f32_" V16_ISA_TEXT,
    .needs = V16_NEEDS,
    .count_tasks = mean_grad_count,
    .run = mean_grad_run,
};

/* ---- cosine ---------------------------------------------------------------------------------------------------------- */

typedef struct cosine_row {
  double x_norm, z_norm, cosine; /* norms at least 1e-8 */
  bool x_bounded;                /* its norm is not that of x, which then moves the cosine only through x z */
} cosine_row;

static cosine_row cosine_of(const float *x, const float *z, size_t n) {
  const double least = 1e-8;
  v16 xx = v16_set(0.0f), zz = xx, xz = xx;
  for (size_t i = 0; i < n; i += 16) {
    const bool whole = n - i >= 16;
    const m16 tail = m16_first(whole ? 16 : n - i);
    const v16 vx = pair_load(x + i, whole, tail), vz = pair_load(z + i, whole, tail);
    xx = v16_fma(vx, vx, xx);
    zz = v16_fma(vz, vz, zz);
    xz = v16_fma(vx, vz, xz);
  }
  cosine_row row = {.x_norm = sqrt((double)v16_sum(xx)), .z_norm = sqrt((double)v16_sum(zz))};
  row.x_bounded = row.x_norm < least;
  row.x_norm = row.x_bounded ? least : row.x_norm; /* NaN stays */
  row.z_norm = row.z_norm < least ? least : row.z_norm;
  row.cosine = (double)v16_sum(xz) / (row.x_norm * row.z_norm);
  return row;
}

static void cosine_run(const void *args, size_t threads, size_t task, void *scratch) {
  (void)threads, (void)task, (void)scratch;
  const pith_cosine_loss_f32_args *a = args;
  double sum = 0;
  for (size_t r = 0; r < a->rows; ++r) {
    const double cosine = cosine_of(a->x + r * a->features, a->z + r * a->features, a->features).cosine;
    const double error = a->targets ? cosine - (double)a->targets[r] : 0;
    sum += a->targets ? error * error : 1 - cosine;
  }
  *a->loss = a->rows > 0 ? (float)(sum / (double)a->rows) : 0;
}

const pith_kernel V16_NAME(pith_cosine_loss_f32) = {
    .name = "cosine_loss_f32_" V16_ISA_TEXT,
    .needs = V16_NEEDS,
    .count_tasks = pair_one_task,
    .run = cosine_run,
};

static size_t cosine_grad_count(const void *args, size_t threads) {
  const pith_cosine_loss_f32_args *a = args;
  return a->features == 0 ? 0 : pith_split_count(a->rows, 4 * a->features, threads);
}

/* The cosine's derivative by x: z / (|x| |z|) - cosine x / |x|^2. */
static void cosine_grad_run(const void *args, size_t threads, size_t task, void *scratch) {
  (void)scratch;
  const pith_cosine_loss_f32_args *a = args;
  const size_t n = a->features, count = cosine_grad_count(args, threads), end = pith_split_begin(a->rows, count, task + 1);
  for (size_t r = pith_split_begin(a->rows, count, task); r < end; ++r) {
    const float *x = a->x + r * n, *z = a->z + r * n;
    const cosine_row row = cosine_of(x, z, n);
    const double slope = a->targets ? 2 * (row.cosine - (double)a->targets[r]) : -1;
    const double scale = (double)*a->dloss / (double)a->rows * slope;
    const v16 of_z = v16_set((float)(scale / (row.x_norm * row.z_norm)));
    const v16 of_x = v16_set(row.x_bounded ? 0 : (float)(-scale * row.cosine / (row.x_norm * row.x_norm)));
    for (size_t i = 0; i < n; i += 16) {
      const bool whole = n - i >= 16;
      const m16 tail = m16_first(whole ? 16 : n - i);
      const v16 part = v16_mul(of_z, pair_load(z + i, whole, tail));
      pair_store(a->dx + r * n + i, v16_fma(of_x, pair_load(x + i, whole, tail), part), whole, tail);
    }
  }
}

const pith_kernel V16_NAME(pith_cosine_loss_grad_f32) = {
    .name = "cosine_loss_grad_f32_" V16_ISA_TEXT,
    .needs = V16_NEEDS,
    .count_tasks = cosine_grad_count,
    .run = cosine_grad_run,
};
