#include "ops/math/v16_avx512.h"

#include "ops/sparse_gemm/sparse_gemm_f32_body.h"
