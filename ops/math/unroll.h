/* PITH_UNROLL before a loop of a constant count: unrolled whole, so that arrays of registers stay in registers. */
#ifndef PITH_OPS_MATH_UNROLL_H
#define PITH_OPS_MATH_UNROLL_H

#if defined(__clang__)
#define PITH_UNROLL _Pragma("clang loop unroll(full)")
#else
#define PITH_UNROLL _Pragma("GCC unroll 32")
#endif

#endif
