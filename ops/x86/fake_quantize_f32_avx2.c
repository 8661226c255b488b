#include "ops/math/v16_avx2.h"

#include "ops/quantize/fake_quantize_f32_body.h"
