#include "ops/math/v16_avx512.h"

#include "ops/loss/relation_f32_body.h"
