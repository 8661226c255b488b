#include "ops/gemm/gemm_u8s8_sums_avx2.h"

#include "ops/gemm/gemm_u8s8_widen.h"
#include "ops/math/functions.h"

V16_INLINE __m256i widen_weights(int step, __m256i w) {
  return step == 0 ? _mm256_srai_epi16(_mm256_slli_epi16(w, 8), 8) : _mm256_srai_epi16(w, 8);
}
V16_INLINE s16 gemm_weights(int step, const int8_t *p) {
  const s16 w = s16_load(p);
  return (s16){widen_weights(step, w.low), widen_weights(step, w.high)};
}
V16_INLINE __m256i dot_half(__m256i sums, __m256i x, __m256i w) {
  sums = _mm256_add_epi32(sums, _mm256_madd_epi16(x, w));
  __asm__("" : "+x"(sums)); /* gcc would add the products of both steps first, and run out of registers */
  return sums;
}
V16_INLINE s16 gemm_dot(s16 sums, s16 x, s16 w) {
  return (s16){dot_half(sums.low, x.low, w.low), dot_half(sums.high, x.high, w.high)};
}

#include "ops/gemm/gemm_u8s8_6x16_body.h"

const pith_kernel pith_gemm_u8s8_6x16_avx2 = {
    .name = "gemm_u8s8_6x16_avx2",
    .needs = PITH_CPU_AVX2,
    .count_tasks = count_tasks,
    .get_scratch_bytes = get_scratch_bytes,
    .run = run,
};
