/* The rows of this folder's kernel tables, each defined in the file of its name. */
#ifndef PITH_OPS_REDUCE_INTERNAL_H
#define PITH_OPS_REDUCE_INTERNAL_H

#include "ops/kernel.h"

extern const pith_kernel pith_reduce_sum_f32_plain, pith_reduce_sum_f32_avx2, pith_reduce_sum_f32_avx512;

#endif
