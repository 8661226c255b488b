#include "ops/math/v16_avx512.h"

#include "ops/quantize/dequantize_f32_body.h"
