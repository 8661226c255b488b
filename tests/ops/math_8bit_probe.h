/* The functions of ops/math for 8-bit results and the 8-bit operations of v16 on one instruction set each, for
 * test_math_8bit.c. */
#ifndef PITH_TESTS_MATH_8BIT_PROBE_H
#define PITH_TESTS_MATH_8BIT_PROBE_H

#include <stddef.h>
#include <stdint.h>

#include "ops/cpu/cpu.h"

typedef enum probe_8bit_function {
  PROBE_GELU_8BIT,
  PROBE_GELU_TANH_8BIT,
  PROBE_EXP2_8BIT,
  PROBE_8BIT_COUNT
} probe_8bit_function;

typedef struct math_8bit_probe {
  const char *name;
  pith_cpu_set needs;
  void (*apply)(probe_8bit_function function, const float *x, float *y, size_t n); /* n: a multiple of 16 */
  /* n lanes, 0 to 16, from or to memory that ends behind them. */
  void (*load)(const void *q, size_t n, int is_signed, float out[16]);
  void (*store)(const float x[16], size_t n, int is_signed, int zero, void *q);
  float (*largest)(const float x[16]);
} math_8bit_probe;

extern const math_8bit_probe math_8bit_probe_plain, math_8bit_probe_avx2, math_8bit_probe_avx512;

#endif
