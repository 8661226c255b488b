#include "ops/math/v16_avx512.h"

#include "ops/copy/transpose_body.h"
