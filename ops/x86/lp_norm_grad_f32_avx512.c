#include "ops/math/v16_avx512.h"

#include "ops/normalize/lp_norm_grad_f32_body.h"
