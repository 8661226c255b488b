#include "ops/math/v16_plain.h"

#include "ops/quantize/quantize_f32_body.h"

const pith_kernel *const pith_quantize_kernels[] = {
    &pith_quantize_f32_plain,
#if defined(__x86_64__)
    &pith_quantize_f32_avx2,
    &pith_quantize_f32_avx512,
#endif
    NULL,
};
