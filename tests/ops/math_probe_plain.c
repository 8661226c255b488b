#include "ops/math/v16_plain.h"

#include "tests/ops/math_probe_body.h"
