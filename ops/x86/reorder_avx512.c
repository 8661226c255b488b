#include "ops/math/v16_avx512.h"

typedef __m512i bytes;
enum { BYTES_LANES = 4 };

V16_INLINE bytes bytes_load(const uint8_t *p) {
  return _mm512_loadu_si512(p);
}
V16_INLINE void bytes_store(uint8_t *p, bytes a) {
  _mm512_storeu_si512(p, a);
}
V16_INLINE __m128i load_lane(const uint8_t *p) {
  return _mm_loadu_si128((const __m128i *)(const void *)p);
}
V16_INLINE void store_lane(uint8_t *p, __m128i a) {
  _mm_storeu_si128((__m128i *)(void *)p, a);
}
V16_INLINE bytes bytes_load_lanes(const uint8_t *p, size_t step) {
  const __m256i low = _mm256_inserti128_si256(_mm256_castsi128_si256(load_lane(p)), load_lane(p + step), 1);
  const __m256i high =
      _mm256_inserti128_si256(_mm256_castsi128_si256(load_lane(p + 2 * step)), load_lane(p + 3 * step), 1);
  return _mm512_inserti64x4(_mm512_castsi256_si512(low), high, 1);
}
V16_INLINE void bytes_store_lanes(uint8_t *p, size_t step, bytes a) {
  store_lane(p, _mm512_castsi512_si128(a));
  store_lane(p + step, _mm512_extracti32x4_epi32(a, 1));
  store_lane(p + 2 * step, _mm512_extracti32x4_epi32(a, 2));
  store_lane(p + 3 * step, _mm512_extracti32x4_epi32(a, 3));
}
V16_INLINE bytes bytes_low(bytes a, bytes b) {
  return _mm512_unpacklo_epi8(a, b);
}
V16_INLINE bytes bytes_high(bytes a, bytes b) {
  return _mm512_unpackhi_epi8(a, b);
}

#include "ops/copy/reorder_body.h"
