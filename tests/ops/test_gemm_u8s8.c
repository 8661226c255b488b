#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ops/gemm/gemm_u8s8.h"
#include "tests/ops/kernel_tester.h"
#include "tests/slow_build.h"

/* 0, 1, a tile, a block, a panel, a task's rows, each one less and one more, and primes. */
static const size_t row_sizes[] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 11, 12, 13, 17, 29, 53, 97};
static const size_t n_sizes[] = {0, 1, 15, 16, 17, 31, 32, 33, 47, 48, 49, 63, 64, 65, 79, 96, 113, 127, 128, 129, 193};
static const size_t k_sizes[] = {0, 1, 2, 3, 4, 5, 7, 8, 9, 15, 16, 17, 31, 64, 65, 97, 128, 255, 257, 384, 769};
#define COUNT(array) (sizeof(array) / sizeof *(array))
#define PICK(t, array) (array)[tester_pick((t), COUNT(array))]

typedef struct gemm_case {
  size_t rows, k, segments, n[PITH_GEMM_MAX_SEGMENTS];
  bool bias, residual, x_per_row, q_per_row;
  bool y[PITH_GEMM_MAX_SEGMENTS], q[PITH_GEMM_MAX_SEGMENTS];
  pith_number type[PITH_GEMM_MAX_SEGMENTS];
  pith_activation activation;
  size_t gap; /* of the strides, different for each tensor */
  bool extreme; /* every byte of x is x_value, of w is w_value */
  uint8_t x_value, zero;
  int8_t w_value;
} gemm_case;

typedef struct masters {
  int8_t *w[PITH_GEMM_MAX_SEGMENTS]; /* row-major */
} masters;

static uint8_t pick_byte(tester *t, bool extreme, uint8_t value) {
  return extreme ? value : (uint8_t)tester_random(t);
}

static void make_segment(tester *t, const gemm_case *c, size_t s, pith_gemm_u8s8_segment *g, masters *m) {
  const size_t n = c->n[s];
  *g = (pith_gemm_u8s8_segment){.n = n, .y_stride = n + 3 * c->gap};
  m->w[s] = tester_memory(t, n * c->k, false);
  for (size_t i = 0; i < n * c->k; ++i)
    m->w[s][i] = (int8_t)pick_byte(t, c->extreme, (uint8_t)c->w_value);
  void *packed = tester_memory(t, pith_gemm_u8s8_packed_bytes(n, c->k), false);
  pith_gemm_u8s8_pack(n, c->k, m->w[s], packed);
  g->w = packed;
  const float size = 1.0f / (float)(64 * 64) / sqrtf((float)(c->k + 1)); /* makes the sums' order 1 to 4 */
  g->w_scale = tester_floats(t, n, 0.5f * size, 2.0f * size);
  g->bias = c->bias ? tester_floats(t, n, -1, 1) : NULL;
  g->y = c->y[s] ? tester_output(t, tester_span(c->rows, n, g->y_stride)) : NULL;
  if (!c->q[s])
    return;
  g->q = (pith_quantized_rows){.stride = n + 5 * c->gap, .type = c->type[s]};
  g->q.q = tester_byte_output(t, tester_span(c->rows, n, g->q.stride));
  if (c->q_per_row) {
    g->q.row_scale = tester_output(t, c->rows);
    g->q.row_zero = c->type[s] == PITH_NUMBER_U8 ? tester_byte_output(t, c->rows) : NULL;
    return;
  }
  g->q.scale = tester_floats(t, 1, 0.005f, 0.03f);
  if (c->type[s] == PITH_NUMBER_U8 && tester_pick(t, 4) != 0) {
    uint8_t *zero = tester_memory(t, 1, false);
    *zero = tester_pick(t, 2) ? (uint8_t)tester_random(t) : (uint8_t)(10 + tester_pick(t, 20));
    g->q.zero = zero;
  }
}

static pith_gemm_u8s8_args make_args(tester *t, const gemm_case *c, masters *m) {
  tester_begin(t, "rows %zu, k %zu, n %zu %zu %zu %zu (%zu segments), y %d%d%d%d, q %d%d%d%d, bias %d, residual %d, x per row %d, "
               "q per row %d, activation %d, gap %zu, extreme %d: x %d - %d, w %d",
               c->rows, c->k, c->n[0], c->n[1], c->n[2], c->n[3], c->segments, c->y[0], c->y[1], c->y[2], c->y[3], c->q[0],
               c->q[1], c->q[2], c->q[3], c->bias, c->residual, c->x_per_row, c->q_per_row, (int)c->activation, c->gap,
               c->extreme, c->x_value, c->zero, c->w_value);
  pith_gemm_u8s8_args a = {
      .x_stride = c->k + c->gap,
      .rows = c->rows,
      .k = c->k,
      .x_per_row = c->x_per_row,
      .q_per_row = c->q_per_row,
      .segment_count = c->segments,
      .activation = c->activation,
  };
  const size_t x_bytes = tester_span(c->rows, c->k, a.x_stride), scales = c->x_per_row ? c->rows : 1;
  uint8_t *x = tester_memory(t, x_bytes, false), *zero = tester_memory(t, scales, false);
  for (size_t i = 0; i < x_bytes; ++i)
    x[i] = pick_byte(t, c->extreme, c->x_value);
  for (size_t i = 0; i < scales; ++i)
    zero[i] = pick_byte(t, c->extreme, c->zero);
  a.x = x;
  a.x_zero = zero;
  a.x_scale = tester_floats(t, scales, 0.5f, 2.0f);
  for (size_t s = 0; s < c->segments; ++s)
    make_segment(t, c, s, &a.segments[s], m);
  if (c->residual) {
    a.residual_stride = c->n[0] + 2 * c->gap;
    a.residual = tester_floats(t, tester_span(c->rows, c->n[0], a.residual_stride), -1, 1);
  }
  return a;
}

static double activate(pith_activation activation, double z) {
  switch (activation) {
  case PITH_ACTIVATION_RELU:
    return z > 0 ? z : 0;
  case PITH_ACTIVATION_GELU:
    return z / 2 * (1 + erf(z / sqrt(2)));
  case PITH_ACTIVATION_GELU_TANH:
    return z / 2 * (1 + tanh(sqrt(2 / 3.14159265358979323846) * (z + 0.044715 * z * z * z)));
  case PITH_ACTIVATION_TANH:
    return tanh(z);
  default:
    return z;
  }
}

/* A level against the value it stands for, which `error` has gone into. */
static void check_level(tester *t, const pith_quantized_rows *q, bool per_row, size_t i, size_t j, double want, double error) {
  const bool is_u8 = q->type == PITH_NUMBER_U8;
  const size_t at = i * q->stride + j;
  const int got = is_u8 ? ((const uint8_t *)q->q)[at] : ((const int8_t *)q->q)[at];
  const double scale = (double)(per_row ? q->row_scale[i] : q->scale[0]);
  const int zero = !is_u8 ? 0 : per_row ? q->row_zero[i] : q->zero ? q->zero[0] : 0;
  const double low = is_u8 ? 0 : -128, high = is_u8 ? 255 : 127;
  const double level = fmin(fmax(want / scale + zero, low), high);
  tester_check_near(t, "q", i, j, got, level, 0.5 + 1e-4 + error / scale);
}

/* Per row, the range must be used: the widest value lies within a level of an end. */
static void check_row_scale(tester *t, const pith_quantized_rows *q, size_t n, size_t i) {
  const uint8_t *row = (const uint8_t *)q->q + i * q->stride;
  int low = 255, high = -128, size = 0;
  for (size_t j = 0; j < n; ++j) {
    const int level = q->type == PITH_NUMBER_U8 ? row[j] : (int8_t)row[j];
    low = level < low ? level : low;
    high = level > high ? level : high;
    size = abs(level) > size ? abs(level) : size;
  }
  if (q->type == PITH_NUMBER_S8 ? size != 127 && size != 0 : low > 1 && high < 254 && q->row_scale[i] != 1.0f)
    tester_fail(t, "row %zu uses levels %d to %d only, scale %g", i, low, high, (double)q->row_scale[i]);
}

static void check_gaps_of_q(tester *t, const pith_quantized_rows *q, size_t rows, size_t n) {
  for (size_t i = 0; i + 1 < rows; ++i)
    for (size_t j = n; j < q->stride; ++j)
      if (((const uint8_t *)q->q)[i * q->stride + j] != 0xa5)
        tester_fail(t, "wrote between rows, byte %zu of row %zu", j, i);
}

/* The reference against whole numbers of 64 bits; where nothing rounds but the one multiplication and addition, bit for bit. */
static void check_reference(tester *t, const pith_gemm_u8s8_args *a, const masters *m) {
  for (size_t s = 0; s < a->segment_count; ++s) {
    const pith_gemm_u8s8_segment *g = &a->segments[s];
    for (size_t i = 0; i < a->rows; ++i) {
      const size_t of_x = a->x_per_row ? i : 0;
      for (size_t j = 0; j < g->n; ++j) {
        int64_t sum = 0;
        for (size_t k = 0; k < a->k; ++k)
          sum += ((int64_t)a->x[i * a->x_stride + k] - a->x_zero[of_x]) * m->w[s][j * a->k + k];
        const float scale = a->x_scale[of_x] * g->w_scale[j], bias = g->bias ? g->bias[j] : 0.0f;
        const float residual = a->residual ? a->residual[i * a->residual_stride + j] : 0.0f;
        const float exact = fmaf((float)sum, scale, bias) + residual; /* (float) rounds to even, as every kernel does */
        const double want = activate(a->activation, (double)sum * (double)scale + (double)bias) + (double)residual;
        const double error = (g->y ? 0 : 2e-4) + 1e-6 * (1 + fabs(want) + fabs((double)residual));
        if (g->y) {
          const float got = g->y[i * g->y_stride + j];
          if (a->activation == PITH_ACTIVATION_NONE && memcmp(&got, &exact, sizeof got) != 0)
            tester_fail(t, "segment %zu [%zu, %zu]: got %a, want %a", s, i, j, (double)got, (double)exact);
          tester_check_near(t, "y", i, j, (double)got, want, error);
        }
        if (g->q.q)
          check_level(t, &g->q, a->q_per_row, i, j, want, error);
      }
      if (a->q_per_row && g->n > 0)
        check_row_scale(t, &g->q, g->n, i);
    }
    if (g->y)
      tester_check_gaps(t, g->y, a->rows, g->n, g->y_stride);
    if (g->q.q)
      check_gaps_of_q(t, &g->q, a->rows, g->n);
  }
}

static void run_case(tester *t, const gemm_case *c, bool against_exact) {
  masters m;
  const pith_gemm_u8s8_args a = make_args(t, c, &m);
  tester_reference(t, &a);
  if (against_exact)
    check_reference(t, &a, &m);
  tester_compare(t, &a, NULL);
}

static bool flip(tester *t) {
  return tester_pick(t, 2) != 0;
}

static void pick_outputs(tester *t, gemm_case *c, size_t s) {
  const size_t kind = tester_pick(t, 4);
  c->y[s] = kind <= 1;
  c->q[s] = kind >= 1;
  c->type[s] = flip(t) ? PITH_NUMBER_U8 : PITH_NUMBER_S8;
}

static gemm_case pick_case(tester *t, size_t rows, size_t n, size_t k) {
  gemm_case c = {
      .rows = rows,
      .k = k,
      .segments = 1,
      .n = {n},
      .activation = (pith_activation)tester_pick(t, PITH_ACTIVATION_COUNT),
      .gap = tester_pick(t, 4),
  };
  c.bias = flip(t);
  c.residual = flip(t);
  c.x_per_row = flip(t);
  pick_outputs(t, &c, 0);
  c.q_per_row = c.q[0] && tester_pick(t, 3) == 0;
  return c;
}

/* Every pair of sizes (a slow build: half of them), the third by chance. */
static void test_sizes(void **state) {
  (void)state;
  tester t;
  tester_init(&t, pith_gemm_u8s8_kernels);
  for (size_t i = 0; i < COUNT(row_sizes); ++i)
    for (size_t j = SLOW_BUILD * (i % 2); j < COUNT(n_sizes); j += 1 + SLOW_BUILD) {
      const gemm_case c = pick_case(&t, row_sizes[i], n_sizes[j], k_sizes[tester_pick(&t, COUNT(k_sizes) - 4)]);
      run_case(&t, &c, (i + j) % 4 == 0);
    }
  for (size_t i = 0; i < COUNT(k_sizes); ++i)
    for (size_t j = SLOW_BUILD * (i % 2); j < COUNT(n_sizes); j += 1 + SLOW_BUILD) {
      const gemm_case c = pick_case(&t, row_sizes[tester_pick(&t, 12)], n_sizes[j], k_sizes[i]);
      run_case(&t, &c, (i + j) % 4 == 0);
    }
  for (size_t i = 0; i < COUNT(row_sizes); ++i)
    for (size_t j = SLOW_BUILD * (i % 2); j < COUNT(k_sizes); j += 1 + SLOW_BUILD) {
      const gemm_case c = pick_case(&t, row_sizes[i], n_sizes[tester_pick(&t, 10)], k_sizes[j]);
      run_case(&t, &c, (i + j) % 4 == 0);
    }
  tester_deinit(&t);
}

static void test_segments(void **state) {
  (void)state;
  tester t;
  tester_init(&t, pith_gemm_u8s8_kernels);
  for (size_t i = 0; i < 150; ++i) {
    gemm_case c = pick_case(&t, PICK(&t, row_sizes), PICK(&t, n_sizes), k_sizes[tester_pick(&t, COUNT(k_sizes) - 2)]);
    c.residual = c.q_per_row = false;
    c.segments = 1 + tester_pick(&t, PITH_GEMM_MAX_SEGMENTS);
    for (size_t s = 1; s < c.segments; ++s) {
      c.n[s] = PICK(&t, n_sizes);
      pick_outputs(&t, &c, s);
    }
    run_case(&t, &c, i % 4 == 0);
  }
  tester_deinit(&t);
}

/* Each activation with each kind of result and each option. */
static void test_finish(void **state) {
  (void)state;
  tester t;
  tester_init(&t, pith_gemm_u8s8_kernels);
  for (unsigned activation = 0; activation < PITH_ACTIVATION_COUNT; ++activation)
    for (unsigned options = 0; options < 256; ++options) {
      const bool y = options & 1, q = options & 2, per_row = options & 4;
      if ((!y && !q) || (per_row && !q))
        continue;
      const gemm_case c = {
          .rows = 7,
          .k = 30,
          .segments = 1,
          .n = {64 + 19},
          .y = {y},
          .q = {q},
          .q_per_row = per_row,
          .type = {options & 8 ? PITH_NUMBER_U8 : PITH_NUMBER_S8},
          .bias = options & 16,
          .residual = options & 32,
          .x_per_row = options & 64,
          .gap = options & 128 ? 1 : 0,
          .activation = (pith_activation)activation,
      };
      run_case(&t, &c, true);
    }
  tester_deinit(&t);
}

/* Floats are the same bits whether levels are written beside them or not. */
static void test_floats_beside(void **state) {
  (void)state;
  tester t;
  tester_init(&t, pith_gemm_u8s8_kernels);
  for (unsigned i = 0; i < 8 * PITH_ACTIVATION_COUNT; ++i) {
    gemm_case c = pick_case(&t, 1 + tester_pick(&t, 13), i & 4 ? 128 : 1 + tester_pick(&t, 150), 30 + tester_pick(&t, 40));
    c.activation = (pith_activation)(i / 8);
    c.residual = i & 1;
    c.y[0] = true;
    c.q[0] = c.q_per_row = false;
    masters m;
    pith_gemm_u8s8_args a = make_args(&t, &c, &m);
    tester_reference(&t, &a);
    /* Not the tester's output: y alone is compared. */
    pith_quantized_rows *q = &a.segments[0].q;
    *q = (pith_quantized_rows){.q = tester_memory(&t, c.rows * c.n[0], false), .stride = c.n[0], .type = c.type[0]};
    a.q_per_row = i & 2;
    if (a.q_per_row) {
      q->row_scale = tester_memory(&t, c.rows * sizeof(float), false);
      q->row_zero = c.type[0] == PITH_NUMBER_U8 ? tester_memory(&t, c.rows, false) : NULL;
    } else
      q->scale = tester_floats(&t, 1, 0.005f, 0.03f);
    tester_compare(&t, &a, NULL);
  }
  tester_deinit(&t);
}

/* Where 16 bits overflow, and at the largest k where 32 almost do. */
static void test_extremes(void **state) {
  (void)state;
  static const uint8_t bytes[] = {0, 1, 127, 128, 254, 255};
  static const int8_t signed_bytes[] = {-128, -127, -1, 0, 127};
  static const size_t ks[] = {1, 5, 64, 770};
  tester t;
  tester_init(&t, pith_gemm_u8s8_kernels);
  for (size_t i = 0; i < COUNT(bytes); ++i)
    for (size_t j = 0; j < COUNT(bytes); ++j)
      for (size_t l = 0; l < COUNT(signed_bytes); ++l) {
        gemm_case c = pick_case(&t, 7, 66, ks[(i + j + l) % COUNT(ks)]);
        c.extreme = true;
        c.x_value = bytes[i];
        c.zero = bytes[j];
        c.w_value = signed_bytes[l];
        c.q[0] = c.q_per_row = false;
        c.y[0] = true;
        run_case(&t, &c, true);
      }
  for (size_t i = 0; i < 8; ++i) {
    gemm_case c = pick_case(&t, 2, 17, PITH_GEMM_U8S8_MAX_K - i % 2);
    c.extreme = true;
    c.x_value = i & 2 ? 255 : 0;
    c.zero = i & 2 ? 0 : 255;
    c.w_value = i & 4 ? -128 : 127;
    c.y[0] = true;
    c.q[0] = c.q_per_row = false;
    c.activation = PITH_ACTIVATION_NONE;
    run_case(&t, &c, true);
  }
  tester_deinit(&t);
}

/* Floats at the ends: results that overflow, NaN and infinite scales and biases saturate alike everywhere. */
static void test_saturation(void **state) {
  (void)state;
  static const float values[] = {0.0f, -0.0f, INFINITY, -INFINITY, NAN, 1e-45f, 3e38f, -3e38f, 1e10f, -1e10f, 1e-38f, 1.0f};
  tester t;
  tester_init(&t, pith_gemm_u8s8_kernels);
  for (unsigned i = 0; i < 12 * PITH_ACTIVATION_COUNT; ++i) {
    gemm_case c = pick_case(&t, 7, 83, 9);
    c.activation = (pith_activation)(i % PITH_ACTIVATION_COUNT);
    c.bias = true;
    masters m;
    const pith_gemm_u8s8_args a = make_args(&t, &c, &m);
    float *bias = (float *)(uintptr_t)a.segments[0].bias; /* the tester's memory, writable */
    for (size_t j = 0; j < c.n[0]; ++j)
      if (flip(&t))
        bias[j] = PICK(&t, values);
    if (c.q[0] && !c.q_per_row && i % 3 == 0)
      *(float *)(uintptr_t)a.segments[0].q.scale = i % 2 ? 1e-30f : 1e30f;
    tester_reference(&t, &a);
    tester_compare(&t, &a, NULL);
  }
  tester_deinit(&t);
}

/* Sums of weights that are not theirs, as in a damaged file: wrong results, but the same bits from every kernel. */
static void test_wrong_sums(void **state) {
  (void)state;
  tester t;
  tester_init(&t, pith_gemm_u8s8_kernels);
  for (size_t i = 0; i < 80; ++i) {
    gemm_case c = pick_case(&t, 1 + PICK(&t, row_sizes), 1 + PICK(&t, n_sizes), k_sizes[tester_pick(&t, COUNT(k_sizes) - 2)]);
    c.y[0] = true;
    c.q[0] = c.q_per_row = false;
    c.activation = PITH_ACTIVATION_NONE;
    masters m;
    const pith_gemm_u8s8_args a = make_args(&t, &c, &m);
    const size_t block_bytes = pith_gemm_u8s8_packed_bytes(1, c.k), j = tester_pick(&t, c.n[0]), row = tester_pick(&t, c.rows);
    int8_t *stored = (int8_t *)(uintptr_t)a.segments[0].w + (j / 16 + 1) * block_bytes - 64 + j % 16 * 4; /* the tester's */
    *(uint8_t *)(uintptr_t)&a.x_zero[c.x_per_row ? row : 0] = (uint8_t)(1 + tester_pick(&t, 255));
    tester_reference(&t, &a);
    const float right = a.segments[0].y[row * a.segments[0].y_stride + j];
    int32_t sum;
    memcpy(&sum, stored, sizeof sum);
    sum = i % 2 ? (int32_t)tester_random(&t) : sum + 100000; /* beyond 2^31 too, times the zero point */
    memcpy(stored, &sum, sizeof sum);
    tester_reference(&t, &a);
    if (i % 2 == 0 && a.segments[0].y[row * a.segments[0].y_stride + j] == right)
      tester_fail(&t, "the stored sum of output %zu does not count", j);
    tester_compare(&t, &a, NULL);
  }
  tester_deinit(&t);
}

static void test_pack(void **state) {
  (void)state;
  tester t;
  tester_init(&t, pith_gemm_u8s8_kernels);
  for (size_t i = 0; i < COUNT(n_sizes); ++i)
    for (size_t j = 0; j < COUNT(k_sizes); ++j) {
      const size_t n = n_sizes[i], k = k_sizes[j], bytes = pith_gemm_u8s8_packed_bytes(n, k), groups = (k + 3) / 4;
      tester_begin(&t, "pack n %zu, k %zu", n, k);
      if (bytes != (n + 15) / 16 * (groups + 1) * 64)
        tester_fail(&t, "packed bytes %zu", bytes);
      int8_t *w = tester_memory(&t, n * k, false), *packed = tester_byte_output(&t, bytes), *back = tester_byte_output(&t, n * k);
      for (size_t l = 0; l < n * k; ++l)
        w[l] = (int8_t)tester_random(&t);
      pith_gemm_u8s8_pack(n, k, w, packed);
      pith_gemm_u8s8_unpack(n, k, packed, back);
      if (n * k > 0 && memcmp(w, back, n * k) != 0)
        tester_fail(&t, "unpack is not the inverse of pack");
      /* The form that the header states: blocks of 16 outputs, [k / 4][16][4], zeros where nothing is, then the sums. */
      for (size_t row = 0; row < (n + 15) / 16 * 16; ++row) {
        const int8_t *block = packed + row / 16 * (groups + 1) * 64;
        int32_t want_sum = 0, sum;
        for (size_t col = 0; col < groups * 4; ++col) {
          const int8_t want = row < n && col < k ? w[row * k + col] : 0;
          want_sum += want;
          if (block[col / 4 * 64 + row % 16 * 4 + col % 4] != want)
            tester_fail(&t, "output %zu, input %zu lies elsewhere", row, col);
        }
        memcpy(&sum, block + groups * 64 + row % 16 * 4, sizeof sum);
        if (sum != want_sum)
          tester_fail(&t, "output %zu: sum %d, want %d", row, sum, want_sum);
      }
    }
  const gemm_case one = {.rows = 1, .k = 1, .segments = 1, .n = {1}, .y = {true}};
  run_case(&t, &one, true);
  tester_deinit(&t);
}

/* More rows and inputs than a task holds. */
static void test_large(void **state) {
  (void)state;
  static const size_t shapes[][3] = {{301, 70, 3001}, {211, 200, 4100}, {140, 3072, 64}, {130, 1000, 130}, {67, 3100, 33}};
  tester t;
  tester_init(&t, pith_gemm_u8s8_kernels);
  for (size_t i = 0; i < 3 * COUNT(shapes); ++i) {
    gemm_case c = pick_case(&t, shapes[i / 3][0], shapes[i / 3][1], shapes[i / 3][2]);
    c.q[0] = i % 3 > 0;
    c.y[0] = i % 3 == 0;
    c.q_per_row = i % 3 == 2;
    run_case(&t, &c, false);
  }
  tester_deinit(&t);
}

/* A split over threads must let two of them finish together: no task is more than its share of the work. */
static void test_tasks(void **state) {
  (void)state;
  static const struct {
    size_t rows, n, k;
  } shapes[] = {{1024, 768, 768}, {128, 768, 768}, {128, 3072, 768}, {128, 768, 3072}, {1024, 384, 384}, {128, 1152, 384}, {53, 384, 384}};
  for (const pith_kernel *const *kernel = pith_gemm_u8s8_kernels + 1; *kernel; ++kernel)
    for (size_t i = 0; i < COUNT(shapes); ++i) {
      const pith_gemm_u8s8_args a = {
          .rows = shapes[i].rows, .k = shapes[i].k, .segment_count = 1, .segments = {{.n = shapes[i].n}}};
      const size_t tasks = (*kernel)->count_tasks(&a, 2);
      print_message("%s %zu x %zu x %zu: %zu tasks for two threads\n", (*kernel)->name, a.rows, shapes[i].n, a.k, tasks);
      assert_true(tasks >= 6);
      assert_true(tasks % 2 == 0 || tasks >= 32);
      assert_true((*kernel)->count_tasks(&a, 1) <= tasks);
    }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_pack),     cmocka_unit_test(test_finish),     cmocka_unit_test(test_extremes),
      cmocka_unit_test(test_segments), cmocka_unit_test(test_saturation), cmocka_unit_test(test_sizes),
      cmocka_unit_test(test_large),    cmocka_unit_test(test_tasks),      cmocka_unit_test(test_wrong_sums),
      cmocka_unit_test(test_floats_beside),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
