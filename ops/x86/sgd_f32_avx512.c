#include "ops/math/v16_avx512.h"

#include "ops/optimizer/sgd_f32_body.h"
