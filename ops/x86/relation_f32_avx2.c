#include "ops/math/v16_avx2.h"

#include "ops/loss/relation_f32_body.h"
