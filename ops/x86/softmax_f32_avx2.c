#include "ops/math/v16_avx2.h"

#include "ops/normalize/softmax_f32_body.h"
