/* The products of bytes that are exact without VNNI: of s16, and an addition. */
#include <immintrin.h>

#include "ops/cpu/peak.h"

enum { SUMS = 12, OPERATIONS_OF_VECTOR = 16 * 2 };

static void run(size_t iterations) {
  __m256i sums[SUMS], a = _mm256_set1_epi16(1), b = _mm256_set1_epi16(-1);
  __asm__ volatile("" : "+x"(a), "+x"(b)); /* unknown to the compiler */
#pragma GCC unroll 24
  for (int i = 0; i < SUMS; ++i) {
    sums[i] = _mm256_setzero_si256();
    __asm__ volatile("" : "+x"(sums[i])); /* else equal sums become one */
  }
  for (; iterations > 0; --iterations)
#pragma GCC unroll 24
    for (int i = 0; i < SUMS; ++i) {
      __asm__ volatile("" : "+x"(a)); /* else the product is computed once */
      sums[i] = _mm256_add_epi32(sums[i], _mm256_madd_epi16(a, b));
    }
#pragma GCC unroll 24
  for (int i = 0; i < SUMS; ++i)
    __asm__ volatile("" : : "x"(sums[i]));
}

const pith_peak_loop pith_peak_u8s8_avx2 = {
    .name = "peak_u8s8_avx2",
    .kind = PITH_PEAK_INT8,
    .needs = PITH_CPU_AVX2,
    .operations = SUMS * OPERATIONS_OF_VECTOR,
    .run = run,
};
