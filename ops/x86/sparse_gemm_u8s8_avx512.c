#include "ops/sparse_gemm/sparse_gemm_u8s8_avx512.h"

#include "ops/math/functions.h"

/* Exact products without VNNI: vpmaddubsw would saturate, so bytes are widened to s16, the even ones, then the odd ones. */
#define SPARSE_WIDE 1
#define SPARSE_FUSES 0
#define GEMM_STEPS 2

V16_INLINE s16 sparse_inputs(int step, s16 x) {
  return step == 0 ? _mm512_and_si512(x, _mm512_set1_epi16(255)) : _mm512_srli_epi16(x, 8);
}
V16_INLINE s16 sparse_weights(int step, s16 w) {
  return step == 0 ? _mm512_srai_epi16(_mm512_slli_epi16(w, 8), 8) : _mm512_srai_epi16(w, 8);
}
V16_INLINE s16 gemm_dot(s16 sums, s16 x, s16 w) {
  sums = _mm512_add_epi32(sums, _mm512_madd_epi16(x, w));
  __asm__("" : "+v"(sums)); /* gcc would add the products of both steps first, and run out of registers */
  return sums;
}

#include "ops/sparse_gemm/sparse_gemm_u8s8_body.h"

const pith_kernel pith_sparse_gemm_u8s8_avx512 = {
    .name = "sparse_gemm_u8s8_avx512",
    .needs = PITH_CPU_AVX512,
    .count_tasks = pith_sparse_gemm_u8s8_count_tasks,
    .get_scratch_bytes = pith_sparse_gemm_u8s8_get_scratch_bytes,
    .run = run,
};
