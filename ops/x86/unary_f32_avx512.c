#include "ops/math/v16_avx512.h"

#include "ops/elementwise/unary_f32_body.h"
