#include "ops/math/v16_plain.h"

#include "ops/quantize/fake_quantize_f32_body.h"

const pith_kernel *const pith_fake_quantize_f32_kernels[] = {
    &pith_fake_quantize_f32_plain,
#if defined(__x86_64__)
    &pith_fake_quantize_f32_avx2,
    &pith_fake_quantize_f32_avx512,
#endif
    NULL,
};

const pith_kernel *const pith_fake_quantize_grad_f32_kernels[] = {
    &pith_fake_quantize_grad_f32_plain,
#if defined(__x86_64__)
    &pith_fake_quantize_grad_f32_avx2,
    &pith_fake_quantize_grad_f32_avx512,
#endif
    NULL,
};

const pith_kernel *const pith_fake_quantize_rows_f32_kernels[] = {
    &pith_fake_quantize_rows_f32_plain,
#if defined(__x86_64__)
    &pith_fake_quantize_rows_f32_avx2,
    &pith_fake_quantize_rows_f32_avx512,
#endif
    NULL,
};

const pith_kernel *const pith_row_ranges_f32_kernels[] = {
    &pith_row_ranges_f32_plain,
#if defined(__x86_64__)
    &pith_row_ranges_f32_avx2,
    &pith_row_ranges_f32_avx512,
#endif
    NULL,
};

const pith_kernel *const pith_gelu_8bit_f32_kernels[] = {
    &pith_gelu_8bit_f32_plain,
#if defined(__x86_64__)
    &pith_gelu_8bit_f32_avx2,
    &pith_gelu_8bit_f32_avx512,
#endif
    NULL,
};
