/* The rows of this folder's kernel tables, each defined in a file of its name or its family's. */
#ifndef PITH_OPS_OPTIMIZER_INTERNAL_H
#define PITH_OPS_OPTIMIZER_INTERNAL_H

#include "ops/kernel.h"

extern const pith_kernel pith_adamw_f32_plain, pith_adamw_f32_avx2, pith_adamw_f32_avx512;
extern const pith_kernel pith_adamw_rows_f32_plain, pith_adamw_rows_f32_avx2, pith_adamw_rows_f32_avx512;
extern const pith_kernel pith_sgd_f32_plain, pith_sgd_f32_avx2, pith_sgd_f32_avx512;
extern const pith_kernel pith_sgd_rows_f32_plain, pith_sgd_rows_f32_avx2, pith_sgd_rows_f32_avx512;
extern const pith_kernel pith_lamb_f32_plain, pith_lamb_f32_avx2, pith_lamb_f32_avx512;
extern const pith_kernel pith_lamb_apply_f32_plain, pith_lamb_apply_f32_avx2, pith_lamb_apply_f32_avx512;
extern const pith_kernel pith_sum_squares_f32_plain, pith_sum_squares_f32_avx2, pith_sum_squares_f32_avx512;
extern const pith_kernel pith_ema_f32_plain, pith_ema_f32_avx2, pith_ema_f32_avx512;
extern const pith_kernel pith_axpy_f32_plain, pith_axpy_f32_avx2, pith_axpy_f32_avx512;

#endif
