/* The products of bytes that are exact without VNNI: of s16, and an addition. */
#include <immintrin.h>

#include "ops/cpu/peak.h"

enum { SUMS = 24, OPERATIONS_OF_VECTOR = 32 * 2 };

static void run(size_t iterations) {
  __m512i sums[SUMS], a = _mm512_set1_epi16(1), b = _mm512_set1_epi16(-1);
  __asm__ volatile("" : "+v"(a), "+v"(b)); /* unknown to the compiler */
#pragma GCC unroll 24
  for (int i = 0; i < SUMS; ++i) {
    sums[i] = _mm512_setzero_si512();
    __asm__ volatile("" : "+v"(sums[i])); /* else equal sums become one */
  }
  for (; iterations > 0; --iterations)
#pragma GCC unroll 24
    for (int i = 0; i < SUMS; ++i) {
      __asm__ volatile("" : "+v"(a)); /* else the product is computed once */
      sums[i] = _mm512_add_epi32(sums[i], _mm512_madd_epi16(a, b));
    }
#pragma GCC unroll 24
  for (int i = 0; i < SUMS; ++i)
    __asm__ volatile("" : : "v"(sums[i]));
}

const pith_peak_loop pith_peak_u8s8_avx512 = {
    .name = "peak_u8s8_avx512",
    .kind = PITH_PEAK_INT8,
    .needs = PITH_CPU_AVX512,
    .operations = SUMS * OPERATIONS_OF_VECTOR,
    .run = run,
};
