/* What sparse_gemm_u8s8_body.h asks of an instruction set of 64 bytes: beside gemm_u8s8_sums_avx512.h. */
#ifndef PITH_OPS_SPARSE_GEMM_U8S8_ISA_H
#define PITH_OPS_SPARSE_GEMM_U8S8_ISA_H

#include "ops/activation_layout.h"
#include "ops/gemm/gemm_u8s8_sums_avx512.h"

enum { SPARSE_PASS = 4 };

V16_INLINE v16 gemm_to_floats(s16 a) {
  return _mm512_cvtepi32_ps(a);
}

/* The 4x4 matrix of 128-bit lanes turned about its diagonal: its own inverse. */
V16_INLINE void sparse_turn_lanes(s16 a[4]) {
  const s16 p = _mm512_shuffle_i32x4(a[0], a[1], 0x88), q = _mm512_shuffle_i32x4(a[0], a[1], 0xdd);
  const s16 r = _mm512_shuffle_i32x4(a[2], a[3], 0x88), s = _mm512_shuffle_i32x4(a[2], a[3], 0xdd);
  a[0] = _mm512_shuffle_i32x4(p, r, 0x88);
  a[1] = _mm512_shuffle_i32x4(q, s, 0x88);
  a[2] = _mm512_shuffle_i32x4(p, r, 0xdd);
  a[3] = _mm512_shuffle_i32x4(q, s, 0xdd);
}

/* Sums of b4x1's vectors into the order of tokens, and back. */
V16_INLINE void sparse_order(const size_t vectors, s16 sums[SPARSE_PASS]) {
  if (vectors > 2)
    sparse_turn_lanes(sums);
}

/* 4 inputs of 16 tokens each vector. 64 tokens: unpacking works within 128-bit lanes, so lane l of vector v has the tokens 16 l +
 * 4 v to + 3. Fewer tokens: inputs share a register, and one more permutation leaves them in order. */
V16_INLINE void sparse_interleave(const size_t vectors, const uint8_t *const in[4], s16 out[SPARSE_PASS]) {
  if (vectors > 2) {
    const s16 a = s16_load(in[0]), b = s16_load(in[1]), c = s16_load(in[2]), d = s16_load(in[3]);
    const s16 low_ab = _mm512_unpacklo_epi8(a, b), high_ab = _mm512_unpackhi_epi8(a, b);
    const s16 low_cd = _mm512_unpacklo_epi8(c, d), high_cd = _mm512_unpackhi_epi8(c, d);
    out[0] = _mm512_unpacklo_epi16(low_ab, low_cd);
    out[1] = _mm512_unpackhi_epi16(low_ab, low_cd);
    out[2] = _mm512_unpacklo_epi16(high_ab, high_cd);
    out[3] = _mm512_unpackhi_epi16(high_ab, high_cd);
    return;
  }
  __m256i x[4];
  PITH_UNROLL
  for (int i = 0; i < 4; ++i)
    x[i] = vectors == 2 ? _mm256_loadu_si256((const __m256i *)(const void *)in[i])
                        : _mm256_castsi128_si256(_mm_loadu_si128((const __m128i *)(const void *)in[i]));
  if (vectors == 2) {
    /* Words of two inputs: lanes 0 and 1 tokens 0 to 7 (8 to 15: the other vector) and 16 to 23 of inputs 0, 1; then of 2, 3. */
    const s16 even = _mm512_inserti64x4(_mm512_castsi256_si512(x[0]), x[2], 1);
    const s16 odd = _mm512_inserti64x4(_mm512_castsi256_si512(x[1]), x[3], 1);
    const s16 low = _mm512_unpacklo_epi8(even, odd), high = _mm512_unpackhi_epi8(even, odd);
    static const uint16_t first[32] = {0,  16, 1,  17, 2,  18, 3,  19, 4,  20, 5,  21, 6,  22, 7,  23,
                                       32, 48, 33, 49, 34, 50, 35, 51, 36, 52, 37, 53, 38, 54, 39, 55};
    const s16 order = s16_load(first);
    out[0] = _mm512_permutex2var_epi16(low, order, high);
    out[1] = _mm512_permutex2var_epi16(low, _mm512_add_epi16(order, _mm512_set1_epi16(8)), high);
    return;
  }
  const __m256i even = _mm256_inserti128_si256(x[0], _mm256_castsi256_si128(x[1]), 1);
  const __m256i odd = _mm256_inserti128_si256(x[2], _mm256_castsi256_si128(x[3]), 1);
  const s16 all = _mm512_inserti64x4(_mm512_castsi256_si512(even), odd, 1); /* lane i: input i */
  const s16 turned = _mm512_permutexvar_epi32(_mm512_setr_epi32(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15), all);
  out[0] = _mm512_shuffle_epi8(turned, _mm512_broadcast_i32x4(_mm_setr_epi8(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15)));
}

/* 16 tokens of 4 outputs, rounded, plus zeros, saturated, to where tile64x4 has them, or tile64 (64 bytes from output to output)
 * for the first so many outputs. */
V16_INLINE void sparse_store_levels(uint8_t *q, bool is_x4, size_t outputs, bool is_u8, s16 zeros, const v16 levels[4]) {
  s16 rounded[4];
  PITH_UNROLL
  for (int o = 0; o < 4; ++o)
    rounded[o] = _mm512_add_epi32(_mm512_cvtps_epi32(levels[o]), zeros);
  const s16 low = _mm512_packs_epi32(rounded[0], rounded[1]), high = _mm512_packs_epi32(rounded[2], rounded[3]);
  const s16 bytes = is_u8 ? _mm512_packus_epi16(low, high) : _mm512_packs_epi16(low, high); /* 4 tokens of 4 outputs a lane */
  if (is_x4) {
    const __m128i turn = _mm_setr_epi8(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15);
    _mm512_storeu_si512(q, _mm512_shuffle_epi8(bytes, _mm512_broadcast_i32x4(turn)));
    return;
  }
  const s16 order = _mm512_setr_epi32(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15);
  const s16 turned = _mm512_permutexvar_epi32(order, bytes); /* lane o: output o */
  _mm_storeu_si128((__m128i *)(void *)q, _mm512_castsi512_si128(turned));
  if (outputs > 1)
    _mm_storeu_si128((__m128i *)(void *)(q + PITH_TILE_TOKENS), _mm512_extracti32x4_epi32(turned, 1));
  if (outputs > 2)
    _mm_storeu_si128((__m128i *)(void *)(q + 2 * PITH_TILE_TOKENS), _mm512_extracti32x4_epi32(turned, 2));
  if (outputs > 3)
    _mm_storeu_si128((__m128i *)(void *)(q + 3 * PITH_TILE_TOKENS), _mm512_extracti32x4_epi32(turned, 3));
}

#endif
