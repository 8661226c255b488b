/* What attention over tiles asks of n16 beside attention_u8s8_n16_avx512.h. The same names exist in
 * attention_tile_u8s8_n16_avx2.h. */
#ifndef PITH_OPS_ATTENTION_TILE_U8S8_N16
#define PITH_OPS_ATTENTION_TILE_U8S8_N16

#include <stdbool.h>

/* A register tile: rows (keys or outputs) x vectors of queries. Rows divide 16. */
#define TILE_ROWS 8
#define TILE_VECTORS 2

V16_INLINE n16 n16_and(n16 a, n16 b) {
  return _mm512_and_si512(a, b);
}
V16_INLINE n16 n16_or(n16 a, n16 b) {
  return _mm512_or_si512(a, b);
}
V16_INLINE n16 n16_min(n16 a, n16 b) {
  return _mm512_min_epi32(a, b);
}
V16_INLINE n16 n16_max(n16 a, n16 b) {
  return _mm512_max_epi32(a, b);
}
V16_INLINE __mmask16 n16_range(size_t begin, size_t end) {
  return (__mmask16)((1u << end) - (1u << begin));
}
/* Lanes [begin, end) of the 16 at p; the others are 0 and not touched. */
V16_INLINE n16 n16_load_lanes(size_t begin, size_t end, const void *p) {
  return _mm512_maskz_loadu_epi32(n16_range(begin, end), p);
}
V16_INLINE void n16_store_lanes(size_t begin, size_t end, void *p, n16 a) {
  _mm512_mask_storeu_epi32(p, n16_range(begin, end), a);
}
/* Bytes [begin, end) of 16. */
V16_INLINE void n16_copy_bytes(size_t begin, size_t end, void *to, const uint8_t from[16]) {
  _mm_mask_storeu_epi8(to, n16_range(begin, end), _mm_loadu_si128((const __m128i *)from));
}
/* 64 bytes to two vectors of s16. */
V16_INLINE void n16_widen(n16 a, n16 out[2]) {
  out[0] = _mm512_cvtepi8_epi16(_mm512_castsi512_si256(a));
  out[1] = _mm512_cvtepi8_epi16(_mm512_extracti64x4_epi64(a, 1));
}
/* Lanes of 4 vectors plus zero, saturated to 8 bits: in each 128 bits 4 lanes of the first, 4 of the second ... */
V16_INLINE n16 n16_pack(const n16 x[4], int zero, bool is_signed) {
  const n16 zeros = _mm512_set1_epi16((short)zero);
  const n16 low = _mm512_adds_epi16(_mm512_packs_epi32(x[0], x[1]), zeros);
  const n16 high = _mm512_adds_epi16(_mm512_packs_epi32(x[2], x[3]), zeros);
  return is_signed ? _mm512_packs_epi16(low, high) : _mm512_packus_epi16(low, high);
}
/* Of what n16_pack gives, [16 lanes][4 vectors] or [4 vectors][16 lanes]. */
V16_INLINE n16 n16_weave(n16 packed) {
  const __m128i order = _mm_setr_epi8(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15);
  return _mm512_shuffle_epi8(packed, _mm512_broadcast_i32x4(order));
}
V16_INLINE n16 n16_rows(n16 packed) {
  const n16 order = _mm512_setr_epi32(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15);
  return _mm512_permutexvar_epi32(order, packed);
}

#endif
