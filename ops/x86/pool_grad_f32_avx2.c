#include "ops/math/v16_avx2.h"

#include "ops/pool/pool_grad_f32_body.h"
