#include "ops/math/v16_avx512.h"

#include "ops/pool/pool_grad_f32_body.h"
