#include "sparse/moments.h"

#include <cblas.h>

/* LAPACK's own names: Debian's OpenBLAS has them, and no header for them. Matrices are by columns
 * there, so its lower triangle is the upper one here. */
extern void dpotrf_(const char *uplo, const int *n, double *a, const int *lda, int *info);
extern void dpotri_(const char *uplo, const int *n, double *a, const int *lda, int *info);
extern void dpotrs_(const char *uplo, const int *n, const int *nrhs, const double *a,
                    const int *lda, double *b, const int *ldb, int *info);

enum { CHUNK_ROWS = 256, MAX_FEATURES = 1 << 15 }; /* 8 GiB of products */

pith_status pith_moments_init(pith_moments *moments, size_t features, pith_arena *arena,
                              pith_error *error) {
  if (features == 0 || features > MAX_FEATURES)
    return pith_fail(error, PITH_LIMIT, "second moments of %zu features; 1 to %d", features,
                     MAX_FEATURES);
  *moments = (pith_moments){.features = features,
                            .sums = PITH_ARENA_NEW(arena, double, features),
                            .products = PITH_ARENA_NEW(arena, double, features *features),
                            .chunk = PITH_ARENA_NEW(arena, double, CHUNK_ROWS *features)};
  if (moments->sums == NULL || moments->products == NULL || moments->chunk == NULL)
    return pith_fail(error, PITH_OUT_OF_MEMORY, "no memory for the second moments of %zu features",
                     features);
  return PITH_OK;
}

void pith_moments_add(pith_moments *moments, const float *x, size_t rows) {
  const size_t features = moments->features;
  for (size_t done = 0; done < rows;) {
    const size_t n = rows - done < CHUNK_ROWS ? rows - done : CHUNK_ROWS;
    for (size_t r = 0; r < n; r++)
      for (size_t f = 0; f < features; f++) {
        const double value = (double)x[(done + r) * features + f];
        moments->chunk[r * features + f] = value;
        moments->sums[f] += value;
      }
    cblas_dsyrk(CblasRowMajor, CblasUpper, CblasTrans, (int)features, (int)n, 1, moments->chunk,
                (int)features, 1, moments->products, (int)features);
    done += n;
  }
  moments->rows += rows;
}

void pith_moments_finish(pith_moments *moments, bool centered, double damping) {
  const size_t n = moments->features;
  const double rows = (double)moments->rows;
  double *c = moments->products, diagonal = 0;
  for (size_t i = 0; i < n; i++) {
    for (size_t j = i; j < n; j++) {
      const double means = centered ? moments->sums[i] / rows * (moments->sums[j] / rows) : 0;
      c[i * n + j] = c[j * n + i] = c[i * n + j] / rows - means;
    }
    diagonal += c[i * n + i];
  }
  /* The floor keeps C positive definite where every input is constant: then any solution is as
   * good. */
  const double added = damping * diagonal / (double)n + 1e-12;
  for (size_t i = 0; i < n; i++)
    c[i * n + i] += added;
}

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
  dpotrf_("L", &size, matrix, &size, &info);
  return check(info, n, error);
}

pith_status pith_cholesky_invert(double *factor, size_t n, pith_error *error) {
  int size = (int)n, info = 0;
  dpotri_("L", &size, factor, &size, &info);
  for (size_t i = 0; i < n; i++)
    for (size_t j = i + 1; j < n; j++)
      factor[j * n + i] = factor[i * n + j];
  return check(info, n, error);
}

pith_status pith_cholesky_solve(const double *factor, size_t n, double *b, size_t rows,
                                pith_error *error) {
  int size = (int)n, count = (int)rows, info = 0;
  dpotrs_("L", &size, &count, factor, &size, b, &size, &info);
  return check(info, n, error);
}
