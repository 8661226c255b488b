/* 4 products of bytes and their sum by one instruction. */
#ifndef PITH_OPS_ATTENTION_U8S8_DOT
#define PITH_OPS_ATTENTION_U8S8_DOT

#include "ops/attention/attention_u8s8_n16_avx2.h"

#define DOT_NAME(base) base##_avxvnni
#define DOT_ISA_TEXT "avxvnni"
#define DOT_NEEDS (PITH_CPU_AVX2 | PITH_CPU_AVXVNNI)
#define DOT_BYTES 1
typedef uint8_t dot_element;

/* Not the intrinsic: around it gcc 12 copies every sum twice and runs out of registers. */
V16_INLINE n16 dot_add(n16 sum, n16 a, n16 b) {
  __asm__("%{vex%} vpdpbusd %2, %1, %0" : "+x"(sum.low) : "x"(a.low), "x"(b.low));
  __asm__("%{vex%} vpdpbusd %2, %1, %0" : "+x"(sum.high) : "x"(a.high), "x"(b.high));
  return sum;
}
V16_INLINE n16 dot_ones(void) {
  return n16_of(_mm256_set1_epi8(1), _mm256_set1_epi8(1));
}
V16_INLINE void dot_split(n16 a, n16 *out) {
  out[0] = a;
}
V16_INLINE __m256i dot_pack_half(n16 first, n16 second) {
  const __m256i order = _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7);
  const __m256i low = _mm256_packs_epi32(first.low, first.high), high = _mm256_packs_epi32(second.low, second.high);
  return _mm256_permutevar8x32_epi32(_mm256_packus_epi16(low, high), order);
}
V16_INLINE void dot_pack(const n16 weights[4], n16 *out) {
  out[0] = n16_of(dot_pack_half(weights[0], weights[1]), dot_pack_half(weights[2], weights[3]));
}

#endif
