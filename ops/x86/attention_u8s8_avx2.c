#include "ops/attention/attention_u8s8_dot_avx2.h"
#include "ops/attention/attention_u8s8_body.h"
