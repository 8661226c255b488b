#include "ops/math/v16_plain.h"

#include "ops/normalize/layer_norm_grad_f32_body.h"

const pith_kernel *const pith_layer_norm_grad_f32_kernels[] = {
    &pith_layer_norm_grad_f32_plain,
#if defined(__x86_64__)
    &pith_layer_norm_grad_f32_avx2,
    &pith_layer_norm_grad_f32_avx512,
#endif
    NULL,
};

const pith_kernel *const pith_layer_norm_grad_columns_f32_kernels[] = {
    &pith_layer_norm_grad_columns_f32_plain,
#if defined(__x86_64__)
    &pith_layer_norm_grad_columns_f32_avx2,
    &pith_layer_norm_grad_columns_f32_avx512,
#endif
    NULL,
};
