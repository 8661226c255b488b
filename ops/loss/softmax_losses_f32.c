#include "ops/math/v16_plain.h"

#include "ops/loss/softmax_losses_f32_body.h"

const pith_kernel *const pith_softmax_cross_entropy_f32_kernels[] = {
    &pith_softmax_cross_entropy_f32_plain,
#if defined(__x86_64__)
    &pith_softmax_cross_entropy_f32_avx2,
    &pith_softmax_cross_entropy_f32_avx512,
#endif
    NULL,
};

const pith_kernel *const pith_softmax_cross_entropy_grad_f32_kernels[] = {
    &pith_softmax_cross_entropy_grad_f32_plain,
#if defined(__x86_64__)
    &pith_softmax_cross_entropy_grad_f32_avx2,
    &pith_softmax_cross_entropy_grad_f32_avx512,
#endif
    NULL,
};

const pith_kernel *const pith_span_cross_entropy_f32_kernels[] = {
    &pith_span_cross_entropy_f32_plain,
#if defined(__x86_64__)
    &pith_span_cross_entropy_f32_avx2,
    &pith_span_cross_entropy_f32_avx512,
#endif
    NULL,
};

const pith_kernel *const pith_span_cross_entropy_grad_f32_kernels[] = {
    &pith_span_cross_entropy_grad_f32_plain,
#if defined(__x86_64__)
    &pith_span_cross_entropy_grad_f32_avx2,
    &pith_span_cross_entropy_grad_f32_avx512,
#endif
    NULL,
};

const pith_kernel *const pith_kl_divergence_f32_kernels[] = {
    &pith_kl_divergence_f32_plain,
#if defined(__x86_64__)
    &pith_kl_divergence_f32_avx2,
    &pith_kl_divergence_f32_avx512,
#endif
    NULL,
};

const pith_kernel *const pith_kl_divergence_grad_f32_kernels[] = {
    &pith_kl_divergence_grad_f32_plain,
#if defined(__x86_64__)
    &pith_kl_divergence_grad_f32_avx2,
    &pith_kl_divergence_grad_f32_avx512,
#endif
    NULL,
};
