/* 12 independent sums: more than latency (5 at most) times units (2). */
#include <immintrin.h>

#include "ops/cpu/peak.h"

enum { SUMS = 12, OPERATIONS_OF_VECTOR = 8 * 2 };

static void run(size_t iterations) {
  __m256 sums[SUMS], a = _mm256_set1_ps(1.0f), b = _mm256_set1_ps(1e-9f);
  __asm__ volatile("" : "+x"(a), "+x"(b)); /* unknown to the compiler */
#pragma GCC unroll 24
  for (int i = 0; i < SUMS; ++i) {
    sums[i] = _mm256_setzero_ps();
    __asm__ volatile("" : "+x"(sums[i])); /* else equal sums become one */
  }
  for (; iterations > 0; --iterations)
#pragma GCC unroll 24
    for (int i = 0; i < SUMS; ++i)
      sums[i] = _mm256_fmadd_ps(a, b, sums[i]);
#pragma GCC unroll 24
  for (int i = 0; i < SUMS; ++i)
    __asm__ volatile("" : : "x"(sums[i]));
}

const pith_peak_loop pith_peak_f32_avx2 = {
    .name = "peak_f32_avx2",
    .kind = PITH_PEAK_FP32,
    .needs = PITH_CPU_AVX2,
    .operations = SUMS * OPERATIONS_OF_VECTOR,
    .run = run,
};
