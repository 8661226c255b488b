/* 24 independent sums: more than latency (5) times units (2). */
#include <immintrin.h>

#include "ops/cpu/peak.h"

enum { SUMS = 24, OPERATIONS_OF_VECTOR = 64 * 2 };

static void run(size_t iterations) {
  __m512i sums[SUMS], a = _mm512_set1_epi8(1), b = _mm512_set1_epi8(-1);
  __asm__ volatile("" : "+v"(a), "+v"(b)); /* unknown to the compiler */
#pragma GCC unroll 24
  for (int i = 0; i < SUMS; ++i) {
    sums[i] = _mm512_setzero_si512();
    __asm__ volatile("" : "+v"(sums[i])); /* else equal sums become one */
  }
  for (; iterations > 0; --iterations)
#pragma GCC unroll 24
    for (int i = 0; i < SUMS; ++i)
      sums[i] = _mm512_dpbusd_epi32(sums[i], a, b);
#pragma GCC unroll 24
  for (int i = 0; i < SUMS; ++i)
    __asm__ volatile("" : : "v"(sums[i]));
}

const pith_peak_loop pith_peak_u8s8_avx512vnni = {
    .name = "peak_u8s8_avx512vnni",
    .kind = PITH_PEAK_INT8,
    .needs = PITH_CPU_AVX512VNNI,
    .operations = SUMS * OPERATIONS_OF_VECTOR,
    .run = run,
};
