/* The rows of this folder's kernel tables, each defined in the file of its name. */
#ifndef PITH_OPS_QUANTIZE_INTERNAL_H
#define PITH_OPS_QUANTIZE_INTERNAL_H

#include "ops/kernel.h"

extern const pith_kernel pith_quantize_f32_plain, pith_quantize_f32_avx2, pith_quantize_f32_avx512;
extern const pith_kernel pith_dequantize_f32_plain, pith_dequantize_f32_avx2, pith_dequantize_f32_avx512;
extern const pith_kernel pith_dynamic_quantize_f32_plain, pith_dynamic_quantize_f32_avx2, pith_dynamic_quantize_f32_avx512;
/* Training's: fake_quantize_f32.h. */
extern const pith_kernel pith_fake_quantize_f32_plain, pith_fake_quantize_f32_avx2, pith_fake_quantize_f32_avx512;
extern const pith_kernel pith_fake_quantize_grad_f32_plain, pith_fake_quantize_grad_f32_avx2, pith_fake_quantize_grad_f32_avx512;
extern const pith_kernel pith_fake_quantize_rows_f32_plain, pith_fake_quantize_rows_f32_avx2, pith_fake_quantize_rows_f32_avx512;
extern const pith_kernel pith_row_ranges_f32_plain, pith_row_ranges_f32_avx2, pith_row_ranges_f32_avx512;
extern const pith_kernel pith_gelu_8bit_f32_plain, pith_gelu_8bit_f32_avx2, pith_gelu_8bit_f32_avx512;

#endif
