/* Exact products without VNNI: vpmaddubsw would saturate, so inputs are widened to s16 once for a task, weights as they are
 * read, by two shifts for the even and one for the odd of each group (which is why a row has its even two first).
 * Included after gemm_u8s8_sums_avx2.h or gemm_u8s8_sums_avx512.h. */
#ifndef PITH_OPS_GEMM_U8S8_WIDEN_H
#define PITH_OPS_GEMM_U8S8_WIDEN_H

#define GEMM_STEPS 2
#define GEMM_WIDEN gemm_widen

V16_INLINE void gemm_widen_bytes(__m128i x, __m128i *out_first, __m128i *out_second) {
  const __m128i even = _mm_and_si128(x, _mm_set1_epi16(255)), odd = _mm_srli_epi16(x, 8);
  *out_first = _mm_unpacklo_epi32(even, odd);
  *out_second = _mm_unpackhi_epi32(even, odd);
}

static void gemm_widen(size_t k, const uint8_t *x, void *out) {
  int16_t *to = out;
  __m128i parts[2];
  size_t i = 0;
  for (; i + 16 <= k; i += 16, to += 16) {
    gemm_widen_bytes(_mm_loadu_si128((const __m128i *)(const void *)(x + i)), &parts[0], &parts[1]);
    _mm_storeu_si128((__m128i *)(void *)to, parts[0]);
    _mm_storeu_si128((__m128i *)(void *)(to + 8), parts[1]);
  }
  for (; i < k; i += 4, to += 4)
    for (size_t j = 0; j < 4; ++j) /* 0, 2, 1, 3 */
      to[(j & 1) * 2 + j / 2] = (int16_t)(i + j < k ? x[i + j] : 0);
}

#endif
