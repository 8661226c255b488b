/* What sparse_gemm_u8s8_body.h asks of an instruction set of 32 bytes: beside gemm_u8s8_sums_avx2.h. */
#ifndef PITH_OPS_SPARSE_GEMM_U8S8_ISA_H
#define PITH_OPS_SPARSE_GEMM_U8S8_ISA_H

#include "ops/activation_layout.h"
#include "ops/gemm/gemm_u8s8_sums_avx2.h"

enum { SPARSE_PASS = 1 };

/* Sums of b4x1's vectors into the order of tokens, and back: halves 1 and 2 of the 4 change places. */
V16_INLINE void sparse_order(const size_t vectors, s16 sums[SPARSE_PASS]) {
  (void)vectors; /* 1 */
  const __m256i low = sums[0].low, high = sums[0].high;
  sums[0] = (s16){_mm256_permute2x128_si256(low, high, 0x20), _mm256_permute2x128_si256(low, high, 0x31)};
}

V16_INLINE __m256i sparse_words(const uint8_t *first, const uint8_t *second) {
  const __m256i a = _mm256_cvtepu8_epi16(_mm_loadu_si128((const __m128i *)(const void *)first));
  const __m256i b = _mm256_cvtepu8_epi16(_mm_loadu_si128((const __m128i *)(const void *)second));
  return _mm256_or_si256(a, _mm256_slli_epi16(b, 8));
}

/* 4 inputs of 16 tokens: unpacking works within 128-bit lanes, so low has the tokens 0 to 3 and 8 to 11, high the others. */
V16_INLINE void sparse_interleave(const size_t vectors, const uint8_t *const in[4], s16 out[SPARSE_PASS]) {
  (void)vectors;
  const __m256i ab = sparse_words(in[0], in[1]), cd = sparse_words(in[2], in[3]);
  out[0] = (s16){_mm256_unpacklo_epi16(ab, cd), _mm256_unpackhi_epi16(ab, cd)};
}

V16_INLINE __m256i sparse_round(__m256 level, __m256i zeros) {
  return _mm256_add_epi32(_mm256_cvtps_epi32(level), zeros);
}

/* 16 tokens of 4 outputs, rounded, plus zeros, saturated, to where tile64x4 has them, or tile64 (64 bytes from output to output)
 * for the first so many outputs. */
V16_INLINE void sparse_store_levels(uint8_t *q, bool is_x4, size_t outputs, bool is_u8, s16 zeros, const v16 levels[4]) {
  PITH_UNROLL
  for (int half = 0; half < 2; ++half) {
    __m256i rounded[4];
    PITH_UNROLL
    for (int o = 0; o < 4; ++o)
      rounded[o] = half ? sparse_round(levels[o].high, zeros.high) : sparse_round(levels[o].low, zeros.low);
    const __m256i low = _mm256_packs_epi32(rounded[0], rounded[1]), high = _mm256_packs_epi32(rounded[2], rounded[3]);
    const __m256i bytes = is_u8 ? _mm256_packus_epi16(low, high) : _mm256_packs_epi16(low, high);
    if (is_x4) {
      const __m128i turn = _mm_setr_epi8(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15);
      _mm256_storeu_si256((__m256i *)(void *)(q + 32 * half), _mm256_shuffle_epi8(bytes, _mm256_broadcastsi128_si256(turn)));
      continue;
    }
    const __m256i turned = _mm256_permutevar8x32_epi32(bytes, _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7)); /* 8 bytes an output */
    const __m128i first = _mm256_castsi256_si128(turned), second = _mm256_extracti128_si256(turned, 1);
    uint8_t *to = q + 8 * half;
    _mm_storel_epi64((__m128i *)(void *)to, first);
    if (outputs > 1)
      _mm_storeh_pd((double *)(void *)(to + PITH_TILE_TOKENS), _mm_castsi128_pd(first));
    if (outputs > 2)
      _mm_storel_epi64((__m128i *)(void *)(to + 2 * PITH_TILE_TOKENS), second);
    if (outputs > 3)
      _mm_storeh_pd((double *)(void *)(to + 3 * PITH_TILE_TOKENS), _mm_castsi128_pd(second));
  }
}

#endif
