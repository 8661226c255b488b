/* The rows of this folder's kernel tables, each defined in the file of its name. */
#ifndef PITH_OPS_EMBEDDING_INTERNAL_H
#define PITH_OPS_EMBEDDING_INTERNAL_H

#include "ops/kernel.h"

extern const pith_kernel pith_embedding_f32_plain, pith_embedding_f32_avx2, pith_embedding_f32_avx512;
extern const pith_kernel pith_gather_grad_f32_plain, pith_gather_grad_f32_avx2, pith_gather_grad_f32_avx512;

#endif
