#include "ops/math/v16_avx2.h"

#include "ops/normalize/softmax_grad_f32_body.h"
