/* layer_norm_tile_f32: the bits of layer_norm_f32 for the same rows. */
#include <string.h>

#include "ops/normalize/layer_norm_f32.h"
#include "ops/normalize/layer_norm_tile_f32.h"
#include "tests/ops/quantize_want.h"

static const size_t row_counts[] = {0, 1, 15, 16, 17, 31, 63, 64, 65};
static const size_t feature_counts[] = {1, 2, 3, 4, 15, 16, 17, 31, 33, 64, 66, 127, 313};
#define COUNT(array) (sizeof(array) / sizeof *(array))

enum { NO_RESIDUAL, RESIDUAL, IN_PLACE_X, IN_PLACE_RESIDUAL, MODES };

typedef struct tile_case {
  size_t rows, features;
  int mode;
  pith_activation_layout layout;
  float range, offset;
} tile_case;

/* The same values as tile64 and as rows; what belongs to no row is far from all of them, or NaN. */
static float *make_tiles(tester *t, const tile_case *c, float **out_rows) {
  const pith_activation_layout tile64 = PITH_ACTIVATION_LAYOUT_TILE64;
  float *rows = tester_floats(t, c->rows * c->features, c->offset - c->range, c->offset + c->range);
  float *tiles = tester_floats(t, pith_activation_count(tile64, c->rows, c->features), -1e30f, 1e30f);
  for (size_t i = 0; i < pith_activation_count(tile64, c->rows, c->features); i += 7)
    tiles[i] = NAN;
  for (size_t r = (c->rows + 15) / 16 * 16; r % PITH_TILE_TOKENS != 0; ++r) /* never touched, also in place */
    for (size_t f = 0; f < c->features; ++f)
      memset(tiles + pith_activation_index(tile64, c->features, r, f), 0xa5, sizeof(float));
  for (size_t r = 0; r < c->rows; ++r)
    for (size_t f = 0; f < c->features; ++f)
      tiles[pith_activation_index(tile64, c->features, r, f)] = rows[r * c->features + f];
  *out_rows = rows;
  return tiles;
}

/* Rows to compare with, made by the first kernel of the other table. */
static void run_rows(tester *t, const tile_case *c, const pith_layer_norm_tile_f32_args *a, pith_layer_norm_f32_args *out,
                     const float *x, const float *residual) {
  *out = (pith_layer_norm_f32_args){.x = x, .residual = residual, .gamma = a->gamma, .beta = a->beta,
                                    .y = tester_memory(t, c->rows * c->features * sizeof(float), false), .rows = c->rows,
                                    .features = c->features, .x_stride = c->features, .residual_stride = c->features,
                                    .y_stride = c->features, .epsilon = a->epsilon, .q_factors = a->q_factors};
  out->q = (pith_quantized_rows){.stride = c->features, .type = a->q.type, .scale = a->q.scale, .zero = a->q.zero};
  out->q.q = a->q.q ? tester_memory(t, c->rows * c->features, false) : NULL;
  out->q.row_scale = a->q.row_scale ? tester_memory(t, c->rows * sizeof(float), false) : NULL;
  out->q.row_zero = a->q.row_zero ? tester_memory(t, c->rows, false) : NULL;
  pith_kernel_run_all(pith_layer_norm_f32_kernels[0], out, NULL);
}

static void check_rows(const tester *t, const tile_case *c, const pith_layer_norm_tile_f32_args *a,
                       const pith_layer_norm_f32_args *want) {
  for (size_t r = 0; r < c->rows; ++r) {
    for (size_t f = 0; f < c->features; ++f) {
      const size_t at = r * c->features + f;
      const float y = a->y[pith_activation_index(PITH_ACTIVATION_LAYOUT_TILE64, c->features, r, f)];
      if (memcmp(&y, want->y + at, sizeof y) != 0 && !(isnan(y) && isnan(want->y[at])))
        tester_fail(t, "y [%zu, %zu] is %.9g, in rows %.9g", r, f, (double)y, (double)want->y[at]);
      if (a->q.q && ((const uint8_t *)a->q.q)[pith_activation_index(a->q.layout, c->features, r, f)] !=
                        ((const uint8_t *)want->q.q)[at])
        tester_fail(t, "q [%zu, %zu] is another than in rows", r, f);
    }
    if (a->q.row_scale && memcmp(a->q.row_scale + r, want->q.row_scale + r, sizeof(float)) != 0)
      tester_fail(t, "row scale %zu", r);
    if (a->q.row_zero && a->q.row_zero[r] != want->q.row_zero[r])
      tester_fail(t, "row zero %zu", r);
  }
}

static void run_case(tester *t, const tile_case *c, bool beta) {
  tester_begin(t, "layer_norm_tile: %zu rows of %zu, mode %d, q layout %d, beta %d, range %g, offset %g", c->rows,
               c->features, c->mode, (int)c->layout, beta, (double)c->range, (double)c->offset);
  pith_layer_norm_tile_f32_args a = {.rows = c->rows, .features = c->features, .epsilon = 1e-12f};
  a.y = tester_tiles_output(t, PITH_ACTIVATION_LAYOUT_TILE64, c->rows, c->features, sizeof(float));
  float *x_rows, *residual_rows, *initial = NULL;
  float *x = make_tiles(t, c, &x_rows), *residual = make_tiles(t, c, &residual_rows);
  a.x = x;
  a.residual = c->mode == NO_RESIDUAL ? NULL : residual;
  if (c->mode == IN_PLACE_X)
    a.x = a.y, initial = x;
  if (c->mode == IN_PLACE_RESIDUAL)
    a.residual = a.y, initial = residual;
  a.gamma = tester_floats(t, c->features, -2, 2);
  a.beta = beta ? tester_floats(t, c->features, -1, 1) : NULL;
  const pith_quantized_rows q = want_any_rows(t, c->rows, c->features, 0); /* but for its bytes */
  a.q = (pith_quantized_tiles){.layout = c->layout, .type = q.type, .scale = q.scale, .zero = q.zero,
                               .row_scale = q.row_scale, .row_zero = q.row_zero};
  a.q_factors = want_any_factors(t, &q, c->features);
  a.q.q = q.q ? tester_tiles_output(t, c->layout, c->rows, c->features, 1) : NULL;
  const size_t bytes = pith_activation_count(PITH_ACTIVATION_LAYOUT_TILE64, c->rows, c->features) * sizeof(float);
  if (initial && bytes > 0)
    memcpy(a.y, initial, bytes);
  tester_reference(t, &a);
  pith_layer_norm_f32_args want;
  run_rows(t, c, &a, &want, x_rows, c->mode == NO_RESIDUAL ? NULL : residual_rows);
  check_rows(t, c, &a, &want);
  tester_compare(t, &a, initial);
}

static void test_sizes(void **state) {
  (void)state;
  tester t;
  tester_init(&t, pith_layer_norm_tile_f32_kernels);
  for (size_t i = 0; i < COUNT(row_counts); ++i)
    for (size_t j = 0; j < COUNT(feature_counts); ++j)
      for (int layout = PITH_ACTIVATION_LAYOUT_TILE64; layout <= PITH_ACTIVATION_LAYOUT_TILE64X4; ++layout)
        run_case(&t, &(tile_case){row_counts[i], feature_counts[j], (int)tester_pick(&t, MODES),
                                  (pith_activation_layout)layout, 2, 1}, (i + j) % 2 == 0);
  tester_deinit(&t);
}

/* Several tasks; variance 0, denormal, overflowing. */
static void test_values(void **state) {
  (void)state;
  tester t;
  tester_init(&t, pith_layer_norm_tile_f32_kernels);
  static const float ranges[][2] = {{2, 0}, {0, 3}, {1e-42f, 0}, {1e18f, 0}, {1e38f, 3e38f}};
  for (size_t i = 0; i < COUNT(ranges); ++i)
    for (int mode = NO_RESIDUAL; mode < MODES; ++mode)
      for (int layout = PITH_ACTIVATION_LAYOUT_TILE64; layout <= PITH_ACTIVATION_LAYOUT_TILE64X4; ++layout)
        run_case(&t, &(tile_case){i == 0 ? 301 : 35, i == 0 ? 384 : 65, mode, (pith_activation_layout)layout, ranges[i][0],
                                  ranges[i][1]}, i % 2 == 0);
  tester_deinit(&t);
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_sizes), cmocka_unit_test(test_values)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
