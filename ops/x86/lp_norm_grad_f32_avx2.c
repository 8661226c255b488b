#include "ops/math/v16_avx2.h"

#include "ops/normalize/lp_norm_grad_f32_body.h"
