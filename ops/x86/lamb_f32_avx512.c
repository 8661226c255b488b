#include "ops/math/v16_avx512.h"

#include "ops/optimizer/lamb_f32_body.h"
