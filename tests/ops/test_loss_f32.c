#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ops/loss/loss_f32.h"
#include "ops/math/log.h"
#include "tests/golden/training/losses.h"
#include "tests/ops/finite_difference.h"
#include "tests/ops/kernel_tester.h"

#define COUNT(array) (sizeof(array) / sizeof *(array))

/* ---- PyTorch's values (tests/golden/training/make.py) ---------------------------------------------------------------- */

static float golden_value(size_t i, size_t seed, float scale) {
  return (float)((int)((i * 53 + seed * 29 + i * i * 7) % 257) - 128) / 128 * scale;
}

static void fill(float *out, size_t count, size_t seed, float scale, float offset) {
  for (size_t i = 0; i < count; ++i)
    out[i] = golden_value(i, seed, scale) + offset;
}

typedef struct loss_pair {
  const pith_kernel *const *loss, *const *gradient;
} loss_pair;

static const loss_pair cross_entropy_pair = {pith_softmax_cross_entropy_f32_kernels, pith_softmax_cross_entropy_grad_f32_kernels};
static const loss_pair span_pair = {pith_span_cross_entropy_f32_kernels, pith_span_cross_entropy_grad_f32_kernels};
static const loss_pair sigmoid_pair = {pith_sigmoid_cross_entropy_f32_kernels, pith_sigmoid_cross_entropy_grad_f32_kernels};
static const loss_pair squared_pair = {pith_mean_squared_error_f32_kernels, pith_mean_squared_error_grad_f32_kernels};
static const loss_pair cosine_pair = {pith_cosine_loss_f32_kernels, pith_cosine_loss_grad_f32_kernels};
static const loss_pair kl_pair = {pith_kl_divergence_f32_kernels, pith_kl_divergence_grad_f32_kernels};

static size_t golden_checked;

/* Not inlined: gcc would compare the strings and warn of it. */
__attribute__((noinline)) static void check_golden(const char *name, const loss_pair *pair, const void *args, const float *loss,
                                                   const float *dx, size_t count) {
  static _Alignas(64) float scratch[4096];
  for (size_t k = 0; k < COUNT(golden_losses); ++k) {
    if (strcmp(golden_losses[k].name, name) != 0)
      continue;
    pith_kernel_run_all(pair->loss[0], args, scratch);
    pith_kernel_run_all(pair->gradient[0], args, scratch);
    const double want = golden_losses[k].loss;
    if (!(fabs((double)*loss - want) <= 1e-6 * fabs(want)))
      fail_msg("%s: loss %.9g, torch's %.9g", name, (double)*loss, want);
    double size = 0;
    for (size_t i = 0; i < count; ++i)
      size = fmax(size, fabs(golden_losses[k].gradient[i]));
    for (size_t i = 0; i < count; ++i)
      if (!(fabs((double)dx[i] - golden_losses[k].gradient[i]) <= 2e-6 * size))
        fail_msg("%s: dx[%zu] %.9g, torch's %.9g", name, i, (double)dx[i], golden_losses[k].gradient[i]);
    ++golden_checked;
    return;
  }
  fail_msg("no golden values of %s", name);
}

static void test_golden(void **state) {
  (void)state;
  float x[128], z[128], dx[128], loss, one = 1, weights[64];
  int32_t labels[16];
  fill(x, 128, 3, 3, 0);
  static const struct {
    const char *name;
    size_t rows, classes;
    float smoothing;
    bool weighted, ignored;
  } cases[] = {{"cross_entropy", 7, 5, 0, false, false},          {"cross_entropy_ignored", 7, 5, 0, false, true},
               {"cross_entropy_smoothed", 7, 5, 0.1f, false, true}, {"cross_entropy_weighted", 7, 5, 0, true, true},
               {"cross_entropy_both", 7, 5, 0.25f, true, true},     {"cross_entropy_wide", 3, 37, 0.1f, false, false}};
  for (size_t k = 0; k < COUNT(cases); ++k) {
    fill(weights, cases[k].classes, 5, 0.5f, 1);
    for (size_t i = 0; i < cases[k].rows; ++i)
      labels[i] = cases[k].ignored && i % 3 == 1 ? PITH_LABEL_IGNORED : (int32_t)((i * 5 + 1) % cases[k].classes);
    const pith_softmax_cross_entropy_f32_args a = {.x = x, .labels = labels, .class_weights = cases[k].weighted ? weights : NULL,
                                                   .rows = cases[k].rows, .classes = cases[k].classes,
                                                   .smoothing = cases[k].smoothing, .loss = &loss, .dloss = &one, .dx = dx};
    check_golden(cases[k].name, &cross_entropy_pair, &a, &loss, dx, a.rows * a.classes);
  }
  static const int32_t offsets[] = {0, 5, 22, 23, 32};
  for (int ignored = 0; ignored < 2; ++ignored) {
    for (int s = 0; s < 4; ++s)
      for (int c = 0; c < 2; ++c)
        labels[s * 2 + c] = ignored && (s + c) % 3 == 1 ? PITH_LABEL_IGNORED : (s * 3 + c * 5 + 1) % (offsets[s + 1] - offsets[s]);
    const pith_span_cross_entropy_f32_args a = {x, labels, offsets, 32, 4, 2, &loss, &one, dx};
    check_golden(ignored ? "span_ignored" : "span", &span_pair, &a, &loss, dx, 64);
  }
  fill(z, 37, 11, 0.5f, 0.5f);
  check_golden("sigmoid", &sigmoid_pair, &(pith_sigmoid_cross_entropy_f32_args){x, z, 37, &loss, &one, dx}, &loss, dx, 37);
  fill(z, 128, 11, 1, 0);
  check_golden("squared", &squared_pair, &(pith_mean_squared_error_f32_args){x, z, 37, &loss, &one, dx}, &loss, dx, 37);
  fill(weights, 3, 2, 1, 0);
  check_golden("cosine", &cosine_pair, &(pith_cosine_loss_f32_args){x, z, NULL, 3, 19, &loss, &one, dx}, &loss, dx, 57);
  check_golden("cosine_targets", &cosine_pair, &(pith_cosine_loss_f32_args){x, z, weights, 3, 19, &loss, &one, dx}, &loss, dx,
               57);
  fill(z, 128, 11, 3, 0);
  check_golden("kl", &kl_pair, &(pith_kl_divergence_f32_args){x, z, 3, 21, 1, &loss, &one, dx, NULL, 0}, &loss, dx, 63);
  check_golden("kl_temperature", &kl_pair, &(pith_kl_divergence_f32_args){x, z, 3, 21, 2.5f, &loss, &one, dx, NULL, 0}, &loss, dx, 63);
  assert_int_equal(golden_checked, COUNT(golden_losses));
}

/* ---- differences, and the bits of every kernel ------------------------------------------------------------------------ */

/* The loss by plain doubles, of a's operands with x in double, and the gradient by differences of it. */
static void check_loss(tester *t, difference_function *f, const void *args, const float *x, size_t n, const float *loss) {
  double *at = calloc(n + 1, sizeof *at);
  assert_non_null(at);
  for (size_t i = 0; i < n; ++i)
    at[i] = (double)x[i];
  const double want = f(at, n, args);
  tester_check_near(t, "loss", 0, 0, (double)*loss, want, 2e-6 * fabs(want) + 1e-7);
  free(at);
}

static void check_gradient(tester *t, difference_function *f, const void *args, const float *x, size_t n, const float *dx,
                           double dloss) {
  double *at = calloc(n + 1, sizeof *at), *want = calloc(n + 1, sizeof *want), size = 0;
  assert_true(at && want);
  for (size_t i = 0; i < n; ++i)
    at[i] = (double)x[i];
  for (size_t i = 0; i < n; ++i) {
    want[i] = dloss * difference(f, at, n, i, args);
    size = fmax(size, fabs(want[i]));
  }
  for (size_t i = 0; i < n; ++i)
    tester_check_near(t, "dx", 0, i, (double)dx[i], want[i], 1e-5 * size + 1e-9);
  free(at);
  free(want);
}

static double log_sum(const double *x, size_t n, size_t stride, double temperature) {
  double max = -INFINITY, sum = 0;
  for (size_t i = 0; i < n; ++i)
    max = fmax(max, x[i * stride] / temperature);
  for (size_t i = 0; i < n; ++i)
    sum += exp(x[i * stride] / temperature - max);
  return max + log(sum);
}

static double cross_entropy(const double *x, size_t n, const void *context) {
  const pith_softmax_cross_entropy_f32_args *a = context;
  const double s = (double)a->smoothing;
  double sum = 0, total = 0;
  (void)n;
  for (size_t r = 0; r < a->rows; ++r) {
    if (a->labels[r] == PITH_LABEL_IGNORED)
      continue;
    const double *row = x + r * a->classes, log_total = log_sum(row, a->classes, 1, 1);
    for (size_t c = 0; c < a->classes; ++c) {
      const double w = a->class_weights ? (double)a->class_weights[c] : 1, is_label = (int32_t)c == a->labels[r];
      sum -= w * ((1 - s) * is_label + s / (double)a->classes) * (row[c] - log_total);
      total += w * is_label;
    }
  }
  return total > 0 ? sum / total : 0;
}

enum { LOSS, GRADIENT };

/* dx in place where `x` may be read back from `initial`. */
static void run_cross_entropy(tester *t, int kind, size_t rows, size_t classes, float smoothing, bool weighted, size_t ignored,
                              bool in_place, bool differ) {
  tester_begin(t, "cross entropy %d: %zu x %zu, smoothing %g, weighted %d, one of %zu ignored, in place %d", kind, rows, classes,
               (double)smoothing, weighted, ignored, in_place);
  pith_softmax_cross_entropy_f32_args a = {.rows = rows, .classes = classes, .smoothing = smoothing};
  const float *x = tester_floats(t, rows * classes, -4, 4);
  int32_t *labels = tester_memory(t, rows * sizeof *labels, false);
  for (size_t r = 0; r < rows; ++r)
    labels[r] = ignored && r % ignored == 0 ? PITH_LABEL_IGNORED : (int32_t)tester_pick(t, classes);
  a.labels = labels;
  a.class_weights = weighted ? tester_floats(t, classes, 0.5f, 2) : NULL;
  a.x = x;
  if (kind == LOSS) {
    a.loss = tester_output(t, 1);
    tester_reference(t, &a);
    check_loss(t, cross_entropy, &a, x, rows * classes, a.loss);
  } else {
    a.dloss = tester_floats(t, 1, 0.5f, 2);
    a.dx = in_place ? tester_in_place(t, rows * classes * sizeof(float), x) : tester_output(t, rows * classes);
    a.x = in_place ? a.dx : x;
    tester_reference(t, &a);
    a.x = x;
    if (differ)
      check_gradient(t, cross_entropy, &a, x, rows * classes, a.dx, (double)*a.dloss);
    a.x = in_place ? a.dx : x;
  }
  tester_compare(t, &a, NULL);
}

static void test_cross_entropy(void **state) {
  (void)state;
  static const size_t rows[] = {0, 1, 3, 8}, classes[] = {1, 2, 3, 15, 16, 17, 33, 70};
  for (int kind = 0; kind < 2; ++kind) {
    tester t;
    tester_init(&t, kind == LOSS ? cross_entropy_pair.loss : cross_entropy_pair.gradient);
    for (size_t i = 0; i < COUNT(rows); ++i)
      for (size_t j = 0; j < COUNT(classes); ++j)
        for (int mode = 0; mode < 4; ++mode)
          run_cross_entropy(&t, kind, rows[i], classes[j], mode & 1 ? 0.1f : 0, mode & 2, (i + j) % 4,
                            (i + j + (size_t)mode) % 2, true);
    run_cross_entropy(&t, kind, 4, 3, 0.1f, true, 1, false, true); /* nothing counts */
    run_cross_entropy(&t, kind, 40, 1003, 0.1f, true, 3, false, false);
    tester_deinit(&t);
  }
}

static double span(const double *x, size_t n, const void *context) {
  const pith_span_cross_entropy_f32_args *a = context;
  double sum = 0, count = 0;
  (void)n;
  for (size_t i = 0; i < a->sequences * a->columns; ++i)
    if (a->labels[i] != PITH_LABEL_IGNORED) {
      const size_t s = i / a->columns, c = i % a->columns, first = (size_t)a->offsets[s];
      sum += log_sum(x + first * a->columns + c, (size_t)a->offsets[s + 1] - first, a->columns, 1) -
             x[(first + (size_t)a->labels[i]) * a->columns + c];
      ++count;
    }
  return count > 0 ? sum / count : 0;
}

static void run_span(tester *t, int kind, const size_t *lengths, size_t sequences, size_t columns, size_t ignored, bool in_place,
                     bool differ) {
  tester_begin(t, "span %d: %zu sequences, %zu columns, one of %zu ignored, in place %d", kind, sequences, columns, ignored,
               in_place);
  pith_span_cross_entropy_f32_args a = {.sequences = sequences, .columns = columns};
  int32_t *offsets = tester_memory(t, (sequences + 1) * sizeof *offsets, false);
  int32_t *labels = tester_memory(t, sequences * columns * sizeof *labels, false);
  offsets[0] = 0;
  for (size_t s = 0; s < sequences; ++s) {
    offsets[s + 1] = offsets[s] + (int32_t)lengths[s];
    for (size_t c = 0; c < columns; ++c)
      labels[s * columns + c] =
          ignored && (s + c) % ignored == 0 ? PITH_LABEL_IGNORED : (int32_t)tester_pick(t, lengths[s]);
  }
  a.tokens = (size_t)offsets[sequences];
  a.offsets = offsets;
  a.labels = labels;
  const size_t n = a.tokens * columns;
  const float *x = tester_floats(t, n, -4, 4);
  a.x = x;
  if (kind == LOSS) {
    a.loss = tester_output(t, 1);
    tester_reference(t, &a);
    check_loss(t, span, &a, x, n, a.loss);
  } else {
    a.dloss = tester_floats(t, 1, 0.5f, 2);
    a.dx = in_place ? tester_in_place(t, n * sizeof(float), x) : tester_output(t, n);
    a.x = in_place ? a.dx : x;
    tester_reference(t, &a);
    if (differ)
      check_gradient(t, span, &a, x, n, a.dx, (double)*a.dloss);
  }
  tester_compare(t, &a, NULL);
}

static void test_span(void **state) {
  (void)state;
  static const size_t lengths[] = {7, 1, 2, 33, 16, 17, 40}, many[] = {384, 300, 384, 384, 100, 384, 384, 384, 384, 384, 384, 384};
  for (int kind = 0; kind < 2; ++kind) {
    tester t;
    tester_init(&t, kind == LOSS ? span_pair.loss : span_pair.gradient);
    for (size_t sequences = 0; sequences <= COUNT(lengths); ++sequences)
      for (size_t columns = 1; columns <= 3; ++columns)
        run_span(&t, kind, lengths, sequences, columns, (sequences + columns) % 4, sequences % 2, true);
    run_span(&t, kind, many, COUNT(many), 2, 0, false, false);
    tester_deinit(&t);
  }
}

static double sigmoid(const double *x, size_t n, const void *context) {
  const pith_sigmoid_cross_entropy_f32_args *a = context;
  double sum = 0;
  for (size_t i = 0; i < n; ++i)
    sum += log1p(exp(-fabs(x[i]))) + fmax(x[i], 0) - x[i] * (double)a->targets[i];
  return n > 0 ? sum / (double)n : 0;
}

static double squared(const double *x, size_t n, const void *context) {
  const pith_mean_squared_error_f32_args *a = context;
  double sum = 0;
  for (size_t i = 0; i < n; ++i)
    sum += (x[i] - (double)a->targets[i]) * (x[i] - (double)a->targets[i]);
  return n > 0 ? sum / (double)n : 0;
}

/* Of both kinds of loss of elements, whose structures are alike. */
static void run_elements(tester *t, int kind, bool is_sigmoid, size_t count, float range, bool in_place, bool differ) {
  tester_begin(t, "elements %d: sigmoid %d, %zu, range %g, in place %d", kind, is_sigmoid, count, (double)range, in_place);
  const float *x = tester_floats(t, count, -range, range), *targets = tester_floats(t, count, 0, 1);
  float *loss = kind == LOSS ? tester_output(t, 1) : NULL, *dloss = tester_floats(t, 1, 0.5f, 2), *dx = NULL;
  if (kind == GRADIENT)
    dx = in_place ? tester_in_place(t, count * sizeof(float), x) : tester_output(t, count);
  const float *from = kind == GRADIENT && in_place ? dx : x;
  const pith_sigmoid_cross_entropy_f32_args a = {from, targets, count, loss, dloss, dx};
  const pith_mean_squared_error_f32_args b = {from, targets, count, loss, dloss, dx};
  const void *args = is_sigmoid ? (const void *)&a : &b;
  tester_reference(t, args);
  if (kind == LOSS)
    check_loss(t, is_sigmoid ? sigmoid : squared, args, x, count, loss);
  else if (differ)
    check_gradient(t, is_sigmoid ? sigmoid : squared, args, x, count, dx, (double)*dloss);
  tester_compare(t, args, NULL);
}

static void test_elements(void **state) {
  (void)state;
  static const size_t counts[] = {0, 1, 15, 16, 17, 33, 101};
  for (int is_sigmoid = 0; is_sigmoid < 2; ++is_sigmoid)
    for (int kind = 0; kind < 2; ++kind) {
      const loss_pair *pair = is_sigmoid ? &sigmoid_pair : &squared_pair;
      tester t;
      tester_init(&t, kind == LOSS ? pair->loss : pair->gradient);
      for (size_t i = 0; i < COUNT(counts); ++i)
        run_elements(&t, kind, is_sigmoid, counts[i], i % 2 ? 3 : 60, i % 2, true);
      run_elements(&t, kind, is_sigmoid, 150001, 3, false, false);
      tester_deinit(&t);
    }
}

static double cosine(const double *x, size_t n, const void *context) {
  const pith_cosine_loss_f32_args *a = context;
  double sum = 0;
  (void)n;
  for (size_t r = 0; r < a->rows; ++r) {
    double xx = 0, zz = 0, xz = 0;
    for (size_t i = 0; i < a->features; ++i) {
      const double u = x[r * a->features + i], v = (double)a->z[r * a->features + i];
      xx += u * u;
      zz += v * v;
      xz += u * v;
    }
    const double c = xz / (fmax(sqrt(xx), 1e-8) * fmax(sqrt(zz), 1e-8));
    sum += a->targets ? (c - (double)a->targets[r]) * (c - (double)a->targets[r]) : 1 - c;
  }
  return a->rows > 0 ? sum / (double)a->rows : 0;
}

static void run_cosine(tester *t, int kind, size_t rows, size_t features, bool targets, bool in_place, bool differ) {
  tester_begin(t, "cosine %d: %zu x %zu, targets %d, in place %d", kind, rows, features, targets, in_place);
  const size_t n = rows * features;
  pith_cosine_loss_f32_args a = {.rows = rows, .features = features};
  const float *x = tester_floats(t, n, 0.5f, 2);
  a.x = x;
  a.z = tester_floats(t, n, -2, 2);
  a.targets = targets ? tester_floats(t, rows, -1, 1) : NULL;
  if (kind == LOSS) {
    a.loss = tester_output(t, 1);
    tester_reference(t, &a);
    check_loss(t, cosine, &a, x, n, a.loss);
  } else {
    a.dloss = tester_floats(t, 1, 0.5f, 2);
    a.dx = in_place ? tester_in_place(t, n * sizeof(float), x) : tester_output(t, n);
    a.x = in_place ? a.dx : x;
    tester_reference(t, &a);
    if (differ && features > 1) /* of one feature the cosine is 1 or -1 and nothing moves it */
      check_gradient(t, cosine, &a, x, n, a.dx, (double)*a.dloss);
  }
  tester_compare(t, &a, NULL);
}

static void test_cosine(void **state) {
  (void)state;
  static const size_t rows[] = {0, 1, 3, 8}, features[] = {1, 2, 15, 16, 17, 40};
  for (int kind = 0; kind < 2; ++kind) {
    tester t;
    tester_init(&t, kind == LOSS ? cosine_pair.loss : cosine_pair.gradient);
    for (size_t i = 0; i < COUNT(rows); ++i)
      for (size_t j = 0; j < COUNT(features); ++j)
        for (int targets = 0; targets < 2; ++targets)
          run_cosine(&t, kind, rows[i], features[j], targets, (i + j) % 2, true);
    run_cosine(&t, kind, 200, 384, true, false, false);
    tester_deinit(&t);
  }
}

/* A row of nearly 0: its norm is taken for 1e-8, and moves with x no more. */
static void test_cosine_bounded(void **state) {
  (void)state;
  tester t;
  tester_init(&t, pith_cosine_loss_grad_f32_kernels);
  tester_begin(&t, "cosine of a row of nearly 0");
  pith_cosine_loss_f32_args a = {.rows = 1, .features = 3};
  a.x = tester_floats(&t, 3, 1e-9f, 1e-9f);
  a.z = tester_floats(&t, 3, 2, 2);
  a.dloss = tester_floats(&t, 1, 1, 1);
  a.dx = tester_output(&t, 3);
  tester_reference(&t, &a);
  for (size_t i = 0; i < 3; ++i)
    tester_check_near(&t, "dx", 0, i, (double)a.dx[i], -1e8 / sqrt(3), 100);
  tester_compare(&t, &a, NULL);
  tester_deinit(&t);
}

static double kl(const double *x, size_t n, const void *context) {
  const pith_kl_divergence_f32_args *a = context;
  const double temperature = (double)a->temperature;
  double sum = 0, *teacher = calloc(a->classes + 1, sizeof *teacher);
  (void)n;
  if (!teacher)
    return (double)NAN;
  for (size_t i = 0; a->offsets && i < a->sequences * a->classes; ++i) { /* column i % classes of sequence i / classes */
    const size_t first = (size_t)a->offsets[i / a->classes], end = (size_t)a->offsets[i / a->classes + 1];
    double p = 0, q = 0, moved = 0;
    for (size_t r = first; r < end; ++r) {
      const double e = exp((double)a->teacher[r * a->classes + i % a->classes] / temperature);
      q += e;
      p += exp(x[r * a->classes + i % a->classes] / temperature);
      moved += e * ((double)a->teacher[r * a->classes + i % a->classes] - x[r * a->classes + i % a->classes]) / temperature;
    }
    sum += (moved / q - log(q) + log(p)) / (double)(a->sequences * a->classes);
  }
  if (a->offsets) {
    free(teacher);
    return temperature * temperature * sum;
  }
  for (size_t r = 0; r < a->rows; ++r) {
    for (size_t c = 0; c < a->classes; ++c)
      teacher[c] = (double)a->teacher[r * a->classes + c];
    const double p = log_sum(x + r * a->classes, a->classes, 1, temperature), q = log_sum(teacher, a->classes, 1, temperature);
    for (size_t c = 0; c < a->classes; ++c) {
      const double log_q = teacher[c] / temperature - q;
      sum += exp(log_q) * (log_q - (x[r * a->classes + c] / temperature - p));
    }
  }
  free(teacher);
  return a->rows > 0 ? temperature * temperature * sum / (double)a->rows : 0;
}

/* `sequences`: of lengths 1, 8, 15, .. in turn, which are all rows; 0: a softmax a row. */
static void run_kl(tester *t, int kind, size_t rows, size_t classes, size_t sequences, float temperature, bool in_place, bool differ) {
  tester_begin(t, "kl %d: %zu x %zu, %zu sequences, temperature %g, in place %d", kind, rows, classes, sequences, (double)temperature,
               in_place);
  pith_kl_divergence_f32_args a = {.classes = classes, .temperature = temperature, .sequences = sequences};
  if (sequences > 0) {
    int32_t *offsets = tester_memory(t, (sequences + 1) * sizeof *offsets, false);
    offsets[0] = 0;
    for (size_t s = 0; s < sequences; ++s)
      offsets[s + 1] = offsets[s] + 1 + (int32_t)(s * 7 % 36);
    rows = (size_t)offsets[sequences];
    a.offsets = offsets;
  }
  const size_t n = rows * classes;
  a.rows = rows;
  const float *x = tester_floats(t, n, -4, 4);
  a.x = x;
  a.teacher = tester_floats(t, n, -4, 4);
  if (kind == LOSS) {
    a.loss = tester_output(t, 1);
    tester_reference(t, &a);
    check_loss(t, kl, &a, x, n, a.loss);
  } else {
    a.dloss = tester_floats(t, 1, 0.5f, 2);
    a.dx = in_place ? tester_in_place(t, n * sizeof(float), x) : tester_output(t, n);
    a.x = in_place ? a.dx : x;
    tester_reference(t, &a);
    if (differ)
      check_gradient(t, kl, &a, x, n, a.dx, (double)*a.dloss);
  }
  tester_compare(t, &a, NULL);
}

static void test_kl(void **state) {
  (void)state;
  static const size_t rows[] = {0, 1, 3, 8}, classes[] = {1, 2, 15, 16, 17, 33, 70};
  for (int kind = 0; kind < 2; ++kind) {
    tester t;
    tester_init(&t, kind == LOSS ? kl_pair.loss : kl_pair.gradient);
    for (size_t i = 0; i < COUNT(rows); ++i)
      for (size_t j = 0; j < COUNT(classes); ++j)
        run_kl(&t, kind, rows[i], classes[j], 0, j % 2 ? 1 : 3, (i + j) % 2, true);
    for (size_t sequences = 1; sequences < 9; sequences += 3)
      for (size_t columns = 1; columns <= 3; ++columns)
        run_kl(&t, kind, 0, columns, sequences, columns == 2 ? 1 : 2, columns % 2, true);
    run_kl(&t, kind, 40, 1003, 0, 2, false, false);
    run_kl(&t, kind, 0, 2, 150, 2, false, false);
    tester_deinit(&t);
  }
}

static double mean(const double *x, size_t n, const void *context) {
  double sum = 0;
  (void)context;
  for (size_t i = 0; i < n; ++i)
    sum += x[i];
  return n > 0 ? sum / (double)n : 0;
}

static void test_mean(void **state) {
  (void)state;
  static const size_t counts[] = {0, 1, 15, 16, 17, 101, 150001};
  for (int kind = 0; kind < 2; ++kind) {
    tester t;
    tester_init(&t, kind == LOSS ? pith_mean_f32_kernels : pith_mean_grad_f32_kernels);
    for (size_t i = 0; i < COUNT(counts); ++i) {
      tester_begin(&t, "mean %d: %zu", kind, counts[i]);
      const float *x = tester_floats(&t, counts[i], -3, 3), *dloss = tester_floats(&t, 1, 0.5f, 2);
      const pith_mean_f32_args a = {x, counts[i], kind == LOSS ? tester_output(&t, 1) : NULL, dloss,
                                    kind == LOSS ? NULL : tester_output(&t, counts[i])};
      tester_reference(&t, &a);
      if (kind == LOSS)
        check_loss(&t, mean, &a, x, counts[i], a.loss);
      else if (counts[i] < 200)
        check_gradient(&t, mean, &a, x, counts[i], a.dx, (double)*dloss);
      tester_compare(&t, &a, NULL);
    }
    tester_deinit(&t);
  }
}

static void test_log(void **state) {
  (void)state;
  for (int e = -300; e < 300; ++e)
    for (int i = 0; i < 200; ++i) {
      const double x = ldexp(1 + i / 200.0, e), want = log(x);
      if (!(fabs(pith_log(x) - want) <= 4e-16 * fabs(want)))
        fail_msg("log %a is %a, not %a", x, pith_log(x), want);
    }
  assert_true(isnan(pith_log((double)NAN)) && pith_log(1) == 0);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_log),    cmocka_unit_test(test_golden),      cmocka_unit_test(test_cross_entropy),
      cmocka_unit_test(test_span),   cmocka_unit_test(test_elements),    cmocka_unit_test(test_cosine),
      cmocka_unit_test(test_cosine_bounded), cmocka_unit_test(test_kl),
      cmocka_unit_test(test_mean),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
