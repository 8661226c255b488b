#include "ops/math/v16_plain.h"

#include "ops/quantize/dequantize_f32_body.h"

const pith_kernel *const pith_dequantize_kernels[] = {
    &pith_dequantize_f32_plain,
#if defined(__x86_64__)
    &pith_dequantize_f32_avx2,
    &pith_dequantize_f32_avx512,
#endif
    NULL,
};
