#include "ops/math/v16_avx2.h"

#include "ops/loss/softmax_losses_f32_body.h"
