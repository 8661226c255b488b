/* Attention for training against the same in doubles, whose gradients are held against finite differences. */
#include <float.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ops/attention/attention_train_f32.h"
#include "tests/ops/dropout_reference.h"
#include "tests/ops/kernel_tester.h"

enum { MAX_SEQUENCES = 8 };

typedef struct train_case {
  const char *name;
  size_t queries[MAX_SEQUENCES], keys[MAX_SEQUENCES], sequences;
  size_t heads, head_size, value_size, gap; /* gap: elements added to each stride, different for each tensor */
  float range;                              /* of q and k */
  bool causal;
  float ratio;
} train_case;

/* ---- one sequence and head in doubles ------------------------------------------------------------------------------ */

typedef struct problem {
  size_t n, m, d, e; /* queries, keys, features, values */
  bool causal;
  double scale;
  double *q, *k, *v, *dy; /* [n, d], [m, d], [m, e], [n, e] */
  double *mask;           /* [n, m]: what each weight is multiplied by */
} problem;

static double *make_doubles(size_t count) {
  double *out = calloc(count + 1, sizeof *out);
  assert_non_null(out);
  return out;
}

static problem make_problem(size_t n, size_t m, size_t d, size_t e) {
  return (problem){.n = n, .m = m, .d = d, .e = e, .q = make_doubles(n * d), .k = make_doubles(m * d), .v = make_doubles(m * e),
                   .dy = make_doubles(n * e), .mask = make_doubles(n * m)};
}

static void free_problem(problem *p) {
  free(p->q);
  free(p->k);
  free(p->v);
  free(p->dy);
  free(p->mask);
}

static size_t visible_keys(const problem *p, size_t i) {
  const ptrdiff_t last = (ptrdiff_t)i + (ptrdiff_t)p->m - (ptrdiff_t)p->n;
  return !p->causal ? p->m : last < 0 ? 0 : (size_t)last + 1;
}

/* The softmax of query i before dropout, 0 where it does not see; returns the size of the largest score's terms. */
static double weigh_row(const problem *p, size_t i, double *weights) {
  const size_t visible = visible_keys(p, i);
  double max = -INFINITY, sum = 0, size = 0;
  for (size_t j = 0; j < p->m; ++j) {
    double dot = 0, terms = 0;
    for (size_t f = 0; f < p->d; ++f) {
      dot += p->q[i * p->d + f] * p->k[j * p->d + f];
      terms += fabs(p->q[i * p->d + f] * p->k[j * p->d + f]);
    }
    weights[j] = dot * p->scale;
    if (j < visible) {
      max = fmax(max, weights[j]);
      size = fmax(size, terms * p->scale);
    }
  }
  for (size_t j = 0; j < p->m; ++j)
    sum += weights[j] = j < visible ? exp(weights[j] - max) : 0;
  for (size_t j = 0; j < visible; ++j)
    weights[j] /= sum;
  return size;
}

/* y [n, e]; returns the sum of dy y. */
static double run_forward(const problem *p, double *y) {
  double *weights = make_doubles(p->m), loss = 0;
  for (size_t i = 0; i < p->n; ++i) {
    weigh_row(p, i, weights);
    for (size_t f = 0; f < p->e; ++f) {
      double sum = 0;
      for (size_t j = 0; j < p->m; ++j)
        sum += weights[j] * p->mask[i * p->m + j] * p->v[j * p->e + f];
      y[i * p->e + f] = sum;
      loss += sum * p->dy[i * p->e + f];
    }
  }
  free(weights);
  return loss;
}

/* Gradients, and how large each is as a sum of magnitudes, for what a float's errors make of it. */
typedef struct gradients {
  double *dq, *dk, *dv, *dq_size, *dk_size, *dv_size;
  double y_size, score_size; /* the largest of all */
} gradients;

static gradients run_backward(const problem *p) {
  gradients g = {make_doubles(p->n * p->d), make_doubles(p->m * p->d), make_doubles(p->m * p->e), make_doubles(p->n * p->d),
                 make_doubles(p->m * p->d), make_doubles(p->m * p->e), 0, 0};
  double *weights = make_doubles(p->m), *dp = make_doubles(p->m), *dp_size = make_doubles(p->m);
  for (size_t i = 0; i < p->n; ++i) {
    g.score_size = fmax(g.score_size, weigh_row(p, i, weights));
    double mean = 0, mean_size = 0;
    for (size_t j = 0; j < p->m; ++j) {
      const double mask = p->mask[i * p->m + j];
      dp[j] = dp_size[j] = 0;
      for (size_t f = 0; f < p->e; ++f) {
        const double dy = p->dy[i * p->e + f];
        dp[j] += mask * dy * p->v[j * p->e + f];
        dp_size[j] += mask * fabs(dy * p->v[j * p->e + f]);
        g.dv[j * p->e + f] += weights[j] * mask * dy;
        g.dv_size[j * p->e + f] += weights[j] * mask * fabs(dy);
      }
      mean += weights[j] * dp[j];
      mean_size += weights[j] * dp_size[j];
    }
    for (size_t j = 0; j < p->m; ++j) {
      const double ds = p->scale * weights[j] * (dp[j] - mean), size = p->scale * weights[j] * (dp_size[j] + mean_size);
      for (size_t f = 0; f < p->d; ++f) {
        g.dq[i * p->d + f] += ds * p->k[j * p->d + f];
        g.dq_size[i * p->d + f] += size * fabs(p->k[j * p->d + f]);
        g.dk[j * p->d + f] += ds * p->q[i * p->d + f];
        g.dk_size[j * p->d + f] += size * fabs(p->q[i * p->d + f]);
      }
    }
  }
  free(weights);
  free(dp);
  free(dp_size);
  return g;
}

static void free_gradients(gradients *g) {
  free(g->dq);
  free(g->dk);
  free(g->dv);
  free(g->dq_size);
  free(g->dk_size);
  free(g->dv_size);
}

/* ---- the reference's gradients are what the reference's values do ---------------------------------------------- */

static void check_differences(const problem *p, double *x, const double *dx, const double *size, size_t count, double *y) {
  const double h = 1e-5;
  for (size_t i = 0; i < count; ++i) {
    const double at = x[i];
    x[i] = at + h;
    const double above = run_forward(p, y);
    x[i] = at - h;
    const double below = run_forward(p, y);
    x[i] = at;
    if (!(fabs((above - below) / (2 * h) - dx[i]) <= 1e-7 * (1 + size[i])))
      fail_msg("the reference's derivative %zu is %g, by differences %g", i, dx[i], (above - below) / (2 * h));
  }
}

static void test_reference(void **state) {
  (void)state;
  tester t;
  tester_init(&t, pith_attention_grad_f32_kernels);
  for (size_t i = 0; i < 24; ++i) {
    problem p = make_problem(1 + tester_pick(&t, 6), 1 + tester_pick(&t, 6), 1 + tester_pick(&t, 5), 1 + tester_pick(&t, 5));
    p.causal = i % 2;
    p.scale = 0.7;
    double *const all[] = {p.q, p.k, p.v, p.dy}, *y = make_doubles(p.n * p.e);
    const size_t counts[] = {p.n * p.d, p.m * p.d, p.m * p.e, p.n * p.e};
    for (size_t a = 0; a < 4; ++a)
      for (size_t j = 0; j < counts[a]; ++j)
        all[a][j] = (double)tester_uniform(&t, -1, 1);
    for (size_t j = 0; j < p.n * p.m; ++j)
      p.mask[j] = i % 3 && tester_pick(&t, 4) == 0 ? 0 : 1.25;
    gradients g = run_backward(&p);
    check_differences(&p, p.q, g.dq, g.dq_size, counts[0], y);
    check_differences(&p, p.k, g.dk, g.dk_size, counts[1], y);
    check_differences(&p, p.v, g.dv, g.dv_size, counts[2], y);
    free_gradients(&g);
    free_problem(&p);
    free(y);
  }
}

/* ---- the kernels ------------------------------------------------------------------------------------------------- */

static size_t total(const size_t *lengths, size_t count) {
  size_t sum = 0;
  for (size_t i = 0; i < count; ++i)
    sum += lengths[i];
  return sum;
}

static size_t longest(const size_t *lengths, size_t count) {
  size_t max = 0;
  for (size_t i = 0; i < count; ++i)
    max = lengths[i] > max ? lengths[i] : max;
  return max;
}

static int32_t *make_offsets(tester *t, const size_t *lengths, size_t count) {
  int32_t *out = tester_memory(t, (count + 1) * sizeof *out, false);
  out[0] = 0;
  for (size_t i = 0; i < count; ++i)
    out[i + 1] = out[i] + (int32_t)lengths[i];
  return out;
}

static void begin(tester *t, const train_case *c) {
  tester_begin(t, "%s, queries %zu, %zu, %zu .., keys %zu, %zu, %zu .., %zu heads of %zu and %zu, gap %zu, range %g, causal %d, ratio %g",
               c->name, c->queries[0], c->queries[1], c->queries[2], c->keys[0], c->keys[1], c->keys[2], c->heads, c->head_size,
               c->value_size, c->gap, (double)c->range, c->causal, (double)c->ratio);
}

static pith_attention_train_f32_args make_args(tester *t, const train_case *c) {
  begin(t, c);
  const size_t nq = total(c->queries, c->sequences), nk = total(c->keys, c->sequences);
  const size_t f = c->heads * c->head_size, g = c->heads * c->value_size;
  pith_attention_f32_args a = {
      .q_stride = f + c->gap,
      .k_stride = f + 2 * c->gap,
      .v_stride = g + 3 * c->gap,
      .y_stride = g + c->gap,
      .q_offsets = make_offsets(t, c->queries, c->sequences),
      .kv_offsets = make_offsets(t, c->keys, c->sequences),
      .sequences = c->sequences,
      .heads = c->heads,
      .head_size = c->head_size,
      .value_size = c->value_size,
      .scale = 1.0f / sqrtf((float)(c->head_size > 0 ? c->head_size : 1)),
      .causal = c->causal,
      .max_keys = longest(c->keys, c->sequences),
  };
  a.y = tester_output(t, tester_span(nq, g, a.y_stride));
  a.q = tester_floats(t, tester_span(nq, f, a.q_stride), -c->range, c->range);
  a.k = tester_floats(t, tester_span(nk, f, a.k_stride), -c->range, c->range);
  a.v = tester_floats(t, tester_span(nk, g, a.v_stride), -1, 1);
  int32_t *key = tester_memory(t, 4 * sizeof *key, false);
  for (size_t i = 0; i < 4; ++i)
    key[i] = (int32_t)tester_random(t);
  return (pith_attention_train_f32_args){.attention = a,
                                         .statistics = tester_output(t, nq * c->heads * 2),
                                         .dropout = {.ratio = c->ratio,
                                                     .operator_index = tester_random(t),
                                                     .key = c->ratio > 0 ? key : NULL}};
}

static float *copy_floats(tester *t, const float *from, size_t count) {
  float *out = tester_memory(t, count * sizeof *out, false);
  if (count > 0)
    memcpy(out, from, count * sizeof *out);
  return out;
}

/* Backward after a forward run, with what that read and wrote in buffers of its own. */
static pith_attention_grad_f32_args make_grad_args(tester *t, const train_case *c, const pith_attention_train_f32_args *forward) {
  begin(t, c);
  const size_t nq = total(c->queries, c->sequences), nk = total(c->keys, c->sequences);
  const size_t f = c->heads * c->head_size, g = c->heads * c->value_size;
  pith_attention_grad_f32_args out = {.forward = *forward, .dy_stride = g + 2 * c->gap, .dq_stride = f + 4 * c->gap,
                                      .dk_stride = f + 3 * c->gap, .dv_stride = g + c->gap};
  pith_attention_f32_args *a = &out.forward.attention;
  out.dq = tester_output(t, tester_span(nq, f, out.dq_stride));
  out.dk = tester_output(t, tester_span(nk, f, out.dk_stride));
  out.dv = tester_output(t, tester_span(nk, g, out.dv_stride));
  out.dy = tester_floats(t, tester_span(nq, g, out.dy_stride), -1, 1);
  a->q = copy_floats(t, a->q, tester_span(nq, f, a->q_stride));
  a->k = copy_floats(t, a->k, tester_span(nk, f, a->k_stride));
  a->v = copy_floats(t, a->v, tester_span(nk, g, a->v_stride));
  a->y = copy_floats(t, a->y, tester_span(nq, g, a->y_stride));
  out.forward.statistics = copy_floats(t, forward->statistics, nq * c->heads * 2);
  return out;
}

static void take_rows(double *out, const float *from, size_t stride, size_t first, size_t rows, size_t column, size_t columns) {
  for (size_t i = 0; i < rows; ++i)
    for (size_t j = 0; j < columns; ++j)
      out[i * columns + j] = (double)from[(first + i) * stride + column + j];
}

/* The mask is that of groups of 8 queries x 16 keys (ops/attention/attention_mask.h). */
static problem take_problem(const pith_attention_grad_f32_args *g, size_t s, size_t h) {
  const pith_attention_f32_args *a = &g->forward.attention;
  const pith_dropout *dropout = &g->forward.dropout;
  const size_t q0 = (size_t)a->q_offsets[s], k0 = (size_t)a->kv_offsets[s];
  problem p = make_problem((size_t)a->q_offsets[s + 1] - q0, (size_t)a->kv_offsets[s + 1] - k0, a->head_size, a->value_size);
  p.causal = a->causal;
  p.scale = (double)a->scale;
  take_rows(p.q, a->q, a->q_stride, q0, p.n, h * p.d, p.d);
  take_rows(p.k, a->k, a->k_stride, k0, p.m, h * p.d, p.d);
  take_rows(p.v, a->v, a->v_stride, k0, p.m, h * p.e, p.e);
  take_rows(p.dy, g->dy, g->dy_stride, q0, p.n, h * p.e, p.e);
  const size_t down = (p.n + 7) / 8, across = (p.m + 15) / 16;
  for (size_t i = 0; i < p.n; ++i)
    for (size_t j = 0; j < p.m; ++j)
      p.mask[i * p.m + j] = dropout->ratio == 0.0f ? 1
                            : reference_keeps(dropout, s, (h * down + i / 8) * across + j / 16, i % 8, j % 16)
                                ? (double)reference_factor(dropout)
                                : 0;
  return p;
}

static void check_near(tester *t, const char *what, const float *got, size_t stride, size_t first, size_t column, const double *want,
                       const double *size, size_t rows, size_t columns, double error) {
  for (size_t i = 0; i < rows; ++i)
    for (size_t j = 0; j < columns; ++j)
      tester_check_near(t, what, first + i, column + j, (double)got[(first + i) * stride + column + j], want[i * columns + j],
                        error * (size[i * columns + j] + 1e-30));
}

static void check_reference(tester *t, const pith_attention_grad_f32_args *g) {
  const pith_attention_f32_args *a = &g->forward.attention;
  for (size_t s = 0; s < a->sequences; ++s)
    for (size_t h = 0; h < a->heads; ++h) {
      problem p = take_problem(g, s, h);
      const size_t q0 = (size_t)a->q_offsets[s], k0 = (size_t)a->kv_offsets[s];
      double *y = make_doubles(p.n * p.e), *y_size = make_doubles(p.n * p.e);
      run_forward(&p, y);
      for (size_t i = 0; i < p.n * p.e; ++i)
        y_size[i] = g->forward.dropout.ratio > 0 ? (double)reference_factor(&g->forward.dropout) : 1;
      gradients want = run_backward(&p);
      /* scores err by about 2^-24 sqrt(head_size) of their terms' size, the rest by a few 2^-24 */
      const double error = 1.2e-7 * (8 + 2 * want.score_size * (1 + sqrt((double)p.d)) + sqrt((double)(p.n + p.m)));
      check_near(t, "y", a->y, a->y_stride, q0, h * p.e, y, y_size, p.n, p.e, error);
      check_near(t, "dq", g->dq, g->dq_stride, q0, h * p.d, want.dq, want.dq_size, p.n, p.d, error);
      check_near(t, "dk", g->dk, g->dk_stride, k0, h * p.d, want.dk, want.dk_size, p.m, p.d, error);
      check_near(t, "dv", g->dv, g->dv_stride, k0, h * p.e, want.dv, want.dv_size, p.m, p.e, error);
      free_gradients(&want);
      free_problem(&p);
      free(y);
      free(y_size);
    }
}

typedef struct testers {
  tester forward, backward;
} testers;

static void testers_init(testers *t) {
  tester_init(&t->forward, pith_attention_train_f32_kernels);
  tester_init(&t->backward, pith_attention_grad_f32_kernels);
}
static void testers_deinit(testers *t) {
  tester_deinit(&t->forward);
  tester_deinit(&t->backward);
}

static void run_case(testers *t, const train_case *c) {
  const size_t nq = total(c->queries, c->sequences), nk = total(c->keys, c->sequences);
  const pith_attention_train_f32_args a = make_args(&t->forward, c);
  tester_reference(&t->forward, &a);
  const pith_attention_grad_f32_args g = make_grad_args(&t->backward, c, &a);
  tester_check_gaps(&t->forward, a.attention.y, nq, c->heads * c->value_size, a.attention.y_stride);
  tester_compare(&t->forward, &a, NULL);
  tester_reference(&t->backward, &g);
  check_reference(&t->backward, &g);
  tester_check_gaps(&t->backward, g.dq, nq, c->heads * c->head_size, g.dq_stride);
  tester_check_gaps(&t->backward, g.dk, nk, c->heads * c->head_size, g.dk_stride);
  tester_check_gaps(&t->backward, g.dv, nk, c->heads * c->value_size, g.dv_stride);
  tester_compare(&t->backward, &g, NULL);
}

static void test_sizes(void **state) {
  (void)state;
  testers t;
  testers_init(&t);
  static const size_t lengths[] = {1, 2, 7, 8, 9, 13, 15, 16, 17, 25, 33, 53, 64, 65, 97, 129};
  static const size_t heads[] = {1, 2, 3, 8, 15, 16, 17, 31, 33, 48, 64, 65, 96, 127};
  for (size_t i = 0; i < sizeof lengths / sizeof *lengths; ++i) /* every length at the two common sizes */
    for (size_t size = 32; size <= 64; size *= 2)
      run_case(&t, &(train_case){"length", {lengths[i]}, {lengths[i]}, 1, 1, size, size, 0, 2, i % 2, size == 32 ? 0.1f : 0});
  for (size_t i = 0; i < sizeof heads / sizeof *heads; ++i) { /* every head size, as features and as values */
    run_case(&t, &(train_case){"head", {19}, {21}, 1, 2, heads[i], 5, i % 2 * 7, 2, false, 0.25f});
    run_case(&t, &(train_case){"value", {26}, {18}, 1, 2, 4, heads[i], i % 2 * 5, 2, false, 0.5f});
  }
  for (size_t i = 0; i < 60; ++i) { /* anything */
    static const float ratios[] = {0, 0.1f, 0.5f, 1};
    train_case c = {.name = "random", .sequences = 1 + tester_pick(&t.forward, MAX_SEQUENCES),
                    .heads = 1 + tester_pick(&t.forward, 3), .head_size = 1 + tester_pick(&t.forward, 40),
                    .value_size = 1 + tester_pick(&t.forward, 40), .gap = tester_pick(&t.forward, 9), .range = 2,
                    .causal = tester_pick(&t.forward, 2), .ratio = ratios[tester_pick(&t.forward, 4)]};
    for (size_t s = 0; s < c.sequences; ++s) {
      c.queries[s] = tester_pick(&t.forward, 40);
      c.keys[s] = tester_pick(&t.forward, 2) ? c.queries[s] : tester_pick(&t.forward, 40);
    }
    run_case(&t, &c);
  }
  testers_deinit(&t);
}

/* Several blocks of queries and parts of a head, and one of each beside sequences of one block. */
static void test_long(void **state) {
  (void)state;
  testers t;
  testers_init(&t);
  run_case(&t, &(train_case){"blocks", {211}, {223}, 1, 1, 32, 32, 0, 2, false, 0.1f});
  run_case(&t, &(train_case){"causal blocks", {211}, {223}, 1, 1, 17, 32, 1, 2, true, 0.1f});
  run_case(&t, &(train_case){"causal blocks, fewer keys", {300}, {223}, 1, 1, 8, 8, 1, 2, true, 0});
  run_case(&t, &(train_case){"uneven", {3, 150, 1, 40}, {3, 150, 1, 40}, 4, 2, 32, 32, 3, 2, false, 0.1f});
  run_case(&t, &(train_case){"many keys", {21, 2}, {2100, 3}, 2, 1, 8, 8, 0, 2, false, 0.1f});
  testers_deinit(&t);
}

static void test_empty(void **state) {
  (void)state;
  testers t;
  testers_init(&t);
  run_case(&t, &(train_case){"no sequence", {0}, {0}, 0, 2, 32, 32, 0, 2, false, 0.1f});
  run_case(&t, &(train_case){"no query", {0, 3}, {5, 3}, 2, 2, 8, 8, 3, 2, false, 0.1f});
  run_case(&t, &(train_case){"no key: zeros", {4, 3}, {0, 3}, 2, 2, 8, 8, 3, 2, false, 0.1f});
  run_case(&t, &(train_case){"neither", {0, 0, 1}, {0, 0, 1}, 3, 2, 8, 8, 0, 2, false, 0});
  run_case(&t, &(train_case){"no head", {4}, {4}, 1, 0, 8, 8, 3, 2, false, 0.1f});
  run_case(&t, &(train_case){"no feature: the mean", {4}, {5}, 1, 2, 0, 8, 0, 2, false, 0.1f});
  run_case(&t, &(train_case){"causal, early queries see nothing", {40}, {7}, 1, 2, 8, 8, 0, 2, true, 0.1f});
  run_case(&t, &(train_case){"single tokens", {1, 1, 1, 1}, {1, 1, 1, 1}, 4, 3, 32, 32, 0, 2, false, 0.1f});
  run_case(&t, &(train_case){"all drops", {9}, {9}, 1, 2, 16, 16, 0, 2, false, 1});
  run_case(&t, &(train_case){"sharp", {40}, {40}, 1, 2, 32, 32, 0, 9, false, 0.1f});
  testers_deinit(&t);
}

/* The largest score and 1 / sum, the latter 0 where nothing is seen. */
static void test_statistics(void **state) {
  (void)state;
  testers t;
  testers_init(&t);
  const train_case c = {"statistics", {21, 7, 30}, {30, 7, 6}, 3, 2, 20, 4, 0, 2, true, 0.5f};
  const pith_attention_train_f32_args a = make_args(&t.forward, &c);
  tester_reference(&t.forward, &a);
  const pith_attention_grad_f32_args g = make_grad_args(&t.backward, &c, &a);
  for (size_t s = 0; s < c.sequences; ++s)
    for (size_t h = 0; h < c.heads; ++h) {
      problem p = take_problem(&g, s, h);
      double *weights = make_doubles(p.m);
      for (size_t i = 0; i < p.n; ++i) {
        const size_t token = (size_t)a.attention.q_offsets[s] + i;
        const float *got = a.statistics + (token * c.heads + h) * 2;
        weigh_row(&p, i, weights);
        double most = 0; /* the largest weight is 2^0 / sum */
        for (size_t j = 0; j < visible_keys(&p, i); ++j)
          most = fmax(most, weights[j]);
        tester_check_near(&t.forward, "1 / sum", token, h, (double)got[1], most, 4e-6);
        if (visible_keys(&p, i) > 0) {
          double score = -INFINITY;
          for (size_t j = 0; j < visible_keys(&p, i); ++j) {
            double dot = 0;
            for (size_t f = 0; f < p.d; ++f)
              dot += p.q[i * p.d + f] * p.k[j * p.d + f];
            score = fmax(score, dot * p.scale / log(2));
          }
          tester_check_near(&t.forward, "largest", token, h, (double)got[0], score, 4e-6 * (1 + fabs(score)));
        }
      }
      free(weights);
      free_problem(&p);
    }
  tester_compare(&t.forward, &a, NULL);
  tester_reference(&t.backward, &g);
  tester_compare(&t.backward, &g, NULL);
  testers_deinit(&t);
}

/* A NaN stays in its sequence and head. */
static void test_nan(void **state) {
  (void)state;
  testers t;
  testers_init(&t);
  const train_case c = {"NaN", {20, 20, 20}, {20, 20, 20}, 3, 2, 32, 32, 0, 2, false, 0.1f};
  const pith_attention_train_f32_args a = make_args(&t.forward, &c);
  ((float *)(uintptr_t)a.attention.q)[25 * a.attention.q_stride + 3] = NAN; /* sequence 1, query 5, head 0 */
  tester_reference(&t.forward, &a);
  const pith_attention_grad_f32_args g = make_grad_args(&t.backward, &c, &a);
  tester_reference(&t.backward, &g);
  for (size_t row = 0; row < 60; ++row)
    for (size_t f = 0; f < 64; ++f) {
      const bool here = row >= 20 && row < 40 && f < 32;
      if ((isnan(a.attention.y[row * 64 + f]) != 0) != (here && row == 25) ||
          (isnan(g.dq[row * 64 + f]) != 0) != (here && row == 25) || (isnan(g.dk[row * 64 + f]) != 0) != here ||
          (isnan(g.dv[row * 64 + f]) && !here))
        tester_fail(&t.backward, "row %zu, feature %zu: y %g, dq %g, dk %g, dv %g", row, f, (double)a.attention.y[row * 64 + f],
                    (double)g.dq[row * 64 + f], (double)g.dk[row * 64 + f], (double)g.dv[row * 64 + f]);
    }
  tester_compare(&t.forward, &a, NULL);
  tester_compare(&t.backward, &g, NULL);
  testers_deinit(&t);
}

static void run_row(const pith_kernel *kernel, const void *args) {
  void *scratch = aligned_alloc(64, (kernel->get_scratch_bytes(args) + 63) / 64 * 64);
  assert_non_null(scratch);
  pith_kernel_run_all(kernel, args, scratch);
  free(scratch);
}

/* Every sequence alone, under its number, gives the bits that it has in the batch, forward and backward. */
static void test_alone(void **state) {
  (void)state;
  testers t;
  testers_init(&t);
  for (int causal = 0; causal < 2; ++causal) {
    const train_case c = {"alone", {17, 64, 5, 150}, {17, 64, 5, 150}, 4, 2, 32, 32, 0, 2, causal, 0.1f};
    enum { FEATURES = 64 };
    const pith_attention_train_f32_args a = make_args(&t.forward, &c);
    tester_reference(&t.forward, &a);
    const pith_attention_grad_f32_args g = make_grad_args(&t.backward, &c, &a);
    tester_compare(&t.forward, &a, NULL);
    tester_reference(&t.backward, &g);
    tester_compare(&t.backward, &g, NULL);
    for (size_t s = 0; s < c.sequences; ++s) {
      const size_t first = (size_t)a.attention.q_offsets[s] * FEATURES, count = c.queries[s] * FEATURES;
      const int32_t offsets[2] = {0, (int32_t)c.queries[s]};
      const int32_t *key = a.dropout.key;
      const int32_t own_key[4] = {key[0], key[1], key[2], (int32_t)((uint32_t)key[3] + (uint32_t)s)};
      float *out = calloc(4 * count, sizeof *out);
      assert_non_null(out);
      pith_attention_grad_f32_args one = g;
      one.forward.attention.q += first;
      one.forward.attention.k += first;
      one.forward.attention.v += first;
      one.forward.attention.y = out;
      one.forward.attention.q_offsets = one.forward.attention.kv_offsets = offsets;
      one.forward.attention.sequences = 1;
      one.forward.attention.max_keys = c.keys[s];
      one.forward.statistics += first / FEATURES * 4;
      one.forward.dropout.key = own_key;
      one.dy += first;
      one.dq = out + count;
      one.dk = out + 2 * count;
      one.dv = out + 3 * count;
      for (size_t row = 0; t.forward.table[row]; ++row) {
        if ((t.forward.table[row]->needs & ~pith_cpu_detect()) != 0)
          continue;
        run_row(t.forward.table[row], &one.forward);
        run_row(t.backward.table[row], &one);
        if (memcmp(out, a.attention.y + first, count * sizeof *out) != 0 || memcmp(one.dq, g.dq + first, count * sizeof *out) != 0 ||
            memcmp(one.dk, g.dk + first, count * sizeof *out) != 0 || memcmp(one.dv, g.dv + first, count * sizeof *out) != 0)
          tester_fail(&t.backward, "%s: sequence %zu alone differs", t.backward.table[row]->name, s);
      }
      free(out);
    }
  }
  testers_deinit(&t);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_reference), cmocka_unit_test(test_sizes), cmocka_unit_test(test_long), cmocka_unit_test(test_empty),
      cmocka_unit_test(test_statistics), cmocka_unit_test(test_nan), cmocka_unit_test(test_alone),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
