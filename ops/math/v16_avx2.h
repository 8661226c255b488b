/* v16 as two ymm registers; the meaning of each operation stands in v16_plain.h. */
#ifndef PITH_OPS_V16
#define PITH_OPS_V16

#include <immintrin.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "ops/math/unroll.h"

#define V16_NAME(base) base##_avx2
#define V16_ISA_TEXT "avx2"
#define V16_NEEDS PITH_CPU_AVX2
#define V16_TILE_VECTORS 1
#define V16_TILE_ACCUMULATORS 6

#define V16_INLINE static inline __attribute__((always_inline, unused))

typedef struct v16 {
  __m256 low, high;
} v16;
typedef struct m16 {
  __m256i low, high; /* all bits of a lane: chosen */
} m16;

V16_INLINE v16 v16_of(__m256 low, __m256 high) {
  return (v16){low, high};
}
V16_INLINE v16 v16_set(float x) {
  return v16_of(_mm256_set1_ps(x), _mm256_set1_ps(x));
}
V16_INLINE v16 v16_load(const float *p) {
  return v16_of(_mm256_loadu_ps(p), _mm256_loadu_ps(p + 8));
}
V16_INLINE void v16_store(float *p, v16 a) {
  _mm256_storeu_ps(p, a.low);
  _mm256_storeu_ps(p + 8, a.high);
}
V16_INLINE m16 m16_first(size_t n) {
  const __m256i count = _mm256_set1_epi32((int)n);
  return (m16){_mm256_cmpgt_epi32(count, _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7)),
               _mm256_cmpgt_epi32(count, _mm256_setr_epi32(8, 9, 10, 11, 12, 13, 14, 15))};
}
V16_INLINE v16 v16_load_masked(m16 m, const float *p) {
  return v16_of(_mm256_maskload_ps(p, m.low), _mm256_maskload_ps(p + 8, m.high));
}
V16_INLINE void v16_store_masked(m16 m, float *p, v16 a) {
  _mm256_maskstore_ps(p, m.low, a.low);
  _mm256_maskstore_ps(p + 8, m.high, a.high);
}
V16_INLINE v16 v16_add(v16 a, v16 b) {
  return v16_of(_mm256_add_ps(a.low, b.low), _mm256_add_ps(a.high, b.high));
}
V16_INLINE v16 v16_sub(v16 a, v16 b) {
  return v16_of(_mm256_sub_ps(a.low, b.low), _mm256_sub_ps(a.high, b.high));
}
V16_INLINE v16 v16_mul(v16 a, v16 b) {
  return v16_of(_mm256_mul_ps(a.low, b.low), _mm256_mul_ps(a.high, b.high));
}
V16_INLINE v16 v16_div(v16 a, v16 b) {
  return v16_of(_mm256_div_ps(a.low, b.low), _mm256_div_ps(a.high, b.high));
}
V16_INLINE v16 v16_sqrt(v16 a) {
  return v16_of(_mm256_sqrt_ps(a.low), _mm256_sqrt_ps(a.high));
}
V16_INLINE v16 v16_fma(v16 a, v16 b, v16 c) {
  return v16_of(_mm256_fmadd_ps(a.low, b.low, c.low), _mm256_fmadd_ps(a.high, b.high, c.high));
}
V16_INLINE v16 v16_max(v16 a, v16 b) {
  return v16_of(_mm256_max_ps(a.low, b.low), _mm256_max_ps(a.high, b.high));
}
V16_INLINE v16 v16_min(v16 a, v16 b) {
  return v16_of(_mm256_min_ps(a.low, b.low), _mm256_min_ps(a.high, b.high));
}
V16_INLINE v16 v16_abs(v16 a) {
  const __m256 sign = _mm256_set1_ps(-0.0f);
  return v16_of(_mm256_andnot_ps(sign, a.low), _mm256_andnot_ps(sign, a.high));
}
V16_INLINE v16 v16_copysign(v16 a, v16 s) {
  const __m256 sign = _mm256_set1_ps(-0.0f);
  return v16_of(_mm256_or_ps(_mm256_andnot_ps(sign, a.low), _mm256_and_ps(sign, s.low)),
                _mm256_or_ps(_mm256_andnot_ps(sign, a.high), _mm256_and_ps(sign, s.high)));
}
V16_INLINE m16 v16_less(v16 a, v16 b) {
  return (m16){_mm256_castps_si256(_mm256_cmp_ps(a.low, b.low, _CMP_LT_OQ)),
               _mm256_castps_si256(_mm256_cmp_ps(a.high, b.high, _CMP_LT_OQ))};
}
V16_INLINE m16 v16_is_nan(v16 a) {
  return (m16){_mm256_castps_si256(_mm256_cmp_ps(a.low, a.low, _CMP_UNORD_Q)),
               _mm256_castps_si256(_mm256_cmp_ps(a.high, a.high, _CMP_UNORD_Q))};
}
V16_INLINE v16 v16_select(m16 m, v16 a, v16 b) {
  return v16_of(_mm256_blendv_ps(b.low, a.low, _mm256_castsi256_ps(m.low)),
                _mm256_blendv_ps(b.high, a.high, _mm256_castsi256_ps(m.high)));
}
V16_INLINE __m256 v16_look_up_half(__m256 first, __m256 second, __m256i index) {
  const __m256 chosen = _mm256_castsi256_ps(_mm256_slli_epi32(index, 28)); /* bit 3 in the sign */
  return _mm256_blendv_ps(_mm256_permutevar8x32_ps(first, index), _mm256_permutevar8x32_ps(second, index), chosen);
}
V16_INLINE v16 v16_look_up(const float table[16], v16 index) {
  const __m256 first = _mm256_loadu_ps(table), second = _mm256_loadu_ps(table + 8);
  return v16_of(v16_look_up_half(first, second, _mm256_castps_si256(index.low)),
                v16_look_up_half(first, second, _mm256_castps_si256(index.high)));
}
V16_INLINE v16 v16_floor(v16 a) {
  return v16_of(_mm256_floor_ps(a.low), _mm256_floor_ps(a.high));
}
V16_INLINE __m256 v16_scale_half(__m256 p, __m256 n) {
  const __m256i k = _mm256_cvtps_epi32(n), half = _mm256_srai_epi32(k, 1), bias = _mm256_set1_epi32(127);
  const __m256i first = _mm256_slli_epi32(_mm256_add_epi32(half, bias), 23);
  const __m256i second = _mm256_slli_epi32(_mm256_add_epi32(_mm256_sub_epi32(k, half), bias), 23);
  return _mm256_mul_ps(_mm256_mul_ps(p, _mm256_castsi256_ps(first)), _mm256_castsi256_ps(second));
}
V16_INLINE v16 v16_scale(v16 p, v16 n) {
  return v16_of(v16_scale_half(p.low, n.low), v16_scale_half(p.high, n.high));
}
V16_INLINE float v16_sum(v16 a) {
  const __m256 b = _mm256_add_ps(a.low, a.high);
  const __m128 c = _mm_add_ps(_mm256_castps256_ps128(b), _mm256_extractf128_ps(b, 1));
  const __m128 d = _mm_add_ps(c, _mm_movehl_ps(c, c));
  return _mm_cvtss_f32(_mm_add_ss(d, _mm_movehdup_ps(d)));
}
/* An 8x8 transpose of the chosen halves, in place. */
V16_INLINE void v16_transpose_8x8(__m256 r[8]) {
  __m256 t[8];
  for (int i = 0; i < 8; i += 4) {
    const __m256 a = _mm256_unpacklo_ps(r[i], r[i + 1]), b = _mm256_unpackhi_ps(r[i], r[i + 1]);
    const __m256 c = _mm256_unpacklo_ps(r[i + 2], r[i + 3]), d = _mm256_unpackhi_ps(r[i + 2], r[i + 3]);
    t[i] = _mm256_shuffle_ps(a, c, 0x44);
    t[i + 1] = _mm256_shuffle_ps(a, c, 0xee);
    t[i + 2] = _mm256_shuffle_ps(b, d, 0x44);
    t[i + 3] = _mm256_shuffle_ps(b, d, 0xee);
  }
  for (int i = 0; i < 4; ++i) {
    r[i] = _mm256_permute2f128_ps(t[i], t[i + 4], 0x20);
    r[i + 4] = _mm256_permute2f128_ps(t[i], t[i + 4], 0x31);
  }
}
V16_INLINE void v16_transpose(v16 rows[16]) {
  __m256 quarter[4][8]; /* [row half * 2 + column half] */
  for (int i = 0; i < 8; ++i) {
    quarter[0][i] = rows[i].low;
    quarter[1][i] = rows[i].high;
    quarter[2][i] = rows[i + 8].low;
    quarter[3][i] = rows[i + 8].high;
  }
  for (int i = 0; i < 4; ++i)
    v16_transpose_8x8(quarter[i]);
  for (int i = 0; i < 8; ++i) {
    rows[i] = v16_of(quarter[0][i], quarter[2][i]);
    rows[i + 8] = v16_of(quarter[1][i], quarter[3][i]);
  }
}

V16_INLINE __m256 v16_raise_half(__m256 p, __m256 n_rounded) {
  return _mm256_castsi256_ps(
      _mm256_add_epi32(_mm256_castps_si256(p), _mm256_slli_epi32(_mm256_castps_si256(n_rounded), 23)));
}
V16_INLINE v16 v16_raise(v16 p, v16 n_rounded) {
  return v16_of(v16_raise_half(p.low, n_rounded.low), v16_raise_half(p.high, n_rounded.high));
}
V16_INLINE v16 v16_from_u8(__m128i x) {
  return v16_of(_mm256_cvtepi32_ps(_mm256_cvtepu8_epi32(x)),
                _mm256_cvtepi32_ps(_mm256_cvtepu8_epi32(_mm_unpackhi_epi64(x, x))));
}
V16_INLINE v16 v16_from_s8(__m128i x) {
  return v16_of(_mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(x)),
                _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(_mm_unpackhi_epi64(x, x))));
}
/* n bytes, n 0 to 16, by 8, 4, 2 and 1: there is no mask of bytes. */
V16_INLINE __m128i v16_load_bytes(size_t n, const void *from) {
  uint8_t bytes[16] = {0};
  const uint8_t *p = from;
  if (n == 16)
    return _mm_loadu_si128(from);
  size_t i = 0;
  if (n & 8)
    memcpy(bytes, p, 8), i = 8;
  if (n & 4)
    memcpy(bytes + i, p + i, 4), i += 4;
  if (n & 2)
    memcpy(bytes + i, p + i, 2), i += 2;
  if (n & 1)
    bytes[i] = p[i];
  return _mm_loadu_si128((const __m128i *)bytes);
}
V16_INLINE void v16_store_bytes(size_t n, void *to, __m128i x) {
  uint8_t bytes[16], *p = to;
  if (n == 16) {
    _mm_storeu_si128(to, x);
    return;
  }
  _mm_storeu_si128((__m128i *)bytes, x);
  size_t i = 0;
  if (n & 8)
    memcpy(p, bytes, 8), i = 8;
  if (n & 4)
    memcpy(p + i, bytes + i, 4), i += 4;
  if (n & 2)
    memcpy(p + i, bytes + i, 2), i += 2;
  if (n & 1)
    p[i] = bytes[i];
}
V16_INLINE v16 v16_load_u8(const uint8_t *p) {
  return v16_from_u8(_mm_loadu_si128((const __m128i *)p));
}
V16_INLINE v16 v16_load_s8(const int8_t *p) {
  return v16_from_s8(_mm_loadu_si128((const __m128i *)p));
}
V16_INLINE v16 v16_load_u8_first(size_t n, const uint8_t *p) {
  return v16_from_u8(v16_load_bytes(n, p));
}
V16_INLINE v16 v16_load_s8_first(size_t n, const int8_t *p) {
  return v16_from_s8(v16_load_bytes(n, p));
}
/* rint(a) + zero as s16. Too low a float would become INT_MIN, which a negative zero makes wrap. */
V16_INLINE __m256i v16_to_s16(v16 a, int zero) {
  const __m256 low = _mm256_set1_ps(-512.0f);
  const __m256i zeros = _mm256_set1_epi32(zero);
  const __m256i q = _mm256_packs_epi32(_mm256_add_epi32(_mm256_cvtps_epi32(_mm256_max_ps(a.low, low)), zeros),
                                       _mm256_add_epi32(_mm256_cvtps_epi32(_mm256_max_ps(a.high, low)), zeros));
  return _mm256_permute4x64_epi64(q, 0xd8);
}
V16_INLINE __m128i v16_to_u8(v16 a, int zero) {
  const __m256i q = v16_to_s16(a, zero);
  return _mm_packus_epi16(_mm256_castsi256_si128(q), _mm256_extracti128_si256(q, 1));
}
V16_INLINE __m128i v16_to_s8(v16 a, int zero) {
  const __m256i q = v16_to_s16(a, zero);
  return _mm_packs_epi16(_mm256_castsi256_si128(q), _mm256_extracti128_si256(q, 1));
}
V16_INLINE void v16_store_u8(uint8_t *p, v16 a, int zero) {
  _mm_storeu_si128((__m128i *)p, v16_to_u8(a, zero));
}
V16_INLINE void v16_store_s8(int8_t *p, v16 a, int zero) {
  _mm_storeu_si128((__m128i *)p, v16_to_s8(a, zero));
}
V16_INLINE void v16_store_u8_first(size_t n, uint8_t *p, v16 a, int zero) {
  v16_store_bytes(n, p, v16_to_u8(a, zero));
}
V16_INLINE void v16_store_s8_first(size_t n, int8_t *p, v16 a, int zero) {
  v16_store_bytes(n, p, v16_to_s8(a, zero));
}
V16_INLINE float v16_largest(v16 a) {
  const __m256 b = _mm256_max_ps(a.low, a.high);
  const __m128 c = _mm_max_ps(_mm256_castps256_ps128(b), _mm256_extractf128_ps(b, 1));
  const __m128 d = _mm_max_ps(c, _mm_movehl_ps(c, c));
  return _mm_cvtss_f32(_mm_max_ss(d, _mm_movehdup_ps(d)));
}

typedef struct w8 {
  __m256i low, high;
} w8;
V16_INLINE w8 w8_set(uint32_t x) {
  return (w8){_mm256_set1_epi32((int)x), _mm256_set1_epi32((int)x)};
}
V16_INLINE w8 w8_twos_from(uint32_t first) {
  const __m256i x = _mm256_set1_epi32((int)first);
  return (w8){_mm256_add_epi32(x, _mm256_setr_epi32(0, 0, 2, 0, 4, 0, 6, 0)),
              _mm256_add_epi32(x, _mm256_setr_epi32(8, 0, 10, 0, 12, 0, 14, 0))};
}
V16_INLINE w8 w8_mul(w8 a, w8 b) {
  return (w8){_mm256_mul_epu32(a.low, b.low), _mm256_mul_epu32(a.high, b.high)};
}
V16_INLINE w8 w8_high(w8 a) {
  return (w8){_mm256_srli_epi64(a.low, 32), _mm256_srli_epi64(a.high, 32)};
}
V16_INLINE w8 w8_xor(w8 a, w8 b) {
  return (w8){_mm256_xor_si256(a.low, b.low), _mm256_xor_si256(a.high, b.high)};
}
V16_INLINE __m256 w8_weave_half(__m256i even, __m256i odd) {
  return _mm256_castsi256_ps(_mm256_blend_epi32(even, _mm256_slli_epi64(odd, 32), 0xaa));
}
V16_INLINE v16 w8_weave(w8 even, w8 odd) {
  return v16_of(w8_weave_half(even.low, odd.low), w8_weave_half(even.high, odd.high));
}
V16_INLINE m16 m16_lower_from(v16 bits, uint32_t least) {
  const __m256i below = _mm256_set1_epi32((int)least - 1), lower = _mm256_set1_epi32(0xffff);
  return (m16){_mm256_cmpgt_epi32(_mm256_and_si256(_mm256_castps_si256(bits.low), lower), below),
               _mm256_cmpgt_epi32(_mm256_and_si256(_mm256_castps_si256(bits.high), lower), below)};
}
V16_INLINE m16 m16_upper_from(v16 bits, uint32_t least) {
  const __m256i below = _mm256_set1_epi32((int)least - 1);
  return (m16){_mm256_cmpgt_epi32(_mm256_srli_epi32(_mm256_castps_si256(bits.low), 16), below),
               _mm256_cmpgt_epi32(_mm256_srli_epi32(_mm256_castps_si256(bits.high), 16), below)};
}

typedef struct d16 {
  __m256d quarter[4];
} d16;

V16_INLINE d16 d16_zero(void) {
  return (d16){{_mm256_setzero_pd(), _mm256_setzero_pd(), _mm256_setzero_pd(), _mm256_setzero_pd()}};
}
V16_INLINE __m256d d16_add_square_quarter(__m256d sum, __m128 a) {
  const __m256d x = _mm256_cvtps_pd(a);
  return _mm256_fmadd_pd(x, x, sum);
}
V16_INLINE d16 d16_add_square(d16 sum, v16 a) {
  return (d16){{d16_add_square_quarter(sum.quarter[0], _mm256_castps256_ps128(a.low)),
                d16_add_square_quarter(sum.quarter[1], _mm256_extractf128_ps(a.low, 1)),
                d16_add_square_quarter(sum.quarter[2], _mm256_castps256_ps128(a.high)),
                d16_add_square_quarter(sum.quarter[3], _mm256_extractf128_ps(a.high, 1))}};
}
V16_INLINE double d16_sum(d16 a) {
  const __m256d b = _mm256_add_pd(_mm256_add_pd(a.quarter[0], a.quarter[2]), _mm256_add_pd(a.quarter[1], a.quarter[3]));
  const __m128d c = _mm_add_pd(_mm256_castpd256_pd128(b), _mm256_extractf128_pd(b, 1));
  return _mm_cvtsd_f64(_mm_add_sd(c, _mm_unpackhi_pd(c, c)));
}

#endif
