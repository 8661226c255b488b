/* The bodies of the losses over a softmax; included after a v16 header. */
#include <stdbool.h>
#include <string.h>

#include "ops/loss/loss_f32.h"
#include "ops/loss/loss_internal.h"
#include "ops/loss/loss_rows.h"
#include "ops/split.h"

enum { LOSS_COST = 6 }; /* passes over an element */

static size_t loss_one_task(const void *args, size_t threads) {
  (void)args, (void)threads;
  return 1;
}

static double loss_row_log(loss_row row) { /* of the sum of e^x */
  return (double)row.max + pith_log((double)row.sum);
}

/* ---- softmax cross entropy ------------------------------------------------------------------------------------------ */

static double cross_entropy_weight(const pith_softmax_cross_entropy_f32_args *a, size_t row) {
  return a->labels[row] == PITH_LABEL_IGNORED ? 0 : a->class_weights ? (double)a->class_weights[a->labels[row]] : 1;
}

static double cross_entropy_total(const pith_softmax_cross_entropy_f32_args *a) {
  double total = 0;
  for (size_t row = 0; row < a->rows; ++row)
    total += cross_entropy_weight(a, row);
  return total;
}

static double class_weights_total(const pith_softmax_cross_entropy_f32_args *a) {
  double total = 0;
  for (size_t c = 0; a->class_weights && c < a->classes; ++c)
    total += (double)a->class_weights[c];
  return a->class_weights ? total : (double)a->classes;
}

/* The sum over c of w[c] (max - x[c]). */
static double cross_entropy_distance(const pith_softmax_cross_entropy_f32_args *a, const float *x, float max) {
  const size_t n = a->classes, whole = n / 16 * 16;
  const m16 tail = m16_first(n - whole);
  v16 sum = v16_set(0.0f);
  for (size_t i = 0; i < n; i += 16) {
    const v16 d = v16_sub(v16_set(max), loss_load(x + i, i < whole, tail));
    const v16 w = a->class_weights ? loss_load(a->class_weights + i, i < whole, tail) : v16_set(1.0f);
    sum = i < whole ? v16_fma(w, d, sum) : v16_select(tail, v16_fma(w, d, sum), sum);
  }
  return (double)v16_sum(sum);
}

static size_t cross_entropy_scratch_bytes(const void *args) {
  const pith_softmax_cross_entropy_f32_args *a = args;
  return a->classes * sizeof(float);
}

static void cross_entropy_run(const void *args, size_t threads, size_t task, void *scratch) {
  (void)threads, (void)task;
  const pith_softmax_cross_entropy_f32_args *a = args;
  const double total = cross_entropy_total(a), share = (double)a->smoothing / (double)a->classes;
  const double class_total = class_weights_total(a);
  double sum = 0;
  for (size_t r = 0; r < a->rows; ++r) {
    if (a->labels[r] == PITH_LABEL_IGNORED)
      continue;
    const float *x = a->x + r * a->classes;
    const loss_row row = loss_row_exp(x, scratch, a->classes);
    sum += (1 - (double)a->smoothing) * cross_entropy_weight(a, r) * (loss_row_log(row) - (double)x[a->labels[r]]);
    if (a->smoothing > 0)
      sum += share * (cross_entropy_distance(a, x, row.max) + class_total * pith_log((double)row.sum));
  }
  *a->loss = total > 0 ? (float)(sum / total) : 0;
}

const pith_kernel V16_NAME(pith_softmax_cross_entropy_f32) = {
    .name = "softmax_cross_entropy_f32_" V16_ISA_TEXT,
    .needs = V16_NEEDS,
    .count_tasks = loss_one_task,
    .get_scratch_bytes = cross_entropy_scratch_bytes,
    .run = cross_entropy_run,
};

static size_t cross_entropy_grad_count(const void *args, size_t threads) {
  const pith_softmax_cross_entropy_f32_args *a = args;
  return a->classes == 0 ? 0 : pith_split_count(a->rows, LOSS_COST * a->classes, threads);
}

/* dx[c] = scale ((1 - s) w[label] (p[c] - (c is label)) + s / classes (p[c] * sum of w - w[c])), s the smoothing. */
static void cross_entropy_grad_run(const void *args, size_t threads, size_t task, void *scratch) {
  (void)scratch;
  const pith_softmax_cross_entropy_f32_args *a = args;
  const size_t count = cross_entropy_grad_count(args, threads), end = pith_split_begin(a->rows, count, task + 1);
  const double total = cross_entropy_total(a), scale = total > 0 ? (double)*a->dloss / total : 0;
  const double share = (double)a->smoothing / (double)a->classes, class_total = class_weights_total(a);
  for (size_t r = pith_split_begin(a->rows, count, task); r < end; ++r) {
    float *dx = a->dx + r * a->classes;
    if (a->labels[r] == PITH_LABEL_IGNORED || total == 0) {
      memset(dx, 0, a->classes * sizeof *dx);
      continue;
    }
    const double label = scale * (1 - (double)a->smoothing) * cross_entropy_weight(a, r);
    const loss_row row = loss_row_exp(a->x + r * a->classes, dx, a->classes);
    const float factor = (float)((label + scale * share * class_total) / (double)row.sum);
    loss_combine(dx, factor, a->smoothing > 0 ? a->class_weights : NULL, (float)(-scale * share), dx, a->classes);
    for (size_t c = 0; a->smoothing > 0 && !a->class_weights && c < a->classes; ++c)
      dx[c] -= (float)(scale * share);
    dx[a->labels[r]] -= (float)label;
  }
}

const pith_kernel V16_NAME(pith_softmax_cross_entropy_grad_f32) = {
    .name = "softmax_cross_entropy_grad_f32_" V16_ISA_TEXT,
    .needs = V16_NEEDS,
    .count_tasks = cross_entropy_grad_count,
    .run = cross_entropy_grad_run,
};

/* ---- span cross entropy --------------------------------------------------------------------------------------------- */

static size_t span_count_labels(const pith_span_cross_entropy_f32_args *a) {
  size_t count = 0;
  for (size_t i = 0; i < a->sequences * a->columns; ++i)
    count += a->labels[i] != PITH_LABEL_IGNORED;
  return count;
}

/* A column of a sequence, one element after the other. */
static size_t span_scratch_bytes(const void *args) {
  const pith_span_cross_entropy_f32_args *a = args;
  return a->tokens * sizeof(float);
}

static loss_row span_row_exp(const pith_span_cross_entropy_f32_args *a, size_t sequence, size_t column, float *e) {
  const size_t first = (size_t)a->offsets[sequence], n = (size_t)a->offsets[sequence + 1] - first;
  for (size_t t = 0; t < n; ++t)
    e[t] = a->x[(first + t) * a->columns + column];
  return loss_row_exp(e, e, n);
}

static void span_run(const void *args, size_t threads, size_t task, void *scratch) {
  (void)threads, (void)task;
  const pith_span_cross_entropy_f32_args *a = args;
  const size_t count = span_count_labels(a);
  double sum = 0;
  for (size_t s = 0; s < a->sequences; ++s)
    for (size_t c = 0; c < a->columns; ++c) {
      const int32_t label = a->labels[s * a->columns + c];
      if (label != PITH_LABEL_IGNORED)
        sum += loss_row_log(span_row_exp(a, s, c, scratch)) -
               (double)a->x[(size_t)(a->offsets[s] + label) * a->columns + c];
    }
  *a->loss = count > 0 ? (float)(sum / (double)count) : 0;
}

const pith_kernel V16_NAME(pith_span_cross_entropy_f32) = {
    .name = "span_cross_entropy_f32_" V16_ISA_TEXT,
    .needs = V16_NEEDS,
    .count_tasks = loss_one_task,
    .get_scratch_bytes = span_scratch_bytes,
    .run = span_run,
};

static size_t span_grad_count(const void *args, size_t threads) {
  const pith_span_cross_entropy_f32_args *a = args;
  const size_t cost = a->sequences > 0 ? LOSS_COST * a->tokens * a->columns / a->sequences : 0;
  return pith_split_count(a->sequences, cost, threads);
}

static void span_grad_run(const void *args, size_t threads, size_t task, void *scratch) {
  const pith_span_cross_entropy_f32_args *a = args;
  const size_t tasks = span_grad_count(args, threads), end = pith_split_begin(a->sequences, tasks, task + 1);
  const size_t count = span_count_labels(a);
  const double scale = count > 0 ? (double)*a->dloss / (double)count : 0;
  float *e = scratch;
  for (size_t s = pith_split_begin(a->sequences, tasks, task); s < end; ++s)
    for (size_t c = 0; c < a->columns; ++c) {
      const int32_t label = a->labels[s * a->columns + c];
      const size_t first = (size_t)a->offsets[s], n = (size_t)a->offsets[s + 1] - first;
      const float factor = label == PITH_LABEL_IGNORED ? 0 : (float)(scale / (double)span_row_exp(a, s, c, e).sum);
      for (size_t t = 0; t < n; ++t)
        a->dx[(first + t) * a->columns + c] = label == PITH_LABEL_IGNORED ? 0 : e[t] * factor;
      if (label != PITH_LABEL_IGNORED)
        a->dx[(first + (size_t)label) * a->columns + c] -= (float)scale;
    }
}

const pith_kernel V16_NAME(pith_span_cross_entropy_grad_f32) = {
    .name = "span_cross_entropy_grad_f32_" V16_ISA_TEXT,
    .needs = V16_NEEDS,
    .count_tasks = span_grad_count,
    .get_scratch_bytes = span_scratch_bytes,
    .run = span_grad_run,
};

/* ---- KL divergence -------------------------------------------------------------------------------------------------- */

/* Where the elements of a softmax stand: a row, or a column of a sequence. */
typedef struct kl_place {
  size_t first, stride, n;
} kl_place;

static size_t kl_count(const pith_kl_divergence_f32_args *a) {
  return a->sequences > 0 ? a->sequences * a->classes : a->rows;
}

static kl_place kl_get_place(const pith_kl_divergence_f32_args *a, size_t i) {
  if (a->sequences == 0)
    return (kl_place){i * a->classes, 1, a->classes};
  const size_t first = (size_t)a->offsets[i / a->classes], end = (size_t)a->offsets[i / a->classes + 1];
  return (kl_place){first * a->classes + i % a->classes, a->classes, end - first};
}

/* out[i] = factor * x[i], one after the other. */
static void kl_take(const float *x, kl_place at, float factor, float *out) {
  if (at.stride == 1)
    loss_combine(x + at.first, factor, NULL, 0, out, at.n);
  else
    for (size_t i = 0; i < at.n; ++i)
      out[i] = factor * x[at.first + i * at.stride];
}

/* Elements of the student and those of the teacher. */
static size_t kl_scratch_bytes(const void *args) {
  const pith_kl_divergence_f32_args *a = args;
  return 2 * (a->sequences > 0 ? a->rows : a->classes) * sizeof(float);
}

static void kl_run(const void *args, size_t threads, size_t task, void *scratch) {
  (void)threads, (void)task;
  const pith_kl_divergence_f32_args *a = args;
  const size_t count = kl_count(a);
  double sum = 0;
  for (size_t r = 0; r < count; ++r) {
    const kl_place at = kl_get_place(a, r);
    float *student = scratch, *teacher = student + at.n;
    kl_take(a->teacher, at, 1 / a->temperature, teacher);
    kl_take(a->x, at, 1 / a->temperature, student);
    sum += loss_row_divergence(student, teacher, at.n);
  }
  const double factor = (double)a->temperature * (double)a->temperature;
  *a->loss = count > 0 ? (float)(factor * sum / (double)count) : 0;
}

const pith_kernel V16_NAME(pith_kl_divergence_f32) = {
    .name = "kl_divergence_f32_" V16_ISA_TEXT,
    .needs = V16_NEEDS,
    .count_tasks = loss_one_task,
    .get_scratch_bytes = kl_scratch_bytes,
    .run = kl_run,
};

static size_t kl_grad_count(const void *args, size_t threads) {
  const pith_kl_divergence_f32_args *a = args;
  const size_t rows = kl_count(a);
  return a->classes == 0 || rows == 0 ? 0 : pith_split_count(rows, 2 * LOSS_COST * a->rows * a->classes / rows, threads);
}

/* dx = dloss T / rows (p - q). */
static void kl_grad_run(const void *args, size_t threads, size_t task, void *scratch) {
  const pith_kl_divergence_f32_args *a = args;
  const size_t rows = kl_count(a), count = kl_grad_count(args, threads), end = pith_split_begin(rows, count, task + 1);
  const double scale = (double)*a->dloss * (double)a->temperature / (double)rows;
  for (size_t r = pith_split_begin(rows, count, task); r < end; ++r) {
    const kl_place at = kl_get_place(a, r);
    float *student = scratch, *teacher = student + at.n, *dx = at.stride == 1 ? a->dx + at.first : student;
    kl_take(a->teacher, at, 1 / a->temperature, teacher);
    kl_take(a->x, at, 1 / a->temperature, student);
    loss_row_divergence_grad(student, teacher, scale, dx, at.n);
    for (size_t i = 0; i < at.n && at.stride != 1; ++i)
      a->dx[at.first + i * at.stride] = dx[i];
  }
}

const pith_kernel V16_NAME(pith_kl_divergence_grad_f32) = {
    .name = "kl_divergence_grad_f32_" V16_ISA_TEXT,
    .needs = V16_NEEDS,
    .count_tasks = kl_grad_count,
    .get_scratch_bytes = kl_scratch_bytes,
    .run = kl_grad_run,
};
