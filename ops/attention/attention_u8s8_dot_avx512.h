/* Bytes are kept as 16 bits: 2 products and their sum by one instruction, exactly; a product of bytes that adds pairs
 * saturates. */
#ifndef PITH_OPS_ATTENTION_U8S8_DOT
#define PITH_OPS_ATTENTION_U8S8_DOT

#include "ops/attention/attention_u8s8_n16_avx512.h"

#define DOT_NAME(base) base##_avx512
#define DOT_ISA_TEXT "avx512"
#define DOT_NEEDS PITH_CPU_AVX512
#define DOT_BYTES 2
typedef uint16_t dot_element;

V16_INLINE n16 dot_add(n16 sum, n16 a, n16 b) {
  return _mm512_add_epi32(sum, _mm512_madd_epi16(a, b));
}
V16_INLINE n16 dot_ones(void) {
  return _mm512_set1_epi16(1);
}
V16_INLINE void dot_split(n16 a, n16 *out) {
  /* bytes 0 and 1 of a lane, or 2 and 3, to the upper halves of its words, then down with their sign */
  const n16 first = _mm512_set1_epi32((int32_t)0x01ff00ff), second = _mm512_set1_epi32((int32_t)0x03ff02ff);
  const n16 lane = _mm512_broadcast_i32x4(_mm_setr_epi32(0, 0x04040404, 0x08080808, 0x0c0c0c0c));
  out[0] = _mm512_srai_epi16(_mm512_shuffle_epi8(a, _mm512_or_si512(first, lane)), 8);
  out[1] = _mm512_srai_epi16(_mm512_shuffle_epi8(a, _mm512_or_si512(second, lane)), 8);
}
V16_INLINE void dot_pack(const n16 weights[4], n16 *out) {
  const n16 order = _mm512_setr_epi64(0, 2, 4, 6, 1, 3, 5, 7);
  out[0] = _mm512_permutexvar_epi64(order, _mm512_packus_epi32(weights[0], weights[1]));
  out[1] = _mm512_permutexvar_epi64(order, _mm512_packus_epi32(weights[2], weights[3]));
}

#endif
