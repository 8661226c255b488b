#include "ops/math/v16_avx512.h"

#include "ops/loss/pair_losses_f32_body.h"
