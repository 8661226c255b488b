#include "ops/math/v16_avx2.h"

#include "ops/elementwise/unary_grad_f32_body.h"
