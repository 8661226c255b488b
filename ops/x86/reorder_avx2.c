#include "ops/math/v16_avx2.h"

typedef __m256i bytes;
enum { BYTES_LANES = 2 };

V16_INLINE bytes bytes_load(const uint8_t *p) {
  return _mm256_loadu_si256((const __m256i *)(const void *)p);
}
V16_INLINE void bytes_store(uint8_t *p, bytes a) {
  _mm256_storeu_si256((__m256i *)(void *)p, a);
}
V16_INLINE __m128i load_lane(const uint8_t *p) {
  return _mm_loadu_si128((const __m128i *)(const void *)p);
}
V16_INLINE void store_lane(uint8_t *p, __m128i a) {
  _mm_storeu_si128((__m128i *)(void *)p, a);
}
V16_INLINE bytes bytes_load_lanes(const uint8_t *p, size_t step) {
  return _mm256_inserti128_si256(_mm256_castsi128_si256(load_lane(p)), load_lane(p + step), 1);
}
V16_INLINE void bytes_store_lanes(uint8_t *p, size_t step, bytes a) {
  store_lane(p, _mm256_castsi256_si128(a));
  store_lane(p + step, _mm256_extracti128_si256(a, 1));
}
V16_INLINE bytes bytes_low(bytes a, bytes b) {
  return _mm256_unpacklo_epi8(a, b);
}
V16_INLINE bytes bytes_high(bytes a, bytes b) {
  return _mm256_unpackhi_epi8(a, b);
}

#include "ops/copy/reorder_body.h"

void pith_reorder_join_avx2(const uint8_t *tile64, size_t groups, size_t vectors, uint8_t *tile64x4) {
  for (size_t g = 0; g < groups; ++g)
    for (size_t v = 0; v < vectors; ++v) {
      const uint8_t *x = tile64 + g * 4 * TILE_STEP + v * 16;
      uint8_t *y = tile64x4 + (g * TILE_STEP + v * 16) * 4;
      const __m128i a = load_lane(x), b = load_lane(x + TILE_STEP);
      const __m128i c = load_lane(x + 2 * TILE_STEP), d = load_lane(x + 3 * TILE_STEP);
      const __m128i ab_low = _mm_unpacklo_epi8(a, b), ab_high = _mm_unpackhi_epi8(a, b);
      const __m128i cd_low = _mm_unpacklo_epi8(c, d), cd_high = _mm_unpackhi_epi8(c, d);
      store_lane(y, _mm_unpacklo_epi16(ab_low, cd_low));
      store_lane(y + 16, _mm_unpackhi_epi16(ab_low, cd_low));
      store_lane(y + 32, _mm_unpacklo_epi16(ab_high, cd_high));
      store_lane(y + 48, _mm_unpackhi_epi16(ab_high, cd_high));
    }
}

void pith_reorder_part_avx2(const uint8_t *tile64x4, size_t groups, size_t vectors, uint8_t *tile64) {
  const __m128i by_feature = _mm_setr_epi8(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15);
  for (size_t g = 0; g < groups; ++g)
    for (size_t v = 0; v < vectors; ++v) {
      const uint8_t *x = tile64x4 + (g * TILE_STEP + v * 16) * 4;
      uint8_t *y = tile64 + g * 4 * TILE_STEP + v * 16;
      /* A word is a feature of 4 tokens. */
      const __m128i a = _mm_shuffle_epi8(load_lane(x), by_feature), b = _mm_shuffle_epi8(load_lane(x + 16), by_feature);
      const __m128i c = _mm_shuffle_epi8(load_lane(x + 32), by_feature), d = _mm_shuffle_epi8(load_lane(x + 48), by_feature);
      const __m128i ab_low = _mm_unpacklo_epi32(a, b), ab_high = _mm_unpackhi_epi32(a, b);
      const __m128i cd_low = _mm_unpacklo_epi32(c, d), cd_high = _mm_unpackhi_epi32(c, d);
      store_lane(y, _mm_unpacklo_epi64(ab_low, cd_low));
      store_lane(y + TILE_STEP, _mm_unpackhi_epi64(ab_low, cd_low));
      store_lane(y + 2 * TILE_STEP, _mm_unpacklo_epi64(ab_high, cd_high));
      store_lane(y + 3 * TILE_STEP, _mm_unpackhi_epi64(ab_high, cd_high));
    }
}
