/* The rows of the table in matmul_f32.c. */
#ifndef PITH_OPS_MATMUL_F32_INTERNAL_H
#define PITH_OPS_MATMUL_F32_INTERNAL_H

#include <stdbool.h>

#include "ops/gemm/gemm_f32.h"

extern const pith_kernel pith_matmul_f32_plain;
extern const pith_kernel pith_matmul_f32_avx2;
extern const pith_kernel pith_matmul_f32_avx512;

#endif
