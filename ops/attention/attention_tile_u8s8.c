#include "ops/attention/attention_tile_u8s8_internal.h"

const pith_kernel *const pith_attention_tile_u8s8_kernels[] = {
    &pith_attention_tile_u8s8_reference,
#if defined(__x86_64__)
    &pith_attention_tile_u8s8_avx2,
    &pith_attention_tile_u8s8_avx512,
    &pith_attention_tile_u8s8_avxvnni, /* as in attention_u8s8.c */
    &pith_attention_tile_u8s8_avx512vnni,
#endif
    NULL,
};
