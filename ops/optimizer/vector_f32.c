#include "ops/math/v16_plain.h"

#include "ops/optimizer/vector_f32_body.h"

const pith_kernel *const pith_sum_squares_f32_kernels[] = {
    &pith_sum_squares_f32_plain,
#if defined(__x86_64__)
    &pith_sum_squares_f32_avx2,
    &pith_sum_squares_f32_avx512,
#endif
    NULL,
};

const pith_kernel *const pith_ema_f32_kernels[] = {
    &pith_ema_f32_plain,
#if defined(__x86_64__)
    &pith_ema_f32_avx2,
    &pith_ema_f32_avx512,
#endif
    NULL,
};

const pith_kernel *const pith_axpy_f32_kernels[] = {
    &pith_axpy_f32_plain,
#if defined(__x86_64__)
    &pith_axpy_f32_avx2,
    &pith_axpy_f32_avx512,
#endif
    NULL,
};
