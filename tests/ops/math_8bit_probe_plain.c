#include "ops/math/v16_plain.h"

#include "tests/ops/math_8bit_probe_body.h"
