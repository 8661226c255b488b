#include "quant/moments.h"

#include "quant/blas.h"

enum { CHUNK_ROWS = 256, MAX_FEATURES = 1 << 15 }; /* 8 GiB of products */

pith_status pith_moments_init(pith_moments *moments, size_t features, pith_arena *arena,
                              pith_error *error) {
  PITH_TRY(pith_blas_load(error));
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
    pith_blas_dgemm(true, false, features, features, n, 1, moments->chunk, features, moments->chunk,
                    features, moments->products, features);
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
