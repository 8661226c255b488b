#include "ops/math/v16_plain.h"

#include "ops/loss/relation_f32_body.h"

const pith_kernel *const pith_relation_f32_kernels[] = {
    &pith_relation_f32_plain,
#if defined(__x86_64__)
    &pith_relation_f32_avx2,
    &pith_relation_f32_avx512,
#endif
    NULL,
};

const pith_kernel *const pith_relation_grad_f32_kernels[] = {
    &pith_relation_grad_f32_plain,
#if defined(__x86_64__)
    &pith_relation_grad_f32_avx2,
    &pith_relation_grad_f32_avx512,
#endif
    NULL,
};
