#include "ops/attention/attention_u8s8_dot_avxvnni.h"
#include "ops/attention/attention_u8s8_body.h"
