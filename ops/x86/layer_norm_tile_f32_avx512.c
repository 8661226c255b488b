#include "ops/math/v16_avx512.h"

#define UNIT_UNROLL PITH_UNROLL
#include "ops/normalize/layer_norm_tile_f32_body.h"
