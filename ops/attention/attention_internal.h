/* The rows of this folder's kernel tables, each defined in the file of its name. */
#ifndef PITH_OPS_ATTENTION_INTERNAL_H
#define PITH_OPS_ATTENTION_INTERNAL_H

#include "ops/kernel.h"

extern const pith_kernel pith_attention_f32_plain, pith_attention_f32_avx2, pith_attention_f32_avx512;
extern const pith_kernel pith_attention_train_f32_plain, pith_attention_train_f32_avx2, pith_attention_train_f32_avx512;
extern const pith_kernel pith_attention_grad_f32_plain, pith_attention_grad_f32_avx2, pith_attention_grad_f32_avx512;

#endif
