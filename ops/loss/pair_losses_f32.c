#include "ops/math/v16_plain.h"

#include "ops/loss/pair_losses_f32_body.h"

const pith_kernel *const pith_sigmoid_cross_entropy_f32_kernels[] = {
    &pith_sigmoid_cross_entropy_f32_plain,
#if defined(__x86_64__)
    &pith_sigmoid_cross_entropy_f32_avx2,
    &pith_sigmoid_cross_entropy_f32_avx512,
#endif
    NULL,
};

const pith_kernel *const pith_sigmoid_cross_entropy_grad_f32_kernels[] = {
    &pith_sigmoid_cross_entropy_grad_f32_plain,
#if defined(__x86_64__)
    &pith_sigmoid_cross_entropy_grad_f32_avx2,
    &pith_sigmoid_cross_entropy_grad_f32_avx512,
#endif
    NULL,
};

const pith_kernel *const pith_mean_squared_error_f32_kernels[] = {
    &pith_mean_squared_error_f32_plain,
#if defined(__x86_64__)
    &pith_mean_squared_error_f32_avx2,
    &pith_mean_squared_error_f32_avx512,
#endif
    NULL,
};

const pith_kernel *const pith_mean_squared_error_grad_f32_kernels[] = {
    &pith_mean_squared_error_grad_f32_plain,
#if defined(__x86_64__)
    &pith_mean_squared_error_grad_f32_avx2,
    &pith_mean_squared_error_grad_f32_avx512,
#endif
    NULL,
};

const pith_kernel *const pith_cosine_loss_f32_kernels[] = {
    &pith_cosine_loss_f32_plain,
#if defined(__x86_64__)
    &pith_cosine_loss_f32_avx2,
    &pith_cosine_loss_f32_avx512,
#endif
    NULL,
};

const pith_kernel *const pith_cosine_loss_grad_f32_kernels[] = {
    &pith_cosine_loss_grad_f32_plain,
#if defined(__x86_64__)
    &pith_cosine_loss_grad_f32_avx2,
    &pith_cosine_loss_grad_f32_avx512,
#endif
    NULL,
};

const pith_kernel *const pith_mean_f32_kernels[] = {
    &pith_mean_f32_plain,
#if defined(__x86_64__)
    &pith_mean_f32_avx2,
    &pith_mean_f32_avx512,
#endif
    NULL,
};

const pith_kernel *const pith_mean_grad_f32_kernels[] = {
    &pith_mean_grad_f32_plain,
#if defined(__x86_64__)
    &pith_mean_grad_f32_avx2,
    &pith_mean_grad_f32_avx512,
#endif
    NULL,
};
