#include "ops/math/v16_avx512.h"

#include "tests/ops/math_8bit_probe_body.h"
