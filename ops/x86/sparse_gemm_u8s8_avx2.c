#include "ops/sparse_gemm/sparse_gemm_u8s8_avx2.h"

#include "ops/math/functions.h"

/* Exact products without VNNI: vpmaddubsw would saturate, so bytes are widened to s16, the even ones, then the odd ones. */
#define SPARSE_WIDE 0
#define SPARSE_FUSES 0
#define GEMM_STEPS 2

V16_INLINE s16 sparse_inputs(int step, s16 x) {
  const __m256i even = _mm256_set1_epi16(255);
  if (step == 0)
    return (s16){_mm256_and_si256(x.low, even), _mm256_and_si256(x.high, even)};
  return (s16){_mm256_srli_epi16(x.low, 8), _mm256_srli_epi16(x.high, 8)};
}
V16_INLINE s16 sparse_weights(int step, s16 w) { /* both halves are the same */
  const __m256i half = step == 0 ? _mm256_srai_epi16(_mm256_slli_epi16(w.low, 8), 8) : _mm256_srai_epi16(w.low, 8);
  return (s16){half, half};
}
V16_INLINE __m256i dot_half(__m256i sums, __m256i x, __m256i w) {
  sums = _mm256_add_epi32(sums, _mm256_madd_epi16(x, w));
  __asm__("" : "+x"(sums)); /* gcc would add the products of both steps first, and run out of registers */
  return sums;
}
V16_INLINE s16 gemm_dot(s16 sums, s16 x, s16 w) {
  return (s16){dot_half(sums.low, x.low, w.low), dot_half(sums.high, x.high, w.high)};
}

#include "ops/sparse_gemm/sparse_gemm_u8s8_body.h"

const pith_kernel pith_sparse_gemm_u8s8_avx2 = {
    .name = "sparse_gemm_u8s8_avx2",
    .needs = PITH_CPU_AVX2,
    .count_tasks = pith_sparse_gemm_u8s8_count_tasks,
    .get_scratch_bytes = pith_sparse_gemm_u8s8_get_scratch_bytes,
    .run = run,
};
