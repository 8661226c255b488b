/* BLAS and LAPACK, loaded at first use: a command that prunes nothing starts without them. Row-major throughout.
 *
 * OpenBLAS computes on the calling thread alone (its callers split the work over a pool), so that a result has the same bits with any
 * number of threads. OpenBLAS 0.3.21 does not know CPUs newer than itself and falls back to a core without AVX2 on them: such a
 * CPU is called by the newest name it does know. */
#ifndef PITH_QUANT_BLAS_H
#define PITH_QUANT_BLAS_H

#include <stdbool.h>
#include <stddef.h>

#include "engine/base/error.h"

/* PITH_UNSUPPORTED where there is no libopenblas.so.0, which the message says. Sets environment variables that OpenBLAS reads
 * while it is loaded: the first call must not run beside one that reads the environment. Every function below needs it to have
 * succeeded, and may then be called by any thread. */
PITH_WARN_UNUSED pith_status pith_blas_load(pith_error *error);

/* c [m, n] += alpha op(a) op(b), op(a) [m, k]; `ta`: a is stored [k, m]; `tb`: b is stored [n, k]. Row strides in elements. */
void pith_blas_sgemm(bool ta, bool tb, size_t m, size_t n, size_t k, float alpha, const float *a, size_t lda,
                     const float *b, size_t ldb, float *c, size_t ldc);
void pith_blas_dgemm(bool ta, bool tb, size_t m, size_t n, size_t k, double alpha, const double *a, size_t lda,
                     const double *b, size_t ldb, double *c, size_t ldc);

/* The upper Cholesky factor U, a = U^T U, of a symmetric matrix [n, n] of which the upper triangle is read, in its place; what is
 * below stays. PITH_FORMAT where it is not positive definite. */
PITH_WARN_UNUSED pith_status pith_cholesky_factor(double *matrix, size_t n, pith_error *error);
/* From a factor to the inverse of its matrix, whole. */
PITH_WARN_UNUSED pith_status pith_cholesky_invert(double *factor, size_t n, pith_error *error);
/* Solves x matrix = b for each row of b [rows, n], in its place. */
PITH_WARN_UNUSED pith_status pith_cholesky_solve(const double *factor, size_t n, double *b, size_t rows,
                                                 pith_error *error);

#endif
