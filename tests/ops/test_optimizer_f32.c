#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ops/optimizer/optimizer_f32.h"
#include "tests/golden/training/optimizers.h"
#include "tests/ops/kernel_tester.h"

#define COUNT(array) (sizeof(array) / sizeof *(array))

static const size_t counts[] = {0, 1, 15, 16, 17, 101, 4095, 4096, 4097, 70001};

static float *in_place(tester *t, size_t count, float low, float high, const float **out_initial) {
  *out_initial = tester_floats(t, count, low, high);
  return tester_in_place(t, count * sizeof(float), *out_initial);
}

/* ---- one step, against plain doubles ------------------------------------------------------------------------------- */

static void run_adamw(tester *t, size_t count, uint64_t step, float range) {
  tester_begin(t, "adamw: %zu elements, step %llu, range %g", count, (unsigned long long)step, (double)range);
  const pith_adamw_options o = {0.9, 0.999, 1e-8, 0.1};
  const double rate = 1e-2, scale = 0.375;
  const float *w, *m, *v;
  pith_adamw_f32_args a = {.count = count, .options = o, .gradient_scale = (float)scale,
                           .step = pith_adamw_step_make(&o, rate, step)};
  a.w = in_place(t, count, -1, 1, &w);
  a.m = in_place(t, count, -range, range, &m);
  a.v = in_place(t, count, 0, range * range, &v);
  a.g = tester_floats(t, count, -range, range);
  tester_reference(t, &a);
  for (size_t i = 0; i < count; ++i) {
    const double g = (double)a.g[i] * scale, m1 = 0.9 * (double)m[i] + 0.1 * g, v1 = 0.999 * (double)v[i] + 0.001 * g * g;
    const double push = rate * m1 / (1 - pow(0.9, (double)step)) / (sqrt(v1 / (1 - pow(0.999, (double)step))) + 1e-8);
    tester_check_near(t, "m", 0, i, (double)a.m[i], fabs(m1) < 0x1p-100 ? 0 : m1, 2e-7 * (fabs(m1) + fabs(g)));
    tester_check_near(t, "v", 0, i, (double)a.v[i], v1, 3e-7 * v1 + 0x1p-140);
    tester_check_near(t, "w", 0, i, (double)a.w[i], (double)w[i] * (1 - rate * 0.1) - push,
                      2e-7 * fabs((double)w[i]) + 1e-5 * fabs(push) + 1e-9);
  }
  tester_compare(t, &a, NULL);
}

static void test_adamw(void **state) {
  (void)state;
  tester t;
  tester_init(&t, pith_adamw_f32_kernels);
  static const float ranges[] = {1, 1e-3f, 1e-7f};
  for (size_t i = 0; i < COUNT(counts); ++i)
    run_adamw(&t, counts[i], 1 + i * i * 10, ranges[i % COUNT(ranges)]);
  run_adamw(&t, 1000, 100, 1e-31f); /* momentum becomes 0 */
  tester_deinit(&t);
}

static void run_sgd(tester *t, size_t count, bool momentum, int nesterov) {
  tester_begin(t, "sgd: %zu elements, momentum %d, nesterov %d", count, momentum, nesterov);
  const float *w, *m = NULL;
  pith_sgd_f32_args a = {.count = count, .momentum = 0.875f, .nesterov = nesterov, .gradient_scale = 0.5f,
                         .step = pith_sgd_step_make(0.01, 0.1)};
  a.w = in_place(t, count, -1, 1, &w);
  if (momentum)
    a.m = in_place(t, count, -1, 1, &m);
  a.g = tester_floats(t, count, -1, 1);
  tester_reference(t, &a);
  for (size_t i = 0; i < count; ++i) {
    const double g = (double)a.g[i] * 0.5, m1 = momentum ? 0.875 * (double)m[i] + g : g;
    const double push = momentum && nesterov ? g + 0.875 * m1 : m1;
    tester_check_near(t, "w", 0, i, (double)a.w[i], (double)w[i] * (1 - 0.001) - 0.01 * push, 3e-7);
    if (momentum)
      tester_check_near(t, "m", 0, i, (double)a.m[i], m1, 3e-7);
  }
  tester_compare(t, &a, NULL);
}

static void test_sgd(void **state) {
  (void)state;
  tester t;
  tester_init(&t, pith_sgd_f32_kernels);
  for (size_t i = 0; i < COUNT(counts); ++i)
    for (int kind = 0; kind < 3; ++kind)
      run_sgd(&t, counts[i], kind > 0, kind == 2);
  tester_deinit(&t);
}

static void run_lamb(tester *t, size_t count) {
  tester_begin(t, "lamb: %zu elements", count);
  const pith_adamw_options o = {0.9, 0.999, 1e-6, 0.1};
  const float *m, *v, *g;
  const size_t sums = pith_sum_squares_count(count, PITH_SUM_SQUARES_BLOCK);
  pith_lamb_f32_args a = {.count = count, .options = o, .gradient_scale = 0.5f, .step = pith_adamw_step_make(&o, 1, 7)};
  a.w = tester_floats(t, count, -1, 1);
  a.m = in_place(t, count, -1, 1, &m);
  a.v = in_place(t, count, 0, 1, &v);
  a.g = in_place(t, count, -1, 1, &g);
  a.w_sums = tester_byte_output(t, sums * sizeof(double));
  a.u_sums = tester_byte_output(t, sums * sizeof(double));
  tester_reference(t, &a);
  double w_norm = 0, u_norm = 0;
  for (size_t i = 0; i < count; ++i) {
    const double gi = (double)g[i] * 0.5, m1 = 0.9 * (double)m[i] + 0.1 * gi, v1 = 0.999 * (double)v[i] + 0.001 * gi * gi;
    const double u = m1 / (1 - pow(0.9, 7)) / (sqrt(v1 / (1 - pow(0.999, 7))) + 1e-6) + 0.1 * (double)a.w[i];
    tester_check_near(t, "m", 0, i, (double)a.m[i], m1, 2e-7);
    tester_check_near(t, "v", 0, i, (double)a.v[i], v1, 3e-7);
    tester_check_near(t, "u", 0, i, (double)a.g[i], u, 2e-6 * (1 + fabs(u)));
    w_norm += (double)a.w[i] * (double)a.w[i];
    u_norm += (double)a.g[i] * (double)a.g[i];
  }
  tester_check_near(t, "w norm", 0, 0, pith_sum_doubles(a.w_sums, sums), w_norm, 1e-12 * w_norm);
  tester_check_near(t, "u norm", 0, 0, pith_sum_doubles(a.u_sums, sums), u_norm, 1e-12 * u_norm);
  tester_compare(t, &a, NULL);
}

static void run_lamb_apply(tester *t, size_t count, double w_norm, double u_norm) {
  tester_begin(t, "lamb_apply: %zu elements, norms %g and %g", count, w_norm, u_norm);
  const size_t sums = pith_sum_squares_count(count, PITH_SUM_SQUARES_BLOCK);
  double *parts = tester_memory(t, 2 * sums * sizeof *parts, false);
  for (size_t i = 0; i < sums; ++i) {
    parts[i] = w_norm * w_norm / (double)sums;
    parts[sums + i] = u_norm * u_norm / (double)sums;
  }
  const float *w;
  pith_lamb_apply_f32_args a = {.w_sums = parts, .u_sums = parts + sums, .count = count, .rate = 0.01f};
  a.w = in_place(t, count, -1, 1, &w);
  a.u = tester_floats(t, count, -1, 1);
  tester_reference(t, &a);
  const double ratio = w_norm > 0 && u_norm > 0 ? w_norm / u_norm : 1;
  for (size_t i = 0; i < count; ++i)
    tester_check_near(t, "w", 0, i, (double)a.w[i], (double)w[i] - 0.01 * ratio * (double)a.u[i], 2e-7 * (1 + ratio));
  tester_compare(t, &a, NULL);
}

static void test_lamb(void **state) {
  (void)state;
  tester t;
  tester_init(&t, pith_lamb_f32_kernels);
  for (size_t i = 0; i < COUNT(counts); ++i)
    run_lamb(&t, counts[i]);
  tester_deinit(&t);
  tester_init(&t, pith_lamb_apply_f32_kernels);
  for (size_t i = 0; i < COUNT(counts); ++i)
    run_lamb_apply(&t, counts[i], i % 4 == 2 ? 0 : 3, i % 4 == 3 ? 0 : 0.5);
  tester_deinit(&t);
}

/* ---- around them --------------------------------------------------------------------------------------------------- */

static void run_sum_squares(tester *t, size_t count, size_t block, bool rows) {
  tester_begin(t, "sum of squares: %zu in blocks of %zu, rows %d", count, block, rows);
  pith_sum_squares_f32_args a = {.count = count, .block = block};
  a.x = tester_floats(t, count, -2, 1);
  int32_t *list = NULL;
  size_t units = pith_sum_squares_count(count, block);
  if (rows) {
    const size_t have = count / block;
    units = a.row_count = have / 2;
    list = tester_memory(t, units * sizeof *list, false);
    for (size_t i = 0; i < units; ++i)
      list[i] = (int32_t)(have - 1 - 2 * i);
    a.rows = list;
  }
  a.sums = tester_byte_output(t, units * sizeof(double));
  tester_reference(t, &a);
  for (size_t i = 0; i < units; ++i) {
    const size_t begin = (rows ? (size_t)list[i] : i) * block, end = begin + block < count ? begin + block : count;
    double want = 0;
    for (size_t j = begin; j < end; ++j)
      want += (double)a.x[j] * (double)a.x[j];
    tester_check_near(t, "sum", 0, i, a.sums[i], want, 1e-13 * want);
  }
  tester_compare(t, &a, NULL);
}

static void test_sum_squares(void **state) {
  (void)state;
  tester t;
  tester_init(&t, pith_sum_squares_f32_kernels);
  for (size_t i = 0; i < COUNT(counts); ++i) {
    run_sum_squares(&t, counts[i], PITH_SUM_SQUARES_BLOCK, false);
    run_sum_squares(&t, counts[i] * 7, 7, true);
  }
  run_sum_squares(&t, 500 * 384, 384, true);
  tester_deinit(&t);
}

static void test_ema(void **state) {
  (void)state;
  tester t;
  tester_init(&t, pith_ema_f32_kernels);
  for (size_t i = 0; i < COUNT(counts); ++i) {
    tester_begin(&t, "ema: %zu", counts[i]);
    const float *average;
    pith_ema_f32_args a = {.count = counts[i], .one_minus_decay = 0.01f};
    a.average = in_place(&t, counts[i], -1, 1, &average);
    a.w = tester_floats(&t, counts[i], -1, 1);
    tester_reference(&t, &a);
    for (size_t j = 0; j < counts[i]; ++j)
      tester_check_near(&t, "average", 0, j, (double)a.average[j], 0.99 * (double)average[j] + 0.01 * (double)a.w[j], 2e-7);
    tester_compare(&t, &a, NULL);
  }
  tester_deinit(&t);
}

static void test_axpy(void **state) {
  (void)state;
  tester t;
  tester_init(&t, pith_axpy_f32_kernels);
  for (size_t i = 0; i < 2 * COUNT(counts); ++i) {
    const size_t count = counts[i / 2];
    tester_begin(&t, "axpy: %zu, x %zu", count, i % 2);
    const float *y;
    pith_axpy_f32_args a = {.count = count, .a = -0.75f};
    a.y = in_place(&t, count, -1, 1, &y);
    a.x = i % 2 ? tester_floats(&t, count, -1, 1) : NULL;
    tester_reference(&t, &a);
    for (size_t j = 0; j < count; ++j)
      tester_check_near(&t, "y", 0, j, (double)a.y[j], a.x ? (double)y[j] - 0.75 * (double)a.x[j] : -0.75 * (double)y[j], 2e-7);
    tester_compare(&t, &a, NULL);
  }
  tester_deinit(&t);
}

/* ---- runs of steps, against torch.optim (tests/golden/training/make.py) -------------------------------------------- */

enum { N = GOLDEN_OPTIMIZER_SIZE };

static float golden_weight(size_t i) {
  return (float)((int)(i * 53 % 101) - 50) / 64;
}
static float golden_gradient(size_t i, size_t step) {
  return (float)((int)((i * 37 + step * 101 + i * step * 13) % 257) - 128) / 1024;
}
static double golden_rate(size_t step) { /* warm-up of 5 steps, then linear to 0 at 30 */
  return 1e-2 * (step < 5 ? (double)step / 5 : (double)(30 - step) / 25);
}

static void check_golden(const char *name, size_t step, const float *w) {
  for (size_t k = 0; k < COUNT(golden_optimizers); ++k)
    if (strcmp(golden_optimizers[k].name, name) == 0 && golden_optimizers[k].step == step) {
      for (size_t i = 0; i < N; ++i)
        if (!(fabs((double)w[i] - golden_optimizers[k].w[i]) <= 2e-6))
          fail_msg("%s, step %zu: w[%zu] is %.9g, torch's %.9g", name, step, i, (double)w[i], golden_optimizers[k].w[i]);
      return;
    }
}

static void test_golden(void **state) {
  (void)state;
  static const char *const names[] = {"adamw", "sgd", "momentum", "nesterov", "lamb"};
  size_t checked = 0;
  for (size_t k = 0; k < COUNT(names); ++k) {
    const bool lamb = strcmp(names[k], "lamb") == 0;
    const pith_adamw_options o = {0.9, 0.999, lamb ? 1e-6 : 1e-8, 0.1};
    float w[N], m[N] = {0}, v[N] = {0}, g[N];
    for (size_t i = 0; i < N; ++i)
      w[i] = golden_weight(i);
    for (size_t step = 1; step <= GOLDEN_OPTIMIZER_STEPS; ++step) {
      for (size_t i = 0; i < N; ++i)
        g[i] = golden_gradient(i, step);
      const double rate = golden_rate(step);
      if (k == 0) {
        pith_kernel_run_all(pith_adamw_f32_kernels[0],
                            &(pith_adamw_f32_args){w, m, v, g, N, pith_adamw_step_make(&o, rate, step), o, 1}, NULL);
      } else if (!lamb) {
        pith_kernel_run_all(pith_sgd_f32_kernels[0],
                            &(pith_sgd_f32_args){w, k > 1 ? m : NULL, g, N, pith_sgd_step_make(rate, 0.1), 0.9f, k == 3, 1},
                            NULL);
      } else {
        double sums[2];
        pith_kernel_run_all(pith_lamb_f32_kernels[0],
                            &(pith_lamb_f32_args){.m = m, .v = v, .w = w, .g = g, .w_sums = sums, .u_sums = sums + 1, .count = N,
                                                  .step = pith_adamw_step_make(&o, 1, step), .options = o, .gradient_scale = 1},
                            NULL);
        pith_kernel_run_all(pith_lamb_apply_f32_kernels[0], &(pith_lamb_apply_f32_args){w, g, sums, sums + 1, N, (float)rate},
                            NULL);
      }
      check_golden(names[k], step, w);
    }
    for (size_t i = 0; i < COUNT(golden_optimizers); ++i)
      checked += strcmp(golden_optimizers[i].name, names[k]) == 0;
  }
  assert_int_equal(checked, COUNT(golden_optimizers));
}

/* ---- rows ---------------------------------------------------------------------------------------------------------- */

static void run_rows(tester *t, bool sgd, size_t features, size_t row_count, size_t step_count, bool gradient, bool list) {
  enum { TABLE = 40 };
  tester_begin(t, "rows: sgd %d, %zu of %zu features, %zu steps, gradient %d, list %d", sgd, row_count, features, step_count,
               gradient, list);
  const pith_adamw_options o = {0.9, 0.999, 1e-8, 0.1};
  const size_t n = TABLE * features;
  pith_adamw_step *adamw_steps = tester_memory(t, step_count * sizeof *adamw_steps, false);
  pith_sgd_step *sgd_steps = tester_memory(t, step_count * sizeof *sgd_steps, false);
  for (size_t s = 0; s < step_count; ++s) {
    adamw_steps[s] = pith_adamw_step_make(&o, 1e-3, s + 1);
    sgd_steps[s] = pith_sgd_step_make(1e-3, 0.1);
  }
  int32_t *rows = tester_memory(t, row_count * sizeof *rows, false);
  for (size_t i = 0; i < row_count; ++i)
    rows[i] = (int32_t)((i * 7 + 3) % TABLE);
  uint32_t *done = tester_memory(t, TABLE * sizeof *done, false);
  for (size_t i = 0; i < TABLE; ++i)
    done[i] = (uint32_t)tester_pick(t, step_count + (gradient ? 0 : 1));
  const float *w, *m, *v;
  pith_adamw_rows_f32_args a = {.features = features, .row_count = row_count, .steps = adamw_steps, .step_count = step_count,
                                .options = o, .gradient_scale = 0.5f, .rows = list ? rows : NULL,
                                .g = gradient ? tester_floats(t, n, -1, 1) : NULL};
  a.w = in_place(t, n, -1, 1, &w);
  a.m = in_place(t, n, -1e-3f, 1e-3f, &m);
  a.v = in_place(t, sgd ? 0 : n, 1e-9f, 1e-6f, &v);
  a.done = tester_in_place(t, TABLE * sizeof *done, done);
  const bool momentum = features != 33;
  const pith_sgd_rows_f32_args b = {.w = a.w, .m = momentum ? a.m : NULL, .g = a.g, .rows = a.rows, .done = a.done,
                                    .steps = sgd_steps,
                                    .row_count = row_count, .features = features, .step_count = step_count,
                                    .momentum = momentum ? 0.9f : 0, .nesterov = step_count % 2 == 0, .gradient_scale = 0.5f};
  tester_reference(t, sgd ? (const void *)&b : &a);
  bool chosen[TABLE] = {false};
  for (size_t i = 0; i < row_count; ++i)
    chosen[list ? (size_t)rows[i] : i] = true;
  for (size_t r = 0; r < TABLE; ++r) {
    assert_int_equal(a.done[r], chosen[r] ? step_count : done[r]);
    if (features > 0 && !chosen[r])
      assert_memory_equal(a.w + r * features, w + r * features, features * sizeof(float));
  }
  tester_compare(t, sgd ? (const void *)&b : &a, NULL);
}

static void test_rows(void **state) {
  (void)state;
  static const size_t features[] = {1, 15, 16, 17, 32, 33, 100};
  for (int sgd = 0; sgd < 2; ++sgd) {
    tester t;
    tester_init(&t, sgd ? pith_sgd_rows_f32_kernels : pith_adamw_rows_f32_kernels);
    for (size_t i = 0; i < COUNT(features); ++i)
      for (int kind = 0; kind < 4; ++kind)
        run_rows(&t, sgd, features[i], i * 6, 1 + i * 53, kind & 1, kind & 2);
    run_rows(&t, sgd, 384, 40, 300, true, true); /* several tasks */
    tester_deinit(&t);
  }
}

/* A table trained with gradients of rows drawn by chance, once by the dense kernel and once by rows: the same bits, whenever the
 * rows are brought up to date. */
enum { ROWS = 48, FEATURES = 37, STEPS = 700 };

typedef struct table {
  float w[ROWS * FEATURES], m[ROWS * FEATURES], v[ROWS * FEATURES];
} table;

typedef struct table_run {
  bool sgd, nesterov;
  pith_adamw_options options;
  double rate;
} table_run;

static void rows_step(const table_run *run, const pith_kernel *kernel, table *x, uint32_t *done, const void *steps,
                      size_t step_count, const int32_t *rows, size_t row_count, const float *g) {
  if (run->sgd)
    pith_kernel_run_all(kernel,
                        &(pith_sgd_rows_f32_args){.w = x->w, .m = x->m, .g = g, .rows = rows, .done = done, .steps = steps,
                                                  .row_count = row_count, .features = FEATURES, .step_count = step_count,
                                                  .momentum = 0.9f, .nesterov = run->nesterov, .gradient_scale = 0.5f}, NULL);
  else
    pith_kernel_run_all(kernel,
                        &(pith_adamw_rows_f32_args){.w = x->w, .m = x->m, .v = x->v, .g = g, .rows = rows, .done = done,
                                                    .steps = steps, .row_count = row_count, .features = FEATURES,
                                                    .step_count = step_count, .options = run->options,
                                                    .gradient_scale = 0.5f}, NULL);
}

static void compare_table(const table_run *run, const pith_kernel *dense_kernel, const pith_kernel *rows_kernel) {
  static table dense, lazy;
  static float g[ROWS * FEATURES];
  static pith_adamw_step adamw_steps[STEPS];
  static pith_sgd_step sgd_steps[STEPS];
  const void *steps = run->sgd ? (const void *)sgd_steps : adamw_steps;
  uint32_t done[ROWS] = {0};
  tester t;
  tester_init(&t, run->sgd ? pith_sgd_rows_f32_kernels : pith_adamw_rows_f32_kernels);
  memset(&dense, 0, sizeof dense);
  for (size_t i = 0; i < ROWS * FEATURES; ++i) /* of many sizes, some 0 */
    dense.w[i] = i % 31 == 0 ? 0 : tester_uniform(&t, -1, 1) * powf(10, -tester_uniform(&t, 0, 4));
  lazy = dense;
  size_t kept = 0, longest = 0, gap[ROWS] = {0}; /* steps that are kept for replaying */
  for (size_t step = 1; step <= STEPS; ++step) {
    const double rate = run->rate * (step < 60 ? (double)step / 60 : (double)(STEPS + 1 - step) / (STEPS - 59));
    int32_t rows[ROWS];
    size_t row_count = 0;
    memset(g, 0, sizeof g);
    for (size_t r = 0; r < ROWS; ++r) { /* row 0 in every step, the last ones never */
      ++gap[r];
      if (r >= ROWS - 2 || tester_pick(&t, 1 + r * r / 2) != 0)
        continue;
      longest = gap[r] > longest ? gap[r] : longest;
      gap[r] = 0;
      rows[row_count++] = (int32_t)r;
      for (size_t i = 0; i < FEATURES; ++i)
        g[r * FEATURES + i] = tester_uniform(&t, -1, 1) * powf(10, -tester_uniform(&t, 0, 6));
    }
    adamw_steps[kept] = pith_adamw_step_make(&run->options, rate, step);
    sgd_steps[kept] = pith_sgd_step_make(rate, run->options.decay);
    rows_step(run, rows_kernel, &lazy, done, steps, kept, rows, row_count, NULL); /* what forward reads is up to date */
    for (size_t i = 0; i < row_count; ++i)
      assert_memory_equal(lazy.w + (size_t)rows[i] * FEATURES, dense.w + (size_t)rows[i] * FEATURES, FEATURES * sizeof(float));
    rows_step(run, rows_kernel, &lazy, done, steps, ++kept, rows, row_count, g);
    if (run->sgd)
      pith_kernel_run_all(dense_kernel,
                          &(pith_sgd_f32_args){dense.w, dense.m, g, ROWS * FEATURES, sgd_steps[kept - 1], 0.9f, run->nesterov,
                                              0.5f},
                          NULL);
    else
      pith_kernel_run_all(dense_kernel,
                          &(pith_adamw_f32_args){dense.w, dense.m, dense.v, g, ROWS * FEATURES, adamw_steps[kept - 1],
                                                 run->options, 0.5f}, NULL);
    if (step == 300 || step == STEPS) { /* a checkpoint: all of it up to date, nothing is kept */
      rows_step(run, rows_kernel, &lazy, done, steps, kept, NULL, ROWS, NULL);
      assert_memory_equal(&lazy, &dense, sizeof dense);
      memset(done, 0, sizeof done);
      kept = 0;
    }
  }
  assert_true(longest > 250); /* pushes were left out, or this shows little */
  tester_begin(&t, "done");
}

static void test_rows_are_dense(void **state) {
  (void)state;
  static const table_run runs[] = {
      {false, false, {0.9, 0.999, 1e-8, 0.01}, 1e-3}, {false, false, {0.9, 0.999, 1e-8, 0}, 5e-5},
      {false, false, {0.9, 0.98, 1e-6, 1}, 2e-2},     {false, false, {0.9, 0.8, 1e-8, 0.01}, 1e-3}, /* no bound: beta1^2 > beta2 */
      {true, false, {.decay = 0.01}, 1e-2},           {true, true, {.decay = 0.1}, 1e-2},
  };
  for (size_t i = 0; i < COUNT(runs); ++i) {
    const pith_kernel *const *dense = runs[i].sgd ? pith_sgd_f32_kernels : pith_adamw_f32_kernels;
    const pith_kernel *const *rows = runs[i].sgd ? pith_sgd_rows_f32_kernels : pith_adamw_rows_f32_kernels;
    compare_table(&runs[i], pith_kernel_select(dense, pith_cpu_detect()), pith_kernel_select(rows, pith_cpu_detect()));
  }
}

/* Pushes that are nothing at first and grow: with the rate, or where v falls faster than m squared. And rows whose momentum has
 * become 0, but not v. */
enum { RATE_GROWS, V_FALLS, NO_MOMENTUM, PUSH_KINDS };

static void test_rows_pushes(void **state) {
  (void)state;
  enum { COLUMNS = 37, MISSED = 60 };
  for (int kind = 0; kind < PUSH_KINDS; ++kind) {
    tester t;
    tester_init(&t, pith_adamw_rows_f32_kernels);
    const pith_adamw_options o = {0.9, kind == V_FALLS ? 0.5 : 0.999, 1e-12, 0.01};
    table dense = {.w = {0}}, lazy;
    for (size_t i = 0; i < COLUMNS; ++i) {
      dense.w[i] = tester_uniform(&t, 0.5f, 1);
      dense.m[i] = kind == NO_MOMENTUM ? 0 : tester_uniform(&t, -1e-3f, 1e-3f);
      dense.v[i] = 1e-6f;
    }
    lazy = dense;
    pith_adamw_step steps[MISSED];
    for (size_t s = 0; s < MISSED; ++s) {
      steps[s] = pith_adamw_step_make(&o, kind == V_FALLS ? 1e-10 : s < 20 ? 1e-12 : 1e-2, 100 + s);
      static const float g[COLUMNS];
      pith_kernel_run_all(pith_adamw_f32_kernels[0],
                          &(pith_adamw_f32_args){dense.w, dense.m, dense.v, g, COLUMNS, steps[s], o, 1}, NULL);
    }
    uint32_t done = 0;
    pith_kernel_run_all(pith_adamw_rows_f32_kernels[0],
                        &(pith_adamw_rows_f32_args){.w = lazy.w, .m = lazy.m, .v = lazy.v, .done = &done, .steps = steps,
                                                    .row_count = 1, .features = COLUMNS, .step_count = MISSED, .options = o,
                                                    .gradient_scale = 1}, NULL);
    assert_memory_equal(&lazy, &dense, sizeof dense);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_adamw), cmocka_unit_test(test_sgd),    cmocka_unit_test(test_lamb), cmocka_unit_test(test_sum_squares),
      cmocka_unit_test(test_ema),   cmocka_unit_test(test_axpy),   cmocka_unit_test(test_golden),
      cmocka_unit_test(test_rows),  cmocka_unit_test(test_rows_are_dense),
      cmocka_unit_test(test_rows_pushes),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
