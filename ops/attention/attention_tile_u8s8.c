#include "ops/attention/attention_tile_u8s8_internal.h"

const pith_kernel *const pith_attention_tile_u8s8_kernels[] = {
    &pith_attention_tile_u8s8_reference,
    NULL,
};
