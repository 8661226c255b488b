/* The rows of this folder's kernel tables, each defined in the file of its name. */
#ifndef PITH_OPS_QUANTIZE_INTERNAL_H
#define PITH_OPS_QUANTIZE_INTERNAL_H

#include "ops/kernel.h"

extern const pith_kernel pith_quantize_f32_plain, pith_quantize_f32_avx2, pith_quantize_f32_avx512;
extern const pith_kernel pith_dequantize_f32_plain, pith_dequantize_f32_avx2, pith_dequantize_f32_avx512;
extern const pith_kernel pith_dynamic_quantize_f32_plain, pith_dynamic_quantize_f32_avx2, pith_dynamic_quantize_f32_avx512;

#endif
