/* The body of every dynamic_quantize_f32 kernel; included after a v16 header. A unit is a run of rows that shares its ranges:
 * a row, or a sequence. */
#include "ops/quantize/quantize_internal.h"
#include "ops/quantize/quantize_rows.h"
#include "ops/split.h"

static size_t dynamic_units(const pith_dynamic_quantize_args *a) {
  return a->offsets ? a->sequences : a->rows;
}

static size_t dynamic_count(const void *args, size_t threads) {
  const pith_dynamic_quantize_args *a = args;
  const size_t units = dynamic_units(a);
  if (a->features == 0 || a->rows == 0 || units == 0)
    return 0;
  return pith_split_count(units, 2 * a->features * ((a->rows + units - 1) / units), threads);
}

/* One range for a group of a sequence. */
static void dynamic_quantize_group(const pith_dynamic_quantize_args *a, size_t begin, size_t end, size_t group, size_t block) {
  const size_t groups = a->features / block;
  quantize_range range = quantize_range_start();
  for (size_t row = begin; row < end; ++row)
    quantize_range_add_row(&range, a->x + row * a->x_stride + group * block, block);
  int zero;
  const float scale = quantize_range_end(&range, a->type, &zero);
  const quantizer z = quantizer_make(a->type, scale, zero);
  for (size_t row = begin; row < end; ++row) {
    a->scale[row * groups + group] = scale;
    if (a->zero)
      ((uint8_t *)a->zero)[row * groups + group] = (uint8_t)zero; /* s8: 0 */
    quantizer_store_row(&z, a->x + row * a->x_stride + group * block, block,
                        (uint8_t *)a->q + row * a->q_stride + group * block);
  }
}

/* A range for each row and group. */
static void dynamic_quantize_rows(const pith_dynamic_quantize_args *a, size_t begin, size_t end, size_t block) {
  const size_t groups = a->features / block;
  /* A batch is rows of one group where they are long, else groups of one row; it stays in the first cache. */
  enum { BATCH_FLOATS = 4096 };
  const bool across = groups >= QUANTIZE_RANGES / 2;
  const size_t fits = block * QUANTIZE_RANGES <= BATCH_FLOATS ? QUANTIZE_RANGES : BATCH_FLOATS / block;
  const size_t most = fits > 0 ? fits : 1, row_step = across ? 1 : most, group_step = across ? most : 1;
  for (size_t row = begin; row < end; row += row_step)
    for (size_t group = 0; group < groups; group += group_step) {
      const size_t left = across ? groups - group : end - row, count = left < most ? left : most;
      const float *x = a->x + row * a->x_stride + group * block;
      uint8_t *q = (uint8_t *)a->q + row * a->q_stride + group * block;
      quantize_scales scales;
      quantize_rows_each(x, across ? block : a->x_stride, count, block, a->type, q, across ? block : a->q_stride, &scales);
      for (size_t r = 0; r < count; ++r) {
        const size_t at = row * groups + group + r * (across ? 1 : groups);
        a->scale[at] = scales.scale[r];
        if (a->zero)
          ((uint8_t *)a->zero)[at] = scales.zero[r];
      }
    }
}

static void dynamic_run(const void *args, size_t threads, size_t task, void *scratch) {
  (void)scratch;
  const pith_dynamic_quantize_args *a = args;
  const size_t units = dynamic_units(a), count = dynamic_count(args, threads);
  const size_t first = pith_split_begin(units, count, task), last = pith_split_begin(units, count, task + 1);
  const size_t block = a->block == 0 ? a->features : a->block;
  if (!a->offsets) {
    dynamic_quantize_rows(a, first, last, block);
    return;
  }
  for (size_t unit = first; unit < last; ++unit)
    for (size_t group = 0; group < a->features / block; ++group)
      dynamic_quantize_group(a, (size_t)a->offsets[unit], (size_t)a->offsets[unit + 1], group, block);
}

const pith_kernel V16_NAME(pith_dynamic_quantize_f32) = {
    .name = "dynamic_quantize_f32_" V16_ISA_TEXT,
    .needs = V16_NEEDS,
    .count_tasks = dynamic_count,
    .run = dynamic_run,
};
