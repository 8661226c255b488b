/* 4 products of bytes and their sum by one instruction. */
#ifndef PITH_OPS_ATTENTION_U8S8_DOT
#define PITH_OPS_ATTENTION_U8S8_DOT

#include "ops/attention/attention_u8s8_n16_avx512.h"

#define DOT_NAME(base) base##_avx512vnni
#define DOT_ISA_TEXT "avx512vnni"
#define DOT_NEEDS (PITH_CPU_AVX512 | PITH_CPU_AVX512VNNI)
#define DOT_BYTES 1
typedef uint8_t dot_element;

/* Not the intrinsic: around it gcc 12 copies every sum twice and runs out of registers. */
V16_INLINE n16 dot_add(n16 sum, n16 a, n16 b) {
  __asm__("vpdpbusd %2, %1, %0" : "+v"(sum) : "v"(a), "v"(b));
  return sum;
}
V16_INLINE n16 dot_ones(void) {
  return _mm512_set1_epi8(1);
}
V16_INLINE void dot_split(n16 a, n16 *out) {
  out[0] = a;
}
V16_INLINE void dot_pack(const n16 weights[4], n16 *out) {
  const n16 low = _mm512_packs_epi32(weights[0], weights[1]), high = _mm512_packs_epi32(weights[2], weights[3]);
  const n16 order = _mm512_setr_epi32(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15);
  out[0] = _mm512_permutexvar_epi32(order, _mm512_packus_epi16(low, high));
}

#endif
