/* n16, 16 lanes of s32, as one zmm register, beside v16_avx512.h. The same names exist in attention_u8s8_n16_avx2.h. */
#ifndef PITH_OPS_ATTENTION_U8S8_N16
#define PITH_OPS_ATTENTION_U8S8_N16

#include <string.h>

#include "ops/math/v16_avx512.h"

/* How a register tile is cut: rows x vectors of sums. */
#define N16_TILE_ROWS 8
#define N16_TILE_VECTORS 2

typedef __m512i n16;

V16_INLINE n16 n16_set(int32_t x) {
  return _mm512_set1_epi32(x);
}
V16_INLINE n16 n16_load(const void *p) {
  return _mm512_loadu_si512(p);
}
/* `bytes` of them, 0 to 64; the others are 0 and not touched. */
V16_INLINE n16 n16_load_first(size_t bytes, const void *p) {
  return bytes >= 64 ? _mm512_loadu_si512(p) : _mm512_maskz_loadu_epi8(((__mmask64)1 << bytes) - 1, p);
}
V16_INLINE void n16_store(void *p, n16 a) {
  _mm512_storeu_si512(p, a);
}
/* 4 bytes in every lane. */
V16_INLINE n16 n16_repeat(const uint8_t *p) {
  int32_t x;
  memcpy(&x, p, sizeof x);
  return _mm512_set1_epi32(x);
}
V16_INLINE n16 n16_mul(n16 a, n16 b) {
  return _mm512_mullo_epi32(a, b);
}
V16_INLINE v16 n16_to_float(n16 a) {
  return _mm512_cvtepi32_ps(a);
}
V16_INLINE n16 n16_round(v16 a) {
  return _mm512_cvtps_epi32(a);
}
/* x where n16_raise is to take any float; x at least -125 otherwise. */
V16_INLINE v16 n16_bound(v16 x) {
  return x;
}
/* rint(x), in the form that raises. */
typedef struct n16_exponent {
  v16 whole;
} n16_exponent;
V16_INLINE n16_exponent n16_get_exponent(v16 x) {
  return (n16_exponent){_mm512_roundscale_ps(x, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC)};
}
/* p * 2^n. Anything that rounds to 0 where n is under -125; NaN stays. */
V16_INLINE v16 n16_raise(v16 p, n16_exponent n) {
  return _mm512_scalef_ps(p, n.whole);
}
V16_INLINE v16 n16_as_v16(n16 a) {
  return _mm512_castsi512_ps(a);
}
V16_INLINE n16 n16_of_v16(v16 a) {
  return _mm512_castps_si512(a);
}
/* Lane r: all lanes of rows[r] combined, in any order. */
V16_INLINE v16 n16_fold(const v16 rows[16], v16 (*combine)(v16, v16)) {
  v16 a[8], b[4], c[2];
  PITH_UNROLL
  for (size_t i = 0; i < 8; ++i)
    a[i] = combine(_mm512_unpacklo_ps(rows[2 * i], rows[2 * i + 1]), _mm512_unpackhi_ps(rows[2 * i], rows[2 * i + 1]));
  PITH_UNROLL
  for (size_t i = 0; i < 4; ++i) {
    const __m512d even = _mm512_castps_pd(a[2 * i]), odd = _mm512_castps_pd(a[2 * i + 1]);
    b[i] = combine(_mm512_castpd_ps(_mm512_unpacklo_pd(even, odd)), _mm512_castpd_ps(_mm512_unpackhi_pd(even, odd)));
  }
  PITH_UNROLL
  for (size_t i = 0; i < 2; ++i)
    c[i] = combine(_mm512_shuffle_f32x4(b[2 * i], b[2 * i + 1], 0x44), _mm512_shuffle_f32x4(b[2 * i], b[2 * i + 1], 0xee));
  return combine(_mm512_shuffle_f32x4(c[0], c[1], 0x88), _mm512_shuffle_f32x4(c[0], c[1], 0xdd));
}

#endif
