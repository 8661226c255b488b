#include "ops/math/v16_avx512.h"

#include "ops/normalize/softmax_grad_f32_body.h"
