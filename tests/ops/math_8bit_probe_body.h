/* Included after a v16 header. */
#include "ops/math/functions_8bit.h"
#include "tests/ops/math_8bit_probe.h"

#define PROBE_LOOP(function)                                                                               \
  for (size_t i = 0; i < n; i += 16)                                                                       \
    v16_store(y + i, function(v16_load(x + i)));                                                           \
  break

static void probe_apply(probe_8bit_function function, const float *x, float *y, size_t n) {
  switch (function) {
  case PROBE_GELU_8BIT: PROBE_LOOP(v16_gelu_8bit);
  case PROBE_GELU_TANH_8BIT: PROBE_LOOP(v16_gelu_tanh_8bit);
  case PROBE_EXP2_8BIT: PROBE_LOOP(v16_exp2_8bit);
  case PROBE_8BIT_COUNT: break;
  }
}

static void probe_load(const void *q, size_t n, int is_signed, float out[16]) {
  if (n == 16)
    v16_store(out, is_signed ? v16_load_s8(q) : v16_load_u8(q));
  else
    v16_store(out, is_signed ? v16_load_s8_first(n, q) : v16_load_u8_first(n, q));
}

static void probe_store(const float x[16], size_t n, int is_signed, int zero, void *q) {
  const v16 a = v16_load(x);
  if (n == 16 && is_signed)
    v16_store_s8(q, a, zero);
  else if (n == 16)
    v16_store_u8(q, a, zero);
  else if (is_signed)
    v16_store_s8_first(n, q, a, zero);
  else
    v16_store_u8_first(n, q, a, zero);
}

static float probe_largest(const float x[16]) {
  return v16_largest(v16_load(x));
}

const math_8bit_probe V16_NAME(math_8bit_probe) = {.name = "math_8bit_" V16_ISA_TEXT,
                                                   .needs = V16_NEEDS,
                                                   .apply = probe_apply,
                                                   .load = probe_load,
                                                   .store = probe_store,
                                                   .largest = probe_largest};
