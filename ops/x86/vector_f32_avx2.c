#include "ops/math/v16_avx2.h"

#include "ops/optimizer/vector_f32_body.h"
