/* 24 independent sums: more than latency (4) times units (2). */
#include <immintrin.h>

#include "ops/cpu/peak.h"

enum { SUMS = 24, OPERATIONS_OF_VECTOR = 16 * 2 };

static void run(size_t iterations) {
  __m512 sums[SUMS], a = _mm512_set1_ps(1.0f), b = _mm512_set1_ps(1e-9f);
  __asm__ volatile("" : "+v"(a), "+v"(b)); /* unknown to the compiler */
#pragma GCC unroll 24
  for (int i = 0; i < SUMS; ++i) {
    sums[i] = _mm512_setzero_ps();
    __asm__ volatile("" : "+v"(sums[i])); /* else equal sums become one */
  }
  for (; iterations > 0; --iterations)
#pragma GCC unroll 24
    for (int i = 0; i < SUMS; ++i)
      sums[i] = _mm512_fmadd_ps(a, b, sums[i]);
#pragma GCC unroll 24
  for (int i = 0; i < SUMS; ++i)
    __asm__ volatile("" : : "v"(sums[i]));
}

const pith_peak_loop pith_peak_f32_avx512 = {
    .name = "peak_f32_avx512",
    .kind = PITH_PEAK_FP32,
    .needs = PITH_CPU_AVX512,
    .operations = SUMS * OPERATIONS_OF_VECTOR,
    .run = run,
};
