#include "ops/math/v16_avx512.h"

#include "ops/embedding/gather_grad_f32_body.h"
