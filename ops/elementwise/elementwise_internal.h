/* The rows of this folder's kernel tables, each defined in the file of its name. */
#ifndef PITH_OPS_ELEMENTWISE_INTERNAL_H
#define PITH_OPS_ELEMENTWISE_INTERNAL_H

#include "ops/kernel.h"

extern const pith_kernel pith_unary_f32_plain, pith_unary_f32_avx2, pith_unary_f32_avx512;
extern const pith_kernel pith_binary_f32_plain, pith_binary_f32_avx2, pith_binary_f32_avx512;
extern const pith_kernel pith_unary_grad_f32_plain, pith_unary_grad_f32_avx2, pith_unary_grad_f32_avx512;

#endif
