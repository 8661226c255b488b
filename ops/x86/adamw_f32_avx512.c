#include "ops/math/v16_avx512.h"

#include "ops/optimizer/adamw_f32_body.h"
