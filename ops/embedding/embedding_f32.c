#include "ops/math/v16_plain.h"

#include "ops/embedding/embedding_f32_body.h"

const pith_kernel *const pith_embedding_f32_kernels[] = {
    &pith_embedding_f32_plain,
#if defined(__x86_64__)
    &pith_embedding_f32_avx2,
    &pith_embedding_f32_avx512,
#endif
    NULL,
};
