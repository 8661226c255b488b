/* What attention and its gradients on floats share: packed keys and values, powers of two, what a query sees. Included after
 * a v16 header.
 *
 *   keys    [keys / W][head_size][W]     transposed, times a scale; W = 16 * V16_TILE_VECTORS, the last blocks narrower,
 *                                        padding 0
 *   values  [value_size / W][keys][W]    the same blocks along the values
 *
 * so that a product is one register tile of rows x vectors over blocks [k][W]. */
#ifndef PITH_OPS_ATTENTION_PACK_H
#define PITH_OPS_ATTENTION_PACK_H

#include <stdbool.h>

#include "ops/normalize/softmax_rows.h"

enum { ATTENTION_WIDTH = 16 * V16_TILE_VECTORS };

V16_INLINE size_t attention_round(size_t n) {
  return (n + 15) / 16 * 16;
}

/* The width of the block that begins where `left` columns are left: W, or what is left; 5 vectors are 3 and 2, for the
 * tile of one has the most loads. */
V16_INLINE size_t attention_width(size_t left) {
  const size_t width = attention_round(left);
  return width <= ATTENTION_WIDTH ? width : ATTENTION_WIDTH == 64 && width == 80 ? 48 : ATTENTION_WIDTH;
}

/* Blocks of n columns. */
V16_INLINE size_t attention_count_blocks(size_t n) {
  return (n + ATTENTION_WIDTH - 1) / ATTENTION_WIDTH;
}

/* 16 keys' features, transposed, to out[feature * width]; `keys` of them exist, the others are 0. */
V16_INLINE void attention_pack_keys16(const float *k, size_t stride, size_t keys, size_t head_size, size_t width,
                                      float scale, float *out) {
  for (size_t f = 0; f < head_size; f += 16) {
    const size_t features = head_size - f < 16 ? head_size - f : 16;
    const m16 mask = m16_first(features);
    v16 rows[16];
    PITH_UNROLL
    for (size_t j = 0; j < 16; ++j)
      rows[j] = j < keys ? v16_load_masked(mask, k + j * stride + f) : v16_set(0.0f);
    v16_transpose(rows);
    PITH_UNROLL
    for (size_t j = 0; j < 16; ++j)
      if (j < features)
        v16_store(out + (f + j) * width, v16_mul(rows[j], v16_set(scale)));
  }
}

static void attention_pack_keys(const float *k, size_t stride, size_t keys, size_t head_size, float scale, float *out) {
  for (size_t key = 0, width; key < keys; key += width) {
    width = attention_width(keys - key);
    for (size_t j = 0; j < width; j += 16)
      attention_pack_keys16(k + (key + j) * stride, stride, keys - key - j, head_size, width, scale,
                            out + key * head_size + j);
  }
}

/* row_scale: NULL, or what each row is multiplied by. */
static void attention_pack_values(const float *v, size_t stride, size_t keys, size_t value_size, const float *row_scale,
                                  float *out) {
  for (size_t f = 0, width; f < value_size; f += width) {
    width = attention_width(value_size - f);
    float *block = out + f * keys;
    for (size_t key = 0; key < keys; ++key)
      for (size_t j = 0; j < width; j += 16) {
        const size_t lanes = value_size - f - j;
        const float *from = v + key * stride + f + j;
        const v16 x = lanes >= 16 ? v16_load(from) : v16_load_masked(m16_first(lanes), from);
        v16_store(block + key * width + j, row_scale ? v16_mul(x, v16_set(row_scale[key])) : x);
      }
  }
}

/* 2^x: scores are logarithms of base 2, for log2 e is in the packed keys. Step by step for all vectors, since a chain is
 * longer than what a CPU looks ahead. The polynomial is minimax on [0, 1), exact at 0, made as those of functions.h; its
 * relative error, under 8.3e-8, is less than what a score's rounding makes of it. */
V16_INLINE void attention_power(v16 *x, size_t count) {
  static const float coefficients[] = {0x1.277c1cp-7f, 0x1.c91c10p-5f, 0x1.ebdb6ap-3f, 0x1.62e4bap-1f, 1.0f};
  v16 n[SOFTMAX_VECTORS], r[SOFTMAX_VECTORS];
  PITH_UNROLL
  for (size_t i = 0; i < count; ++i)
    x[i] = v16_max(v16_set(-160.0f), x[i]); /* 2^-160 rounds to 0 */
  PITH_UNROLL
  for (size_t i = 0; i < count; ++i)
    n[i] = v16_floor(x[i]);
  PITH_UNROLL
  for (size_t i = 0; i < count; ++i) {
    r[i] = v16_sub(x[i], n[i]);
    x[i] = v16_set(0x1.e96912p-10f);
  }
  PITH_UNROLL
  for (size_t c = 0; c < sizeof coefficients / sizeof *coefficients; ++c)
    PITH_UNROLL
    for (size_t i = 0; i < count; ++i)
      x[i] = v16_fma(x[i], r[i], v16_set(coefficients[c]));
  PITH_UNROLL
  for (size_t i = 0; i < count; ++i)
    x[i] = v16_scale(x[i], n[i]);
}

/* Keys that query i of a sequence sees. */
static size_t attention_visible(bool causal, size_t queries, size_t keys, size_t i) {
  if (!causal)
    return keys;
  const size_t seen = i + 1 + keys; /* + queries */
  return seen <= queries ? 0 : seen - queries < keys ? seen - queries : keys;
}

#endif
