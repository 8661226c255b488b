/* v16 as one zmm register; the meaning of each operation stands in v16_plain.h. */
#ifndef PITH_OPS_V16
#define PITH_OPS_V16

#include <immintrin.h>
#include <stddef.h>
#include <stdint.h>

#include "ops/math/unroll.h"

#define V16_NAME(base) base##_avx512
#define V16_ISA_TEXT "avx512"
#define V16_NEEDS PITH_CPU_AVX512
#define V16_TILE_VECTORS 4
#define V16_TILE_ACCUMULATORS 24

#define V16_INLINE static inline __attribute__((always_inline, unused))

typedef __m512 v16;
typedef __mmask16 m16;

V16_INLINE v16 v16_set(float x) {
  return _mm512_set1_ps(x);
}
V16_INLINE v16 v16_load(const float *p) {
  return _mm512_loadu_ps(p);
}
V16_INLINE void v16_store(float *p, v16 a) {
  _mm512_storeu_ps(p, a);
}
V16_INLINE m16 m16_first(size_t n) {
  return (m16)((1u << n) - 1u);
}
V16_INLINE v16 v16_load_masked(m16 m, const float *p) {
  return _mm512_maskz_loadu_ps(m, p);
}
V16_INLINE void v16_store_masked(m16 m, float *p, v16 a) {
  _mm512_mask_storeu_ps(p, m, a);
}
V16_INLINE v16 v16_add(v16 a, v16 b) {
  return _mm512_add_ps(a, b);
}
V16_INLINE v16 v16_sub(v16 a, v16 b) {
  return _mm512_sub_ps(a, b);
}
V16_INLINE v16 v16_mul(v16 a, v16 b) {
  return _mm512_mul_ps(a, b);
}
V16_INLINE v16 v16_div(v16 a, v16 b) {
  return _mm512_div_ps(a, b);
}
V16_INLINE v16 v16_sqrt(v16 a) {
  return _mm512_sqrt_ps(a);
}
V16_INLINE v16 v16_fma(v16 a, v16 b, v16 c) {
  return _mm512_fmadd_ps(a, b, c);
}
V16_INLINE v16 v16_max(v16 a, v16 b) {
  return _mm512_max_ps(a, b);
}
V16_INLINE v16 v16_min(v16 a, v16 b) {
  return _mm512_min_ps(a, b);
}
V16_INLINE v16 v16_abs(v16 a) {
  return _mm512_abs_ps(a);
}
V16_INLINE v16 v16_copysign(v16 a, v16 s) {
  const v16 sign = _mm512_set1_ps(-0.0f);
  return _mm512_or_ps(_mm512_andnot_ps(sign, a), _mm512_and_ps(sign, s));
}
V16_INLINE m16 v16_less(v16 a, v16 b) {
  return _mm512_cmp_ps_mask(a, b, _CMP_LT_OQ);
}
V16_INLINE m16 v16_is_nan(v16 a) {
  return _mm512_cmp_ps_mask(a, a, _CMP_UNORD_Q);
}
V16_INLINE v16 v16_select(m16 m, v16 a, v16 b) {
  return _mm512_mask_blend_ps(m, b, a);
}
V16_INLINE v16 v16_look_up(const float table[16], v16 index) {
  return _mm512_permutexvar_ps(_mm512_castps_si512(index), _mm512_loadu_ps(table));
}
V16_INLINE v16 v16_floor(v16 a) {
  return _mm512_roundscale_ps(a, _MM_FROUND_TO_NEG_INF | _MM_FROUND_NO_EXC);
}
V16_INLINE v16 v16_scale(v16 p, v16 n) {
  return _mm512_scalef_ps(p, n); /* rounds once, denormals too */
}
V16_INLINE float v16_sum(v16 a) {
  const __m256 b = _mm256_add_ps(_mm512_castps512_ps256(a), _mm512_extractf32x8_ps(a, 1));
  const __m128 c = _mm_add_ps(_mm256_castps256_ps128(b), _mm256_extractf128_ps(b, 1));
  const __m128 d = _mm_add_ps(c, _mm_movehl_ps(c, c));
  return _mm_cvtss_f32(_mm_add_ss(d, _mm_movehdup_ps(d)));
}
/* 4x4 blocks within 128-bit lanes, then the lanes. */
V16_INLINE void v16_transpose(v16 rows[16]) {
  v16 t[16];
  for (int i = 0; i < 16; i += 4) {
    const v16 a = _mm512_unpacklo_ps(rows[i], rows[i + 1]), b = _mm512_unpackhi_ps(rows[i], rows[i + 1]);
    const v16 c = _mm512_unpacklo_ps(rows[i + 2], rows[i + 3]), d = _mm512_unpackhi_ps(rows[i + 2], rows[i + 3]);
    t[i] = _mm512_shuffle_ps(a, c, 0x44);
    t[i + 1] = _mm512_shuffle_ps(a, c, 0xee);
    t[i + 2] = _mm512_shuffle_ps(b, d, 0x44);
    t[i + 3] = _mm512_shuffle_ps(b, d, 0xee);
  }
  for (int i = 0; i < 4; ++i) {
    const v16 a = _mm512_shuffle_f32x4(t[i], t[i + 4], 0x88), b = _mm512_shuffle_f32x4(t[i], t[i + 4], 0xdd);
    const v16 c = _mm512_shuffle_f32x4(t[i + 8], t[i + 12], 0x88);
    const v16 d = _mm512_shuffle_f32x4(t[i + 8], t[i + 12], 0xdd);
    rows[i] = _mm512_shuffle_f32x4(a, c, 0x88);
    rows[i + 4] = _mm512_shuffle_f32x4(b, d, 0x88);
    rows[i + 8] = _mm512_shuffle_f32x4(a, c, 0xdd);
    rows[i + 12] = _mm512_shuffle_f32x4(b, d, 0xdd);
  }
}

V16_INLINE v16 v16_raise(v16 p, v16 n_rounded) {
  return _mm512_castsi512_ps(
      _mm512_add_epi32(_mm512_castps_si512(p), _mm512_slli_epi32(_mm512_castps_si512(n_rounded), 23)));
}
V16_INLINE v16 v16_load_u8(const uint8_t *p) {
  return _mm512_cvtepi32_ps(_mm512_cvtepu8_epi32(_mm_loadu_si128((const __m128i *)p)));
}
V16_INLINE v16 v16_load_s8(const int8_t *p) {
  return _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(_mm_loadu_si128((const __m128i *)p)));
}
V16_INLINE v16 v16_load_u8_first(size_t n, const uint8_t *p) {
  return _mm512_cvtepi32_ps(_mm512_cvtepu8_epi32(_mm_maskz_loadu_epi8(m16_first(n), p)));
}
V16_INLINE v16 v16_load_s8_first(size_t n, const int8_t *p) {
  return _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(_mm_maskz_loadu_epi8(m16_first(n), p)));
}
/* Too low a float becomes INT_MIN, to which zero is then added: no wrap where zero >= 0, and v16_to_s8 starts higher. */
V16_INLINE __m128i v16_to_u8(v16 a, int zero) {
  const __m512i q = _mm512_add_epi32(_mm512_cvtps_epi32(a), _mm512_set1_epi32(zero));
  return _mm512_cvtepi32_epi8(_mm512_max_epi32(q, _mm512_setzero_si512()));
}
V16_INLINE __m128i v16_to_s8(v16 a, int zero) {
  const __m512i q = _mm512_cvtps_epi32(_mm512_max_ps(a, _mm512_set1_ps(-512.0f)));
  return _mm512_cvtsepi32_epi8(_mm512_add_epi32(q, _mm512_set1_epi32(zero)));
}
V16_INLINE void v16_store_u8(uint8_t *p, v16 a, int zero) {
  _mm_storeu_si128((__m128i *)p, v16_to_u8(a, zero));
}
V16_INLINE void v16_store_s8(int8_t *p, v16 a, int zero) {
  _mm_storeu_si128((__m128i *)p, v16_to_s8(a, zero));
}
V16_INLINE void v16_store_u8_first(size_t n, uint8_t *p, v16 a, int zero) {
  _mm_mask_storeu_epi8(p, m16_first(n), v16_to_u8(a, zero));
}
V16_INLINE void v16_store_s8_first(size_t n, int8_t *p, v16 a, int zero) {
  _mm_mask_storeu_epi8(p, m16_first(n), v16_to_s8(a, zero));
}
V16_INLINE float v16_largest(v16 a) {
  const __m256 b = _mm256_max_ps(_mm512_castps512_ps256(a), _mm512_extractf32x8_ps(a, 1));
  const __m128 c = _mm_max_ps(_mm256_castps256_ps128(b), _mm256_extractf128_ps(b, 1));
  const __m128 d = _mm_max_ps(c, _mm_movehl_ps(c, c));
  return _mm_cvtss_f32(_mm_max_ss(d, _mm_movehdup_ps(d)));
}

typedef __m512i w8;
V16_INLINE w8 w8_set(uint32_t x) {
  return _mm512_set1_epi32((int)x);
}
V16_INLINE w8 w8_twos_from(uint32_t first) {
  return _mm512_add_epi32(_mm512_set1_epi32((int)first), _mm512_setr_epi64(0, 2, 4, 6, 8, 10, 12, 14));
}
V16_INLINE w8 w8_mul(w8 a, w8 b) {
  return _mm512_mul_epu32(a, b);
}
V16_INLINE w8 w8_high(w8 a) {
  return _mm512_srli_epi64(a, 32);
}
V16_INLINE w8 w8_xor(w8 a, w8 b) {
  return _mm512_xor_si512(a, b);
}
V16_INLINE v16 w8_weave(w8 even, w8 odd) {
  return _mm512_castsi512_ps(_mm512_mask_blend_epi32(0xaaaa, even, _mm512_slli_epi64(odd, 32)));
}
V16_INLINE m16 m16_lower_from(v16 bits, uint32_t least) {
  return _mm512_cmpge_epu32_mask(_mm512_and_si512(_mm512_castps_si512(bits), _mm512_set1_epi32(0xffff)),
                                 _mm512_set1_epi32((int)least));
}
V16_INLINE m16 m16_upper_from(v16 bits, uint32_t least) {
  return _mm512_cmpge_epu32_mask(_mm512_srli_epi32(_mm512_castps_si512(bits), 16), _mm512_set1_epi32((int)least));
}

typedef struct d16 {
  __m512d low, high;
} d16;

V16_INLINE d16 d16_zero(void) {
  return (d16){_mm512_setzero_pd(), _mm512_setzero_pd()};
}
V16_INLINE d16 d16_add_square(d16 sum, v16 a) {
  const __m512d low = _mm512_cvtps_pd(_mm512_castps512_ps256(a)), high = _mm512_cvtps_pd(_mm512_extractf32x8_ps(a, 1));
  return (d16){_mm512_fmadd_pd(low, low, sum.low), _mm512_fmadd_pd(high, high, sum.high)};
}
V16_INLINE double d16_sum(d16 a) {
  const __m512d b = _mm512_add_pd(a.low, a.high);
  const __m256d c = _mm256_add_pd(_mm512_castpd512_pd256(b), _mm512_extractf64x4_pd(b, 1));
  const __m128d d = _mm_add_pd(_mm256_castpd256_pd128(c), _mm256_extractf128_pd(c, 1));
  return _mm_cvtsd_f64(_mm_add_sd(d, _mm_unpackhi_pd(d, d)));
}

#endif
