#include "ops/math/v16_avx512.h"

#include "ops/optimizer/vector_f32_body.h"
