#include <float.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ops/attention/attention_u8s8.h"
#include "tests/ops/kernel_tester.h"

enum { MAX_SEQUENCES = 8 };

typedef enum fill {
  FILL_RANDOM,  /* every value of the type; dynamic: floats of `range` */
  FILL_GRID,    /* dynamic: multiples of a power of two that the ranges quantize without error */
  FILL_HIGHEST, /* q 255, k and v 127 */
  FILL_LOWEST,  /* q 255, k and v -128 */
  FILL_CROSSED, /* q, k and v change between their ends from element to element */
} fill;
typedef enum output {
  OUTPUT_FLOAT = 1,
  OUTPUT_BYTES = 2,
  OUTPUT_BOTH = 3,
} output;

typedef struct attention_case {
  const char *name;
  size_t queries[MAX_SEQUENCES], keys[MAX_SEQUENCES], sequences;
  size_t heads, head_size, value_size, gap; /* gap: elements added to each stride, different for each tensor */
  bool causal, is_dynamic;
  fill fill;
  output output;
  pith_number type; /* of the bytes */
  uint8_t q_zero;
  float q_scale; /* with k_scale 1/64: about 1/200 spreads the weights; 0: that */
} attention_case;

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

static void list(char *out, size_t capacity, const size_t *lengths, size_t count) {
  size_t used = 0;
  out[0] = 0;
  for (size_t i = 0; i < count && used < capacity; ++i)
    used += (size_t)snprintf(out + used, capacity - used, " %zu", lengths[i]);
}

static float *make_scalar(tester *t, float x) {
  float *out = tester_memory(t, sizeof *out, false);
  *out = x;
  return out;
}

static uint8_t *make_byte(tester *t, uint8_t x) {
  uint8_t *out = tester_memory(t, 1, false);
  *out = x;
  return out;
}

/* An element of q (0 to 255) or of k and v (-128 to 127). */
static int pick_value(tester *t, fill fill, bool is_signed, size_t index) {
  const int low = is_signed ? -128 : 0, high = is_signed ? 127 : 255;
  switch (fill) {
  case FILL_HIGHEST: return high;
  case FILL_LOWEST: return is_signed ? low : high;
  case FILL_CROSSED: return index * (is_signed ? 5 : 3) / 4 % 2 ? high : low;
  default: return low + (int)tester_pick(t, 256);
  }
}

/* [rows, features] with `stride`, of bytes or floats. Floats of the grid: each row of a group of `block` features has both
 * ends of its range, so that the scale is `step`; s8 is symmetric. */
static void *make_input(tester *t, const attention_case *c, size_t rows, size_t features, size_t stride, size_t block,
                        bool is_signed, float step) {
  const size_t count = tester_span(rows, features, stride);
  if (!c->is_dynamic) {
    uint8_t *out = tester_memory(t, count, false);
    for (size_t i = 0; i < count; ++i)
      out[i] = (uint8_t)pick_value(t, c->fill, is_signed, i);
    return out;
  }
  float *out = tester_memory(t, count * sizeof(float), false);
  for (size_t i = 0; i < count; ++i) {
    const size_t f = i % stride % (block ? block : 1);
    if (c->fill == FILL_RANDOM)
      out[i] = tester_uniform(t, -2, 2);
    else if (f < 2 && is_signed)
      out[i] = (f ? -127.0f : 127.0f) * step;
    else if (f < 2)
      out[i] = (float)((f ? 255 : 0) - c->q_zero) * step;
    else {
      const int value = pick_value(t, c->fill, is_signed, i);
      out[i] = (float)(is_signed ? (value < -127 ? -127 : value) : value - c->q_zero) * step;
    }
  }
  return out;
}

static pith_attention_u8s8_args make_args(tester *t, const attention_case *c) {
  char queries[128], keys[128];
  list(queries, sizeof queries, c->queries, c->sequences);
  list(keys, sizeof keys, c->keys, c->sequences);
  tester_begin(t, "%s, queries%s, keys%s, %zu heads of %zu and %zu, gap %zu, causal %d, dynamic %d, fill %d, output %d %d, "
               "zero %d, scale %g", c->name, queries, keys, c->heads, c->head_size, c->value_size, c->gap, c->causal,
               c->is_dynamic, c->fill, c->output, c->type, c->q_zero, (double)c->q_scale);
  const size_t nq = total(c->queries, c->sequences), nk = total(c->keys, c->sequences);
  const size_t f = c->heads * c->head_size, g = c->heads * c->value_size;
  const float q_scale = c->q_scale != 0.0f ? c->q_scale : c->is_dynamic ? 1.0f / 128 : 1.0f / 200;
  pith_attention_u8s8_args a = {
      .is_dynamic = c->is_dynamic,
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
  if (c->output & OUTPUT_FLOAT)
    a.y = tester_output(t, tester_span(nq, g, a.y_stride));
  if (c->output & OUTPUT_BYTES) {
    a.y_q = (pith_quantized_rows){.stride = g + c->gap, .type = c->type, .scale = make_scalar(t, 1.0f / 150)};
    a.y_q.q = tester_memory(t, tester_span(nq, g, a.y_q.stride), true);
    if (c->type == PITH_NUMBER_U8)
      a.y_q.zero = make_byte(t, 117);
  }
  a.q = make_input(t, c, nq, f, a.q_stride, c->head_size, false, q_scale);
  a.k = make_input(t, c, nk, f, a.k_stride, c->head_size, true, 1.0f / 64);
  a.v = make_input(t, c, nk, g, a.v_stride, c->value_size, true, 1.0f / 128);
  if (!c->is_dynamic) {
    a.q_scale = make_scalar(t, q_scale);
    a.k_scale = make_scalar(t, 1.0f / 64);
    a.v_scale = make_scalar(t, 1.0f / 128);
    a.q_zero = make_byte(t, c->q_zero);
  }
  return a;
}

static double read_real(const void *x, size_t index, bool is_dynamic, bool is_signed, const float *scale, int zero) {
  if (is_dynamic)
    return (double)((const float *)x)[index];
  const int value = is_signed ? ((const int8_t *)x)[index] : ((const uint8_t *)x)[index];
  return (value - zero) * (double)*scale;
}

/* One query row in doubles, its weights not rounded; out: [value_size], limits: how far off a row of weights of 8 bits may
 * be. Each weight errs by 1/2, by 1.1e-4 of itself (the exponential) and by the scores' rounding: three of them, of 2^-24
 * each, of the score and of the largest one. */
static void naive_row(const pith_attention_u8s8_args *a, size_t query, size_t first_key, size_t seen, size_t head,
                      double *out, double *limits) {
  double *weight = malloc((seen + 1) * sizeof *weight), *error = malloc((seen + 1) * sizeof *error);
  double max = -INFINITY, sum = 0, rounded = 0;
  assert_non_null(weight);
  assert_non_null(error);
  for (size_t j = 0; j < seen; ++j) {
    double dot = 0;
    for (size_t f = 0; f < a->head_size; ++f)
      dot += read_real(a->q, query * a->q_stride + head * a->head_size + f, a->is_dynamic, false, a->q_scale,
                       a->is_dynamic ? 0 : *a->q_zero) *
             read_real(a->k, (first_key + j) * a->k_stride + head * a->head_size + f, a->is_dynamic, true, a->k_scale, 0);
    weight[j] = dot * (double)a->scale;
    max = fmax(max, weight[j]);
  }
  for (size_t j = 0; j < seen; ++j) {
    const double scores = 3 * ldexp(fabs(weight[j]) + fabs(max), -24);
    weight[j] = 255 * exp(weight[j] - max);
    error[j] = 0.5 + weight[j] * (1.2e-4 + scores * 1.01);
    sum += weight[j];
    rounded += rint(weight[j]); /* at least 255 */
  }
  for (size_t f = 0; f < a->value_size; ++f) {
    double y = 0, off = 0;
    for (size_t j = 0; j < seen; ++j)
      y += weight[j] * read_real(a->v, (first_key + j) * a->v_stride + head * a->value_size + f, a->is_dynamic, true,
                                 a->v_scale, 0);
    out[f] = seen > 0 ? y / sum : 0;
    for (size_t j = 0; j < seen; ++j)
      off += error[j] * fabs(read_real(a->v, (first_key + j) * a->v_stride + head * a->value_size + f, a->is_dynamic, true,
                                       a->v_scale, 0) - out[f]);
    limits[f] = (seen > 0 ? off / fmax(254, rounded - 0.6 * (double)seen) : 0) + 4e-7 * fabs(out[f]);
  }
  free(weight);
  free(error);
}

static size_t visible_keys(const pith_attention_u8s8_args *a, size_t queries, size_t keys, size_t i) {
  if (!a->causal)
    return keys;
  const ptrdiff_t last = (ptrdiff_t)i + (ptrdiff_t)keys - (ptrdiff_t)queries;
  return last < 0 ? 0 : (size_t)last + 1;
}

/* The bytes against the floats, by the rule of ops/quantize; the floats against doubles. */
static void check_naive(tester *t, const pith_attention_u8s8_args *a) {
  double *want = malloc((2 * a->value_size + 1) * sizeof *want), *limits = want + a->value_size;
  assert_non_null(want);
  for (size_t s = 0; s < a->sequences; ++s) {
    const size_t q0 = (size_t)a->q_offsets[s], k0 = (size_t)a->kv_offsets[s];
    const size_t queries = (size_t)a->q_offsets[s + 1] - q0, keys = (size_t)a->kv_offsets[s + 1] - k0;
    for (size_t i = 0; i < queries; ++i)
      for (size_t h = 0; h < a->heads; ++h) {
        naive_row(a, q0 + i, k0, visible_keys(a, queries, keys, i), h, want, limits);
        for (size_t f = 0; f < a->value_size; ++f) {
          const size_t column = h * a->value_size + f;
          if (a->y)
            tester_check_near(t, "y", q0 + i, column, (double)a->y[(q0 + i) * a->y_stride + column], want[f], limits[f]);
          if (a->y_q.q) {
            const bool is_signed = a->y_q.type == PITH_NUMBER_S8;
            const size_t at = (q0 + i) * a->y_q.stride + column;
            const int got = is_signed ? ((int8_t *)a->y_q.q)[at] : ((uint8_t *)a->y_q.q)[at];
            const double exact = want[f] / (double)*a->y_q.scale + (a->y_q.zero ? *a->y_q.zero : 0);
            const double bounded = fmin(fmax(exact, is_signed ? -128 : 0), is_signed ? 127 : 255);
            tester_check_near(t, "y_q", q0 + i, column, got, bounded, 0.5001 + limits[f] / (double)*a->y_q.scale);
          }
        }
      }
  }
  free(want);
}

static void check_byte_gaps(const tester *t, const pith_attention_u8s8_args *a, size_t rows) {
  const uint8_t *p = a->y_q.q;
  for (size_t row = 0; p && row + 1 < rows; ++row)
    for (size_t i = row * a->y_q.stride + a->heads * a->value_size; i < (row + 1) * a->y_q.stride; ++i)
      if (p[i] != 0xa5)
        tester_fail(t, "wrote between rows of bytes, behind row %zu", row);
}

static void run_case(tester *t, const attention_case *c) {
  pith_attention_u8s8_args a = make_args(t, c);
  tester_reference(t, &a);
  if (!c->is_dynamic || c->fill == FILL_GRID)
    check_naive(t, &a);
  if (a.y)
    tester_check_gaps(t, a.y, total(c->queries, c->sequences), c->heads * c->value_size, a.y_stride);
  check_byte_gaps(t, &a, total(c->queries, c->sequences));
  tester_compare(t, &a, NULL);
}

/* Static with all outputs in turn, and dynamic: on a grid (which needs two features at least), and anything. */
static void run_forms(tester *t, attention_case c, size_t turn) {
  c.output = OUTPUT_FLOAT + turn % 3;
  c.type = turn % 2 ? PITH_NUMBER_U8 : PITH_NUMBER_S8;
  c.q_zero = (uint8_t)(turn % 5 ? 90 + turn * 7 % 80 : turn % 2 * 255);
  run_case(t, &c);
  c.is_dynamic = true;
  c.fill = c.head_size >= 2 && c.value_size >= 2 && turn % 2 ? FILL_GRID : FILL_RANDOM;
  run_case(t, &c);
}

static void test_sizes(void **state) {
  (void)state;
  tester t;
  tester_init(&t, pith_attention_u8s8_kernels);
  static const size_t lengths[] = {1,  2,  3,  4,  5,  7,  8,  9,  15, 16, 17, 23, 24, 25, 31,
                                   32, 33, 47, 48, 49, 53, 63, 64, 65, 79, 81, 97, 129, 191};
  static const size_t heads[] = {1, 2, 3, 4, 5, 8, 15, 16, 17, 31, 32, 33, 48, 63, 64, 65, 96, 127, 130};
  for (size_t i = 0; i < sizeof lengths / sizeof *lengths; ++i) /* every length at the two common sizes */
    for (size_t size = 32; size <= 64; size *= 2)
      run_forms(&t, (attention_case){.name = "length", .queries = {lengths[i]}, .keys = {lengths[i]}, .sequences = 1,
                                     .heads = 1, .head_size = size, .value_size = size, .causal = i % 2}, i + size / 32);
  for (size_t i = 0; i < sizeof heads / sizeof *heads; ++i) /* every head size, twice: as features, as values */
    for (size_t gap = 0; gap < 2; ++gap) {
      run_forms(&t, (attention_case){.name = "head", .queries = {19}, .keys = {21}, .sequences = 1, .heads = 2,
                                     .head_size = heads[i], .value_size = 5, .gap = gap * 7}, i + gap);
      run_forms(&t, (attention_case){.name = "value", .queries = {26}, .keys = {18}, .sequences = 1, .heads = 2,
                                     .head_size = 4, .value_size = heads[i], .gap = gap * 5}, i + gap);
    }
  for (size_t i = 0; i < 60; ++i) { /* anything */
    attention_case c = {.name = "random", .sequences = 1 + tester_pick(&t, MAX_SEQUENCES), .heads = 1 + tester_pick(&t, 3),
                        .head_size = 1 + tester_pick(&t, 40), .value_size = 1 + tester_pick(&t, 40),
                        .gap = tester_pick(&t, 9), .causal = tester_pick(&t, 2)};
    for (size_t s = 0; s < c.sequences; ++s) {
      c.queries[s] = tester_pick(&t, 40);
      c.keys[s] = tester_pick(&t, 2) ? c.queries[s] : tester_pick(&t, 40);
    }
    run_forms(&t, c, i);
  }
  tester_deinit(&t);
}

static void test_long(void **state) {
  (void)state;
  tester t;
  tester_init(&t, pith_attention_u8s8_kernels);
  for (size_t turn = 0; turn < 2; ++turn) {
    run_forms(&t, (attention_case){.name = "many parts", .queries = {211}, .keys = {211}, .sequences = 1, .heads = 1,
                                   .head_size = 32, .value_size = 32}, turn);
    run_forms(&t, (attention_case){.name = "many parts", .queries = {211}, .keys = {223}, .sequences = 1, .heads = 1,
                                   .head_size = 32, .value_size = 32, .causal = true}, turn);
    run_forms(&t, (attention_case){.name = "uneven", .queries = {3, 150, 1, 40}, .keys = {3, 150, 1, 40}, .sequences = 4,
                                   .heads = 2, .head_size = 32, .value_size = 32, .gap = 3}, turn);
  }
  tester_deinit(&t);
}

static void test_empty(void **state) {
  (void)state;
  tester t;
  tester_init(&t, pith_attention_u8s8_kernels);
  const attention_case cases[] = {
      {.name = "no sequence", .sequences = 0, .heads = 2, .head_size = 32, .value_size = 32},
      {.name = "no query", .queries = {0, 3}, .keys = {5, 3}, .sequences = 2, .heads = 2, .head_size = 8, .value_size = 8},
      {.name = "no key: zeros", .queries = {4, 3}, .keys = {0, 3}, .sequences = 2, .heads = 2, .head_size = 8,
       .value_size = 8},
      {.name = "no head", .queries = {4}, .keys = {4}, .sequences = 1, .heads = 0, .head_size = 8, .value_size = 8,
       .gap = 3},
      {.name = "no feature: the mean", .queries = {4}, .keys = {5}, .sequences = 1, .heads = 2, .head_size = 0,
       .value_size = 8},
      {.name = "no value", .queries = {4}, .keys = {5}, .sequences = 1, .heads = 2, .head_size = 8, .value_size = 0},
      {.name = "causal, early queries see nothing", .queries = {40}, .keys = {7}, .sequences = 1, .heads = 2,
       .head_size = 8, .value_size = 8, .causal = true},
  };
  for (size_t i = 0; i < sizeof cases / sizeof *cases; ++i)
    for (size_t turn = 0; turn < 3; ++turn)
      run_forms(&t, cases[i], turn);
  tester_deinit(&t);
}

/* All products at the ends of their types: 16-bit sums anywhere would saturate. */
static void test_saturating(void **state) {
  (void)state;
  tester t;
  tester_init(&t, pith_attention_u8s8_kernels);
  static const uint8_t zeros[] = {0, 1, 128, 255};
  for (int fill = FILL_HIGHEST; fill <= FILL_CROSSED; ++fill)
    for (size_t zero = 0; zero < sizeof zeros; ++zero)
      for (size_t type = 0; type < 2; ++type)
        run_case(&t, &(attention_case){.name = "saturating", .queries = {19, 67}, .keys = {19, 67}, .sequences = 2,
                                       .heads = 2, .head_size = 64, .value_size = 36, .fill = (enum fill)fill,
                                       .output = OUTPUT_BOTH, .type = type ? PITH_NUMBER_U8 : PITH_NUMBER_S8,
                                       .q_zero = zeros[zero]});
  tester_deinit(&t);
}

/* The longest sequence and the largest head that s32 sums allow, at the ends of the types. */
static void test_largest(void **state) {
  (void)state;
  tester t;
  tester_init(&t, pith_attention_u8s8_kernels);
  for (int fill = FILL_HIGHEST; fill <= FILL_LOWEST; ++fill) {
    run_case(&t, &(attention_case){.name = "longest", .queries = {2}, .keys = {PITH_ATTENTION_U8S8_MAX_KEYS},
                                   .sequences = 1, .heads = 1, .head_size = 2, .value_size = 3, .fill = (enum fill)fill,
                                   .output = OUTPUT_FLOAT});
    run_case(&t, &(attention_case){.name = "largest head", .queries = {2}, .keys = {3}, .sequences = 1, .heads = 1,
                                   .head_size = 65536, .value_size = 3, .fill = (enum fill)fill, .output = OUTPUT_FLOAT,
                                   .q_scale = 1e-6f});
  }
  tester_deinit(&t);
}

/* Weights themselves: values are the unit matrix, so y[i, j] is p[i, j] over the row's sum, and the largest p is 255. Sharp
 * and flat rows. */
static void test_weights(void **state) {
  (void)state;
  tester t;
  tester_init(&t, pith_attention_u8s8_kernels);
  static const float scales[] = {1e-7f, 1e-4f, 1e-3f, 1.0f / 200, 0.02f, 1.0f, -1.0f / 300, 1e30f};
  for (size_t i = 0; i < sizeof scales / sizeof *scales; ++i) {
    enum { KEYS = 70 };
    const attention_case c = {.name = "weights", .queries = {33}, .keys = {KEYS}, .sequences = 1, .heads = 1,
                              .head_size = 32, .value_size = KEYS, .output = OUTPUT_FLOAT, .q_zero = 131,
                              .q_scale = scales[i]};
    pith_attention_u8s8_args a = make_args(&t, &c);
    int8_t *values = (int8_t *)(uintptr_t)a.v;
    for (size_t j = 0; j < KEYS * KEYS; ++j)
      values[j] = j % (KEYS + 1) == 0;
    tester_reference(&t, &a);
    for (size_t row = 0; row < 33; ++row) {
      double score[KEYS], max = -INFINITY, sum = 0;
      float largest = 0;
      for (size_t j = 0; j < KEYS; ++j) {
        int dot = 0;
        for (size_t d = 0; d < 32; ++d)
          dot += (((const uint8_t *)a.q)[row * a.q_stride + d] - 131) * ((const int8_t *)a.k)[j * a.k_stride + d];
        score[j] = dot * (double)a.scale * (double)scales[i] / 64;
        max = fmax(max, score[j]);
        largest = fmaxf(largest, a.y[row * a.y_stride + j]);
      }
      for (size_t j = 0; j < KEYS; ++j) {
        const double want = 255 * exp(score[j] - max), weight = 255 * (double)(a.y[row * a.y_stride + j] / largest);
        const double scores = 3 * ldexp(fabs(score[j]) + fabs(max), -24);
        tester_check_near(&t, "weight", row, j, weight, want, 0.5 + 1e-4 + want * (1.2e-4 + scores));
        tester_check_near(&t, "a whole weight", row, j, weight, rint(weight), 1e-4);
        sum += (double)a.y[row * a.y_stride + j];
      }
      tester_check_near(&t, "the sum of the weights", row, 0, sum * 128, 1, 1e-5);
    }
    tester_compare(&t, &a, NULL);
  }
  tester_deinit(&t);
}

/* Floats that no range can hold: results are the reference's, and finite. */
static void test_dynamic_extremes(void **state) {
  (void)state;
  tester t;
  tester_init(&t, pith_attention_u8s8_kernels);
  static const float bad[] = {0, 1e-45f, -1e-40f, 1e-20f, 1e17f, -3e38f, FLT_MAX, INFINITY, -INFINITY, NAN};
  for (size_t i = 0; i < sizeof bad / sizeof *bad; ++i)
    for (size_t where = 0; where < 5; ++where) { /* one element of q, k or v; all of a tensor; both ends */
      const attention_case c = {.name = "dynamic extremes", .queries = {29, 16}, .keys = {29, 16}, .sequences = 2,
                                .heads = 2, .head_size = 32, .value_size = 32, .is_dynamic = true,
                                .output = OUTPUT_BOTH, .type = i % 2 ? PITH_NUMBER_U8 : PITH_NUMBER_S8};
      pith_attention_u8s8_args a = make_args(&t, &c);
      float *parts[3] = {(float *)(uintptr_t)a.q, (float *)(uintptr_t)a.k, (float *)(uintptr_t)a.v};
      if (where < 3)
        parts[where][5 * 64 + 33] = bad[i];
      else
        for (size_t j = 0; j < 45 * 64; ++j)
          parts[where - 3][j] = where == 4 && j % 3 == 0 ? -bad[i] : bad[i];
      tester_reference(&t, &a);
      for (size_t row = 0; row < 45; ++row)
        for (size_t f = 0; f < 64; ++f)
          if (!(fabsf(a.y[row * 64 + f]) <= FLT_MAX))
            tester_fail(&t, "%g in %zu: y[%zu, %zu] is %g", (double)bad[i], where, row, f, (double)a.y[row * 64 + f]);
      tester_compare(&t, &a, NULL);
    }
  tester_deinit(&t);
}

/* Scales of which no finite score comes: the same bits everywhere. */
static void test_static_extremes(void **state) {
  (void)state;
  tester t;
  tester_init(&t, pith_attention_u8s8_kernels);
  static const float scales[] = {1e-45f, 1e-30f, 3e38f, INFINITY, -INFINITY, NAN};
  for (size_t i = 0; i < sizeof scales / sizeof *scales; ++i) {
    attention_case c = {.name = "static extremes", .queries = {29, 16}, .keys = {29, 16}, .sequences = 2, .heads = 2,
                        .head_size = 32, .value_size = 32, .output = OUTPUT_BOTH, .type = PITH_NUMBER_U8,
                        .q_scale = scales[i]};
    pith_attention_u8s8_args a = make_args(&t, &c);
    tester_reference(&t, &a);
    tester_compare(&t, &a, NULL);
    c.q_scale = 0.0f;
    for (size_t which = 0; which < 2; ++which) { /* v's, the output's */
      a = make_args(&t, &c);
      *(float *)(uintptr_t)(which ? a.y_q.scale : a.v_scale) = scales[i];
      tester_reference(&t, &a);
      tester_compare(&t, &a, NULL);
    }
  }
  tester_deinit(&t);
}

/* What a query does not see cannot reach it: static inputs, and dynamic ones whose values keep their range. */
static void test_causal_unseen(void **state) {
  (void)state;
  tester t;
  tester_init(&t, pith_attention_u8s8_kernels);
  for (size_t from = 7; from < 50; from += 6)
    for (size_t keys = 41; keys <= 59; keys += 9) { /* fewer keys than queries, as many, more */
      const attention_case c = {.name = "unseen", .queries = {50}, .keys = {keys}, .sequences = 1, .heads = 2,
                                .head_size = 32, .value_size = from % 2 ? 32 : 83, .causal = true,
                                .output = OUTPUT_FLOAT, .q_zero = 120};
      pith_attention_u8s8_args a = make_args(&t, &c);
      tester_reference(&t, &a);
      float *clean = malloc(50 * a.y_stride * sizeof *clean);
      assert_non_null(clean);
      memcpy(clean, a.y, 50 * a.y_stride * sizeof *clean);
      for (size_t key = from; key < keys; ++key) {
        memset((int8_t *)(uintptr_t)a.k + key * a.k_stride, key % 2 ? 127 : -128, a.k_stride);
        memset((int8_t *)(uintptr_t)a.v + key * a.v_stride, key % 3 ? 127 : -128, a.v_stride);
      }
      tester_reference(&t, &a);
      for (size_t row = 0; row < 50 && visible_keys(&a, 50, keys, row) <= from; ++row)
        if (memcmp(a.y + row * a.y_stride, clean + row * a.y_stride, a.y_stride * sizeof *clean) != 0)
          tester_fail(&t, "row %zu is not what it is without keys from %zu", row, from);
      free(clean);
      tester_compare(&t, &a, NULL);
    }
  tester_deinit(&t);
}

/* Every sequence alone gives the bits that it has in the batch. */
static void test_alone(void **state) {
  (void)state;
  tester t;
  tester_init(&t, pith_attention_u8s8_kernels);
  for (int form = 0; form < 4; ++form) {
    const attention_case c = {.name = "alone", .queries = {17, 64, 5, 90}, .keys = {17, 64, 5, 90}, .sequences = 4,
                              .heads = 2, .head_size = 32, .value_size = 32, .causal = form % 2, .is_dynamic = form / 2,
                              .output = OUTPUT_FLOAT, .q_zero = 120};
    pith_attention_u8s8_args a = make_args(&t, &c);
    tester_reference(&t, &a);
    float *batch = malloc(176 * 64 * sizeof *batch);
    assert_non_null(batch);
    memcpy(batch, a.y, 176 * 64 * sizeof *batch);
    tester_compare(&t, &a, NULL);
    const size_t element = c.is_dynamic ? sizeof(float) : 1;
    for (size_t s = 0; s < c.sequences; ++s) {
      const size_t first = (size_t)a.q_offsets[s], count = c.queries[s];
      const int32_t offsets[2] = {0, (int32_t)count};
      pith_attention_u8s8_args one = a;
      one.q = (const uint8_t *)a.q + first * a.q_stride * element;
      one.k = (const uint8_t *)a.k + first * a.k_stride * element;
      one.v = (const uint8_t *)a.v + first * a.v_stride * element;
      one.q_offsets = one.kv_offsets = offsets;
      one.sequences = 1;
      for (size_t row = 0; t.table[row]; ++row) {
        if ((t.table[row]->needs & ~pith_cpu_detect()) != 0)
          continue;
        void *scratch = aligned_alloc(64, (t.table[row]->get_scratch_bytes(&one) + 63) / 64 * 64);
        assert_non_null(scratch);
        pith_kernel_run_all(t.table[row], &one, scratch);
        free(scratch);
        if (memcmp(one.y, batch + first * 64, count * 64 * sizeof(float)) != 0)
          tester_fail(&t, "%s: sequence %zu alone differs", t.table[row]->name, s);
      }
    }
    free(batch);
  }
  tester_deinit(&t);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_sizes),            cmocka_unit_test(test_long),
      cmocka_unit_test(test_empty),            cmocka_unit_test(test_saturating),
      cmocka_unit_test(test_largest),          cmocka_unit_test(test_weights),
      cmocka_unit_test(test_dynamic_extremes), cmocka_unit_test(test_static_extremes),
      cmocka_unit_test(test_causal_unseen),    cmocka_unit_test(test_alone),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
