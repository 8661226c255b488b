/* What attention over tiles asks of n16 beside attention_u8s8_n16_avx2.h; the meaning of each operation stands in
 * attention_tile_u8s8_n16_avx512.h. */
#ifndef PITH_OPS_ATTENTION_TILE_U8S8_N16
#define PITH_OPS_ATTENTION_TILE_U8S8_N16

#include <stdbool.h>

#define TILE_ROWS 4
#define TILE_VECTORS 1

V16_INLINE n16 n16_and(n16 a, n16 b) {
  return n16_of(_mm256_and_si256(a.low, b.low), _mm256_and_si256(a.high, b.high));
}
V16_INLINE n16 n16_or(n16 a, n16 b) {
  return n16_of(_mm256_or_si256(a.low, b.low), _mm256_or_si256(a.high, b.high));
}
V16_INLINE n16 n16_min(n16 a, n16 b) {
  return n16_of(_mm256_min_epi32(a.low, b.low), _mm256_min_epi32(a.high, b.high));
}
V16_INLINE n16 n16_max(n16 a, n16 b) {
  return n16_of(_mm256_max_epi32(a.low, b.low), _mm256_max_epi32(a.high, b.high));
}
V16_INLINE n16 n16_range(size_t begin, size_t end) {
  const __m256i low = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7), high = _mm256_add_epi32(low, _mm256_set1_epi32(8));
  const __m256i from = _mm256_set1_epi32((int)begin - 1), to = _mm256_set1_epi32((int)end);
  return n16_of(_mm256_and_si256(_mm256_cmpgt_epi32(low, from), _mm256_cmpgt_epi32(to, low)),
                _mm256_and_si256(_mm256_cmpgt_epi32(high, from), _mm256_cmpgt_epi32(to, high)));
}
V16_INLINE n16 n16_load_lanes(size_t begin, size_t end, const void *p) {
  const n16 lanes = n16_range(begin, end);
  return n16_of(_mm256_maskload_epi32(p, lanes.low), _mm256_maskload_epi32((const int *)p + 8, lanes.high));
}
V16_INLINE void n16_store_lanes(size_t begin, size_t end, void *p, n16 a) {
  const n16 lanes = n16_range(begin, end);
  _mm256_maskstore_epi32(p, lanes.low, a.low);
  _mm256_maskstore_epi32((int *)p + 8, lanes.high, a.high);
}
V16_INLINE void n16_copy_bytes(size_t begin, size_t end, void *to, const uint8_t from[16]) {
  v16_store_bytes(end - begin, (uint8_t *)to + begin, v16_load_bytes(end - begin, from + begin));
}
V16_INLINE void n16_widen(n16 a, n16 out[2]) {
  out[0] = n16_of(_mm256_cvtepi8_epi16(_mm256_castsi256_si128(a.low)),
                  _mm256_cvtepi8_epi16(_mm256_extracti128_si256(a.low, 1)));
  out[1] = n16_of(_mm256_cvtepi8_epi16(_mm256_castsi256_si128(a.high)),
                  _mm256_cvtepi8_epi16(_mm256_extracti128_si256(a.high, 1)));
}
V16_INLINE __m256i n16_pack_half(__m256i a, __m256i b, __m256i c, __m256i d, __m256i zeros, bool is_signed) {
  const __m256i low = _mm256_adds_epi16(_mm256_packs_epi32(a, b), zeros);
  const __m256i high = _mm256_adds_epi16(_mm256_packs_epi32(c, d), zeros);
  return is_signed ? _mm256_packs_epi16(low, high) : _mm256_packus_epi16(low, high);
}
V16_INLINE n16 n16_pack(const n16 x[4], int zero, bool is_signed) {
  const __m256i zeros = _mm256_set1_epi16((short)zero);
  return n16_of(n16_pack_half(x[0].low, x[1].low, x[2].low, x[3].low, zeros, is_signed),
                n16_pack_half(x[0].high, x[1].high, x[2].high, x[3].high, zeros, is_signed));
}
V16_INLINE n16 n16_weave(n16 packed) {
  const __m256i order =
      _mm256_broadcastsi128_si256(_mm_setr_epi8(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15));
  return n16_of(_mm256_shuffle_epi8(packed.low, order), _mm256_shuffle_epi8(packed.high, order));
}
/* 8 lanes of each vector side by side, then the 8 others behind them. */
V16_INLINE n16 n16_rows(n16 packed) {
  const __m256i order = _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7);
  const __m256i low = _mm256_permutevar8x32_epi32(packed.low, order);
  const __m256i high = _mm256_permutevar8x32_epi32(packed.high, order);
  const __m256i even = _mm256_unpacklo_epi64(low, high), odd = _mm256_unpackhi_epi64(low, high);
  return n16_of(_mm256_permute2x128_si256(even, odd, 0x20), _mm256_permute2x128_si256(even, odd, 0x31));
}

#endif
