#ifndef PITH_OPS_ATTENTION_TILE_U8S8_INTERNAL_H
#define PITH_OPS_ATTENTION_TILE_U8S8_INTERNAL_H

#include "ops/attention/attention_tile_u8s8.h"

extern const pith_kernel pith_attention_tile_u8s8_reference, pith_attention_tile_u8s8_avx2,
    pith_attention_tile_u8s8_avxvnni, pith_attention_tile_u8s8_avx512, pith_attention_tile_u8s8_avx512vnni;

#endif
