#include "ops/normalize/layer_norm_tile_f32.h"

#include "ops/normalize/layer_norm_f32.h"
#include "ops/normalize/normalize_internal.h"

/* The reference is the definition: each token's row is gathered, goes through layer_norm_f32's reference, and is scattered. */
static size_t count_tasks(const void *args, size_t threads) {
  const pith_layer_norm_tile_f32_args *a = args;
  (void)threads;
  return a->features == 0 ? 0 : a->rows;
}

/* A row of x, of the residual, of y and of q. */
static size_t get_scratch_bytes(const void *args) {
  const pith_layer_norm_tile_f32_args *a = args;
  return a->features * (3 * sizeof(float) + 1);
}

static void run(const void *args, size_t threads, size_t token, void *scratch) {
  const pith_layer_norm_tile_f32_args *a = args;
  const size_t n = a->features;
  (void)threads;
  float *x = scratch, *residual = x + n, *y = residual + n;
  uint8_t *q = (uint8_t *)(y + n);
  for (size_t f = 0; f < n; ++f) {
    const size_t at = pith_activation_index(PITH_ACTIVATION_LAYOUT_TILE64, n, token, f);
    x[f] = a->x[at];
    if (a->residual)
      residual[f] = a->residual[at];
  }
  const pith_layer_norm_f32_args row = {.x = x,
                                        .residual = a->residual ? residual : NULL,
                                        .gamma = a->gamma,
                                        .beta = a->beta,
                                        .y = y,
                                        .rows = 1,
                                        .features = n,
                                        .epsilon = a->epsilon,
                                        .q = {.q = a->q.q ? q : NULL,
                                              .type = a->q.type,
                                              .scale = a->q.scale,
                                              .zero = a->q.zero,
                                              .row_scale = a->q.row_scale ? a->q.row_scale + token : NULL,
                                              .row_zero = a->q.row_zero ? a->q.row_zero + token : NULL},
                                        .q_factors = a->q_factors};
  pith_layer_norm_f32_plain.run(&row, 1, 0, NULL);
  for (size_t f = 0; f < n; ++f) {
    a->y[pith_activation_index(PITH_ACTIVATION_LAYOUT_TILE64, n, token, f)] = y[f];
    if (a->q.q)
      ((uint8_t *)a->q.q)[pith_activation_index(a->q.layout, n, token, f)] = q[f];
  }
}

static const pith_kernel reference = {
    .name = "layer_norm_tile_f32_reference",
    .count_tasks = count_tasks,
    .get_scratch_bytes = get_scratch_bytes,
    .run = run,
};

const pith_kernel *const pith_layer_norm_tile_f32_kernels[] = {
    &reference,
#if defined(__x86_64__)
    &pith_layer_norm_tile_f32_avx2,
    &pith_layer_norm_tile_f32_avx512,
#endif
    NULL,
};
