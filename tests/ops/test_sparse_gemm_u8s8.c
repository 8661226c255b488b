#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ops/gemm/gemm_u8s8.h"
#include "ops/sparse_gemm/sparse_gemm_u8s8.h"
#include "tests/ops/kernel_tester.h"
#include "tests/slow_build.h"

/* The dense product of the same weights, whose reference is tested against whole numbers of 64 bits, says what is right. */
static const size_t row_sizes[] = {0, 1, 2, 15, 16, 17, 31, 32, 33, 47, 48, 49, 63, 64, 65, 79, 97, 128, 130};
static const size_t n_sizes[] = {0, 1, 2, 3, 4, 5, 6, 8, 15, 18, 31, 33, 64, 66, 97};
static const size_t k_sizes[] = {0, 1, 2, 3, 4, 5, 7, 8, 9, 16, 31, 64, 97, 255, 384};
#define COUNT(array) (sizeof(array) / sizeof *(array))
#define PICK(t, array) (array)[tester_pick((t), COUNT(array))]

typedef enum mask { MASK_RANDOM, MASK_UNEVEN, MASK_ZERO, MASK_FULL, MASK_ONE_GROUP, MASK_COUNT } mask;

typedef struct sparse_case {
  pith_sparse_form form;
  size_t rows, k, segments, n[PITH_GEMM_MAX_SEGMENTS];
  bool bias, residual, x_per_row, q_per_row;
  bool y[PITH_GEMM_MAX_SEGMENTS], q[PITH_GEMM_MAX_SEGMENTS];
  pith_number type[PITH_GEMM_MAX_SEGMENTS];
  pith_activation_layout q_layout[PITH_GEMM_MAX_SEGMENTS];
  pith_activation activation;
  mask mask;
  unsigned density; /* blocks of 100 that are kept */
  bool extreme;     /* every byte of x is x_value, of w is w_value where it is not left out */
  uint8_t x_value, zero;
  int8_t w_value;
} sparse_case;

/* The same product, dense and in rows, with outputs of its own. */
typedef struct dense {
  pith_gemm_u8s8_args args;
  void *memory[4 * PITH_GEMM_MAX_SEGMENTS + 4];
  size_t count;
} dense;

static void *take(dense *d, size_t bytes) {
  void *out = d->memory[d->count++] = aligned_alloc(64, (bytes / 64 + 1) * 64);
  assert_non_null(out);
  return out;
}

static uint8_t pick_byte(tester *t, bool extreme, uint8_t value) {
  return extreme ? value : (uint8_t)tester_random(t);
}

/* Whether the block at a group of outputs and inputs from k0 on is kept. */
static bool is_kept(tester *t, const sparse_case *c, size_t group, size_t groups) {
  switch (c->mask) {
  case MASK_ZERO:
    return false;
  case MASK_FULL:
    return true;
  case MASK_ONE_GROUP:
    return group == groups / 2;
  case MASK_UNEVEN: /* dense, empty, as the density says */
    return group % 3 == 0 || (group % 3 == 2 && tester_pick(t, 100) < c->density);
  default:
    return tester_pick(t, 100) < c->density;
  }
}

static int8_t *make_weights(tester *t, const sparse_case *c, size_t n) {
  int8_t *w = calloc(n * c->k + 1, 1);
  assert_non_null(w);
  const size_t width = c->form == PITH_SPARSE_B4X4_S8 ? 4 : 1;
  for (size_t n0 = 0; n0 < n; n0 += 4)
    for (size_t k0 = 0; k0 < c->k; k0 += width) {
      if (!is_kept(t, c, n0 / 4, (n + 3) / 4))
        continue;
      for (size_t j = n0; j < n0 + 4 && j < n; ++j)
        for (size_t i = k0; i < k0 + width && i < c->k; ++i)
          w[j * c->k + i] = (int8_t)pick_byte(t, c->extreme, (uint8_t)c->w_value);
    }
  return w;
}

static void make_static_scale(tester *t, pith_number type, const float **out_scale, const uint8_t **out_zero) {
  *out_scale = tester_floats(t, 1, 0.005f, 0.03f);
  if (type == PITH_NUMBER_U8 && tester_pick(t, 4) != 0) {
    uint8_t *zero = tester_memory(t, 1, false);
    *zero = tester_pick(t, 2) ? (uint8_t)tester_random(t) : (uint8_t)(10 + tester_pick(t, 20));
    *out_zero = zero;
  }
}

static void make_segment(tester *t, const sparse_case *c, size_t s, pith_sparse_gemm_u8s8_segment *g, dense *d) {
  const size_t n = c->n[s];
  pith_gemm_u8s8_segment *e = &d->args.segments[s];
  *g = (pith_sparse_gemm_u8s8_segment){.n = n};
  *e = (pith_gemm_u8s8_segment){.n = n, .y_stride = n};
  int8_t *w = make_weights(t, c, n), *stored = take(d, pith_gemm_u8s8_packed_bytes(n, c->k));
  pith_gemm_u8s8_pack(n, c->k, w, stored);
  e->w = stored;
  const size_t bytes = pith_sparse_packed_bytes(c->form, n, pith_sparse_count_units(c->form, n, c->k, w));
  void *packed = tester_memory(t, bytes, false);
  pith_sparse_pack(c->form, n, c->k, w, packed);
  assert_true(pith_sparse_check(c->form, n, c->k, packed, bytes));
  g->w = packed;
  free(w);
  const float size = 1.0f / (float)(64 * 64) / sqrtf((float)(c->k + 1)); /* makes the sums' order 1 to 4 */
  g->w_scale = e->w_scale = tester_floats(t, n, 0.5f * size, 2.0f * size);
  g->bias = e->bias = c->bias ? tester_floats(t, n, -1, 1) : NULL;
  if (c->y[s]) {
    g->y = tester_tiles_output(t, PITH_ACTIVATION_LAYOUT_TILE64, c->rows, n, sizeof(float));
    e->y = take(d, c->rows * n * sizeof(float));
  }
  if (!c->q[s])
    return;
  g->q = (pith_quantized_tiles){.layout = c->q_layout[s], .type = c->type[s]};
  e->q = (pith_quantized_rows){.stride = n, .type = c->type[s]};
  g->q.q = tester_tiles_output(t, c->q_layout[s], c->rows, n, 1);
  e->q.q = take(d, c->rows * n);
  if (c->q_per_row) {
    g->q.row_scale = tester_output(t, c->rows);
    g->q.row_zero = c->type[s] == PITH_NUMBER_U8 ? tester_byte_output(t, c->rows) : NULL;
    e->q.row_scale = take(d, c->rows * sizeof(float));
    e->q.row_zero = g->q.row_zero ? take(d, c->rows) : NULL;
    return;
  }
  make_static_scale(t, c->type[s], &g->q.scale, &g->q.zero);
  e->q.scale = g->q.scale;
  e->q.zero = g->q.zero;
}

static pith_sparse_gemm_u8s8_args make_args(tester *t, const sparse_case *c, dense *d) {
  tester_begin(t, "form %d, rows %zu, k %zu, n %zu %zu %zu %zu (%zu segments), y %d%d%d%d, q %d%d%d%d, layouts %d%d%d%d, bias %d, "
               "residual %d, x per row %d, q per row %d, activation %d, mask %d density %u, extreme %d: x %d - %d, w %d",
               (int)c->form, c->rows, c->k, c->n[0], c->n[1], c->n[2], c->n[3], c->segments, c->y[0], c->y[1], c->y[2],
               c->y[3], c->q[0], c->q[1], c->q[2], c->q[3], (int)c->q_layout[0], (int)c->q_layout[1], (int)c->q_layout[2],
               (int)c->q_layout[3], c->bias, c->residual, c->x_per_row, c->q_per_row, (int)c->activation, (int)c->mask,
               c->density, c->extreme, c->x_value, c->zero, c->w_value);
  *d = (dense){.args = {.x_stride = c->k, .rows = c->rows, .k = c->k, .x_per_row = c->x_per_row, .q_per_row = c->q_per_row,
                        .segment_count = c->segments, .activation = c->activation, .residual_stride = c->n[0]}};
  pith_sparse_gemm_u8s8_args a = {.form = c->form, .rows = c->rows, .k = c->k, .x_per_row = c->x_per_row,
                                  .q_per_row = c->q_per_row, .segment_count = c->segments, .activation = c->activation};
  const pith_activation_layout layout =
      c->form == PITH_SPARSE_B4X4_S8 ? PITH_ACTIVATION_LAYOUT_TILE64X4 : PITH_ACTIVATION_LAYOUT_TILE64;
  const size_t x_bytes = pith_activation_count(layout, c->rows, c->k), scales = c->x_per_row ? c->rows : 1;
  uint8_t *x = tester_memory(t, x_bytes, false), *rows = take(d, c->rows * c->k), *zero = tester_memory(t, scales, false);
  for (size_t i = 0; i < x_bytes; ++i)
    x[i] = pick_byte(t, c->extreme, c->x_value); /* what belongs to nothing is anything */
  for (size_t i = 0; i < c->rows; ++i)
    for (size_t j = 0; j < c->k; ++j)
      rows[i * c->k + j] = x[pith_activation_index(layout, c->k, i, j)];
  for (size_t i = 0; i < scales; ++i)
    zero[i] = pick_byte(t, c->extreme, c->zero);
  a.x = x;
  d->args.x = rows;
  a.x_zero = d->args.x_zero = zero;
  a.x_scale = d->args.x_scale = tester_floats(t, scales, 0.5f, 2.0f);
  for (size_t s = 0; s < c->segments; ++s)
    make_segment(t, c, s, &a.segments[s], d);
  if (c->residual) {
    const size_t count = pith_activation_count(PITH_ACTIVATION_LAYOUT_TILE64, c->rows, c->n[0]);
    const float *residual = a.residual = tester_floats(t, count, -1, 1);
    float *of_rows = take(d, c->rows * c->n[0] * sizeof(float));
    d->args.residual = of_rows;
    for (size_t i = 0; i < c->rows; ++i)
      for (size_t j = 0; j < c->n[0]; ++j)
        of_rows[i * c->n[0] + j] = residual[pith_activation_index(PITH_ACTIVATION_LAYOUT_TILE64, c->n[0], i, j)];
  }
  return a;
}

static uint32_t bits_of(float x) {
  uint32_t bits;
  memcpy(&bits, &x, sizeof bits);
  return bits;
}

/* The sparse reference's results against those of the dense one. */
static void check_segment(tester *t, const pith_sparse_gemm_u8s8_segment *g, const pith_gemm_u8s8_segment *e, size_t rows) {
  for (size_t i = 0; i < rows; ++i)
    for (size_t j = 0; j < g->n; ++j) {
      if (g->y) {
        const float got = g->y[pith_activation_index(PITH_ACTIVATION_LAYOUT_TILE64, g->n, i, j)], want = e->y[i * g->n + j];
        if (bits_of(got) != bits_of(want) && !(isnan(got) && isnan(want)))
          tester_fail(t, "y [%zu, %zu]: got %a, dense %a", i, j, (double)got, (double)want);
      }
      if (g->q.q) {
        const uint8_t got = ((uint8_t *)g->q.q)[pith_activation_index(g->q.layout, g->n, i, j)];
        const uint8_t want = ((uint8_t *)e->q.q)[i * g->n + j];
        if (got != want)
          tester_fail(t, "q [%zu, %zu]: got %d, dense %d", i, j, got, want);
      }
    }
  for (size_t i = 0; g->q.row_scale && g->n > 0 && i < rows; ++i)
    if (bits_of(g->q.row_scale[i]) != bits_of(e->q.row_scale[i]) || (g->q.row_zero && g->q.row_zero[i] != e->q.row_zero[i]))
      tester_fail(t, "scale of row %zu: got %a, dense %a", i, (double)g->q.row_scale[i], (double)e->q.row_scale[i]);
}

static void run_dense(dense *d) {
  const pith_kernel *kernel = pith_gemm_u8s8_kernels[0];
  const size_t bytes = kernel->get_scratch_bytes ? kernel->get_scratch_bytes(&d->args) : 0;
  void *scratch = malloc(bytes + 1);
  assert_non_null(scratch);
  pith_kernel_run_all(kernel, &d->args, scratch);
  free(scratch);
}

static void release(dense *d) {
  for (size_t i = 0; i < d->count; ++i)
    free(d->memory[i]);
}

static void run_made(tester *t, const pith_sparse_gemm_u8s8_args *a, dense *d) {
  tester_reference(t, a);
  run_dense(d);
  for (size_t s = 0; s < a->segment_count; ++s)
    check_segment(t, &a->segments[s], &d->args.segments[s], a->rows);
  release(d);
  tester_compare(t, a, NULL);
}

static void run_case(tester *t, const sparse_case *c) {
  dense d;
  const pith_sparse_gemm_u8s8_args a = make_args(t, c, &d);
  run_made(t, &a, &d);
}

static bool flip(tester *t) {
  return tester_pick(t, 2) != 0;
}

static void pick_outputs(tester *t, sparse_case *c, size_t s) {
  const size_t kind = tester_pick(t, 4);
  c->y[s] = kind <= 1;
  c->q[s] = kind >= 1;
  c->type[s] = flip(t) ? PITH_NUMBER_U8 : PITH_NUMBER_S8;
  c->q_layout[s] = flip(t) ? PITH_ACTIVATION_LAYOUT_TILE64 : PITH_ACTIVATION_LAYOUT_TILE64X4;
}

static sparse_case pick_case(tester *t, size_t rows, size_t n, size_t k) {
  sparse_case c = {
      .form = flip(t) ? PITH_SPARSE_B4X1_S8 : PITH_SPARSE_B4X4_S8,
      .rows = rows,
      .k = k,
      .segments = 1,
      .n = {n},
      .activation = (pith_activation)tester_pick(t, PITH_ACTIVATION_COUNT),
      .mask = (mask)tester_pick(t, MASK_COUNT),
      .density = (unsigned)tester_pick(t, 101),
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
  tester_init(&t, pith_sparse_gemm_u8s8_kernels);
  for (size_t i = 0; i < COUNT(row_sizes); ++i)
    for (size_t j = SLOW_BUILD * (i % 2); j < COUNT(n_sizes); j += 1 + SLOW_BUILD) {
      const sparse_case c = pick_case(&t, row_sizes[i], n_sizes[j], k_sizes[tester_pick(&t, COUNT(k_sizes) - 2)]);
      run_case(&t, &c);
    }
  for (size_t i = 0; i < COUNT(k_sizes); ++i)
    for (size_t j = SLOW_BUILD * (i % 2); j < COUNT(n_sizes); j += 1 + SLOW_BUILD) {
      const sparse_case c = pick_case(&t, PICK(&t, row_sizes), n_sizes[j], k_sizes[i]);
      run_case(&t, &c);
    }
  for (size_t i = 0; i < COUNT(row_sizes); ++i)
    for (size_t j = SLOW_BUILD * (i % 2); j < COUNT(k_sizes); j += 1 + SLOW_BUILD) {
      const sparse_case c = pick_case(&t, row_sizes[i], n_sizes[tester_pick(&t, 10)], k_sizes[j]);
      run_case(&t, &c);
    }
  tester_deinit(&t);
}

static void test_segments(void **state) {
  (void)state;
  tester t;
  tester_init(&t, pith_sparse_gemm_u8s8_kernels);
  for (size_t i = 0; i < 100; ++i) {
    sparse_case c = pick_case(&t, PICK(&t, row_sizes), PICK(&t, n_sizes), PICK(&t, k_sizes));
    c.residual = c.q_per_row = false;
    c.segments = 1 + tester_pick(&t, PITH_GEMM_MAX_SEGMENTS);
    for (size_t s = 1; s < c.segments; ++s) {
      c.n[s] = PICK(&t, n_sizes);
      pick_outputs(&t, &c, s);
    }
    run_case(&t, &c);
  }
  tester_deinit(&t);
}

/* Each activation with each kind of result and each option, in both forms. */
static void test_finish(void **state) {
  (void)state;
  tester t;
  tester_init(&t, pith_sparse_gemm_u8s8_kernels);
  for (unsigned activation = 0; activation < PITH_ACTIVATION_COUNT; ++activation)
    for (unsigned options = 0; options < 512; ++options) {
      const bool y = options & 1, q = options & 2, per_row = options & 4;
      if ((!y && !q) || (per_row && !q))
        continue;
      const sparse_case c = {
          .form = options & 256 ? PITH_SPARSE_B4X4_S8 : PITH_SPARSE_B4X1_S8,
          .rows = 64 + 23,
          .k = 30,
          .segments = 1,
          .n = {16 + 1 + options % 3},
          .y = {y},
          .q = {q},
          .q_per_row = per_row,
          .type = {options & 8 ? PITH_NUMBER_U8 : PITH_NUMBER_S8},
          .q_layout = {options & 128 ? PITH_ACTIVATION_LAYOUT_TILE64X4 : PITH_ACTIVATION_LAYOUT_TILE64},
          .bias = options & 16,
          .residual = options & 32,
          .x_per_row = options & 64,
          .activation = (pith_activation)activation,
          .density = 40,
      };
      run_case(&t, &c);
    }
  tester_deinit(&t);
}

/* Where 16 bits overflow, and at the largest k where 32 almost do. */
static void test_extremes(void **state) {
  (void)state;
  static const uint8_t bytes[] = {0, 1, 127, 128, 254, 255};
  static const int8_t signed_bytes[] = {-128, -127, -1, 127};
  static const size_t ks[] = {1, 5, 64, 770};
  tester t;
  tester_init(&t, pith_sparse_gemm_u8s8_kernels);
  for (size_t i = 0; i < COUNT(bytes); ++i)
    for (size_t j = 0; j < COUNT(bytes); ++j)
      for (size_t l = 0; l < COUNT(signed_bytes); ++l) {
        sparse_case c = pick_case(&t, 18, 10, ks[(i + j + l) % COUNT(ks)]);
        c.extreme = true;
        c.x_value = bytes[i];
        c.zero = bytes[j];
        c.w_value = signed_bytes[l];
        c.mask = flip(&t) ? MASK_FULL : MASK_RANDOM;
        c.q[0] = c.q_per_row = false;
        c.y[0] = true;
        run_case(&t, &c);
      }
  for (size_t i = 0; i < 8; ++i) {
    sparse_case c = pick_case(&t, 3, 6, PITH_SPARSE_MAX_K - i % 2);
    c.extreme = true;
    c.x_value = i & 2 ? 255 : 0;
    c.zero = i & 2 ? 0 : 255;
    c.w_value = i & 4 ? -128 : 127;
    c.mask = MASK_FULL;
    c.y[0] = true;
    c.q[0] = c.q_per_row = false;
    c.activation = PITH_ACTIVATION_NONE;
    run_case(&t, &c);
  }
  tester_deinit(&t);
}

/* Floats at the ends: results that overflow, NaN and infinite biases saturate as in the dense product. */
static void test_saturation(void **state) {
  (void)state;
  static const float values[] = {0.0f, -0.0f, INFINITY, -INFINITY, NAN, 1e-45f, 3e38f, -3e38f, 1e10f, -1e10f, 1e-38f, 1.0f};
  tester t;
  tester_init(&t, pith_sparse_gemm_u8s8_kernels);
  for (unsigned i = 0; i < 24 * PITH_ACTIVATION_COUNT; ++i) {
    sparse_case c = pick_case(&t, 19, 37, 9);
    c.activation = (pith_activation)(i % PITH_ACTIVATION_COUNT);
    c.bias = true;
    dense d;
    const pith_sparse_gemm_u8s8_args a = make_args(&t, &c, &d);
    float *bias = (float *)(uintptr_t)a.segments[0].bias; /* the tester's memory, writable */
    for (size_t j = 0; j < c.n[0]; ++j)
      if (flip(&t))
        bias[j] = PICK(&t, values);
    if (c.q[0] && !c.q_per_row && i % 3 == 0)
      *(float *)(uintptr_t)a.segments[0].q.scale = i % 2 ? 1e-30f : 1e30f;
    run_made(&t, &a, &d);
  }
  tester_deinit(&t);
}

/* Stored sums that are not those of the weights, as in a damaged file: wrong results, but the same bits from every kernel. */
static void test_wrong_sums(void **state) {
  (void)state;
  tester t;
  tester_init(&t, pith_sparse_gemm_u8s8_kernels);
  for (size_t i = 0; i < 40; ++i) {
    sparse_case c = pick_case(&t, 1 + PICK(&t, row_sizes), 1 + PICK(&t, n_sizes), PICK(&t, k_sizes));
    c.y[0] = true;
    c.q[0] = c.q_per_row = false;
    c.activation = PITH_ACTIVATION_NONE;
    dense d;
    const pith_sparse_gemm_u8s8_args a = make_args(&t, &c, &d);
    release(&d);
    const size_t j = tester_pick(&t, c.n[0]), row = tester_pick(&t, c.rows);
    *(uint8_t *)(uintptr_t)&a.x_zero[c.x_per_row ? row : 0] = (uint8_t)(1 + tester_pick(&t, 255)); /* the tester's memory */
    tester_reference(&t, &a);
    const float *y = &a.segments[0].y[pith_activation_index(PITH_ACTIVATION_LAYOUT_TILE64, c.n[0], row, j)], right = *y;
    int32_t *sum = (int32_t *)(uintptr_t)&pith_sparse_get_parts(c.form, c.n[0], a.segments[0].w).sums[j];
    *sum = i % 2 ? (int32_t)tester_random(&t) : *sum + 100000;
    tester_reference(&t, &a);
    if (i % 2 == 0 && *y == right)
      tester_fail(&t, "the stored sum of output %zu does not count", j);
    tester_compare(&t, &a, NULL);
  }
  tester_deinit(&t);
}

/* Sizes of models. */
static void test_large(void **state) {
  (void)state;
  static const size_t shapes[][3] = {{140, 768, 768}, {97, 768, 3072}, {70, 3072, 384}, {300, 130, 1000}};
  tester t;
  tester_init(&t, pith_sparse_gemm_u8s8_kernels);
  for (size_t i = 0; i < 3 * COUNT(shapes); ++i) {
    sparse_case c = pick_case(&t, shapes[i / 3][0], shapes[i / 3][1], shapes[i / 3][2]);
    c.form = i % 2 ? PITH_SPARSE_B4X1_S8 : PITH_SPARSE_B4X4_S8;
    c.mask = i % 4 < 2 ? MASK_UNEVEN : MASK_RANDOM;
    c.density = 10;
    c.q[0] = i % 3 > 0;
    c.y[0] = i % 3 == 0;
    c.q_per_row = i % 3 == 2;
    run_case(&t, &c);
  }
  tester_deinit(&t);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_finish),     cmocka_unit_test(test_extremes), cmocka_unit_test(test_segments),
      cmocka_unit_test(test_saturation), cmocka_unit_test(test_sizes),    cmocka_unit_test(test_large),
      cmocka_unit_test(test_wrong_sums),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
