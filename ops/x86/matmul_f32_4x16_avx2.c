#include "ops/math/v16_avx2.h"

#include "ops/gemm/matmul_f32_body.h"
