#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "ops/gemm/gemm_u8s8.h"
#include "ops/quantize/fake_quantize_f32.h"
#include "tests/golden/training/fake_quantize.h"
#include "tests/ops/quantize_want.h"

#define COUNT(array) (sizeof(array) / sizeof *(array))

static const size_t sizes[] = {1, 3, 4, 15, 16, 17, 31, 33, 64, 97};

/* ---- activations ------------------------------------------------------------------------------------------------------ */

typedef struct level {
  float scale;
  int zero;
  pith_number type;
} level;

static const level levels[] = {{0.03f, 37, PITH_NUMBER_U8},   {0.03f, 0, PITH_NUMBER_U8},    {0.01f, 255, PITH_NUMBER_U8},
                               {0.02f, 0, PITH_NUMBER_S8},    {1e-40f, 100, PITH_NUMBER_U8}, {1e30f, 9, PITH_NUMBER_U8},
                               {0.0625f, 128, PITH_NUMBER_U8}, {1e-3f, 0, PITH_NUMBER_S8}};

static const float *give_scale(tester *t, const level *l) {
  float *scale = tester_memory(t, sizeof *scale, false);
  *scale = l->scale;
  return scale;
}

static const void *give_zero(tester *t, const level *l) {
  if (l->type == PITH_NUMBER_S8)
    return NULL;
  uint8_t *zero = tester_memory(t, 1, false);
  *zero = (uint8_t)l->zero;
  return zero;
}

/* Some of the values are ends of the range, ties, zeros, and what is no number. */
static float *make_values(tester *t, size_t count, const level *l) {
  float *x = tester_floats(t, count, -150 * l->scale, 300 * l->scale);
  static const float special[] = {0.0f, -0.0f, INFINITY, -INFINITY, NAN, FLT_MAX, -FLT_MAX, 0x1p-149f};
  for (size_t i = 0; i < count; ++i)
    if (tester_pick(t, 4) == 0)
      x[i] = tester_pick(t, 2) ? special[tester_pick(t, COUNT(special))] : ((float)tester_pick(t, 520) / 2 - 130) * l->scale;
  return x;
}

static void run_activation(tester *t, size_t count, const level *l, bool in_place) {
  tester_begin(t, "%zu elements, scale %g, zero %d, type %d, in place %d", count, (double)l->scale, l->zero, (int)l->type, in_place);
  const float *x = make_values(t, count, l);
  pith_fake_quantize_f32_args a = {.count = count, .type = l->type, .y = tester_output(t, count)};
  a.x = in_place ? a.y : x;
  a.q = tester_byte_output(t, count);
  a.scale = give_scale(t, l);
  a.zero = give_zero(t, l);
  if (in_place)
    memcpy(a.y, x, count * sizeof *x);
  tester_reference(t, &a);
  for (size_t i = 0; i < count; ++i) {
    const int want = want_level(x[i], l->scale, l->zero, l->type);
    tester_check_near(t, "q", 0, i, want_byte_at(a.q, l->type, i), want, 0);
    const volatile float y = (float)(want - l->zero) * l->scale;
    tester_check_near(t, "y", 0, i, (double)a.y[i], (double)y, 0);
  }
  tester_compare(t, &a, in_place ? x : NULL);
}

static void test_activations(void **state) {
  (void)state;
  tester t;
  tester_init(&t, pith_fake_quantize_f32_kernels);
  for (size_t l = 0; l < COUNT(levels); ++l) {
    for (size_t i = 0; i < COUNT(sizes); ++i)
      run_activation(&t, sizes[i], &levels[l], i % 2);
    run_activation(&t, 0, &levels[l], false);
    run_activation(&t, 90001, &levels[l], false); /* several tasks */
  }
  tester_deinit(&t);
}

/* ---- their gradient --------------------------------------------------------------------------------------------------- */

/* in_place: 1 dx is x, 2 dx is dy. */
static void run_gradient(tester *t, size_t rows, size_t features, const level *l, int in_place) {
  tester_begin(t, "%zu rows of %zu, scale %g, zero %d, type %d, in place %d", rows, features, (double)l->scale, l->zero, (int)l->type,
               in_place);
  const size_t count = rows * features;
  const float *x = make_values(t, count, l), *dy = tester_floats(t, count, -2, 2);
  pith_fake_quantize_grad_f32_args a = {.rows = rows, .features = features, .type = l->type, .dx = tester_output(t, count)};
  a.x = in_place == 1 ? a.dx : x;
  a.dy = in_place == 2 ? a.dx : dy;
  a.scale = give_scale(t, l);
  a.zero = give_zero(t, l);
  a.dscale = tester_output(t, rows);
  const float *initial = in_place == 1 ? x : in_place == 2 ? dy : NULL;
  if (initial && count > 0)
    memcpy(a.dx, initial, count * sizeof *initial);
  tester_reference(t, &a);
  const int low = (l->type == PITH_NUMBER_S8 ? -128 : 0) - l->zero;
  volatile float inverse = 1 / l->scale;
  if (isinf(inverse))
    inverse = FLT_MAX;
  for (size_t r = 0; r < rows; ++r) {
    double sum = 0, size = 0;
    for (size_t i = r * features; i < (r + 1) * features; ++i) {
      const volatile float ratio = x[i] * inverse;
      const double n = isnan(ratio) ? (double)INFINITY : nearbyint((double)ratio);
      const bool within = n >= low && n <= low + 255;
      tester_check_near(t, "dx", r, i, (double)a.dx[i], within ? (double)dy[i] : 0, 0);
      sum += (double)dy[i] * (n < low ? low : n > low + 255 ? low + 255 : n - (double)ratio);
      size += fabs((double)dy[i]) * 255;
    }
    tester_check_near(t, "dscale", r, 0, (double)a.dscale[r], sum, 1e-6 * size);
  }
  tester_compare(t, &a, initial);
}

static void test_gradients(void **state) {
  (void)state;
  tester t;
  tester_init(&t, pith_fake_quantize_grad_f32_kernels);
  for (size_t l = 0; l < COUNT(levels); ++l) {
    for (size_t i = 0; i < COUNT(sizes); ++i)
      run_gradient(&t, 1 + tester_pick(&t, 7), sizes[i], &levels[l], (int)(i % 3));
    run_gradient(&t, 0, 16, &levels[l], 0);
    run_gradient(&t, 3, 0, &levels[l], 0);
    run_gradient(&t, 301, 97, &levels[l], 0); /* several tasks */
  }
  tester_deinit(&t);
}

static float golden_value(size_t i, size_t seed, float scale) {
  return (float)((int)((i * 53 + seed * 29 + i * i * 7) % 257) - 128) / 128 * scale;
}

static void test_torch(void **state) {
  (void)state;
  enum { SIZE = 111 };
  float x[SIZE], dy[SIZE], y[SIZE], dx[SIZE], dscale;
  uint8_t q[SIZE];
  for (size_t i = 0; i < SIZE; ++i) {
    x[i] = golden_value(i, 7, 8);
    dy[i] = golden_value(i, 2, 2);
  }
  for (size_t k = 0; k < COUNT(golden_fake_quantize); ++k) {
    const uint8_t zero = (uint8_t)golden_fake_quantize[k].zero;
    const pith_number type = golden_fake_quantize[k].is_signed ? PITH_NUMBER_S8 : PITH_NUMBER_U8;
    const pith_fake_quantize_f32_args forward = {
        .x = x, .count = SIZE, .scale = &golden_fake_quantize[k].scale, .zero = &zero, .type = type, .y = y, .q = q};
    const pith_fake_quantize_grad_f32_args backward = {.x = x, .dy = dy, .rows = 1, .features = SIZE, .dx = dx, .dscale = &dscale,
                                                       .scale = &golden_fake_quantize[k].scale, .zero = &zero, .type = type};
    size_t within = 0;
    pith_kernel_run_all(pith_fake_quantize_f32_kernels[0], &forward, NULL);
    pith_kernel_run_all(pith_fake_quantize_grad_f32_kernels[0], &backward, NULL);
    for (size_t i = 0; i < SIZE; ++i) {
      if (fabs((double)y[i] - golden_fake_quantize[k].y[i]) > 1e-6 * fabs(golden_fake_quantize[k].y[i]) ||
          (double)dx[i] != golden_fake_quantize[k].dx[i])
        fail_msg("%s, element %zu: y %.9g, dx %.9g; torch has %.9g and %.9g", golden_fake_quantize[k].name, i, (double)y[i],
                 (double)dx[i], golden_fake_quantize[k].y[i], golden_fake_quantize[k].dx[i]);
      within += dx[i] != 0;
    }
    assert_true(within > 10 && within < 100);
    if (fabs((double)dscale - golden_fake_quantize[k].dscale) > 1e-5 * fabs(golden_fake_quantize[k].dscale))
      fail_msg("%s: dscale %.9g, torch has %.9g", golden_fake_quantize[k].name, (double)dscale, golden_fake_quantize[k].dscale);
  }
}

/* ---- rows --------------------------------------------------------------------------------------------------------------- */

/* wanted: bits of y, q, packed, scale. */
static void run_rows(tester *t, size_t rows, size_t features, unsigned wanted, bool in_place) {
  tester_begin(t, "%zu rows of %zu, outputs %u, in place %d", rows, features, wanted, in_place);
  const size_t count = rows * features, bytes = pith_gemm_u8s8_packed_bytes(rows, features);
  float *x = tester_floats(t, count, -0.2f, 0.2f);
  for (size_t i = 0; i < count; ++i)
    if (tester_pick(t, 3) == 0)
      x[i] = 0;
  for (size_t i = 0; count > 0 && rows > 1 && i < features; ++i) { /* a row of zeros, one that is denormal */
    x[i] = 0;
    x[(rows - 1) * features + i] *= 1e-42f;
  }
  pith_fake_quantize_rows_f32_args a = {.rows = rows, .features = features};
  if (wanted & 1)
    a.y = tester_output(t, count);
  if (wanted & 2)
    a.q = tester_byte_output(t, count);
  if (wanted & 4)
    a.packed = tester_byte_output(t, bytes);
  if (wanted & 8)
    a.scale = tester_output(t, rows);
  a.x = in_place ? a.y : x;
  if (in_place && count > 0)
    memcpy(a.y, x, count * sizeof *x);
  tester_reference(t, &a);
  int8_t *levels_wanted = malloc(count + 1), *blocks = malloc(bytes + 1);
  assert_true(levels_wanted != NULL && blocks != NULL);
  for (size_t r = 0; r < rows; ++r) {
    float scale;
    int zero;
    want_range(x + r * features, features, 1, features, PITH_NUMBER_S8, &scale, &zero);
    if (a.scale && features > 0)
      tester_check_near(t, "scale", r, 0, (double)a.scale[r], (double)scale, 0);
    for (size_t i = r * features; i < (r + 1) * features; ++i) {
      levels_wanted[i] = (int8_t)want_level(x[i], scale, 0, PITH_NUMBER_S8);
      const volatile float y = (float)levels_wanted[i] * scale;
      assert_true(levels_wanted[i] >= -127);
      if (a.y)
        tester_check_near(t, "y", r, i, (double)a.y[i], (double)y, 0);
      if (a.q)
        tester_check_near(t, "q", r, i, a.q[i], levels_wanted[i], 0);
    }
  }
  pith_gemm_u8s8_pack(rows, features, levels_wanted, blocks);
  if (a.packed && features > 0 && memcmp(a.packed, blocks, bytes) != 0)
    tester_fail(t, "the blocks are not those of gemm_u8s8");
  free(levels_wanted);
  free(blocks);
  tester_compare(t, &a, in_place ? x : NULL);
}

static void test_rows(void **state) {
  (void)state;
  tester t;
  tester_init(&t, pith_fake_quantize_rows_f32_kernels);
  for (size_t i = 0; i < COUNT(sizes); ++i)
    for (size_t j = 0; j < COUNT(sizes); ++j)
      run_rows(&t, sizes[i], sizes[j], j == 0 ? 15 : 1 + (unsigned)tester_pick(&t, 15), false);
  run_rows(&t, 19, 33, 1, true);
  run_rows(&t, 0, 33, 15, false);
  run_rows(&t, 350, 130, 15, false); /* several tasks */
  tester_deinit(&t);
}

/* ---- ranges, GELU ---------------------------------------------------------------------------------------------------------- */

static void test_ranges(void **state) {
  (void)state;
  tester t;
  tester_init(&t, pith_row_ranges_f32_kernels);
  for (size_t i = 0; i < COUNT(sizes); ++i) {
    const size_t rows = i == 0 ? 900 : sizes[COUNT(sizes) - 1 - i], features = i == 0 ? 101 : sizes[i];
    tester_begin(&t, "%zu rows of %zu", rows, features);
    float *x = tester_floats(&t, rows * features, -3, 5);
    x[tester_pick(&t, rows * features)] = NAN;
    for (size_t f = 0; f < features; ++f)
      x[f] = fabsf(x[f]); /* a row without negatives */
    const pith_row_ranges_f32_args a = {.x = x, .rows = rows, .features = features, .ranges = tester_output(&t, 2 * rows)};
    tester_reference(&t, &a);
    for (size_t r = 0; r < rows; ++r) {
      double low = 0, high = 0;
      for (size_t f = 0; f < features; ++f) {
        low = fmin(low, (double)x[r * features + f]); /* what is no number is passed over */
        high = fmax(high, (double)x[r * features + f]);
      }
      tester_check_near(&t, "low", r, 0, (double)a.ranges[2 * r], low, 0);
      tester_check_near(&t, "high", r, 1, (double)a.ranges[2 * r + 1], high, 0);
    }
    tester_compare(&t, &a, NULL);
  }
  tester_deinit(&t);
}

static void test_gelu(void **state) {
  (void)state;
  tester t;
  tester_init(&t, pith_gelu_8bit_f32_kernels);
  for (size_t i = 0; i < 2 * COUNT(sizes) + 2; ++i) {
    const bool tanh_form = i % 2, large = i >= 2 * COUNT(sizes), in_place = i % 3 == 0 && !large;
    const size_t count = large ? 80003 : sizes[i / 2];
    tester_begin(&t, "%zu elements, tanh %d", count, tanh_form);
    const float *x = tester_floats(&t, count, -6, 6);
    pith_gelu_8bit_f32_args a = {.count = count, .tanh_form = tanh_form, .y = tester_output(&t, count)};
    a.x = in_place ? a.y : x;
    if (in_place)
      memcpy(a.y, x, count * sizeof *x);
    tester_reference(&t, &a);
    for (size_t j = 0; j < count; ++j) {
      const double v = (double)x[j];
      const double want = tanh_form ? 0.5 * v * (1 + tanh(0.79788456080286535588 * (v + 0.044715 * v * v * v)))
                                    : 0.5 * v * erfc(-v * sqrt(0.5));
      tester_check_near(&t, "y", 0, j, (double)a.y[j], want, 1.8e-4);
    }
    tester_compare(&t, &a, in_place ? x : NULL);
  }
  tester_deinit(&t);
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_activations), cmocka_unit_test(test_gradients), cmocka_unit_test(test_torch),
                                     cmocka_unit_test(test_rows),        cmocka_unit_test(test_ranges),    cmocka_unit_test(test_gelu)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
