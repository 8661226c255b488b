/* exp, tanh, erf, sigmoid and GELU: their errors against the C library's doubles, and the same bits on every instruction
 * set. A stride of floats is tried, and all that lie around special ones. PITH_MATH_SWEEP=part/parts, such as 0/1, tries
 * every float of magnitude 2^-27 to 2^7, or that part of them, and every 199th of the others (plain C on a 64th): about ten
 * minutes of one core for all. It prints the largest errors, which functions.h states; the limits here are the same. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/ops/math_probe.h"

enum { BLOCK = 4096, SAMPLE_STRIDE = 4099, SWEEP_STRIDE = 199 };

static const math_probe *const probes[] = {
    &math_probe_plain,
#if defined(__x86_64__)
    &math_probe_avx2,
    &math_probe_avx512,
#endif
};
enum { PROBES = sizeof probes / sizeof *probes };

static double want_sigmoid(double x) {
  return x < 0 ? exp(x) / (1 + exp(x)) : 1 / (1 + exp(-x));
}
static double want_gelu(double x) {
  return isinf(x) ? (x > 0 ? x : -0.0) : 0.5 * x * erfc(-x * 0.70710678118654752440);
}
static double want_gelu_tanh(double x) {
  const double u = 0.79788456080286535588 * (x + 0.044715 * x * x * x);
  return isinf(x) ? (x > 0 ? x : -0.0) : x / (1 + exp(-2 * u));
}

/* Limits hold for every float in [low, high]; ulp: of the true value; absolute: 0 is no limit. */
typedef struct limit_row {
  probe_function function;
  const char *name;
  double (*want)(double);
  float low, high;
  double ulp, relative, absolute;
} limit_row;
static const limit_row limits[] = {
    {PROBE_EXP, "exp", exp, -INFINITY, INFINITY, 0.9, 0, 0},
    {PROBE_EXP_NONPOSITIVE, "exp, x <= 0", exp, -INFINITY, 0, 0.9, 0, 0},
    {PROBE_TANH, "tanh", tanh, -INFINITY, INFINITY, 1.59, 0, 0},
    {PROBE_ERF, "erf", erf, -INFINITY, INFINITY, 1.29, 0, 0},
    {PROBE_SIGMOID, "sigmoid", want_sigmoid, -INFINITY, INFINITY, 2.41, 0, 0},
    {PROBE_GELU, "gelu, x >= -1", want_gelu, -1, INFINITY, 1.31, 0, 0},
    {PROBE_GELU, "gelu, x > -3.75", want_gelu, -0x1.dffffep+1f, 5, 0, 3e-7, 2.4e-7},
    {PROBE_GELU, "gelu, x >= -7.25", want_gelu, -7.25f, -3.75f, 0, 1.2e-4, 3e-10},
    {PROBE_GELU, "gelu, x <= -7.25", want_gelu, -INFINITY, -7.25f, 0, 0, 1.6e-12},
    {PROBE_GELU_TANH, "gelu_tanh, x >= -1", want_gelu_tanh, -1, INFINITY, 1.49, 0, 0},
    {PROBE_GELU_TANH, "gelu_tanh, x > -3.75", want_gelu_tanh, -0x1.dffffep+1f, 5, 0, 3e-7, 2.4e-7},
    {PROBE_GELU_TANH, "gelu_tanh, x >= -7.25", want_gelu_tanh, -7.25f, -3.75f, 0, 4.2e-3, 4e-10},
    {PROBE_GELU_TANH, "gelu_tanh, x <= -7.25", want_gelu_tanh, -INFINITY, -7.25f, 0, 0, 1e-13},
};
enum { LIMITS = sizeof limits / sizeof *limits };

typedef struct worst {
  double ulp, relative, absolute;
  float ulp_at, relative_at, absolute_at;
} worst;

static double get_ulp(double want) {
  int exponent;
  frexp(fabs(want), &exponent);
  return ldexp(1, exponent - 24 < -149 || want == 0 ? -149 : exponent - 24);
}

static void check_value(float x, float y, const limit_row *row, double want, worst *w) {
  if (isinf((float)want) || isinf(y)) {
    if (y != (float)want)
      fail_msg("%s(%a) is %g, not %g", row->name, (double)x, (double)y, want);
    return;
  }
  const double error = fabs((double)y - want), ulp = error / get_ulp(want);
  if (!(error >= 0)) /* NaN from a number */
    fail_msg("%s(%a) is %g, not %g", row->name, (double)x, (double)y, want);
  if (ulp > w->ulp)
    w->ulp = ulp, w->ulp_at = x;
  if (error > w->absolute)
    w->absolute = error, w->absolute_at = x;
  if (fabs(want) >= 0x1p-126 && error > w->relative * fabs(want))
    w->relative = error / fabs(want), w->relative_at = x;
}

/* `with_plain`: plain C too, where there is another. */
static void check_block(probe_function function, const float *x, bool with_plain, worst *w) {
  static float y[PROBES][BLOCK];
  size_t first = PROBES; /* what the others are compared with */
  for (size_t p = with_plain || (probes[PROBES - 1]->needs & ~pith_cpu_detect()) != 0 ? 0 : 1; p < PROBES; ++p) {
    if ((probes[p]->needs & ~pith_cpu_detect()) != 0)
      continue;
    first = p < first ? p : first;
    probes[p]->apply(function, x, y[p], BLOCK);
    if (memcmp(y[p], y[first], sizeof y[0]) != 0)
      for (size_t i = 0; i < BLOCK; ++i)
        if (memcmp(&y[p][i], &y[first][i], sizeof(float)) != 0 && !(isnan(y[p][i]) && isnan(y[first][i])))
          fail_msg("function %d of %a: %s gives %a, %s %a", (int)function, (double)x[i], probes[p]->name,
                   (double)y[p][i], probes[first]->name, (double)y[first][i]);
  }
  double (*want_of)(double) = NULL;
  double want = 0;
  for (size_t i = 0; i < BLOCK; ++i) {
    want_of = NULL;
    for (size_t r = 0; r < LIMITS; ++r) {
      if (limits[r].function != function)
        continue;
      if (isnan(x[i])) {
        if (!isnan(y[first][i]))
          fail_msg("%s(NaN) is %g", limits[r].name, (double)y[first][i]);
      } else if (x[i] >= limits[r].low && x[i] <= limits[r].high) {
        if (want_of != limits[r].want)
          want = limits[r].want((double)x[i]);
        want_of = limits[r].want;
        check_value(x[i], y[first][i], &limits[r], want, &w[r]);
      }
    }
  }
}

/* Fills x of the block, and checks it when it is full, one in `plain_every` blocks with plain C. */
static void add_value(probe_function function, float value, float *x, size_t *count, size_t plain_every, worst *w) {
  static size_t blocks;
  x[*count] = function == PROBE_EXP_NONPOSITIVE ? -fabsf(value) : value;
  if (++*count < BLOCK)
    return;
  check_block(function, x, blocks++ % plain_every == 0, w);
  *count = 0;
}

static float from_bits(uint32_t bits) {
  float x;
  memcpy(&x, &bits, sizeof x);
  return x;
}

/* Floats beside those where something changes, in bits. */
static const uint32_t special_bits[] = {
    0x00000000, 0x80000000, 0x00800000, 0x80800000, 0x7f7ffff0, 0xff7ffff0, 0x7f800000, 0xff800000, 0x7fc00000, 0xffc00000,
    0x7fffff00, 0x42b17218 /* 88.7: exp overflows */, 0xc2aeac50 /* -87.3: denormal */, 0xc2cff1b5 /* -104: 0 */,
    0x42b20000 /* 89 */, 0x3f0ccccd /* 0.55 */, 0xbf0ccccd, 0x3f600000 /* 0.875 */, 0xbf600000, 0x407ccccd /* 3.95 */,
    0xc07ccccd, 0x3e800000 /* 0.25 */, 0xbe800000, 0x40700000 /* 3.75 */, 0xc0700000, 0x40e80000 /* 7.25 */, 0xc0e80000,
    0x41180000 /* 9.5 */, 0xc1180000, 0x41400000 /* 12 */, 0xc1400000,
    0x41700000 /* 15 */, 0xc1700000, 0x3f800000, 0xbf800000, 0x3eb17218 /* ln 2 / 2 */, 0xbeb17218, 0x41102cb3 /* 9.01 */};

typedef struct sweep {
  bool whole;
  unsigned part, parts;
} sweep;

/* Outside, every function is a constant, or x times one to a float's precision. */
static bool is_inner(uint64_t bits) {
  const uint64_t magnitude = bits & 0x7fffffff;
  return magnitude >= 0x31800000 /* 2^-28: a stride may pass the first ones */ && magnitude < 0x43000000 /* 2^7 */;
}

static void check_function(probe_function function, const sweep *s, worst *w) {
  static float x[BLOCK];
  size_t count = 0;
  for (size_t i = 0; i < sizeof special_bits / sizeof *special_bits; ++i)
    for (uint32_t offset = 0; offset < 256; ++offset)
      add_value(function, from_bits(special_bits[i] + offset - 128), x, &count, 1, w);
  const uint64_t end = ((uint64_t)1 << 32) * (s->part + 1) / s->parts;
  for (uint64_t bits = ((uint64_t)1 << 32) * s->part / s->parts; bits < end;
       bits += !s->whole ? SAMPLE_STRIDE : is_inner(bits) ? 1 : SWEEP_STRIDE)
    add_value(function, from_bits((uint32_t)bits), x, &count, s->whole ? 64 : 1, w);
  while (count > 0)
    add_value(function, 1, x, &count, 1, w);
}

static void test_errors(void **state) {
  (void)state;
  sweep s = {false, 0, 1};
  const char *text = getenv("PITH_MATH_SWEEP");
  if (text) {
    s.whole = true;
    if (sscanf(text, "%u/%u", &s.part, &s.parts) != 2 || s.part >= s.parts)
      fail_msg("PITH_MATH_SWEEP=%s is not part/parts", text);
  }
  worst w[LIMITS] = {0};
  for (probe_function function = 0; function < PROBE_COUNT; ++function) {
    check_function(function, &s, w);
    for (size_t r = 0; r < LIMITS; ++r)
      if (limits[r].function == function) {
        printf("%-22s %6.3f ulp at %-15a relative %.3g at %-15a absolute %.3g at %a\n", limits[r].name, w[r].ulp,
               (double)w[r].ulp_at, w[r].relative, (double)w[r].relative_at, w[r].absolute, (double)w[r].absolute_at);
        fflush(stdout);
      }
  }
  for (size_t r = 0; r < LIMITS; ++r)
    if ((limits[r].ulp > 0 && w[r].ulp > limits[r].ulp) || (limits[r].relative > 0 && w[r].relative > limits[r].relative) ||
        (limits[r].absolute > 0 && w[r].absolute > limits[r].absolute) || w[r].ulp == 0)
      fail_msg("%s: over its limit", limits[r].name);
}

/* The operations themselves: same bits, and plain C's are checked against the scalar meaning. */
static void test_operations(void **state) {
  (void)state;
  uint32_t random = 1;
  for (size_t turn = 0; turn < 2000; ++turn) {
    float in[3][16], want[PROBE_OPERATIONS * 16], got[PROBE_OPERATIONS * 16];
    for (size_t i = 0; i < 48; ++i) {
      random = random * 1664525u + 1013904223u;
      in[i / 16][i % 16] = from_bits(turn % 2 ? (random & 0x807fffffu) | 0x3f800000u : random);
      if (isnan(in[i / 16][i % 16]))
        in[i / 16][i % 16] = i % 3 ? 0.0f : -0.0f;
      if (turn % 7 == 0 && i % 5 == 0)
        in[i / 16][i % 16] = i % 2 ? 0.0f : -0.0f; /* equal zeros of both signs */
    }
    const size_t lanes = turn % 17, count = math_probe_plain.operate(in[0], in[1], in[2], lanes, want);
    assert_true(count <= PROBE_OPERATIONS * 16);
    for (size_t p = 1; p < PROBES; ++p) {
      if ((probes[p]->needs & ~pith_cpu_detect()) != 0)
        continue;
      assert_int_equal(probes[p]->operate(in[0], in[1], in[2], lanes, got), count);
      for (size_t i = 0; i < (turn % 2 ? count : count - 11 * 16); ++i) /* v16_scale takes magnitudes 1/2 to 2 */
        if (memcmp(&got[i], &want[i], sizeof(float)) != 0 && !(isnan(got[i]) && isnan(want[i])))
          fail_msg("%s, turn %zu: operation %zu lane %zu gives %a, plain C %a", probes[p]->name, turn, i / 16, i % 16,
                   (double)got[i], (double)want[i]);
    }
    for (size_t i = 0; i < 16; ++i) {
      if (!isnan(want[5 * 16 + i]))
        assert_true(want[5 * 16 + i] == fmaf(in[0][i], in[1][i], in[2][i]));
      assert_true(want[11 * 16 + i] == (i < lanes ? in[0][i] : in[1][i]));
      assert_true(want[12 * 16 + i] == (i < lanes ? in[0][i] : 0));
      assert_true(want[15 * 16 + i] == (in[0][i] < 0 ? in[1][i] : in[2][i])); /* its root is NaN */
      if (turn % 2)
        for (int n = 0; n < 11; ++n)
          assert_true(want[(33 + (size_t)n) * 16 + i] == (float)ldexp((double)in[0][i], n * 50 - 250));
    }
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_operations), cmocka_unit_test(test_errors)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
