/* The rows of this folder's kernel tables, each defined in the file of its name. */
#ifndef PITH_OPS_NORMALIZE_INTERNAL_H
#define PITH_OPS_NORMALIZE_INTERNAL_H

#include "ops/kernel.h"

extern const pith_kernel pith_layer_norm_f32_plain, pith_layer_norm_f32_avx2, pith_layer_norm_f32_avx512;
extern const pith_kernel pith_layer_norm_tile_f32_avx2, pith_layer_norm_tile_f32_avx512;
extern const pith_kernel pith_lp_norm_f32_plain, pith_lp_norm_f32_avx2, pith_lp_norm_f32_avx512;
extern const pith_kernel pith_softmax_f32_plain, pith_softmax_f32_avx2, pith_softmax_f32_avx512;
extern const pith_kernel pith_layer_norm_grad_f32_plain, pith_layer_norm_grad_f32_avx2, pith_layer_norm_grad_f32_avx512;
extern const pith_kernel pith_softmax_grad_f32_plain, pith_softmax_grad_f32_avx2, pith_softmax_grad_f32_avx512;
extern const pith_kernel pith_lp_norm_grad_f32_plain, pith_lp_norm_grad_f32_avx2, pith_lp_norm_grad_f32_avx512;
extern const pith_kernel pith_layer_norm_grad_columns_f32_plain, pith_layer_norm_grad_columns_f32_avx2,
    pith_layer_norm_grad_columns_f32_avx512;

#endif
