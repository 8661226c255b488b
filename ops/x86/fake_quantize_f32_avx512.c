#include "ops/math/v16_avx512.h"

#include "ops/quantize/fake_quantize_f32_body.h"
