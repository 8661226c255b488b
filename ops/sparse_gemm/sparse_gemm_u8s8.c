#include "ops/sparse_gemm/sparse_gemm_u8s8.h"

#include "ops/sparse_gemm/sparse_gemm_u8s8_internal.h"

const pith_kernel *const pith_sparse_gemm_u8s8_kernels[] = {
    &pith_sparse_gemm_u8s8_reference,
#if defined(__x86_64__)
    &pith_sparse_gemm_u8s8_avx2,
    &pith_sparse_gemm_u8s8_avxvnni,
    &pith_sparse_gemm_u8s8_avx512vnni,
#endif
    NULL,
};
