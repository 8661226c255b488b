#include "ops/math/v16_avx2.h"

#include "ops/embedding/gather_grad_f32_body.h"
