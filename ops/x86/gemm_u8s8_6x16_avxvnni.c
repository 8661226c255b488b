#include "ops/gemm/gemm_u8s8_sums_avx2.h"

#include "ops/math/functions.h"

#define GEMM_STEPS 1
#define GEMM_WIDEN NULL

V16_INLINE s16 gemm_weights(int step, const int8_t *p) {
  (void)step;
  return s16_load(p);
}
V16_INLINE s16 gemm_dot(s16 sums, s16 x, s16 w) {
  return (s16){_mm256_dpbusd_avx_epi32(sums.low, x.low, w.low), _mm256_dpbusd_avx_epi32(sums.high, x.high, w.high)};
}

#include "ops/gemm/gemm_u8s8_6x16_body.h"

const pith_kernel pith_gemm_u8s8_6x16_avxvnni = {
    .name = "gemm_u8s8_6x16_avxvnni",
    .needs = PITH_CPU_AVXVNNI | PITH_CPU_AVX2,
    .count_tasks = count_tasks,
    .get_scratch_bytes = get_scratch_bytes,
    .run = run,
};
