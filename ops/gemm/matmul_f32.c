#include "ops/gemm/gemm_f32.h"

#include "ops/gemm/matmul_f32_internal.h"

const pith_kernel *const pith_matmul_f32_kernels[] = {
    &pith_matmul_f32_plain,
#if defined(__x86_64__)
    &pith_matmul_f32_avx2,
    &pith_matmul_f32_avx512,
#endif
    NULL,
};
