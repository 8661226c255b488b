#include "ops/math/v16_avx2.h"

#include "ops/dropout/dropout_f32_body.h"
