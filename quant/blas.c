#include "quant/blas.h"

#include <dlfcn.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>

#include "ops/cpu/cpu.h"

/* Of the standard C interface to BLAS. */
enum { ROW_MAJOR = 101, AS_IS = 111, TRANSPOSED = 112 };

typedef void sgemm_function(int order, int ta, int tb, int m, int n, int k, float alpha, const float *a, int lda, const float *b,
                            int ldb, float beta, float *c, int ldc);
typedef void dgemm_function(int order, int ta, int tb, int m, int n, int k, double alpha, const double *a, int lda,
                            const double *b, int ldb, double beta, double *c, int ldc);
/* LAPACK's, whose matrices are by columns: its lower triangle is the upper one here. Fortran passes lengths of text last. */
typedef void potr_function(const char *uplo, const int *n, double *a, const int *lda, int *info, size_t uplo_length);
typedef void potrs_function(const char *uplo, const int *n, const int *nrhs, const double *a, const int *lda, double *b,
                            const int *ldb, int *info, size_t uplo_length);

typedef union symbol { /* ISO C has no cast from an object's pointer to a function's */
  void *object;
  sgemm_function *sgemm;
  dgemm_function *dgemm;
  potr_function *potr;
  potrs_function *potrs;
} symbol;

enum { SGEMM, DGEMM, POTRF, POTRI, POTRS, SYMBOLS };
static const char *const names[SYMBOLS] = {"cblas_sgemm", "cblas_dgemm", "dpotrf_", "dpotri_", "dpotrs_"};
/* Of the process, as the library is. */
static symbol symbols[SYMBOLS];
static bool loaded;
static char failure[200];

static void load(void) {
  const pith_cpu_set cpu = pith_cpu_detect();
  setenv("OPENBLAS_NUM_THREADS", "1", 1);
  if (cpu & PITH_CPU_AVX512)
    setenv("OPENBLAS_CORETYPE", "SkylakeX", 0);
  else if (cpu & PITH_CPU_AVX2)
    setenv("OPENBLAS_CORETYPE", "Haswell", 0);
  void *library = dlopen("libopenblas.so.0", RTLD_NOW | RTLD_LOCAL);
  const char *reason = library == NULL ? dlerror() : NULL;
  for (int i = 0; i < SYMBOLS && reason == NULL; i++)
    if ((symbols[i].object = dlsym(library, names[i])) == NULL)
      reason = dlerror();
  loaded = reason == NULL;
  if (!loaded)
    snprintf(failure, sizeof failure, "%s", reason);
}

pith_status pith_blas_load(pith_error *error) {
  static pthread_once_t once = PTHREAD_ONCE_INIT;
  pthread_once(&once, load);
  return loaded ? PITH_OK
                : pith_fail(error, PITH_UNSUPPORTED, "this needs OpenBLAS (Debian's libopenblas0): %s", failure);
}

void pith_blas_sgemm(bool ta, bool tb, size_t m, size_t n, size_t k, float alpha, const float *a, size_t lda, const float *b,
                     size_t ldb, float *c, size_t ldc) {
  symbols[SGEMM].sgemm(ROW_MAJOR, ta ? TRANSPOSED : AS_IS, tb ? TRANSPOSED : AS_IS, (int)m, (int)n, (int)k, alpha, a, (int)lda, b,
                       (int)ldb, 1.0f, c, (int)ldc);
}

void pith_blas_dgemm(bool ta, bool tb, size_t m, size_t n, size_t k, double alpha, const double *a, size_t lda,
                     const double *b, size_t ldb, double *c, size_t ldc) {
  symbols[DGEMM].dgemm(ROW_MAJOR, ta ? TRANSPOSED : AS_IS, tb ? TRANSPOSED : AS_IS, (int)m, (int)n, (int)k, alpha, a, (int)lda, b,
                       (int)ldb, 1.0, c, (int)ldc);
}

/* ---- Cholesky ------------------------------------------------------------------------------------------------------ */

static pith_status check(int info, size_t n, pith_error *error) {
  if (info != 0)
    return pith_fail(error, PITH_FORMAT,
                     "a matrix of second moments [%zu, %zu] is not positive definite (at %d): more "
                     "data or damping helps",
                     n, n, info);
  return PITH_OK;
}

pith_status pith_cholesky_factor(double *matrix, size_t n, pith_error *error) {
  int size = (int)n, info = 0;
  symbols[POTRF].potr("L", &size, matrix, &size, &info, 1);
  return check(info, n, error);
}

pith_status pith_cholesky_invert(double *factor, size_t n, pith_error *error) {
  int size = (int)n, info = 0;
  symbols[POTRI].potr("L", &size, factor, &size, &info, 1);
  for (size_t i = 0; i < n; i++)
    for (size_t j = i + 1; j < n; j++)
      factor[j * n + i] = factor[i * n + j];
  return check(info, n, error);
}

pith_status pith_cholesky_solve(const double *factor, size_t n, double *b, size_t rows,
                                pith_error *error) {
  int size = (int)n, count = (int)rows, info = 0;
  if (n != 0 && rows != 0)
    symbols[POTRS].potrs("L", &size, &count, factor, &size, b, &size, &info, 1);
  return check(info, n, error);
}
