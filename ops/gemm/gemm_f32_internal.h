/* The rows of the table in gemm_f32.c. */
#ifndef PITH_OPS_GEMM_F32_INTERNAL_H
#define PITH_OPS_GEMM_F32_INTERNAL_H

#include "ops/gemm/gemm_f32_blocked.h"

/* gemm_finish in plain C, for references: it is large, and so stands in the library once. */
void pith_gemm_f32_finish_plain(size_t rows, const pith_gemm_f32_finish *finish);

extern const pith_kernel pith_gemm_f32_reference;
extern const pith_kernel pith_gemm_f32_6x16_avx2;
extern const pith_kernel pith_gemm_f32_6x64_avx512;

#endif
