/* 12 independent sums: more than latency (5) times units (2). */
#include <immintrin.h>

#include "ops/cpu/peak.h"

enum { SUMS = 12, OPERATIONS_OF_VECTOR = 32 * 2 };

static void run(size_t iterations) {
  __m256i sums[SUMS], a = _mm256_set1_epi8(1), b = _mm256_set1_epi8(-1);
  __asm__ volatile("" : "+x"(a), "+x"(b)); /* unknown to the compiler */
#pragma GCC unroll 24
  for (int i = 0; i < SUMS; ++i) {
    sums[i] = _mm256_setzero_si256();
    __asm__ volatile("" : "+x"(sums[i])); /* else equal sums become one */
  }
  for (; iterations > 0; --iterations)
#pragma GCC unroll 24
    for (int i = 0; i < SUMS; ++i)
      sums[i] = _mm256_dpbusd_avx_epi32(sums[i], a, b);
#pragma GCC unroll 24
  for (int i = 0; i < SUMS; ++i)
    __asm__ volatile("" : : "x"(sums[i]));
}

const pith_peak_loop pith_peak_u8s8_avxvnni = {
    .name = "peak_u8s8_avxvnni",
    .kind = PITH_PEAK_INT8,
    .needs = PITH_CPU_AVXVNNI,
    .operations = SUMS * OPERATIONS_OF_VECTOR,
    .run = run,
};
