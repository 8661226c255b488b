/* n16 as two ymm registers, beside v16_avx2.h; the meaning of each operation stands in attention_u8s8_n16_avx512.h. */
#ifndef PITH_OPS_ATTENTION_U8S8_N16
#define PITH_OPS_ATTENTION_U8S8_N16

#include "ops/math/v16_avx2.h"

#define N16_TILE_ROWS 6
#define N16_TILE_VECTORS 1

typedef struct n16 {
  __m256i low, high;
} n16;

V16_INLINE n16 n16_of(__m256i low, __m256i high) {
  return (n16){low, high};
}
V16_INLINE n16 n16_set(int32_t x) {
  return n16_of(_mm256_set1_epi32(x), _mm256_set1_epi32(x));
}
V16_INLINE n16 n16_load(const void *p) {
  return n16_of(_mm256_loadu_si256(p), _mm256_loadu_si256((const __m256i *)p + 1));
}
V16_INLINE n16 n16_load_first(size_t bytes, const void *p) {
  uint8_t copy[64] = {0};
  if (bytes >= 64)
    return n16_load(p);
  if (bytes == 32)
    return n16_of(_mm256_loadu_si256(p), _mm256_setzero_si256());
  memcpy(copy, p, bytes);
  return n16_load(copy);
}
V16_INLINE void n16_store(void *p, n16 a) {
  _mm256_storeu_si256(p, a.low);
  _mm256_storeu_si256((__m256i *)p + 1, a.high);
}
V16_INLINE n16 n16_repeat(const uint8_t *p) {
  int32_t x;
  memcpy(&x, p, sizeof x);
  return n16_set(x);
}
V16_INLINE n16 n16_mul(n16 a, n16 b) {
  return n16_of(_mm256_mullo_epi32(a.low, b.low), _mm256_mullo_epi32(a.high, b.high));
}
V16_INLINE v16 n16_to_float(n16 a) {
  return v16_of(_mm256_cvtepi32_ps(a.low), _mm256_cvtepi32_ps(a.high));
}
V16_INLINE n16 n16_round(v16 a) {
  return n16_of(_mm256_cvtps_epi32(a.low), _mm256_cvtps_epi32(a.high));
}
V16_INLINE v16 n16_bound(v16 x) {
  return v16_max(x, v16_set(-125.0f));
}
typedef struct n16_exponent {
  v16 whole, rounded; /* the second in the last bits of its floats */
} n16_exponent;
V16_INLINE n16_exponent n16_get_exponent(v16 x) {
  const v16 rounder = v16_set(0x1.8p23f), rounded = v16_add(x, rounder);
  return (n16_exponent){v16_sub(rounded, rounder), rounded};
}
V16_INLINE v16 n16_raise(v16 p, n16_exponent n) {
  return v16_raise(p, n.rounded);
}
V16_INLINE v16 n16_as_v16(n16 a) {
  return v16_of(_mm256_castsi256_ps(a.low), _mm256_castsi256_ps(a.high));
}
V16_INLINE n16 n16_of_v16(v16 a) {
  return n16_of(_mm256_castps_si256(a.low), _mm256_castps_si256(a.high));
}
/* The halves of a row first; then two vectors at a time. */
V16_INLINE v16 n16_fold(const v16 rows[16], v16 (*combine)(v16, v16)) {
  v16 a[8], b[4], c[2];
  PITH_UNROLL
  for (size_t i = 0; i < 8; ++i)
    a[i] = combine(v16_of(rows[2 * i].low, rows[2 * i + 1].low), v16_of(rows[2 * i].high, rows[2 * i + 1].high));
  PITH_UNROLL
  for (size_t i = 0; i < 4; ++i) {
    const v16 x = a[2 * i], y = a[2 * i + 1];
    b[i] = combine(v16_of(_mm256_unpacklo_ps(x.low, x.high), _mm256_unpacklo_ps(y.low, y.high)),
                   v16_of(_mm256_unpackhi_ps(x.low, x.high), _mm256_unpackhi_ps(y.low, y.high)));
  }
  PITH_UNROLL
  for (size_t i = 0; i < 2; ++i) {
    const __m256d x = _mm256_castps_pd(b[2 * i].low), y = _mm256_castps_pd(b[2 * i].high);
    const __m256d z = _mm256_castps_pd(b[2 * i + 1].low), w = _mm256_castps_pd(b[2 * i + 1].high);
    c[i] = combine(v16_of(_mm256_castpd_ps(_mm256_unpacklo_pd(x, y)), _mm256_castpd_ps(_mm256_unpacklo_pd(z, w))),
                   v16_of(_mm256_castpd_ps(_mm256_unpackhi_pd(x, y)), _mm256_castpd_ps(_mm256_unpackhi_pd(z, w))));
  }
  return combine(v16_of(_mm256_permute2f128_ps(c[0].low, c[0].high, 0x20), _mm256_permute2f128_ps(c[1].low, c[1].high, 0x20)),
                 v16_of(_mm256_permute2f128_ps(c[0].low, c[0].high, 0x31), _mm256_permute2f128_ps(c[1].low, c[1].high, 0x31)));
}

#endif
