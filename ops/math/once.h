/* PITH_ONCE before a function that is one for all that calls it, without copies for constant arguments. */
#ifndef PITH_OPS_MATH_ONCE_H
#define PITH_OPS_MATH_ONCE_H

#if defined(__clang__)
#define PITH_ONCE __attribute__((noinline, unused)) static
#else
#define PITH_ONCE __attribute__((noinline, noclone, unused)) static
#endif

#endif
