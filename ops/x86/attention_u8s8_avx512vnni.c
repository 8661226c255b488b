#include "ops/attention/attention_u8s8_dot_avx512vnni.h"
#include "ops/attention/attention_u8s8_body.h"
