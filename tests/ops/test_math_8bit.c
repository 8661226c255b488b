/* GELU and 2^x for 8-bit results: their errors against the C library's doubles; 8-bit loads and stores of v16; the same bits
 * on every instruction set. A stride of floats is tried; PITH_MATH_SWEEP=0/1 tries every 7th (another test's variable, and
 * any part means all). */
#include <float.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/ops/kernel_tester.h"
#include "tests/ops/math_8bit_probe.h"

enum { BLOCK = 4096, SAMPLE_STRIDE = 4099, SWEEP_STRIDE = 7 };

static const math_8bit_probe *const probes[] = {
    &math_8bit_probe_plain,
#if defined(__x86_64__)
    &math_8bit_probe_avx2,
    &math_8bit_probe_avx512,
#endif
};
enum { PROBES = sizeof probes / sizeof *probes };

static double want_gelu(double x) {
  return isinf(x) ? (x > 0 ? x : 0) : 0.5 * x * erfc(-x * 0.70710678118654752440);
}
static double want_gelu_tanh(double x) {
  const double u = 0.79788456080286535588 * (x + 0.044715 * x * x * x);
  return isinf(x) ? (x > 0 ? x : 0) : x / (1 + exp(-2 * u));
}

/* Limits hold for every float in [low, high]; 0 is no limit. */
static const struct {
  probe_8bit_function function;
  const char *name;
  double (*want)(double);
  float low, high;
  double relative, absolute;
} limits[] = {
    {PROBE_GELU_8BIT, "gelu, |x| <= 3.9375", want_gelu, -3.9375f, 3.9375f, 0, 1.7e-4},
    {PROBE_GELU_8BIT, "gelu, x > 3.9375", want_gelu, 3.9375f, INFINITY, 6e-5, 0},
    {PROBE_GELU_8BIT, "gelu, x < -3.9375", want_gelu, -INFINITY, -3.9375f, 0, 1.7e-4},
    {PROBE_GELU_TANH_8BIT, "gelu_tanh, |x| <= 3.875", want_gelu_tanh, -3.875f, 3.875f, 0, 1.4e-4},
    {PROBE_GELU_TANH_8BIT, "gelu_tanh, x > 3.875", want_gelu_tanh, 3.875f, INFINITY, 4e-5, 0},
    {PROBE_GELU_TANH_8BIT, "gelu_tanh, x < -3.875", want_gelu_tanh, -INFINITY, -3.875f, 0, 1.4e-4},
    {PROBE_EXP2_8BIT, "exp2, x >= -125", exp2, -125, 0, 1.1e-4, 0},
    {PROBE_EXP2_8BIT, "exp2, x < -125", exp2, -INFINITY, -125, 0, 2.4e-38},
};
enum { LIMITS = sizeof limits / sizeof *limits };

typedef struct worst {
  double relative, absolute;
  size_t values;
} worst;

static float from_bits(uint32_t bits) {
  float x;
  memcpy(&x, &bits, sizeof x);
  return x;
}

static void check_block(probe_8bit_function function, const float *x, worst *w) {
  static float y[PROBES][BLOCK];
  for (size_t p = 0; p < PROBES; ++p) {
    if ((probes[p]->needs & ~pith_cpu_detect()) != 0)
      continue;
    probes[p]->apply(function, x, y[p], BLOCK);
    for (size_t i = 0; i < BLOCK; ++i)
      if (memcmp(&y[p][i], &y[0][i], sizeof(float)) != 0 && !(isnan(y[p][i]) && isnan(y[0][i])))
        fail_msg("function %d of %a: %s gives %a, plain C %a", (int)function, (double)x[i], probes[p]->name,
                 (double)y[p][i], (double)y[0][i]);
  }
  for (size_t r = 0; r < LIMITS; ++r)
    for (size_t i = 0; i < BLOCK && limits[r].function == function; ++i) {
      if (!(x[i] >= limits[r].low && x[i] <= limits[r].high))
        continue;
      const double want = limits[r].want((double)x[i]), got = (double)y[0][i];
      const double error = isinf(want) && got == want ? 0 : fabs(got - want);
      w[r].values++;
      w[r].absolute = !(error <= w[r].absolute) ? error : w[r].absolute; /* NaN too */
      if (want != 0 && !isinf(want))
        w[r].relative = fmax(w[r].relative, error / fabs(want));
    }
}

static void test_functions(void **state) {
  (void)state;
  static float x[BLOCK];
  const uint64_t stride = getenv("PITH_MATH_SWEEP") ? SWEEP_STRIDE : SAMPLE_STRIDE;
  worst w[LIMITS] = {0};
  for (probe_8bit_function function = 0; function < PROBE_8BIT_COUNT; ++function) {
    size_t count = 0;
    for (uint64_t bits = 0; bits < (uint64_t)1 << 32; bits += stride) {
      x[count] = from_bits((uint32_t)bits);
      count = (count + 1) % BLOCK;
      if (count == 0)
        check_block(function, x, w);
    }
    static const float ends[] = {0,       -0.0f,  INFINITY, -INFINITY, FLT_MAX, -FLT_MAX, 3.9375f, -3.9375f,
                                 3.875f,  -3.875f, -125,    -7,            FLT_MIN,  -FLT_MIN};
    const size_t end_count = sizeof ends / sizeof *ends;
    for (size_t i = 0; i < BLOCK; ++i) { /* the ends of the pieces and the floats beside them */
      const float end = ends[i % end_count];
      x[i] = i < end_count ? end : nextafterf(end, i % 2 ? INFINITY : -INFINITY);
    }
    check_block(function, x, w);
  }
  for (size_t r = 0; r < LIMITS; ++r)
    printf("%-24s relative %.3g absolute %.3g of %zu\n", limits[r].name, w[r].relative, w[r].absolute, w[r].values);
  for (size_t r = 0; r < LIMITS; ++r)
    if (w[r].values == 0 || (limits[r].relative > 0 && !(w[r].relative <= limits[r].relative)) ||
        (limits[r].absolute > 0 && !(w[r].absolute <= limits[r].absolute)))
      fail_msg("%s: over its limit", limits[r].name);
}

/* What is promised of single values. */
static void test_values(void **state) {
  (void)state;
  for (size_t p = 0; p < PROBES; ++p) {
    if ((probes[p]->needs & ~pith_cpu_detect()) != 0)
      continue;
    const float x[16] = {0, -INFINITY, NAN, -7, -FLT_MAX, INFINITY, 1e30f, -1e30f, 4, -4, 100, -100, 3.9375f, -3.9375f, 0, 0};
    float y[16];
    for (probe_8bit_function function = PROBE_GELU_8BIT; function <= PROBE_GELU_TANH_8BIT; ++function) {
      probes[p]->apply(function, x, y, 16);
      assert_true(y[0] == 0 && fabsf(y[1]) < 1e-6f && isnan(y[2]) && fabsf(y[4]) < 1e-6f);
      assert_true(y[5] == INFINITY && y[6] == 1e30f && fabsf(y[7]) < 1e-6f && fabsf(y[8] - 4) < 1e-6f);
      assert_true(fabsf(y[9]) < 1e-6f && y[10] == 100 && fabsf(y[11]) < 1e-6f);
    }
    probes[p]->apply(PROBE_EXP2_8BIT, x, y, 16);
    assert_true(y[0] == 1 && y[1] > 0 && y[1] < 1e-37f && y[2] == y[1] && y[4] == y[1] && y[7] == y[1]);
    assert_true(rintf(255 * y[3]) == 2); /* 1.99 */
  }
}

static int want_byte(float x, int is_signed, int zero) {
  const double q = rint((double)x) + zero, low = is_signed ? -128 : 0;
  return (int)(q < low ? low : q);
}

/* Loads and stores of 0 to 16 lanes at the ends of pages, and the largest lane. */
static void test_operations(void **state) {
  (void)state;
  static const pith_kernel *const none[] = {NULL};
  tester t = {.table = none, .random = 1};
  for (size_t turn = 0; turn < 4000; ++turn) {
    tester_begin(&t, "turn %zu", turn);
    const size_t n = turn % 17;
    const int is_signed = turn % 2, zero = is_signed ? (int)tester_pick(&t, 256) - 128 : (int)tester_pick(&t, 256);
    const int top = (is_signed ? 127 : 255) - zero;
    uint8_t *bytes = tester_memory(&t, n, false);
    for (size_t i = 0; i < n; ++i)
      bytes[i] = (uint8_t)tester_pick(&t, 256);
    float x[16], largest = -INFINITY;
    for (size_t i = 0; i < 16; ++i) {
      static const float special[] = {-INFINITY, -FLT_MAX, -2147483648.0f, -4294967296.0f, -1e10f, -32769, 0, -0.0f, FLT_MIN};
      x[i] = tester_pick(&t, 4) == 0 ? special[tester_pick(&t, 9)]
             : tester_pick(&t, 2)    ? (float)tester_pick(&t, 1024) * 0.5f - 400 /* ties */
                                     : tester_uniform(&t, -400, 300);
      x[i] = x[i] < (float)top ? x[i] : (float)top;
      largest = x[i] > largest ? x[i] : largest;
    }
    for (size_t p = 0; p < PROBES; ++p) {
      if ((probes[p]->needs & ~pith_cpu_detect()) != 0)
        continue;
      float got[16];
      probes[p]->load(bytes, n, is_signed, got);
      for (size_t i = 0; i < 16; ++i)
        assert_true(got[i] == (i >= n ? 0.0f : is_signed ? (float)(int8_t)bytes[i] : (float)bytes[i]));
      uint8_t *out = tester_memory(&t, n, true);
      probes[p]->store(x, n, is_signed, zero, out);
      assert_true(n == 0 || out[-1] == 0xa5); /* the tester's guard */
      for (size_t i = 0; i < n; ++i)
        if ((is_signed ? (int8_t)out[i] : out[i]) != want_byte(x[i], is_signed, zero))
          fail_msg("%s: %a with zero %d is stored as %d", probes[p]->name, (double)x[i], zero, out[i]);
      assert_true(probes[p]->largest(x) == largest);
    }
  }
  tester_begin(&t, "end");
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_functions), cmocka_unit_test(test_values),
                                     cmocka_unit_test(test_operations)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
