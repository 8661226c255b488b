/* The rows of the table in transpose.c. */
#ifndef PITH_OPS_TRANSPOSE_INTERNAL_H
#define PITH_OPS_TRANSPOSE_INTERNAL_H

#include "ops/copy/copy.h"

extern const pith_kernel pith_transpose_reference;
extern const pith_kernel pith_transpose_avx2;
extern const pith_kernel pith_transpose_avx512;

#endif
