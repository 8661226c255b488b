#include "ops/math/v16_avx512.h"

#include "ops/elementwise/unary_grad_f32_body.h"
