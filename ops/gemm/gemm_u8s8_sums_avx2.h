/* s16 as two ymm registers, beside v16_avx2.h: gemm_u8s8_tile.h says what is here. */
#ifndef PITH_OPS_GEMM_U8S8_SUMS_H
#define PITH_OPS_GEMM_U8S8_SUMS_H

#include <stdbool.h>
#include <string.h>

#include "ops/math/v16_avx2.h"

typedef struct s16 {
  __m256i low, high;
} s16;

V16_INLINE s16 s16_set(int32_t x) {
  return (s16){_mm256_set1_epi32(x), _mm256_set1_epi32(x)};
}
V16_INLINE s16 s16_load(const void *p) {
  return (s16){_mm256_loadu_si256(p), _mm256_loadu_si256((const __m256i *)p + 1)};
}
V16_INLINE void s16_store(void *p, s16 a) {
  _mm256_storeu_si256(p, a.low);
  _mm256_storeu_si256((__m256i *)p + 1, a.high);
}
V16_INLINE s16 s16_mul(s16 a, s16 b) {
  return (s16){_mm256_mullo_epi32(a.low, b.low), _mm256_mullo_epi32(a.high, b.high)};
}
V16_INLINE v16 gemm_load_sums(const int32_t *p) {
  const s16 a = s16_load(p);
  return v16_of(_mm256_cvtepi32_ps(a.low), _mm256_cvtepi32_ps(a.high));
}
/* Too low a level becomes INT_MIN, to which zero >= 0 is then added. */
V16_INLINE __m256i gemm_round_levels(v16 level, int32_t zero) {
  const __m256i zeros = _mm256_set1_epi32(zero);
  return _mm256_packs_epi32(_mm256_add_epi32(_mm256_cvtps_epi32(level.low), zeros),
                            _mm256_add_epi32(_mm256_cvtps_epi32(level.high), zeros));
}
/* Packing works within 128-bit lanes: 4 bytes of each half lie side by side until put in order. */
V16_INLINE void gemm_store_levels(uint8_t *q, bool is_u8, int32_t zero, const v16 levels[4]) {
  const __m256i order = _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7);
#pragma GCC unroll 2
  for (int i = 0; i < 2; ++i) {
    const __m256i first = gemm_round_levels(levels[2 * i], zero), second = gemm_round_levels(levels[2 * i + 1], zero);
    const __m256i bytes = is_u8 ? _mm256_packus_epi16(first, second) : _mm256_packs_epi16(first, second);
    _mm256_storeu_si256((__m256i *)(void *)q + i, _mm256_permutevar8x32_epi32(bytes, order));
  }
}

#endif
