#include "ops/math/v16_avx2.h"

#include "ops/quantize/dequantize_f32_body.h"
