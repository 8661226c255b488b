/* The body of every quantize_f32 kernel: QuantizeLinear, q = saturate(rint(min(x / scale, limit - zero)) + zero). Included
 * after a v16 header. */
#include "ops/quantize/quantize.h"
#include "ops/quantize/quantize_internal.h"
#include "ops/split.h"

typedef struct quantize_target {
  float limit;
  bool is_signed;
} quantize_target;

V16_INLINE void quantize_store(const quantize_target *t, size_t n, v16 level, int zero, uint8_t *q) {
  if (n == 16 && t->is_signed)
    v16_store_s8((int8_t *)q, level, zero);
  else if (n == 16)
    v16_store_u8(q, level, zero);
  else if (t->is_signed)
    v16_store_s8_first(n, (int8_t *)q, level, zero);
  else
    v16_store_u8_first(n, q, level, zero);
}

/* n elements of one scale. */
static void quantize_run_of(const quantize_target *t, const float *x, size_t n, float scale, int zero, uint8_t *q) {
  const v16 divisor = v16_set(scale), top = v16_set(t->limit - (float)zero);
  const size_t whole = n / 16 * 16;
  for (size_t i = 0; i < whole; i += 16)
    quantize_store(t, 16, v16_min(v16_div(v16_load(x + i), divisor), top), zero, q + i);
  if (whole < n) {
    const v16 last = v16_load_masked(m16_first(n - whole), x + whole);
    quantize_store(t, n - whole, v16_min(v16_div(last, divisor), top), zero, q + whole);
  }
}

/* A scale for each element. The rounder rounds magnitudes under 2^22 to integers; what is lower stays low enough to be
 * saturated. */
static void quantize_by_element(const quantize_target *t, const float *x, size_t n, const float *scale, const void *zero,
                                uint8_t *q) {
  const v16 rounder = v16_set(0x1.8p23f), limit = v16_set(t->limit);
  for (size_t i = 0; i < n; i += 16) {
    const size_t lanes = n - i < 16 ? n - i : 16;
    const m16 m = m16_first(lanes);
    v16 zeros = v16_set(0.0f);
    if (zero && t->is_signed)
      zeros = v16_load_s8_first(lanes, (const int8_t *)zero + i);
    else if (zero)
      zeros = v16_load_u8_first(lanes, (const uint8_t *)zero + i);
    v16 level = v16_min(v16_div(v16_load_masked(m, x + i), v16_load_masked(m, scale + i)), v16_sub(limit, zeros));
    level = v16_sub(v16_add(level, rounder), rounder);
    quantize_store(t, lanes, v16_add(level, zeros), 0, q + i);
  }
}

static size_t quantize_count(const void *args, size_t threads) {
  const pith_quantize_args *a = args;
  return a->features == 0 ? 0 : pith_split_count(a->rows, 2 * a->features, threads);
}

static void quantize_run(const void *args, size_t threads, size_t task, void *scratch) {
  (void)scratch;
  const pith_quantize_args *a = args;
  const bool is_signed = a->type == PITH_NUMBER_S8;
  const quantize_target target = {is_signed ? 127.0f : 255.0f, is_signed};
  const size_t count = quantize_count(args, threads), end = pith_split_begin(a->rows, count, task + 1);
  const uint8_t *zeros = a->zero; /* bytes of either type */
  for (size_t row = pith_split_begin(a->rows, count, task); row < end; ++row) {
    const float *x = a->x + row * a->x_stride;
    uint8_t *q = (uint8_t *)a->q + row * a->q_stride;
    const size_t first = row * a->scale_row_step;
    if (a->block == 1 && a->scale_step == 1) {
      quantize_by_element(&target, x, a->features, a->scale + first, zeros ? zeros + first : NULL, q);
      continue;
    }
    const size_t block = a->scale_step == 0 ? a->features : a->block;
    for (size_t i = 0; i < a->features; i += block) {
      const size_t at = a->scale_step == 0 ? first : first + i / a->block * a->scale_step;
      const int zero = !zeros ? 0 : is_signed ? (int8_t)zeros[at] : zeros[at];
      quantize_run_of(&target, x + i, a->features - i < block ? a->features - i : block, a->scale[at], zero, q + i);
    }
  }
}

const pith_kernel V16_NAME(pith_quantize_f32) = {
    .name = "quantize_f32_" V16_ISA_TEXT,
    .needs = V16_NEEDS,
    .count_tasks = quantize_count,
    .run = quantize_run,
};
