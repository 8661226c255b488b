#include "ops/math/v16_avx2.h"

#include "ops/loss/pair_losses_f32_body.h"
