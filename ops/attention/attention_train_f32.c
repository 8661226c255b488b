#include "ops/math/v16_plain.h"

#include "ops/attention/attention_train_f32_body.h"

const pith_kernel *const pith_attention_train_f32_kernels[] = {
    &pith_attention_train_f32_plain,
#if defined(__x86_64__)
    &pith_attention_train_f32_avx2,
    &pith_attention_train_f32_avx512,
#endif
    NULL,
};
