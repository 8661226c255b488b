#include "ops/math/v16_avx2.h"

#include "ops/elementwise/binary_f32_body.h"
