/* The body of every dropout_f32 kernel; included after a v16 header. Element e of a sample is lane e mod 16 of row
 * e / 16 mod 8 of group e / 128. */
#include <stdbool.h>

#include "ops/dropout/dropout_internal.h"
#include "ops/dropout/dropout_mask.h"
#include "ops/split.h"

/* 16 elements, or the first `lanes` of them; kept: NULL, or which stay. */
V16_INLINE void dropout_vector(const float *x, const float *residual, float *y, const m16 *kept, v16 factor, size_t lanes) {
  const bool whole = lanes >= 16;
  const m16 first = m16_first(whole ? 16 : lanes);
  v16 z = whole ? v16_load(x) : v16_load_masked(first, x);
  if (kept)
    z = v16_select(*kept, v16_mul(z, factor), v16_set(0.0f));
  if (residual)
    z = v16_add(whole ? v16_load(residual) : v16_load_masked(first, residual), z);
  if (whole)
    v16_store(y, z);
  else
    v16_store_masked(first, y, z);
}

/* Elements [begin, end) of a sample, begin a multiple of DROPOUT_GROUP; x, residual, y: of element 0. */
static void dropout_part(const dropout_mask *mask, const float *x, const float *residual, float *y, size_t begin,
                         size_t end) {
  const v16 factor = v16_set(mask->factor);
  for (size_t group = begin; group < end; group += DROPOUT_GROUP) {
    m16 kept[DROPOUT_ROWS];
    dropout_get_group(mask, (uint32_t)(group / DROPOUT_GROUP), kept);
    if (end - group >= DROPOUT_GROUP) {
      PITH_UNROLL
      for (size_t i = 0; i < DROPOUT_ROWS; ++i) {
        const size_t at = group + 16 * i;
        dropout_vector(x + at, residual ? residual + at : NULL, y + at, &kept[i], factor, 16);
      }
    } else
      for (size_t at = group; at < end; at += 16)
        dropout_vector(x + at, residual ? residual + at : NULL, y + at, &kept[(at - group) / 16], factor, end - at);
  }
}

static void dropout_identity(const float *x, const float *residual, float *y, size_t n) {
  for (size_t at = 0; at < n; at += 16)
    dropout_vector(x + at, residual ? residual + at : NULL, y + at, NULL, v16_set(1.0f), n - at);
}

static size_t dropout_count(const void *args, size_t threads) {
  const pith_dropout_f32_args *a = args;
  return pith_split_count(a->features == 0 ? 0 : a->rows, 4 * a->features, threads); /* random bits take most of the time */
}

/* Where task boundary `at`, an element of the batch, falls in a sample that begins at `first`: at a group's beginning. */
static size_t dropout_cut(size_t at, size_t first, size_t size) {
  const size_t in_sample = at <= first ? 0 : (at - first + DROPOUT_GROUP - 1) / DROPOUT_GROUP * DROPOUT_GROUP;
  return in_sample < size ? in_sample : size;
}

static void dropout_run(const void *args, size_t threads, size_t task, void *scratch) {
  (void)scratch;
  const pith_dropout_f32_args *a = args;
  const size_t tasks = dropout_count(args, threads), features = a->features;
  const size_t begin = pith_split_begin(a->rows, tasks, task), end = pith_split_begin(a->rows, tasks, task + 1);
  if (a->dropout.ratio == 0.0f) {
    const float *residual = a->residual ? a->residual + begin * features : NULL;
    dropout_identity(a->x + begin * features, residual, a->y + begin * features, (end - begin) * features);
    return;
  }
  for (size_t s = a->offsets ? 0 : begin; s < (a->offsets ? a->sequences : end); ++s) {
    const size_t first_row = a->offsets ? (size_t)a->offsets[s] : s, end_row = a->offsets ? (size_t)a->offsets[s + 1] : s + 1;
    if (end_row <= begin || first_row >= end)
      continue;
    const size_t first = first_row * features, size = end_row * features - first;
    const dropout_mask mask = dropout_get_mask(&a->dropout, s);
    dropout_part(&mask, a->x + first, a->residual ? a->residual + first : NULL, a->y + first,
                 dropout_cut(begin * features, first, size), dropout_cut(end * features, first, size));
  }
}

const pith_kernel V16_NAME(pith_dropout_f32) = {
    .name = "dropout_f32_" V16_ISA_TEXT,
    .needs = V16_NEEDS,
    .count_tasks = dropout_count,
    .run = dropout_run,
};
