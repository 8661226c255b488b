/* What losses over a softmax do with a row; included after a v16 header. */
#ifndef PITH_OPS_LOSS_ROWS_H
#define PITH_OPS_LOSS_ROWS_H

#include <stdbool.h>

#include "ops/math/log.h"
#include "ops/normalize/softmax_rows.h"

V16_INLINE void loss_power(v16 *x, size_t count) {
  PITH_UNROLL
  for (size_t i = 0; i < count; ++i)
    x[i] = v16_exp_nonpositive(x[i]);
}

typedef struct loss_row {
  float max, sum;
} loss_row;

/* e[i] = e^(x[i] - max); their sum. e may be x. */
static loss_row loss_row_exp(const float *x, float *e, size_t n) {
  loss_row row = {.max = v16_largest(softmax_row_max(x, n))}; /* where x has a NaN, the sum is NaN whatever this is */
  row.sum = v16_sum(softmax_row_power(x, e, n, false, row.max, loss_power));
  return row;
}

V16_INLINE v16 loss_load(const float *p, bool whole, m16 tail) {
  return whole ? v16_load(p) : v16_load_masked(tail, p);
}

/* y[i] = a x[i] + b z[i]; z may be NULL. y may be x or z. */
static void loss_combine(const float *x, float a, const float *z, float b, float *y, size_t n) {
  const size_t whole = n / 16 * 16;
  const m16 tail = m16_first(n - whole);
  const v16 va = v16_set(a), vb = v16_set(b);
  for (size_t i = 0; i < n; i += 16) {
    v16 out = v16_mul(va, loss_load(x + i, i < whole, tail));
    if (z)
      out = v16_fma(vb, loss_load(z + i, i < whole, tail), out);
    if (i < whole)
      v16_store(y + i, out);
    else
      v16_store_masked(tail, y + i, out);
  }
}

/* The sum over c of e^(t - max t) ((t - max t) - (x - max x)), both rows already over T. */
static double loss_row_moved(const float *student, const float *teacher, float student_max, size_t n, loss_row *out_teacher) {
  const size_t whole = n / 16 * 16;
  const m16 tail = m16_first(n - whole);
  const v16 teacher_max = v16_set(v16_largest(softmax_row_max(teacher, n)));
  v16 sum = v16_set(0.0f), total = sum;
  for (size_t i = 0; i < n; i += 16) {
    const v16 z = v16_sub(v16_set(student_max), loss_load(student + i, i < whole, tail));
    const v16 t = v16_sub(loss_load(teacher + i, i < whole, tail), teacher_max);
    const v16 e = v16_exp_nonpositive(t);
    const v16 next = v16_fma(e, v16_add(t, z), sum), next_total = v16_add(total, e);
    sum = i < whole ? next : v16_select(tail, next, sum);
    total = i < whole ? next_total : v16_select(tail, next_total, total);
  }
  *out_teacher = (loss_row){.sum = v16_sum(total)};
  return (double)v16_sum(sum);
}

/* KL(softmax teacher || softmax student); e of the student is left in its place. */
static double loss_row_divergence(float *student, const float *teacher, size_t n) {
  loss_row t;
  const float max = v16_largest(softmax_row_max(student, n));
  const double moved = loss_row_moved(student, teacher, max, n, &t);
  const loss_row z = loss_row_exp(student, student, n);
  return moved / (double)t.sum - pith_log((double)t.sum) + pith_log((double)z.sum);
}

/* dx = scale (softmax student - softmax teacher), which is scale times the derivative of the divergence by the student's row; both rows are
 * overwritten. dx may be `student`. */
static void loss_row_divergence_grad(float *student, float *teacher, double scale, float *dx, size_t n) {
  const loss_row q = loss_row_exp(teacher, teacher, n), p = loss_row_exp(student, student, n);
  loss_combine(student, (float)(scale / (double)p.sum), teacher, (float)(-scale / (double)q.sum), dx, n);
}

#endif
