/* The body of every embedding_f32 kernel; included after a v16 header. The sum of the tables' rows goes to y, which is then
 * normalized, and written in 8 bits, as layer_norm_f32 does. */
#include "ops/embedding/embedding_f32.h"
#include "ops/embedding/embedding_internal.h"
#include "ops/normalize/layer_norm_rows.h"
#include "ops/quantize/quantize_rows.h"
#include "ops/split.h"

/* Elements i to i + 15 of a row of a table, only the first `lanes` of them. */
V16_INLINE v16 embedding_load(const void *row, const float *scale, size_t i, size_t lanes) {
  if (!scale) {
    const float *x = (const float *)row + i;
    return lanes == 16 ? v16_load(x) : v16_load_masked(m16_first(lanes), x);
  }
  const int8_t *x = (const int8_t *)row + i;
  return v16_mul(v16_set(*scale), lanes == 16 ? v16_load_s8(x) : v16_load_s8_first(lanes, x));
}

static void embedding_sum_row(const pith_embedding_f32_args *a, size_t row) {
  const void *from[PITH_EMBEDDING_MAX_TABLES];
  const float *scale[PITH_EMBEDDING_MAX_TABLES]; /* NULL: f32 */
  for (size_t t = 0; t < a->table_count; ++t) {
    const size_t id = a->ids[t] ? (size_t)a->ids[t][row] : 0, element = a->row_scales[t] ? 1 : sizeof(float);
    from[t] = (const uint8_t *)a->tables[t] + id * a->features * element;
    scale[t] = a->row_scales[t] ? a->row_scales[t] + id : NULL;
  }
  float *y = a->y + row * a->y_stride;
  const size_t n = a->features, whole = n / 16 * 16, rest = n - whole;
  for (size_t i = 0; i < whole; i += 16) {
    v16 sum = embedding_load(from[0], scale[0], i, 16);
    for (size_t t = 1; t < a->table_count; ++t)
      sum = v16_add(sum, embedding_load(from[t], scale[t], i, 16));
    v16_store(y + i, sum);
  }
  if (rest > 0) {
    v16 sum = embedding_load(from[0], scale[0], whole, rest);
    for (size_t t = 1; t < a->table_count; ++t)
      sum = v16_add(sum, embedding_load(from[t], scale[t], whole, rest));
    v16_store_masked(m16_first(rest), y + whole, sum);
  }
}

static size_t embedding_units(const pith_embedding_f32_args *a) {
  return (a->rows + LAYER_NORM_ROWS - 1) / LAYER_NORM_ROWS;
}

static size_t embedding_count(const void *args, size_t threads) {
  const pith_embedding_f32_args *a = args;
  if (a->features == 0 || a->table_count == 0)
    return 0;
  return pith_split_count(embedding_units(a), LAYER_NORM_ROWS * a->features * (a->table_count + 1), threads);
}

static void embedding_run(const void *args, size_t threads, size_t task, void *scratch) {
  (void)scratch;
  const pith_embedding_f32_args *a = args;
  const size_t units = embedding_units(a), count = embedding_count(args, threads);
  size_t begin = pith_split_begin(units, count, task) * LAYER_NORM_ROWS;
  size_t end = pith_split_begin(units, count, task + 1) * LAYER_NORM_ROWS;
  end = end < a->rows ? end : a->rows;
  while (begin < end) { /* a few rows at a time, so that the sums are still in the first cache */
    const size_t rows = end - begin < LAYER_NORM_ROWS ? end - begin : LAYER_NORM_ROWS;
    for (size_t r = 0; r < rows; ++r)
      embedding_sum_row(a, begin + r);
    float *y = a->y + begin * a->y_stride;
    if (a->gamma)
      V16_NAME(pith_layer_norm_rows)((layer_norm_rows_args){.x = y,
                                            .gamma = a->gamma,
                                            .beta = a->beta,
                                            .y = y,
                                            .features = a->features,
                                            .x_stride = a->y_stride,
                                            .y_stride = a->y_stride,
                                            .epsilon = a->epsilon,
                                            .q = quantized_rows_from(a->q, begin),
                                            .q_factors = a->q_factors},
                     rows);
    for (size_t r = 0; !a->gamma && a->q.q && r < rows; ++r)
      quantize_row(&a->q, begin + r, y + r * a->y_stride, a->features);
    begin += rows;
  }
}

const pith_kernel V16_NAME(pith_embedding_f32) = {
    .name = "embedding_f32_" V16_ISA_TEXT,
    .needs = V16_NEEDS,
    .count_tasks = embedding_count,
    .run = embedding_run,
};
