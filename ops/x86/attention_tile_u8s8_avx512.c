#include "ops/attention/attention_u8s8_dot_avx512.h"
#include "ops/attention/attention_tile_u8s8_n16_avx512.h"
#include "ops/attention/attention_tile_u8s8_body.h"
