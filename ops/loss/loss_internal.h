/* The rows of this folder's kernel tables, each defined in its family's file. */
#ifndef PITH_OPS_LOSS_INTERNAL_H
#define PITH_OPS_LOSS_INTERNAL_H

#include "ops/kernel.h"

extern const pith_kernel pith_softmax_cross_entropy_f32_plain, pith_softmax_cross_entropy_f32_avx2,
    pith_softmax_cross_entropy_f32_avx512;
extern const pith_kernel pith_softmax_cross_entropy_grad_f32_plain, pith_softmax_cross_entropy_grad_f32_avx2,
    pith_softmax_cross_entropy_grad_f32_avx512;
extern const pith_kernel pith_span_cross_entropy_f32_plain, pith_span_cross_entropy_f32_avx2,
    pith_span_cross_entropy_f32_avx512;
extern const pith_kernel pith_span_cross_entropy_grad_f32_plain, pith_span_cross_entropy_grad_f32_avx2,
    pith_span_cross_entropy_grad_f32_avx512;
extern const pith_kernel pith_kl_divergence_f32_plain, pith_kl_divergence_f32_avx2, pith_kl_divergence_f32_avx512;
extern const pith_kernel pith_kl_divergence_grad_f32_plain, pith_kl_divergence_grad_f32_avx2,
    pith_kl_divergence_grad_f32_avx512;
extern const pith_kernel pith_sigmoid_cross_entropy_f32_plain, pith_sigmoid_cross_entropy_f32_avx2,
    pith_sigmoid_cross_entropy_f32_avx512;
extern const pith_kernel pith_sigmoid_cross_entropy_grad_f32_plain, pith_sigmoid_cross_entropy_grad_f32_avx2,
    pith_sigmoid_cross_entropy_grad_f32_avx512;
extern const pith_kernel pith_mean_squared_error_f32_plain, pith_mean_squared_error_f32_avx2,
    pith_mean_squared_error_f32_avx512;
extern const pith_kernel pith_mean_squared_error_grad_f32_plain, pith_mean_squared_error_grad_f32_avx2,
    pith_mean_squared_error_grad_f32_avx512;
extern const pith_kernel pith_cosine_loss_f32_plain, pith_cosine_loss_f32_avx2, pith_cosine_loss_f32_avx512;
extern const pith_kernel pith_cosine_loss_grad_f32_plain, pith_cosine_loss_grad_f32_avx2, pith_cosine_loss_grad_f32_avx512;

#endif
