#include "ops/sparse_gemm/sparse_gemm_u8s8_avx2.h"

#include "ops/math/functions.h"

#define SPARSE_WIDE 0
#define SPARSE_FUSES 0
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
  __asm__("%{vex%} vpdpbusd %2, %1, %0" : "+x"(sums.low) : "x"(x.low), "x"(w.low)); /* gcc 12 copies sums around the intrinsic */
  __asm__("%{vex%} vpdpbusd %2, %1, %0" : "+x"(sums.high) : "x"(x.high), "x"(w.high));
  return sums;
}

#include "ops/sparse_gemm/sparse_gemm_u8s8_body.h"

const pith_kernel pith_sparse_gemm_u8s8_avxvnni = {
    .name = "sparse_gemm_u8s8_avxvnni",
    .needs = PITH_CPU_AVXVNNI | PITH_CPU_AVX2,
    .count_tasks = pith_sparse_gemm_u8s8_count_tasks,
    .get_scratch_bytes = pith_sparse_gemm_u8s8_get_scratch_bytes,
    .run = run,
};
