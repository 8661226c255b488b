/* 16 bytes each of 4 features as 4 bytes of each of 16 tokens: a part of tile64 as one of tile64x4. */
#ifndef PITH_OPS_WEAVE_AVX2_H
#define PITH_OPS_WEAVE_AVX2_H

#include <immintrin.h>
#include <stddef.h>
#include <stdint.h>

/* `from_step` bytes from feature to feature. */
static inline void weave_16(const uint8_t *from, size_t from_step, uint8_t *to) {
  __m128i v[4];
  for (size_t i = 0; i < 4; ++i)
    v[i] = _mm_loadu_si128((const __m128i *)(const void *)(from + i * from_step));
  const __m128i ab_low = _mm_unpacklo_epi8(v[0], v[1]), ab_high = _mm_unpackhi_epi8(v[0], v[1]);
  const __m128i cd_low = _mm_unpacklo_epi8(v[2], v[3]), cd_high = _mm_unpackhi_epi8(v[2], v[3]);
  __m128i *out = (__m128i *)(void *)to;
  _mm_storeu_si128(out, _mm_unpacklo_epi16(ab_low, cd_low));
  _mm_storeu_si128(out + 1, _mm_unpackhi_epi16(ab_low, cd_low));
  _mm_storeu_si128(out + 2, _mm_unpacklo_epi16(ab_high, cd_high));
  _mm_storeu_si128(out + 3, _mm_unpackhi_epi16(ab_high, cd_high));
}

#endif
