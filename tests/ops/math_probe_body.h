/* Included after a v16 header. */
#include <string.h>

#include "ops/math/functions.h"
#include "ops/math/philox.h"
#include "tests/ops/math_probe.h"

#define PROBE_LOOP(function)                                                                               \
  for (size_t i = 0; i < n; i += 16)                                                                       \
    v16_store(y + i, function(v16_load(x + i)));                                                           \
  break

static void probe_apply(probe_function function, const float *x, float *y, size_t n) {
  switch (function) {
  case PROBE_EXP: PROBE_LOOP(v16_exp);
  case PROBE_EXP_NONPOSITIVE: PROBE_LOOP(v16_exp_nonpositive);
  case PROBE_TANH: PROBE_LOOP(v16_tanh);
  case PROBE_ERF: PROBE_LOOP(v16_erf);
  case PROBE_SIGMOID: PROBE_LOOP(v16_sigmoid);
  case PROBE_GELU: PROBE_LOOP(v16_gelu);
  case PROBE_GELU_TANH: PROBE_LOOP(v16_gelu_tanh);
  case PROBE_COUNT: break;
  }
}

static size_t probe_operate(const float *pa, const float *pb, const float *pc, size_t lanes, float *out) {
  const v16 a = v16_load(pa), b = v16_load(pb), c = v16_load(pc);
  const m16 first = m16_first(lanes);
  v16 rows[16];
  const v16 results[] = {
      v16_add(a, b),     v16_sub(a, b),    v16_mul(a, b),         v16_div(a, b),
      v16_sqrt(a),       v16_fma(a, b, c), v16_max(a, b),         v16_min(a, b),
      v16_abs(a),        v16_copysign(a, b), v16_select(v16_less(a, b), a, c), v16_select(first, a, b),
      v16_load_masked(first, pa), v16_set(pa[3]), v16_set(v16_sum(a)), v16_select(v16_is_nan(v16_sqrt(a)), b, c),
  };
  size_t count = sizeof results / sizeof *results;
  for (size_t i = 0; i < count; ++i)
    v16_store(out + 16 * i, results[i]);
  v16_store(out + 16 * count, c);
  v16_store_masked(first, out + 16 * count++, a);
  for (size_t i = 0; i < 16; ++i)
    rows[i] = i % 2 ? v16_add(a, v16_set((float)i)) : v16_mul(b, v16_set((float)i));
  v16_transpose(rows);
  for (size_t i = 0; i < 16; ++i)
    v16_store(out + 16 * count++, rows[i]);
  for (int n = -250; n <= 250; n += 50) /* a of magnitude 1/2 to 2 */
    v16_store(out + 16 * count++, v16_scale(a, v16_add(v16_set((float)n), v16_set(0.0f))));
  return count * 16;
}

static void probe_philox(const uint32_t key[2], const uint32_t counter[4], uint32_t out[16][4]) {
  const philox_source source = {.key = {key[0], key[1]}, .counter = {counter[1], counter[2], counter[3]}};
  v16 word[4];
  float floats[16];
  uint32_t bits[16];
  philox_16(&source, counter[0], word);
  for (size_t w = 0; w < 4; ++w) {
    v16_store(floats, word[w]);
    memcpy(bits, floats, sizeof bits);
    for (size_t i = 0; i < 16; ++i)
      out[i][w] = bits[i];
  }
}

const math_probe V16_NAME(math_probe) = {.name = "math_" V16_ISA_TEXT,
                                         .needs = V16_NEEDS,
                                         .apply = probe_apply,
                                         .operate = probe_operate,
                                         .philox = probe_philox};
