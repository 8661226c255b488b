#include "ops/math/v16_avx512.h"

#include "ops/gemm/matmul_f32_body.h"
