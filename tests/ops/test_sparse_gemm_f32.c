/* sparse_gemm_f32: the values of gemm_f32's reference for the same weights (a zero's sign apart, which links of weight 0 may
 * change), and on every instruction set the bits of its own. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "ops/sparse_gemm/sparse_gemm_f32.h"
#include "tests/ops/kernel_tester.h"

static const size_t row_sizes[] = {0, 1, 15, 16, 17, 31, 33, 47, 48, 49, 63, 64, 65, 97, 128, 130};
static const size_t n_sizes[] = {0, 1, 2, 3, 4, 5, 7, 8, 15, 16, 17, 33, 67, 97};
static const size_t k_sizes[] = {0, 1, 2, 3, 4, 5, 16, 31, 64, 97, 384};
#define COUNT(array) (sizeof(array) / sizeof *(array))
#define PICK(t, array) (array)[tester_pick((t), COUNT(array))]

typedef struct sparse_case {
  size_t rows, k, segments, n[PITH_GEMM_MAX_SEGMENTS];
  size_t width;     /* inputs of a block */
  unsigned density; /* blocks of 100 that are kept */
  bool uneven;      /* only in every third group */
  bool bias, residual;
  pith_activation activation;
} sparse_case;

static float *make_weights(tester *t, const sparse_case *c, size_t n) {
  float *w = calloc(n * c->k + 1, sizeof *w);
  assert_non_null(w);
  for (size_t n0 = 0; n0 < n; n0 += 4)
    for (size_t k0 = 0; k0 < c->k; k0 += c->width)
      if (tester_pick(t, 100) < c->density && (!c->uneven || n0 % 12 == 0))
        for (size_t j = n0; j < n0 + 4 && j < n; ++j)
          for (size_t i = k0; i < k0 + c->width && i < c->k; ++i)
            w[j * c->k + i] = tester_uniform(t, -1, 1);
  return w;
}

/* Tile64 of random values, anything where no token is; and the same in rows. */
static float *make_tiles(tester *t, size_t rows, size_t features, bool with_nan, float **out_rows) {
  const size_t count = pith_activation_count(PITH_ACTIVATION_LAYOUT_TILE64, rows, features);
  float *tiles = tester_floats(t, count, -1e30f, 1e30f), *copy = *out_rows = malloc((rows * features + 1) * sizeof *copy);
  assert_non_null(copy);
  for (size_t i = 0; with_nan && i < count; i += 5)
    tiles[i] = NAN;
  for (size_t r = 0; r < rows; ++r)
    for (size_t f = 0; f < features; ++f)
      tiles[pith_activation_index(PITH_ACTIVATION_LAYOUT_TILE64, features, r, f)] = copy[r * features + f] =
          tester_uniform(t, -1, 1);
  return tiles;
}

static void check_dense(const tester *t, const pith_sparse_gemm_f32_args *a, const pith_gemm_f32_args *dense) {
  for (size_t s = 0; s < a->segment_count; ++s)
    for (size_t i = 0; i < a->rows; ++i)
      for (size_t j = 0; j < a->segments[s].n; ++j) {
        const size_t n = a->segments[s].n;
        const float got = a->segments[s].y[pith_activation_index(PITH_ACTIVATION_LAYOUT_TILE64, n, i, j)];
        const float want = dense->segments[s].y[i * n + j];
        if (got != want)
          tester_fail(t, "segment %zu [%zu, %zu] is %a, dense %a", s, i, j, (double)got, (double)want);
      }
}

static void run_case(tester *t, const sparse_case *c) {
  tester_begin(t, "rows %zu, k %zu, n %zu %zu %zu %zu (%zu segments), blocks 4x%zu, density %u, uneven %d, bias %d, residual %d, "
               "activation %d", c->rows, c->k, c->n[0], c->n[1], c->n[2], c->n[3], c->segments, c->width, c->density,
               c->uneven, c->bias, c->residual, (int)c->activation);
  pith_sparse_gemm_f32_args a = {.rows = c->rows, .k = c->k, .segment_count = c->segments, .activation = c->activation};
  pith_gemm_f32_args dense = {.rows = c->rows, .k = c->k, .x_stride = c->k, .segment_count = c->segments,
                              .activation = c->activation, .residual_stride = c->n[0]};
  float *x, *residual = NULL, *weights[PITH_GEMM_MAX_SEGMENTS];
  a.x = make_tiles(t, c->rows, c->k, true, &x);
  dense.x = x;
  if (c->residual)
    a.residual = make_tiles(t, c->rows, c->n[0], true, &residual);
  dense.residual = residual;
  for (size_t s = 0; s < c->segments; ++s) {
    const size_t n = c->n[s];
    float *w = weights[s] = make_weights(t, c, n);
    const size_t bytes =
        pith_sparse_packed_bytes(PITH_SPARSE_B4X1_F32, n, pith_sparse_count_units(PITH_SPARSE_B4X1_F32, n, c->k, w));
    void *packed = tester_memory(t, bytes, false);
    pith_sparse_pack(PITH_SPARSE_B4X1_F32, n, c->k, w, packed);
    assert_true(pith_sparse_check(PITH_SPARSE_B4X1_F32, n, c->k, packed, bytes));
    const float *bias = c->bias ? tester_floats(t, n, -1, 1) : NULL;
    a.segments[s] = (pith_sparse_gemm_f32_segment){
        .w = packed, .bias = bias, .n = n,
        .y = tester_tiles_output(t, PITH_ACTIVATION_LAYOUT_TILE64, c->rows, n, sizeof(float))};
    dense.segments[s] = (pith_gemm_f32_segment){.w = w, .form = PITH_GEMM_ROWS, .w_stride = c->k,
                                                .bias = bias, .n = n, .y_stride = n,
                                                .y = calloc(c->rows * n + 1, sizeof(float))};
    assert_non_null(dense.segments[s].y);
  }
  tester_reference(t, &a);
  pith_kernel_run_all(pith_gemm_f32_kernels[0], &dense, NULL);
  check_dense(t, &a, &dense);
  tester_compare(t, &a, NULL);
  for (size_t s = 0; s < c->segments; ++s) {
    free(weights[s]);
    free(dense.segments[s].y);
  }
  free(x);
  free(residual);
}

static void test_random(void **state) {
  (void)state;
  tester t;
  tester_init(&t, pith_sparse_gemm_f32_kernels);
  static const unsigned densities[] = {0, 5, 20, 50, 100};
  for (size_t i = 0; i < 400; ++i) {
    sparse_case c = {.rows = PICK(&t, row_sizes), .k = PICK(&t, k_sizes), .segments = tester_pick(&t, 5),
                     .width = tester_pick(&t, 2) ? 1 : 4, .density = PICK(&t, densities),
                     .uneven = tester_pick(&t, 4) == 0, .bias = tester_pick(&t, 2),
                     .activation = (pith_activation)tester_pick(&t, PITH_ACTIVATION_COUNT)};
    for (size_t s = 0; s < c.segments; ++s)
      c.n[s] = PICK(&t, n_sizes);
    c.residual = c.segments == 1 && tester_pick(&t, 2);
    run_case(&t, &c);
  }
  tester_deinit(&t);
}

/* Several chunks of inputs, several tasks of unequal groups. */
static void test_large(void **state) {
  (void)state;
  tester t;
  tester_init(&t, pith_sparse_gemm_f32_kernels);
  static const size_t ks[] = {3072, 4096, 4097, 8193};
  for (size_t i = 0; i < COUNT(ks); ++i) {
    run_case(&t, &(sparse_case){.rows = 65, .k = ks[i], .segments = 1, .n = {39}, .width = 1, .density = 30, .uneven = i % 2,
                                .bias = true, .residual = true, .activation = PITH_ACTIVATION_GELU});
    run_case(&t, &(sparse_case){.rows = 16, .k = ks[i], .segments = 3, .n = {16, 7, 66}, .width = 4, .density = 20});
  }
  tester_deinit(&t);
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_random), cmocka_unit_test(test_large)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
