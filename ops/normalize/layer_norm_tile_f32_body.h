/* The body of layer_norm_tile_f32 for x86; included after a v16 header
 * and UNIT_UNROLL, which says whether 16 sums fit its registers. A unit is 16 tokens, one in each lane. Feature i is
 * added to sum i mod 16, and the 16 sums go through the tree 8-4-2-1, as lanes do in layer_norm_rows.h: so its bits. */
#include <string.h>

#include "ops/normalize/layer_norm_tile_f32.h"
#include "ops/normalize/normalize_internal.h"
#include "ops/quantize/quantize_rows.h"
#include "ops/quantize/weave_avx2.h"
#include "ops/split.h"

enum { UNIT_TOKENS = 16, UNIT_SUMS = 16, UNITS_OF_TILE = PITH_TILE_TOKENS / UNIT_TOKENS, TILE = PITH_TILE_TOKENS };

#define UNIT_PART __attribute__((noinline)) /* once each */

/* One unit. */
typedef struct layer_norm_unit {
  const pith_layer_norm_tile_f32_args *a;
  float *z;        /* [features rounded up to 16][16] scratch: the addends, later y, in neighbouring lines */
  size_t at;       /* of the unit in a tile64 of floats or bytes */
  size_t token, tokens, tile, lane0; /* first token, how many exist; its tile, and its first place there */
} layer_norm_unit;

static size_t layer_norm_tile_units(const pith_layer_norm_tile_f32_args *a) {
  return a->features == 0 ? 0 : (a->rows + UNIT_TOKENS - 1) / UNIT_TOKENS;
}

static size_t layer_norm_tile_count(const void *args, size_t threads) {
  const pith_layer_norm_tile_f32_args *a = args;
  return pith_split_count(layer_norm_tile_units(a), UNIT_TOKENS * a->features, threads);
}

static size_t layer_norm_tile_scratch_bytes(const void *args) {
  const pith_layer_norm_tile_f32_args *a = args;
  return (a->features + UNIT_SUMS - 1) / UNIT_SUMS * UNIT_SUMS * UNIT_TOKENS * sizeof(float);
}

V16_INLINE v16 layer_norm_tree(v16 sums[UNIT_SUMS]) {
  UNIT_UNROLL
  for (size_t half = UNIT_SUMS / 2; half > 0; half /= 2)
    UNIT_UNROLL
    for (size_t j = 0; j < half; ++j)
      sums[j] = v16_add(sums[j], sums[j + half]);
  return sums[0];
}

/* The mean; z is filled meanwhile, its features that do not exist with 0. */
static UNIT_PART v16 layer_norm_unit_mean(const layer_norm_unit *u) {
  const size_t n = u->a->features;
  const float *x = u->a->x + u->at, *residual = u->a->residual ? u->a->residual + u->at : NULL;
  v16 sums[UNIT_SUMS];
  UNIT_UNROLL
  for (size_t j = 0; j < UNIT_SUMS; ++j)
    sums[j] = v16_set(0.0f);
  for (size_t i = 0; i < n; i += UNIT_SUMS) {
    float *z = u->z + i * UNIT_TOKENS;
    const size_t count = n - i < UNIT_SUMS ? n - i : UNIT_SUMS;
#pragma GCC unroll 1
    for (size_t j = 0; j < count; ++j) {
      const v16 value = v16_load(x + (i + j) * TILE);
      v16_store(z + j * UNIT_TOKENS, residual ? v16_add(value, v16_load(residual + (i + j) * TILE)) : value);
    }
#pragma GCC unroll 1
    for (size_t j = count; j < UNIT_SUMS; ++j)
      v16_store(z + j * UNIT_TOKENS, v16_set(0.0f));
    UNIT_UNROLL
    for (size_t j = 0; j < UNIT_SUMS; ++j)
      sums[j] = v16_add(sums[j], v16_load(z + j * UNIT_TOKENS));
  }
  return v16_div(layer_norm_tree(sums), v16_set((float)n));
}

static UNIT_PART v16 layer_norm_unit_inverse(const layer_norm_unit *u, v16 mean) {
  const size_t n = u->a->features;
  size_t padded = n;
#pragma GCC unroll 1
  for (; padded % UNIT_SUMS != 0; ++padded)
    v16_store(u->z + padded * UNIT_TOKENS, mean); /* adds nothing, or NaN to what is NaN */
  v16 sums[UNIT_SUMS];
  UNIT_UNROLL
  for (size_t j = 0; j < UNIT_SUMS; ++j)
    sums[j] = v16_set(0.0f);
  for (size_t i = 0; i < n; i += UNIT_SUMS)
    UNIT_UNROLL
    for (size_t j = 0; j < UNIT_SUMS; ++j) {
      const v16 d = v16_sub(v16_load(u->z + (i + j) * UNIT_TOKENS), mean);
      sums[j] = v16_fma(d, d, sums[j]);
    }
  const v16 variance = v16_div(layer_norm_tree(sums), v16_set((float)n));
  return v16_div(v16_set(1.0f), v16_sqrt(v16_add(variance, v16_set(u->a->epsilon))));
}

/* Writes y, and puts it in z. */
static UNIT_PART quantize_range layer_norm_unit_finish(const layer_norm_unit *u, v16 mean, v16 inverse) {
  const float *gamma = u->a->gamma, *beta = u->a->beta;
  float *out = u->a->y + u->at;
  quantize_range range = quantize_range_start();
  for (size_t i = 0; i < u->a->features; ++i) {
    const v16 d = v16_mul(v16_sub(v16_load(u->z + i * UNIT_TOKENS), mean), inverse), scale = v16_set(gamma[i]);
    const v16 y = beta ? v16_fma(d, scale, v16_set(beta[i])) : v16_mul(d, scale);
    v16_store(out + i * TILE, y);
    if (u->a->q.q) {
      v16_store(u->z + i * UNIT_TOKENS, y);
      quantize_range_add(&range, y);
    }
  }
  return range;
}

/* z in 8 bits: inverse, top and zero of each token. */
static UNIT_PART void layer_norm_unit_quantize(const layer_norm_unit *u, v16 inverse, v16 top, v16 zero) {
  const pith_quantized_tiles *q = &u->a->q;
  const bool woven = q->layout == PITH_ACTIVATION_LAYOUT_TILE64X4, is_signed = q->type == PITH_NUMBER_S8;
  const size_t n = u->a->features, groups = (n + 3) / 4;
  const v16 rounder = v16_set(0x1.8p23f);
  uint8_t *to = (uint8_t *)q->q + (woven ? (u->tile * groups * TILE + u->lane0) * 4 : u->at);
  uint8_t group[4 * UNIT_TOKENS] = {0};
  for (size_t i = 0; i < n; ++i) {
    v16 y = v16_load(u->z + i * UNIT_TOKENS);
    if (u->a->q_factors)
      y = v16_mul(y, v16_set(u->a->q_factors[i]));
    /* Rounds what is under 2^22 to integers; what is lower stays low enough to be saturated. */
    v16 level = v16_min(v16_mul(y, inverse), top);
    level = v16_add(v16_sub(v16_add(level, rounder), rounder), zero);
    uint8_t *bytes = woven ? group + i % 4 * UNIT_TOKENS : to + i * TILE;
    if (is_signed)
      v16_store_s8((int8_t *)bytes, level, 0);
    else
      v16_store_u8(bytes, level, 0);
    if (woven && (i % 4 == 3 || i + 1 == n))
      weave_16(group, UNIT_TOKENS, to + i / 4 * TILE * 4);
  }
}

static UNIT_PART void layer_norm_unit_static(const layer_norm_unit *u) {
  const pith_quantized_tiles *q = &u->a->q;
  const int zero = q->zero ? *q->zero : 0;
  const quantizer z = quantizer_make(q->type, *q->scale, zero);
  layer_norm_unit_quantize(u, z.inverse, z.top, v16_set((float)zero));
}

static UNIT_PART void layer_norm_unit_dynamic(const layer_norm_unit *u, const quantize_range *range) {
  const pith_quantized_tiles *q = &u->a->q;
  quantize_scales scales;
  quantize_scales_make(v16_sub(v16_set(0.0f), range->low), range->high, q->type, &scales);
  v16_store_masked(m16_first(u->tokens), q->row_scale + u->token, v16_load(scales.scale));
  if (q->row_zero)
    memcpy(q->row_zero + u->token, scales.zero, u->tokens);
  layer_norm_unit_quantize(u, v16_load(scales.inverse), v16_load(scales.top), v16_load_u8(scales.zero));
}

static void layer_norm_tile_run(const void *args, size_t threads, size_t task, void *scratch) {
  const pith_layer_norm_tile_f32_args *a = args;
  const size_t units = layer_norm_tile_units(a), count = layer_norm_tile_count(args, threads);
  for (size_t i = pith_split_begin(units, count, task); i < pith_split_begin(units, count, task + 1); ++i) {
    layer_norm_unit u = {.a = a, .z = scratch, .token = i * UNIT_TOKENS};
    u.tokens = a->rows - u.token < UNIT_TOKENS ? a->rows - u.token : UNIT_TOKENS;
    u.tile = i / UNITS_OF_TILE;
    u.lane0 = i % UNITS_OF_TILE * UNIT_TOKENS;
    u.at = u.tile * a->features * TILE + u.lane0;
    const v16 mean = layer_norm_unit_mean(&u), inverse = layer_norm_unit_inverse(&u, mean);
    const quantize_range range = layer_norm_unit_finish(&u, mean, inverse);
    if (a->q.q && a->q.row_scale)
      layer_norm_unit_dynamic(&u, &range);
    else if (a->q.q)
      layer_norm_unit_static(&u);
  }
}

const pith_kernel V16_NAME(pith_layer_norm_tile_f32) = {
    .name = "layer_norm_tile_f32_" V16_ISA_TEXT,
    .needs = V16_NEEDS,
    .count_tasks = layer_norm_tile_count,
    .get_scratch_bytes = layer_norm_tile_scratch_bytes,
    .run = layer_norm_tile_run,
};
