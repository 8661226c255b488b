#include "ops/math/v16_avx512.h"

#include "ops/dropout/dropout_f32_body.h"
