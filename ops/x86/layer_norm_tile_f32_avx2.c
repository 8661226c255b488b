#include "ops/math/v16_avx2.h"

/* 16 sums are twice the registers: a loop over memory is as fast as one unrolled, and small. */
#define UNIT_UNROLL _Pragma("GCC unroll 1")
#include "ops/normalize/layer_norm_tile_f32_body.h"
