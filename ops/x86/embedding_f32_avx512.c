#include "ops/math/v16_avx512.h"

#include "ops/embedding/embedding_f32_body.h"
