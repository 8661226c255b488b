#include "ops/math/v16_avx2.h"

#include "ops/attention/attention_grad_f32_body.h"
