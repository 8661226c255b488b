#include "ops/math/v16_avx2.h"

#include "tests/ops/math_8bit_probe_body.h"
