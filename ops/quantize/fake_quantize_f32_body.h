/* The bodies of what fake_quantize_f32.h declares; included after a v16 header. */
#include "ops/gemm/gemm_u8s8_internal.h"
#include "ops/math/functions.h"
#include "ops/math/functions_8bit.h"
#include "ops/quantize/fake_quantize_f32.h"
#include "ops/quantize/quantize_internal.h"
#include "ops/quantize/quantize_rows.h"
#include "ops/split.h"

enum { FAKE_GRAIN = 1024 }; /* elements that tasks of dense arrays are made of */

static size_t fake_units(size_t count) {
  return (count + FAKE_GRAIN - 1) / FAKE_GRAIN;
}

/* The elements of a task. */
static void fake_part(size_t count, size_t tasks, size_t task, size_t *out_begin, size_t *out_end) {
  const size_t units = fake_units(count), end = pith_split_begin(units, tasks, task + 1) * FAKE_GRAIN;
  *out_begin = pith_split_begin(units, tasks, task) * FAKE_GRAIN;
  *out_end = end < count ? end : count;
}

static int fake_zero(const void *zero, pith_number type) {
  return !zero ? 0 : type == PITH_NUMBER_S8 ? *(const int8_t *)zero : *(const uint8_t *)zero;
}

V16_INLINE v16 fake_load_first(bool is_signed, size_t n, const void *q) {
  return is_signed ? v16_load_s8_first(n, q) : v16_load_u8_first(n, q);
}
V16_INLINE v16 fake_load(bool is_signed, const void *q) {
  return is_signed ? v16_load_s8(q) : v16_load_u8(q);
}

/* ---- activations ------------------------------------------------------------------------------------------------------- */

static size_t fake_quantize_count(const void *args, size_t threads) {
  return pith_split_count(fake_units(((const pith_fake_quantize_f32_args *)args)->count), 3 * FAKE_GRAIN, threads);
}

static void fake_quantize_run(const void *args, size_t threads, size_t task, void *scratch) {
  (void)scratch;
  const pith_fake_quantize_f32_args *a = args;
  size_t begin, end;
  fake_part(a->count, fake_quantize_count(args, threads), task, &begin, &end);
  const int zero = fake_zero(a->zero, a->type);
  const quantizer z = quantizer_make(a->type, *a->scale, zero);
  const v16 scale = v16_set(*a->scale), zeros = v16_set((float)zero);
  const size_t whole = begin + (end - begin) / 16 * 16;
  uint8_t *q = a->q;
  for (size_t i = begin; i < whole; i += 16) {
    quantizer_store(&z, v16_load(a->x + i), q + i);
    v16_store(a->y + i, v16_mul(v16_sub(fake_load(z.is_signed, q + i), zeros), scale));
  }
  if (whole < end) {
    const size_t n = end - whole;
    const m16 tail = m16_first(n);
    quantizer_store_first(&z, n, v16_load_masked(tail, a->x + whole), q + whole);
    v16_store_masked(tail, a->y + whole, v16_mul(v16_sub(fake_load_first(z.is_signed, n, q + whole), zeros), scale));
  }
}

const pith_kernel V16_NAME(pith_fake_quantize_f32) = {
    .name = "fake_quantize_f32_" V16_ISA_TEXT,
    .needs = V16_NEEDS,
    .count_tasks = fake_quantize_count,
    .run = fake_quantize_run,
};

/* ---- their gradient ---------------------------------------------------------------------------------------------------- */

typedef struct fake_range {
  v16 inverse, low, high; /* the least and the largest level, less zero */
} fake_range;

/* dx; adds to the sum of dscale. What is NaN lies above the range. */
V16_INLINE v16 fake_grad(const fake_range *range, v16 x, v16 dy, v16 *sum) {
  const v16 rounder = v16_set(0x1.8p23f), far = v16_set(0x1p20f), zero = v16_set(0.0f);
  const v16 ratio = v16_max(v16_min(v16_mul(x, range->inverse), far), v16_sub(zero, far));
  const v16 level = v16_sub(v16_add(ratio, rounder), rounder);
  const m16 below = v16_less(level, range->low), above = v16_less(range->high, level);
  const v16 slope = v16_select(below, range->low, v16_select(above, range->high, v16_sub(level, ratio)));
  *sum = v16_fma(dy, slope, *sum);
  return v16_select(below, zero, v16_select(above, zero, dy));
}

static size_t fake_grad_count(const void *args, size_t threads) {
  const pith_fake_quantize_grad_f32_args *a = args;
  return pith_split_count(a->rows, 3 * a->features, threads);
}

static void fake_grad_run(const void *args, size_t threads, size_t task, void *scratch) {
  (void)scratch;
  const pith_fake_quantize_grad_f32_args *a = args;
  const int zero = fake_zero(a->zero, a->type), low = a->type == PITH_NUMBER_S8 ? -128 : 0;
  const fake_range range = {quantizer_make(a->type, *a->scale, zero).inverse, v16_set((float)(low - zero)),
                            v16_set((float)(low + 255 - zero))};
  const size_t tasks = fake_grad_count(args, threads), whole = a->features / 16 * 16;
  const m16 tail = m16_first(a->features - whole);
  for (size_t row = pith_split_begin(a->rows, tasks, task); row < pith_split_begin(a->rows, tasks, task + 1); ++row) {
    const float *x = a->x + row * a->features, *dy = a->dy + row * a->features;
    float *dx = a->dx + row * a->features;
    v16 sum = v16_set(0.0f);
    for (size_t i = 0; i < whole; i += 16)
      v16_store(dx + i, fake_grad(&range, v16_load(x + i), v16_load(dy + i), &sum));
    if (whole < a->features)
      v16_store_masked(tail, dx + whole,
                       fake_grad(&range, v16_load_masked(tail, x + whole), v16_load_masked(tail, dy + whole), &sum));
    a->dscale[row] = v16_sum(sum);
  }
}

const pith_kernel V16_NAME(pith_fake_quantize_grad_f32) = {
    .name = "fake_quantize_grad_f32_" V16_ISA_TEXT,
    .needs = V16_NEEDS,
    .count_tasks = fake_grad_count,
    .run = fake_grad_run,
};

/* ---- rows -------------------------------------------------------------------------------------------------------------- */

/* Rows are done in the blocks that products store. */
static size_t fake_rows_units(const pith_fake_quantize_rows_f32_args *a) {
  return a->features == 0 ? 0 : (a->rows + PITH_GEMM_U8S8_BLOCK - 1) / PITH_GEMM_U8S8_BLOCK;
}

static size_t fake_rows_count(const void *args, size_t threads) {
  const pith_fake_quantize_rows_f32_args *a = args;
  return pith_split_count(fake_rows_units(a), 4 * PITH_GEMM_U8S8_BLOCK * a->features, threads);
}

/* Four inputs of output j lie together in a stored block; `levels` has 16 of them, 0 behind the last. */
static void fake_store_groups(int8_t *block, size_t j, size_t features, size_t i, const int8_t levels[16]) {
  const size_t left = pith_gemm_u8s8_groups(features) - i / PITH_GEMM_U8S8_GROUP;
  int8_t *to = block + i / PITH_GEMM_U8S8_GROUP * PITH_GEMM_U8S8_GROUP_BYTES + j * PITH_GEMM_U8S8_GROUP;
  for (size_t g = 0; g < 4 && g < left; ++g, to += PITH_GEMM_U8S8_GROUP_BYTES)
    __builtin_memcpy(to, levels + 4 * g, 4);
}

/* Row `row`, as output j of `block`, which may be NULL. */
static void fake_quantize_row(const pith_fake_quantize_rows_f32_args *a, size_t row, int8_t *block, size_t j) {
  const float *x = a->x + row * a->features;
  quantize_range range = quantize_range_start();
  quantize_range_add_row(&range, x, a->features);
  int zero;
  const float scale = quantize_range_end(&range, PITH_NUMBER_S8, &zero);
  const quantizer z = quantizer_make(PITH_NUMBER_S8, scale, 0);
  const v16 factor = v16_set(scale), least = v16_set(-127.0f);
  v16 sum = v16_set(0.0f);
  for (size_t i = 0; i < a->features; i += 16) {
    const size_t n = a->features - i < 16 ? a->features - i : 16;
    const m16 lanes = m16_first(n);
    int8_t levels[16];
    const v16 level = v16_max(v16_min(v16_mul(v16_load_masked(lanes, x + i), z.inverse), z.top), least);
    v16_store_s8(levels, level, 0); /* 0 behind the last: what a masked load gives */
    const v16 rounded = v16_load_s8(levels);
    sum = v16_add(sum, rounded); /* whole numbers under 2^24: exact */
    if (a->y)
      v16_store_masked(lanes, a->y + row * a->features + i, v16_mul(rounded, factor));
    if (a->q)
      v16_store_s8_first(n, a->q + row * a->features + i, rounded, 0);
    if (block)
      fake_store_groups(block, j, a->features, i, levels);
  }
  if (a->scale)
    a->scale[row] = scale;
  if (block) {
    const int32_t total = (int32_t)v16_sum(sum);
    __builtin_memcpy(block + pith_gemm_u8s8_groups(a->features) * PITH_GEMM_U8S8_GROUP_BYTES + 4 * j, &total, 4);
  }
}

/* Outputs of a block that do not exist are 0, and so are their sums, which lie as a last group does. */
static void fake_clear_output(int8_t *block, size_t j, size_t features) {
  static const int8_t zeros[PITH_GEMM_U8S8_GROUP];
  for (size_t g = 0; g <= pith_gemm_u8s8_groups(features); ++g)
    __builtin_memcpy(block + g * PITH_GEMM_U8S8_GROUP_BYTES + j * PITH_GEMM_U8S8_GROUP, zeros, PITH_GEMM_U8S8_GROUP);
}

static void fake_rows_run(const void *args, size_t threads, size_t task, void *scratch) {
  (void)scratch;
  const pith_fake_quantize_rows_f32_args *a = args;
  const size_t units = fake_rows_units(a), tasks = fake_rows_count(args, threads);
  for (size_t unit = pith_split_begin(units, tasks, task); unit < pith_split_begin(units, tasks, task + 1); ++unit) {
    int8_t *block = a->packed ? (int8_t *)a->packed + unit * pith_gemm_u8s8_block_bytes(a->features) : NULL;
    for (size_t j = 0; j < PITH_GEMM_U8S8_BLOCK; ++j)
      if (unit * PITH_GEMM_U8S8_BLOCK + j < a->rows)
        fake_quantize_row(a, unit * PITH_GEMM_U8S8_BLOCK + j, block, j);
      else if (block)
        fake_clear_output(block, j, a->features);
  }
}

const pith_kernel V16_NAME(pith_fake_quantize_rows_f32) = {
    .name = "fake_quantize_rows_f32_" V16_ISA_TEXT,
    .needs = V16_NEEDS,
    .count_tasks = fake_rows_count,
    .run = fake_rows_run,
};

/* ---- ranges ------------------------------------------------------------------------------------------------------------ */

static size_t row_ranges_count(const void *args, size_t threads) {
  const pith_row_ranges_f32_args *a = args;
  return pith_split_count(a->rows, a->features, threads);
}

static void row_ranges_run(const void *args, size_t threads, size_t task, void *scratch) {
  (void)scratch;
  const pith_row_ranges_f32_args *a = args;
  const size_t tasks = row_ranges_count(args, threads);
  for (size_t row = pith_split_begin(a->rows, tasks, task); row < pith_split_begin(a->rows, tasks, task + 1); ++row) {
    quantize_range range = quantize_range_start();
    quantize_range_add_row(&range, a->x + row * a->features, a->features);
    a->ranges[2 * row] = 0.0f - v16_largest(v16_sub(v16_set(0.0f), range.low));
    a->ranges[2 * row + 1] = v16_largest(range.high);
  }
}

const pith_kernel V16_NAME(pith_row_ranges_f32) = {
    .name = "row_ranges_f32_" V16_ISA_TEXT,
    .needs = V16_NEEDS,
    .count_tasks = row_ranges_count,
    .run = row_ranges_run,
};

/* ---- GELU -------------------------------------------------------------------------------------------------------------- */

static size_t gelu_8bit_count(const void *args, size_t threads) {
  return pith_split_count(fake_units(((const pith_gelu_8bit_f32_args *)args)->count), 2 * FAKE_GRAIN, threads);
}

V16_INLINE void gelu_8bit_loop(bool tanh_form, const float *x, float *y, size_t n) {
  const size_t whole = n / 16 * 16;
  const m16 tail = m16_first(n - whole);
  for (size_t i = 0; i < whole; i += 16)
    v16_store(y + i, tanh_form ? v16_gelu_tanh_8bit(v16_load(x + i)) : v16_gelu_8bit(v16_load(x + i)));
  if (whole < n) {
    const v16 last = v16_load_masked(tail, x + whole);
    v16_store_masked(tail, y + whole, tanh_form ? v16_gelu_tanh_8bit(last) : v16_gelu_8bit(last));
  }
}

static void gelu_8bit_run(const void *args, size_t threads, size_t task, void *scratch) {
  (void)scratch;
  const pith_gelu_8bit_f32_args *a = args;
  size_t begin, end;
  fake_part(a->count, gelu_8bit_count(args, threads), task, &begin, &end);
  if (a->tanh_form)
    gelu_8bit_loop(true, a->x + begin, a->y + begin, end - begin);
  else
    gelu_8bit_loop(false, a->x + begin, a->y + begin, end - begin);
}

const pith_kernel V16_NAME(pith_gelu_8bit_f32) = {
    .name = "gelu_8bit_f32_" V16_ISA_TEXT,
    .needs = V16_NEEDS,
    .count_tasks = gelu_8bit_count,
    .run = gelu_8bit_run,
};
