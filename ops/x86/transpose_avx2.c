#include "ops/math/v16_avx2.h"

#include "ops/copy/transpose_body.h"
