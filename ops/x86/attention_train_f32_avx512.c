#include "ops/math/v16_avx512.h"

#include "ops/attention/attention_train_f32_body.h"
