#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ops/gemm/gemm_f32.h"
#include "tests/ops/kernel_tester.h"
#include "tests/slow_build.h"

/* 0, 1, a tile, a block, a task's rows, a chunk's inputs, each one less and one more, and primes. */
static const size_t row_sizes[] = {0, 1, 2, 3, 4, 5, 6, 7, 11, 12, 13, 17, 29, 83, 84, 85, 97, 168, 181};
static const size_t n_sizes[] = {0, 1, 15, 16, 17, 31, 32, 33, 47, 48, 49, 63, 64, 65, 79, 96, 113, 127, 128, 129, 193, 257};
static const size_t k_sizes[] = {0, 1, 2, 3, 4, 5, 7, 8, 15, 16, 31, 64, 65, 97, 128, 255, 256, 257, 384, 767, 768, 769, 1543};
#define COUNT(array) (sizeof(array) / sizeof *(array))

typedef struct gemm_case {
  size_t rows, k, segments, n[PITH_GEMM_MAX_SEGMENTS];
  pith_gemm_form form[PITH_GEMM_MAX_SEGMENTS];
  bool bias, residual;
  pith_activation activation;
  size_t gap; /* of the strides, different for each tensor */
  float range;
} gemm_case;

/* [n, k] in the form of the case. */
static void put_weights(tester *t, const gemm_case *c, size_t segment, const float *master, pith_gemm_f32_segment *g) {
  const size_t n = g->n, k = c->k, gap = 5 * c->gap;
  if (g->form == PITH_GEMM_BLOCKS) {
    float *packed = tester_memory(t, pith_gemm_f32_packed_count(n, k) * sizeof *packed, false);
    pith_gemm_f32_pack(n, k, master, packed);
    g->w = packed;
    return;
  }
  const bool rows = g->form == PITH_GEMM_ROWS;
  g->w_stride = (rows ? k : n) + gap + segment;
  const size_t count = rows ? tester_span(n, k, g->w_stride) : tester_span(k, n, g->w_stride);
  float *w = tester_floats(t, count, NAN, NAN);
  for (size_t j = 0; j < n; ++j)
    for (size_t i = 0; i < k; ++i)
      w[rows ? j * g->w_stride + i : i * g->w_stride + j] = master[j * k + i];
  g->w = w;
}

static pith_gemm_f32_args make_args(tester *t, const gemm_case *c, const float *masters[PITH_GEMM_MAX_SEGMENTS]) {
  tester_begin(t, "rows %zu, k %zu, n %zu %zu %zu %zu (%zu segments), forms %d %d %d %d, bias %d, residual %d, "
               "activation %d, gap %zu, range %g", c->rows, c->k, c->n[0], c->n[1], c->n[2], c->n[3], c->segments,
               (int)c->form[0], (int)c->form[1], (int)c->form[2], (int)c->form[3], c->bias, c->residual,
               (int)c->activation, c->gap, (double)c->range);
  pith_gemm_f32_args a = {
      .x_stride = c->k + c->gap,
      .rows = c->rows,
      .k = c->k,
      .segment_count = c->segments,
      .activation = c->activation,
  };
  a.x = tester_floats(t, tester_span(c->rows, c->k, a.x_stride), -c->range, c->range);
  for (size_t s = 0; s < c->segments; ++s) {
    const size_t n = c->n[s];
    pith_gemm_f32_segment *g = &a.segments[s];
    *g = (pith_gemm_f32_segment){.n = n, .y_stride = n + 3 * c->gap, .form = c->form[s]};
    float *master = tester_floats(t, n * c->k, -1, 1);
    masters[s] = master;
    put_weights(t, c, s, master, g);
    g->bias = c->bias ? tester_floats(t, n, -1, 1) : NULL;
    g->y = tester_output(t, tester_span(c->rows, n, g->y_stride));
  }
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

/* The reference against doubles; where nothing follows the sum, bit for bit against one chain. */
static void check_reference(tester *t, const pith_gemm_f32_args *a, const float *const masters[]) {
  for (size_t s = 0; s < a->segment_count; ++s) {
    const pith_gemm_f32_segment *g = &a->segments[s];
    for (size_t i = 0; i < a->rows; ++i)
      for (size_t j = 0; j < g->n; ++j) {
        double sum = 0, size = 0;
        float chain = 0;
        for (size_t k = 0; k < a->k; ++k) {
          const float x = a->x[i * a->x_stride + k], w = masters[s][j * a->k + k];
          chain = fmaf(x, w, chain);
          sum += (double)x * (double)w;
          size += fabs((double)x * (double)w);
        }
        const float got = g->y[i * g->y_stride + j];
        if (!g->bias && !a->residual && a->activation == PITH_ACTIVATION_NONE &&
            memcmp(&got, &chain, sizeof chain) != 0)
          tester_fail(t, "segment %zu [%zu, %zu]: got %a, one chain gives %a", s, i, j, (double)got, (double)chain);
        const double bias = g->bias ? (double)g->bias[j] : 0, residual = a->residual ? (double)a->residual[i * a->residual_stride + j] : 0;
        const double want = activate(a->activation, sum + bias) + residual;
        const double limit = 6e-8 * ((double)(a->k + 2) * (size + fabs(bias)) + 8 * (fabs(want) + fabs(residual))) + 1e-7;
        tester_check_near(t, "y", i, j, (double)got, want, limit);
      }
    tester_check_gaps(t, g->y, a->rows, g->n, g->y_stride);
  }
}

static void run_case(tester *t, const gemm_case *c, bool against_doubles) {
  const float *masters[PITH_GEMM_MAX_SEGMENTS] = {0};
  const pith_gemm_f32_args a = make_args(t, c, masters);
  tester_reference(t, &a);
  if (against_doubles)
    check_reference(t, &a, masters);
  tester_compare(t, &a, NULL);
}

static bool flip(tester *t) {
  return tester_pick(t, 2) != 0;
}

static pith_gemm_form pick_form(tester *t) {
  return (pith_gemm_form)tester_pick(t, PITH_GEMM_COLUMNS + 1);
}

static gemm_case pick_case(tester *t, size_t rows, size_t n, size_t k) {
  gemm_case c = {
      .rows = rows,
      .k = k,
      .segments = 1,
      .n = {n},
      .bias = flip(t),
      .activation = (pith_activation)tester_pick(t, PITH_ACTIVATION_COUNT),
      .gap = tester_pick(t, 4),
      .range = 1,
  };
  c.residual = flip(t);
  c.form[0] = pick_form(t);
  return c;
}

#define PICK(t, array) (array)[tester_pick((t), COUNT(array))]

/* Every pair of sizes (a slow build: half of them), the third by chance. */
static void test_sizes(void **state) {
  (void)state;
  tester t;
  tester_init(&t, pith_gemm_f32_kernels);
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

/* Several groups of rows, blocks and chunks of inputs at once, in each form. */
static void test_large(void **state) {
  (void)state;
  tester t;
  tester_init(&t, pith_gemm_f32_kernels);
  for (unsigned form = 0; form <= PITH_GEMM_COLUMNS; ++form)
    for (size_t i = 0; i < 4; ++i) {
      gemm_case c = pick_case(&t, (const size_t[]){85, 169, 181, 255}[i], (const size_t[]){64, 129, 80, 193}[i], i % 2 ? 1543 : 1025);
      c.form[0] = (pith_gemm_form)form;
      run_case(&t, &c, i == 2);
    }
  tester_deinit(&t);
}

static void test_segments(void **state) {
  (void)state;
  tester t;
  tester_init(&t, pith_gemm_f32_kernels);
  for (size_t i = 0; i < 120; ++i) {
    gemm_case c = pick_case(&t, PICK(&t, row_sizes), PICK(&t, n_sizes), k_sizes[tester_pick(&t, COUNT(k_sizes) - 2)]);
    c.residual = false;
    c.segments = 1 + tester_pick(&t, PITH_GEMM_MAX_SEGMENTS);
    for (size_t s = 1; s < c.segments; ++s) {
      c.n[s] = n_sizes[tester_pick(&t, 20)];
      c.form[s] = pick_form(&t);
    }
    run_case(&t, &c, i % 8 == 0);
  }
  tester_deinit(&t);
}

/* Each activation and option alone, one chain bit for bit, over a range where GELU and tanh saturate. */
static void test_finish(void **state) {
  (void)state;
  tester t;
  tester_init(&t, pith_gemm_f32_kernels);
  for (unsigned activation = 0; activation < PITH_ACTIVATION_COUNT; ++activation)
    for (unsigned options = 0; options < 12; ++options) {
      const gemm_case c = {
          .rows = 13,
          .k = 29,
          .segments = 1,
          .n = {83},
          .bias = options & 1,
          .residual = options & 2,
          .form = {(pith_gemm_form)(options / 4)},
          .activation = (pith_activation)activation,
          .gap = 1,
          .range = 8,
      };
      run_case(&t, &c, true);
    }
  tester_deinit(&t);
}

/* Infinities, NaN, denormals, signed zeros and overflow take the same way on every instruction set. */
static void test_extremes(void **state) {
  (void)state;
  static const float values[] = {0.0f, -0.0f, INFINITY, -INFINITY, NAN, 1e-45f, -1e-40f, 3e38f, -3e38f, 1.0f, -1e-20f, 1e-38f};
  tester t;
  tester_init(&t, pith_gemm_f32_kernels);
  for (unsigned i = 0; i < 3 * PITH_ACTIVATION_COUNT; ++i) {
    const gemm_case c = {
        .rows = 14, .k = i < PITH_ACTIVATION_COUNT ? 1 : 5, .segments = 1, .n = {67}, .bias = i % 2,
        .activation = (pith_activation)(i % PITH_ACTIVATION_COUNT), .range = 1,
    };
    const float *masters[PITH_GEMM_MAX_SEGMENTS];
    const pith_gemm_f32_args a = make_args(&t, &c, masters);
    float *x = (float *)t.buffers[0].data; /* the first buffer of make_args, writable here */
    for (size_t j = 0; j < c.rows * c.k; ++j)
      if (i < PITH_ACTIVATION_COUNT || flip(&t))
        x[j] = PICK(&t, values);
    tester_reference(&t, &a);
    tester_compare(&t, &a, NULL);
  }
  tester_deinit(&t);
}

static void test_pack(void **state) {
  (void)state;
  tester t;
  tester_init(&t, pith_gemm_f32_kernels);
  for (size_t i = 0; i < COUNT(n_sizes); ++i)
    for (size_t j = 0; j < COUNT(k_sizes); ++j) {
      const size_t n = n_sizes[i], k = k_sizes[j], count = pith_gemm_f32_packed_count(n, k);
      tester_begin(&t, "pack n %zu, k %zu", n, k);
      if (count != (n + 15) / 16 * 16 * k)
        tester_fail(&t, "packed count %zu", count);
      const float *w = tester_floats(&t, n * k, -1, 1);
      float *packed = tester_output(&t, count), *back = tester_output(&t, n * k);
      pith_gemm_f32_pack(n, k, w, packed);
      pith_gemm_f32_unpack(n, k, packed, back);
      if (n > 0 && k > 0 && memcmp(w, back, n * k * sizeof *w) != 0)
        tester_fail(&t, "unpack is not the inverse of pack");
      /* The form that architecture.md states: [n / 64][k][64], the last block narrower, zeros where no output is. */
      for (size_t row = 0; row < (n + 15) / 16 * 16; ++row)
        for (size_t col = 0; col < k; ++col) {
          const size_t n0 = row / 64 * 64, left = (n + 15) / 16 * 16 - n0, width = left < 64 ? left : 64;
          const float got = packed[n0 * k + col * width + row % 64], want = row < n ? w[row * k + col] : 0.0f;
          if (memcmp(&got, &want, sizeof got) != 0)
            tester_fail(&t, "output %zu, input %zu lies elsewhere", row, col);
        }
    }
  const gemm_case one = {.rows = 1, .k = 1, .segments = 1, .n = {1}, .range = 1};
  run_case(&t, &one, true);
  tester_deinit(&t);
}

/* A split over threads must let two of them finish together: no task is more than its share of the work. */
static void test_tasks(void **state) {
  (void)state;
  static const struct {
    size_t rows, n, k;
  } shapes[] = {{1024, 768, 768}, {128, 768, 768}, {128, 3072, 768}, {128, 768, 3072}, {1024, 384, 384}, {128, 1152, 384}, {53, 384, 384}};
  for (const pith_kernel *const *kernel = pith_gemm_f32_kernels + 1; *kernel; ++kernel)
    for (size_t i = 0; i < COUNT(shapes); ++i) {
      const pith_gemm_f32_args a = {
          .rows = shapes[i].rows, .k = shapes[i].k, .segment_count = 1, .segments = {{.n = shapes[i].n}}};
      const size_t tasks = (*kernel)->count_tasks(&a, 2);
      print_message("%s %zu x %zu x %zu: %zu tasks for two threads\n", (*kernel)->name, a.rows, shapes[i].n, a.k, tasks);
      assert_true(tasks >= 6);
      assert_true(tasks % 2 == 0 || tasks >= 32);
      assert_true((*kernel)->count_tasks(&a, 1) <= tasks);
    }
}

/* Weights that are not stored blocks are repacked by each task that reads them: once by one thread, and by few by two. */
static void test_repacking_tasks(void **state) {
  (void)state;
  static const struct {
    size_t rows, n, k;
  } shapes[] = {{430, 384, 384}, {200, 1152, 384}, {1024, 384, 1536}, {1536, 384, 430}, {3072, 768, 1024}, {1024, 768, 3072}};
  for (const pith_kernel *const *kernel = pith_gemm_f32_kernels + 1; *kernel; ++kernel)
    for (size_t i = 0; i < COUNT(shapes); ++i)
      for (unsigned form = PITH_GEMM_ROWS; form <= PITH_GEMM_COLUMNS; ++form) {
        const size_t blocks = shapes[i].n / 64;
        const pith_gemm_f32_args a = {
            .rows = shapes[i].rows, .k = shapes[i].k, .segment_count = 1, .segments = {{.n = shapes[i].n, .form = (pith_gemm_form)form}}};
        assert_int_equal((*kernel)->count_tasks(&a, 1), 1);
        const size_t tasks = (*kernel)->count_tasks(&a, 2);
        assert_true(tasks >= 8 && tasks % 2 == 0);
        assert_true(tasks <= (blocks < 8 ? 2 * blocks : blocks));
      }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_pack),     cmocka_unit_test(test_finish), cmocka_unit_test(test_extremes),
      cmocka_unit_test(test_segments), cmocka_unit_test(test_sizes),  cmocka_unit_test(test_large),
      cmocka_unit_test(test_tasks),    cmocka_unit_test(test_repacking_tasks),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
