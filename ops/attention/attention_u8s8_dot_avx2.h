/* Bytes are kept as 16 bits: 2 products and their sum by one instruction, exactly; a product of bytes that adds pairs
 * saturates. */
#ifndef PITH_OPS_ATTENTION_U8S8_DOT
#define PITH_OPS_ATTENTION_U8S8_DOT

#include "ops/attention/attention_u8s8_n16_avx2.h"

#define DOT_NAME(base) base##_avx2
#define DOT_ISA_TEXT "avx2"
#define DOT_NEEDS PITH_CPU_AVX2
#define DOT_BYTES 2
typedef uint16_t dot_element;

V16_INLINE n16 dot_add(n16 sum, n16 a, n16 b) {
  return n16_of(_mm256_add_epi32(sum.low, _mm256_madd_epi16(a.low, b.low)),
                _mm256_add_epi32(sum.high, _mm256_madd_epi16(a.high, b.high)));
}
V16_INLINE n16 dot_ones(void) {
  return n16_of(_mm256_set1_epi16(1), _mm256_set1_epi16(1));
}
/* Bytes 0 and 1 of a lane, or 2 and 3, to the upper halves of its words, then down with their sign. */
V16_INLINE __m256i dot_widen(__m256i a, int32_t bytes) {
  const __m256i lane = _mm256_broadcastsi128_si256(_mm_setr_epi32(0, 0x04040404, 0x08080808, 0x0c0c0c0c));
  return _mm256_srai_epi16(_mm256_shuffle_epi8(a, _mm256_or_si256(_mm256_set1_epi32(bytes), lane)), 8);
}
V16_INLINE void dot_split(n16 a, n16 *out) {
  out[0] = n16_of(dot_widen(a.low, 0x01ff00ff), dot_widen(a.high, 0x01ff00ff));
  out[1] = n16_of(dot_widen(a.low, 0x03ff02ff), dot_widen(a.high, 0x03ff02ff));
}
V16_INLINE __m256i dot_pack_half(n16 a) {
  return _mm256_permute4x64_epi64(_mm256_packus_epi32(a.low, a.high), 0xd8);
}
V16_INLINE void dot_pack(const n16 weights[4], n16 *out) {
  out[0] = n16_of(dot_pack_half(weights[0]), dot_pack_half(weights[1]));
  out[1] = n16_of(dot_pack_half(weights[2]), dot_pack_half(weights[3]));
}

#endif
