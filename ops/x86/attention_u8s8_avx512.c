#include "ops/attention/attention_u8s8_dot_avx512.h"
#include "ops/attention/attention_u8s8_body.h"
