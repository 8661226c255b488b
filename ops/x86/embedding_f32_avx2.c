#include "ops/math/v16_avx2.h"

#include "ops/embedding/embedding_f32_body.h"
