/* The rows of the table in sparse_gemm_u8s8.c. */
#ifndef PITH_OPS_SPARSE_GEMM_U8S8_INTERNAL_H
#define PITH_OPS_SPARSE_GEMM_U8S8_INTERNAL_H

#include "ops/sparse_gemm/sparse_gemm_u8s8.h"

extern const pith_kernel pith_sparse_gemm_u8s8_reference;
extern const pith_kernel pith_sparse_gemm_u8s8_avx2, pith_sparse_gemm_u8s8_avxvnni, pith_sparse_gemm_u8s8_avx512vnni;

#endif
