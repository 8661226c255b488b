/* QuantizeLinear, DequantizeLinear and DynamicQuantize against ONNX's published definitions, written here in double. */
#include <fenv.h>
#include <float.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "ops/quantize/quantize.h"
#include "tests/ops/quantize_want.h"

static const size_t row_counts[] = {0, 1, 2, 5, 17};
static const size_t feature_counts[] = {1, 2, 15, 16, 17, 31, 32, 33, 64, 113, 384};
#define COUNT(array) (sizeof(array) / sizeof *(array))

enum { TENSOR, ROW, FEATURE, BLOCK, MODES }; /* of what there is a scale */
static const char *const mode_names[MODES] = {"tensor", "row", "feature", "block"};

typedef struct quantize_case {
  size_t rows, features, gap, block; /* block: of mode BLOCK; need not divide features */
  int mode;
  pith_number type;
  bool has_zero;
} quantize_case;

typedef struct scale_place {
  size_t row_step, step, block, count;
} scale_place;

static scale_place place_scales(const quantize_case *c) {
  const size_t blocks = (c->features + c->block - 1) / c->block;
  switch (c->mode) {
  case ROW: return (scale_place){1, 0, c->features, c->rows};
  case FEATURE: return (scale_place){0, 1, 1, c->features};
  case BLOCK: return (scale_place){blocks, 1, c->block, c->rows * blocks};
  default: return (scale_place){0, 0, c->features, 1};
  }
}

/* Floats of every kind: within range, ties, far outside, infinite, NaN, denormal. */
static float any_float(tester *t, float scale) {
  static const float special[] = {INFINITY, -INFINITY, FLT_MAX, -FLT_MAX, NAN, 0, -0.0f, 1e-45f, -1e-45f, FLT_MIN};
  switch (tester_pick(t, 8)) {
  case 0: return special[tester_pick(t, COUNT(special))];
  case 1: return ((float)tester_pick(t, 600) - 300.5f) * scale; /* ties, where the product is exact */
  case 2: return tester_uniform(t, -1000, 1000) * scale;
  default: return tester_uniform(t, -140, 270) * scale;
  }
}

static float any_scale(tester *t) {
  static const float special[] = {1, 0.5f, 0x1p-126f, 1e-40f, 1e-45f, 0x1p100f, 3, 0.1f};
  return tester_pick(t, 3) == 0 ? special[tester_pick(t, COUNT(special))] : tester_uniform(t, 0.001f, 4);
}

static void check_byte_gaps(tester *t, const uint8_t *q, size_t rows, size_t features, size_t stride) {
  for (size_t r = 0; r + 1 < rows; ++r)
    for (size_t i = features; i < stride; ++i)
      if (q[r * stride + i] != 0xa5)
        tester_fail(t, "wrote between rows, byte %zu of row %zu", i, r);
}

static void *make_zeros(tester *t, const quantize_case *c, size_t count) {
  uint8_t *zeros = tester_memory(t, count, false);
  for (size_t i = 0; i < count; ++i)
    zeros[i] = (uint8_t)(tester_pick(t, 3) == 0 ? (tester_pick(t, 2) ? 255 : 128) : tester_pick(t, 256));
  return c->has_zero ? zeros : NULL;
}

/* ---- QuantizeLinear ------------------------------------------------------------------------------------------ */

/* saturate(round_half_even(x / y_scale) + y_zero_point), x / y_scale in float; NaN is ours: the limit. */
static int want_quantized(float x, float scale, int zero, pith_number type) {
  const int low = type == PITH_NUMBER_S8 ? -128 : 0, high = low + 255;
  const volatile float ratio = x / scale;
  if (isnan(ratio))
    return high;
  const double q = nearbyint((double)ratio) + zero;
  return q < low ? low : q > high ? high : (int)q;
}

static void run_quantize(tester *t, const quantize_case *c) {
  tester_begin(t, "quantize: %zu rows of %zu, gap %zu, scale of %s (%zu), type %d, zero %d", c->rows, c->features, c->gap,
               mode_names[c->mode], c->block, (int)c->type, c->has_zero);
  const scale_place place = place_scales(c);
  pith_quantize_args a = {.rows = c->rows, .features = c->features, .x_stride = c->features + c->gap,
                          .q_stride = c->features + 2 * c->gap, .scale_row_step = place.row_step,
                          .scale_step = place.step, .block = place.block, .type = c->type};
  float *x = tester_floats(t, tester_span(c->rows, c->features, a.x_stride), 0, 1);
  float *scale = tester_floats(t, place.count, 0, 1);
  for (size_t i = 0; i < place.count; ++i)
    scale[i] = any_scale(t);
  for (size_t r = 0; r < c->rows; ++r)
    for (size_t i = 0; i < c->features; ++i)
      x[r * a.x_stride + i] = any_float(t, scale[r * place.row_step + i / place.block * place.step]);
  a.x = x;
  a.scale = scale;
  a.zero = make_zeros(t, c, place.count);
  a.q = tester_byte_output(t, tester_span(c->rows, c->features, a.q_stride));
  tester_reference(t, &a);
  for (size_t r = 0; r < c->rows; ++r)
    for (size_t i = 0; i < c->features; ++i) {
      const size_t at = r * place.row_step + i / place.block * place.step;
      const int zero = a.zero ? want_byte_at(a.zero, c->type, at) : 0;
      const int want = want_quantized(x[r * a.x_stride + i], scale[at], zero, c->type);
      const int got = want_byte_at(a.q, c->type, r * a.q_stride + i);
      if (got != want)
        tester_fail(t, "[%zu, %zu]: %a / %a + %d gives %d, not %d", r, i, (double)x[r * a.x_stride + i], (double)scale[at],
                    zero, got, want);
    }
  check_byte_gaps(t, a.q, c->rows, c->features, a.q_stride);
  tester_compare(t, &a, NULL);
}

static void test_quantize(void **state) {
  (void)state;
  assert_int_equal(fegetround(), FE_TONEAREST);
  tester t;
  tester_init(&t, pith_quantize_kernels);
  for (size_t i = 0; i < COUNT(row_counts); ++i)
    for (size_t j = 0; j < COUNT(feature_counts); ++j)
      for (int mode = 0; mode < MODES; ++mode) {
        const size_t pick = tester_pick(&t, 4);
        run_quantize(&t, &(quantize_case){row_counts[i], feature_counts[j], (i + j) % 3 * 5, 1 + tester_pick(&t, 40), mode,
                                          pick % 2 ? PITH_NUMBER_S8 : PITH_NUMBER_U8, pick / 2});
      }
  run_quantize(&t, &(quantize_case){200, 384, 0, 64, TENSOR, PITH_NUMBER_U8, true}); /* several tasks */
  tester_deinit(&t);
}

/* ---- DequantizeLinear ----------------------------------------------------------------------------------------- */

static void run_dequantize(tester *t, const quantize_case *c) {
  tester_begin(t, "dequantize: %zu rows of %zu, gap %zu, scale of %s (%zu), type %d, zero %d", c->rows, c->features, c->gap,
               mode_names[c->mode], c->block, (int)c->type, c->has_zero);
  const scale_place place = place_scales(c);
  pith_dequantize_args a = {.rows = c->rows, .features = c->features, .q_stride = c->features + c->gap,
                            .y_stride = c->features + 2 * c->gap, .scale_row_step = place.row_step,
                            .scale_step = place.step, .block = place.block, .type = c->type};
  const size_t count = tester_span(c->rows, c->features, a.q_stride), element = c->type == PITH_NUMBER_S32 ? 4 : 1;
  uint8_t *q = tester_memory(t, count * element, false);
  for (size_t i = 0; i < count * element; ++i)
    q[i] = (uint8_t)tester_pick(t, 256);
  float *scale = tester_floats(t, place.count, 0, 1);
  for (size_t i = 0; i < place.count; ++i)
    scale[i] = any_scale(t);
  a.q = q;
  a.scale = scale;
  a.zero = make_zeros(t, c, place.count);
  a.y = tester_output(t, tester_span(c->rows, c->features, a.y_stride));
  tester_reference(t, &a);
  for (size_t r = 0; r < c->rows; ++r)
    for (size_t i = 0; i < c->features; ++i) {
      const size_t at = r * place.row_step + i / place.block * place.step;
      int64_t whole;
      if (c->type == PITH_NUMBER_S32)
        whole = ((const int32_t *)a.q)[r * a.q_stride + i];
      else
        whole = want_byte_at(q, c->type, r * a.q_stride + i) - (a.zero ? want_byte_at(a.zero, c->type, at) : 0);
      const volatile float difference = (float)whole, want = difference * scale[at]; /* rounded as float, both */
      if (a.y[r * a.y_stride + i] != want) /* infinities too */
        tester_check_near(t, "y", r, i, (double)a.y[r * a.y_stride + i], (double)want, 0);
    }
  tester_check_gaps(t, a.y, c->rows, c->features, a.y_stride);
  tester_compare(t, &a, NULL);
}

static void test_dequantize(void **state) {
  (void)state;
  tester t;
  tester_init(&t, pith_dequantize_kernels);
  static const pith_number types[] = {PITH_NUMBER_U8, PITH_NUMBER_S8, PITH_NUMBER_S32};
  for (size_t i = 0; i < COUNT(row_counts); ++i)
    for (size_t j = 0; j < COUNT(feature_counts); ++j)
      for (int mode = 0; mode < MODES; ++mode) {
        const pith_number type = types[tester_pick(&t, 3)];
        run_dequantize(&t, &(quantize_case){row_counts[i], feature_counts[j], (i + j) % 3 * 5, 1 + tester_pick(&t, 40), mode,
                                            type, type != PITH_NUMBER_S32 && tester_pick(&t, 2)});
      }
  run_dequantize(&t, &(quantize_case){200, 384, 0, 64, ROW, PITH_NUMBER_S8, false}); /* several tasks */
  tester_deinit(&t);
}

/* ---- DynamicQuantize ------------------------------------------------------------------------------------------ */

typedef struct dynamic_case {
  size_t rows, features, gap, groups; /* groups divides features */
  size_t sequences;                   /* 0: a range per row */
  pith_number type;
  bool wild; /* NaN, infinities, denormals too */
  float range;
} dynamic_case;

static void check_dynamic(tester *t, const pith_dynamic_quantize_args *a, const dynamic_case *c, size_t begin, size_t end) {
  const size_t block = c->features / c->groups;
  for (size_t g = 0; g < c->groups; ++g) {
    float scale;
    int zero;
    want_range(a->x + begin * a->x_stride + g * block, a->x_stride, end - begin, block, a->type, &scale, &zero);
    for (size_t r = begin; r < end; ++r) {
      tester_check_near(t, "scale", r, g, (double)a->scale[r * c->groups + g], (double)scale, 0);
      tester_check_near(t, "zero", r, g, want_byte_at(a->zero, a->type, r * c->groups + g), zero, 0);
      for (size_t i = g * block; i < (g + 1) * block; ++i) {
        const float x = a->x[r * a->x_stride + i];
        const int got = want_byte_at(a->q, a->type, r * a->q_stride + i);
        if (got != want_level(x, scale, zero, a->type))
          tester_fail(t, "[%zu, %zu]: %a by %a + %d gives %d, not %d", r, i, (double)x, (double)scale, zero, got,
                      want_level(x, scale, zero, a->type));
        if (!c->wild && scale != 1) /* what it is for: half a step of error, and what the product's rounding adds */
          tester_check_near(t, "x", r, i, (double)scale * (got - zero), (double)x, 0.50005 * (double)scale);
      }
    }
  }
}

static void run_dynamic(tester *t, const dynamic_case *c) {
  tester_begin(t, "dynamic quantize: %zu rows of %zu, gap %zu, %zu groups, %zu sequences, type %d, wild %d, range %g", c->rows,
               c->features, c->gap, c->groups, c->sequences, (int)c->type, c->wild, (double)c->range);
  pith_dynamic_quantize_args a = {.rows = c->rows, .features = c->features, .x_stride = c->features + c->gap,
                                  .q_stride = c->features + 2 * c->gap, .block = c->features / c->groups,
                                  .sequences = c->sequences, .type = c->type};
  if (c->groups == 1 && tester_pick(t, 2))
    a.block = 0; /* all features */
  const size_t count = tester_span(c->rows, c->features, a.x_stride);
  const int sign = (int)tester_pick(t, 3); /* negative only, positive only, both */
  float *x = tester_floats(t, count, sign == 1 ? c->range / 4 : -c->range, sign == 0 ? -c->range / 8 : c->range);
  for (size_t i = 0; c->wild && i < count; ++i)
    if (tester_pick(t, 20) == 0)
      x[i] = any_float(t, 1);
  a.x = x;
  int32_t *offsets = tester_memory(t, (c->sequences + 1) * sizeof *offsets, false);
  offsets[0] = 0;
  for (size_t s = 1; s <= c->sequences; ++s) /* some may be empty */
    offsets[s] = s == c->sequences ? (int32_t)c->rows
                                   : offsets[s - 1] + (int32_t)tester_pick(t, c->rows - (size_t)offsets[s - 1] + 1);
  a.offsets = c->sequences > 0 ? offsets : NULL;
  a.q = tester_byte_output(t, tester_span(c->rows, c->features, a.q_stride));
  a.scale = tester_output(t, c->rows * c->groups);
  a.zero = tester_byte_output(t, c->rows * c->groups);
  tester_reference(t, &a);
  if (a.offsets)
    for (size_t s = 0; s < c->sequences; ++s)
      check_dynamic(t, &a, c, (size_t)offsets[s], (size_t)offsets[s + 1]);
  else
    for (size_t r = 0; r < c->rows; ++r)
      check_dynamic(t, &a, c, r, r + 1);
  check_byte_gaps(t, a.q, c->rows, c->features, a.q_stride);
  tester_compare(t, &a, NULL);
  a.zero = NULL; /* not wanted */
  tester_reference(t, &a);
}

static void test_dynamic(void **state) {
  (void)state;
  tester t;
  tester_init(&t, pith_dynamic_quantize_kernels);
  for (size_t i = 0; i < COUNT(row_counts); ++i)
    for (size_t j = 0; j < COUNT(feature_counts); ++j)
      for (size_t groups = 1; groups <= 3; ++groups) {
        const size_t pick = tester_pick(&t, 8);
        run_dynamic(&t, &(dynamic_case){row_counts[i], feature_counts[j] * groups, (i + j) % 3 * 5, groups,
                                        row_counts[i] > 0 && pick & 4 ? 1 + tester_pick(&t, 4) : 0,
                                        pick & 1 ? PITH_NUMBER_S8 : PITH_NUMBER_U8, pick & 2, 3});
      }
  static const size_t group_counts[] = {7, 8, 12, 16, 17, 35}, blocks[] = {1, 5, 32, 64, 300, 4097};
  for (size_t i = 0; i < COUNT(group_counts); ++i) /* batches of groups */
    for (size_t j = 0; j < COUNT(blocks); ++j)
      run_dynamic(&t, &(dynamic_case){1 + tester_pick(&t, 3), blocks[j] * group_counts[i], i, group_counts[i], 0,
                                      (i + j) % 2 ? PITH_NUMBER_S8 : PITH_NUMBER_U8, tester_pick(&t, 2), 3});
  run_dynamic(&t, &(dynamic_case){21, 9000, 0, 2, 0, PITH_NUMBER_U8, false, 3}); /* more than a batch of rows holds */
  static const float ranges[] = {0, 1e-45f, 1e-39f, 1e-36f, 5e-36f, 1e-30f, 1e30f, FLT_MAX / 2};
  for (size_t i = 0; i < COUNT(ranges); ++i)
    for (size_t signs = 0; signs < 12; ++signs) /* signs by chance */
      run_dynamic(&t, &(dynamic_case){signs % 4 < 2 ? 3 : 9, 40, 1, 1, 0, signs % 2 ? PITH_NUMBER_S8 : PITH_NUMBER_U8, false, ranges[i]});
  run_dynamic(&t, &(dynamic_case){200, 384, 0, 6, 0, PITH_NUMBER_U8, false, 3}); /* several tasks */
  run_dynamic(&t, &(dynamic_case){200, 384, 0, 6, 9, PITH_NUMBER_S8, true, 3});
  tester_deinit(&t);
}

/* A row that holds the largest floats of both signs: hi - lo overflows. And one of infinities and NaNs alone. */
static void test_dynamic_extremes(void **state) {
  (void)state;
  const float x[2][4] = {{FLT_MAX, -FLT_MAX, 0, FLT_MAX / 2}, {INFINITY, -INFINITY, NAN, 0}};
  for (size_t k = 0; pith_dynamic_quantize_kernels[k]; ++k) {
    if ((pith_dynamic_quantize_kernels[k]->needs & ~pith_cpu_detect()) != 0)
      continue;
    uint8_t q[2][4], zero[2];
    int8_t s[2][4];
    float scale[2];
    pith_dynamic_quantize_args a = {.x = x[0], .rows = 2, .features = 4, .x_stride = 4, .q_stride = 4, .block = 4,
                                    .type = PITH_NUMBER_U8, .q = q, .scale = scale, .zero = zero};
    pith_kernel_run_all(pith_dynamic_quantize_kernels[k], &a, NULL);
    assert_true(scale[0] == FLT_MAX / 255 * 2 && scale[1] == scale[0]);
    assert_true(q[0][0] == 255 && q[0][1] == 0 && (q[0][2] == 127 || q[0][2] == 128) && q[0][2] == zero[0]);
    assert_true(q[1][0] == 255 && q[1][1] == 0 && q[1][2] == 255 && q[1][3] == zero[1]);
    a.type = PITH_NUMBER_S8;
    a.q = s;
    pith_kernel_run_all(pith_dynamic_quantize_kernels[k], &a, NULL);
    assert_true(scale[0] == FLT_MAX / 127 && s[0][0] == 127 && s[0][1] == -127 && s[0][2] == 0 && zero[0] == 0);
    assert_true(s[1][0] == 127 && s[1][1] == -128 && s[1][2] == 127 && s[1][3] == 0);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_quantize), cmocka_unit_test(test_dequantize),
                                     cmocka_unit_test(test_dynamic), cmocka_unit_test(test_dynamic_extremes)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
