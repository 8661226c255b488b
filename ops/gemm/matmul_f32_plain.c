#include "ops/math/v16_plain.h"

#include "ops/gemm/matmul_f32_body.h"
