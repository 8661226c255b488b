#include "ops/gemm/gemm_u8s8_sums_avx512.h"

#include "ops/gemm/gemm_u8s8_widen.h"
#include "ops/math/functions.h"

V16_INLINE s16 gemm_weights(int step, const int8_t *p) {
  const s16 w = s16_load(p);
  return step == 0 ? _mm512_srai_epi16(_mm512_slli_epi16(w, 8), 8) : _mm512_srai_epi16(w, 8);
}
V16_INLINE s16 gemm_dot(s16 sums, s16 x, s16 w) {
  sums = _mm512_add_epi32(sums, _mm512_madd_epi16(x, w));
  __asm__("" : "+v"(sums)); /* gcc would add the products of both steps first, and run out of registers */
  return sums;
}

#define GEMM_OVERLAPS 0
#include "ops/gemm/gemm_u8s8_6x64_body.h"

const pith_kernel pith_gemm_u8s8_6x64_avx512 = {
    .name = "gemm_u8s8_6x64_avx512",
    .needs = PITH_CPU_AVX512,
    .count_tasks = count_tasks,
    .get_scratch_bytes = get_scratch_bytes,
    .run = run,
};
