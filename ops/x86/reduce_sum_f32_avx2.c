#include "ops/math/v16_avx2.h"

#include "ops/reduce/reduce_sum_f32_body.h"
