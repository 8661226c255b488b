#include "ops/sparse_gemm/sparse_gemm_u8s8_avx512.h"

#include "ops/math/functions.h"

#define SPARSE_WIDE 1
#define SPARSE_FUSES 1
#define GEMM_STEPS 1

V16_INLINE s16 sparse_inputs(int step, s16 x) {
  (void)step;
  return x;
}
V16_INLINE s16 sparse_weights(int step, s16 w) {
  (void)step;
  return w;
}
V16_INLINE s16 gemm_dot(s16 sums, s16 x, s16 w) {
  __asm__("vpdpbusd %2, %1, %0" : "+v"(sums) : "v"(x), "v"(w)); /* gcc 12 copies sums around the intrinsic */
  return sums;
}

#include "ops/sparse_gemm/sparse_gemm_u8s8_body.h"

const pith_kernel pith_sparse_gemm_u8s8_avx512vnni = {
    .name = "sparse_gemm_u8s8_avx512vnni",
    .needs = PITH_CPU_AVX512VNNI | PITH_CPU_AVX512,
    .count_tasks = pith_sparse_gemm_u8s8_count_tasks,
    .get_scratch_bytes = pith_sparse_gemm_u8s8_get_scratch_bytes,
    .run = run,
};
