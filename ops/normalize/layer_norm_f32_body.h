/* The body of every layer_norm_f32 kernel; included after a v16 header. */
#include "ops/normalize/layer_norm_f32.h"
#include "ops/normalize/layer_norm_rows.h"
#include "ops/normalize/normalize_internal.h"
#include "ops/split.h"

static size_t layer_norm_units(const pith_layer_norm_f32_args *a) {
  return (a->rows + LAYER_NORM_ROWS - 1) / LAYER_NORM_ROWS;
}

static size_t layer_norm_count(const void *args, size_t threads) {
  const pith_layer_norm_f32_args *a = args;
  return a->features == 0 ? 0 : pith_split_count(layer_norm_units(a), LAYER_NORM_ROWS * a->features, threads);
}

static void layer_norm_run(const void *args, size_t threads, size_t task, void *scratch) {
  (void)scratch;
  const pith_layer_norm_f32_args *a = args;
  const size_t units = layer_norm_units(a), count = layer_norm_count(args, threads);
  const size_t begin = pith_split_begin(units, count, task) * LAYER_NORM_ROWS;
  size_t end = pith_split_begin(units, count, task + 1) * LAYER_NORM_ROWS;
  end = end < a->rows ? end : a->rows;
  layer_norm_all((layer_norm_rows_args){.x = a->x + begin * a->x_stride,
                                        .residual = a->residual ? a->residual + begin * a->residual_stride : NULL,
                                        .gamma = a->gamma,
                                        .beta = a->beta,
                                        .y = a->y + begin * a->y_stride,
                                        .features = a->features,
                                        .x_stride = a->x_stride,
                                        .residual_stride = a->residual_stride,
                                        .y_stride = a->y_stride,
                                        .epsilon = a->epsilon,
                                        .q = quantized_rows_from(a->q, begin),
                                        .q_factors = a->q_factors},
                 end - begin);
}

const pith_kernel V16_NAME(pith_layer_norm_f32) = {
    .name = "layer_norm_f32_" V16_ISA_TEXT,
    .needs = V16_NEEDS,
    .count_tasks = layer_norm_count,
    .run = layer_norm_run,
};
