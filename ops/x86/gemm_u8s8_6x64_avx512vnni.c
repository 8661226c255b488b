#include "ops/gemm/gemm_u8s8_sums_avx512.h"

#include "ops/math/functions.h"

#define GEMM_STEPS 1
#define GEMM_WIDEN NULL

V16_INLINE s16 gemm_weights(int step, const int8_t *p) {
  (void)step;
  return s16_load(p);
}
V16_INLINE s16 gemm_dot(s16 sums, s16 x, s16 w) {
  return _mm512_dpbusd_epi32(sums, x, w);
}

#define GEMM_OVERLAPS 1
#include "ops/gemm/gemm_u8s8_6x64_body.h"

const pith_kernel pith_gemm_u8s8_6x64_avx512vnni = {
    .name = "gemm_u8s8_6x64_avx512vnni",
    .needs = PITH_CPU_AVX512VNNI | PITH_CPU_AVX512,
    .count_tasks = count_tasks,
    .get_scratch_bytes = get_scratch_bytes,
    .run = run,
};
