#include "ops/math/v16_plain.h"

#include "ops/optimizer/lamb_f32_body.h"

const pith_kernel *const pith_lamb_f32_kernels[] = {
    &pith_lamb_f32_plain,
#if defined(__x86_64__)
    &pith_lamb_f32_avx2,
    &pith_lamb_f32_avx512,
#endif
    NULL,
};

const pith_kernel *const pith_lamb_apply_f32_kernels[] = {
    &pith_lamb_apply_f32_plain,
#if defined(__x86_64__)
    &pith_lamb_apply_f32_avx2,
    &pith_lamb_apply_f32_avx512,
#endif
    NULL,
};
