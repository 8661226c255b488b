/* The functions of ops/math on one instruction set each, for test_math.c and test_philox.c. */
#ifndef PITH_TESTS_MATH_PROBE_H
#define PITH_TESTS_MATH_PROBE_H

#include <stddef.h>
#include <stdint.h>

#include "ops/cpu/cpu.h"

typedef enum probe_function {
  PROBE_EXP,
  PROBE_EXP_NONPOSITIVE,
  PROBE_TANH,
  PROBE_ERF,
  PROBE_SIGMOID,
  PROBE_GELU,
  PROBE_GELU_TANH,
  PROBE_COUNT
} probe_function;

typedef struct math_probe {
  const char *name;
  pith_cpu_set needs;
  void (*apply)(probe_function function, const float *x, float *y, size_t n); /* n: a multiple of 16 */
  /* Every operation of v16 on a, b, c [16]: results one after the other. Returns their number, at most PROBE_OPERATIONS
   * * 16. */
  size_t (*operate)(const float *a, const float *b, const float *c, size_t lanes, float *out);
  /* philox_16: counters counter[0] to counter[0] + 15. */
  void (*philox)(const uint32_t key[2], const uint32_t counter[4], uint32_t out[16][4]);
} math_probe;
enum { PROBE_OPERATIONS = 48 };

extern const math_probe math_probe_plain, math_probe_avx2, math_probe_avx512;

#endif
