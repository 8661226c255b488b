/* s16 as one zmm register, beside v16_avx512.h: gemm_u8s8_tile.h says what is here. */
#ifndef PITH_OPS_GEMM_U8S8_SUMS_H
#define PITH_OPS_GEMM_U8S8_SUMS_H

#include <stdbool.h>

#include "ops/math/v16_avx512.h"

typedef __m512i s16;

V16_INLINE s16 s16_set(int32_t x) {
  return _mm512_set1_epi32(x);
}
V16_INLINE s16 s16_load(const void *p) {
  return _mm512_loadu_si512(p);
}
V16_INLINE void s16_store(void *p, s16 a) {
  _mm512_storeu_si512(p, a);
}
V16_INLINE s16 s16_mul(s16 a, s16 b) {
  return _mm512_mullo_epi32(a, b);
}
V16_INLINE v16 gemm_load_sums(const int32_t *p) {
  return _mm512_cvtepi32_ps(_mm512_loadu_si512(p));
}
/* Packing works within 128-bit lanes: 4 bytes of each vector lie side by side until put in order. */
V16_INLINE void gemm_store_levels(uint8_t *q, bool is_u8, int32_t zero, const v16 levels[4]) {
  s16 rounded[4];
#pragma GCC unroll 4
  for (int i = 0; i < 4; ++i)
    rounded[i] = _mm512_add_epi32(_mm512_cvtps_epi32(levels[i]), s16_set(zero));
  const __m512i low = _mm512_packs_epi32(rounded[0], rounded[1]), high = _mm512_packs_epi32(rounded[2], rounded[3]);
  const __m512i bytes = is_u8 ? _mm512_packus_epi16(low, high) : _mm512_packs_epi16(low, high);
  const __m512i order = _mm512_setr_epi32(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15);
  _mm512_storeu_si512(q, _mm512_permutexvar_epi32(order, bytes));
}

#endif
