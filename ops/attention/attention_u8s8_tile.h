/* The register tiles of both products of attention_u8s8: rows x vectors of sums in registers, over blocks of 64 bytes a step.
 * Included by attention_u8s8_body.h. */
#ifndef PITH_OPS_ATTENTION_U8S8_TILE_H
#define PITH_OPS_ATTENTION_U8S8_TILE_H

#include <stdbool.h>

#include "ops/quantize/quantize_rows.h"
#include "ops/split.h"

typedef struct attention_score_tile {
  const uint8_t *q; /* [rows, steps] of 4 bytes */
  size_t q_stride;  /* bytes */
  const uint8_t *k; /* [vectors][steps][64] */
  size_t steps;
  const int32_t *zeros;     /* [16 * vectors], added; dynamic: times the row's zero */
  const int32_t *row_zeros; /* dynamic: [rows] */
  const float *key_scales;  /* dynamic: [16 * vectors] */
  const float *factors;     /* [rows] */
  float *y;
  size_t y_stride;
} attention_score_tile;

typedef struct attention_value_tile {
  const uint8_t *weights; /* [rows, steps] of 4 bytes */
  size_t weight_stride;   /* bytes */
  const uint8_t *v;       /* [vectors] of [steps][64], v_stride bytes apart */
  size_t v_stride, steps;
  const float *factors; /* [rows] */
  float *y;             /* or NULL */
  size_t y_stride;
  uint8_t *bytes; /* or NULL */
  size_t bytes_stride;
  quantizer to_bytes;
} attention_value_tile;

/* sum[r][v] += a[r] * b[v]; rows and vectors are constants where this is expanded. Rows are reached as base, base + stride
 * and base + 2 stride, which x86 addresses without a pointer for each. */
V16_INLINE void attention_dots(const uint8_t *a, size_t a_stride, const uint8_t *b, size_t b_stride, size_t steps, size_t rows,
                               size_t vectors, n16 *sum) {
  const uint8_t *base[(N16_TILE_ROWS + 2) / 3];
  PITH_UNROLL
  for (size_t r = 0; r < rows; r += 3)
    base[r / 3] = a + r * a_stride;
  for (; steps > 0; --steps) {
    n16 column[N16_TILE_VECTORS];
    PITH_UNROLL
    for (size_t v = 0; v < vectors; ++v)
      column[v] = n16_load(b + v * b_stride);
    b += 64;
    PITH_UNROLL
    for (size_t r = 0; r < rows; ++r) {
      const n16 x = n16_repeat(base[r / 3] + r % 3 * a_stride);
      PITH_UNROLL
      for (size_t v = 0; v < vectors; ++v)
        sum[r * vectors + v] = dot_add(sum[r * vectors + v], x, column[v]);
    }
    PITH_UNROLL
    for (size_t r = 0; r < rows; r += 3)
      base[r / 3] += 4;
  }
}

V16_INLINE void attention_score(const attention_score_tile *t, size_t begin, size_t rows, size_t vectors, bool is_dynamic) {
  n16 sum[N16_TILE_ROWS * N16_TILE_VECTORS];
  const size_t stride = t->y_stride; /* read once: stores might change what t points to, for all the compiler knows */
  const float *factors = t->factors + begin, *key_scales = t->key_scales;
  float *y = t->y + begin * stride;
  PITH_UNROLL
  for (size_t v = 0; v < vectors; ++v) {
    const n16 zeros = n16_load(t->zeros + 16 * v);
    PITH_UNROLL
    for (size_t r = 0; r < rows; ++r)
      sum[r * vectors + v] = is_dynamic ? n16_mul(zeros, n16_set(t->row_zeros[begin + r])) : zeros;
  }
  attention_dots(t->q + begin * t->q_stride, t->q_stride, t->k, t->steps * 64, t->steps, rows, vectors, sum);
  PITH_UNROLL
  for (size_t r = 0; r < rows; ++r, y += stride) {
    const v16 factor = v16_set(factors[r]);
    PITH_UNROLL
    for (size_t v = 0; v < vectors; ++v) {
      v16 c = n16_to_float(sum[r * vectors + v]);
      if (is_dynamic)
        c = v16_mul(c, v16_load(key_scales + 16 * v));
      v16_store(y + 16 * v, v16_mul(c, factor));
    }
  }
}

/* Writes a tile's sums, [rows][vectors]. Once, not for every height: that would be many times the products' code, and behind
 * as many steps as there are keys it costs little. last: lanes of the last vector that exist. */
PITH_ONCE void attention_write_values(const attention_value_tile *t, size_t begin, size_t rows, size_t vectors,
                                           size_t last, const n16 *sum) {
  const quantizer to_bytes = t->to_bytes;
  const float *factors = t->factors + begin; /* read once: stores might change what t points to, for all the compiler knows */
  const size_t y_stride = t->y_stride, bytes_stride = t->bytes_stride;
  float *y = t->y ? t->y + begin * y_stride : NULL;
  uint8_t *bytes = t->bytes ? t->bytes + begin * bytes_stride : NULL;
  for (size_t r = 0; r < rows; ++r) {
    const v16 factor = v16_set(factors[r]);
    for (size_t v = 0; v < vectors; ++v, ++sum) {
      const v16 z = v16_mul(n16_to_float(*sum), factor);
      const bool is_whole = v + 1 < vectors || last == 16;
      if (y && is_whole)
        v16_store(y + r * y_stride + 16 * v, z);
      else if (y)
        v16_store_masked(m16_first(last), y + r * y_stride + 16 * v, z);
      if (bytes && is_whole)
        quantizer_store(&to_bytes, z, bytes + r * bytes_stride + 16 * v);
      else if (bytes)
        quantizer_store_first(&to_bytes, last, z, bytes + r * bytes_stride + 16 * v);
    }
  }
}
V16_INLINE void attention_value(const attention_value_tile *t, size_t begin, size_t rows, size_t vectors, size_t last) {
  n16 sum[N16_TILE_ROWS * N16_TILE_VECTORS], out[N16_TILE_ROWS * N16_TILE_VECTORS];
  PITH_UNROLL
  for (size_t i = 0; i < rows * vectors; ++i)
    sum[i] = n16_set(0);
  attention_dots(t->weights + begin * t->weight_stride, t->weight_stride, t->v, t->v_stride, t->steps, rows, vectors, sum);
  PITH_UNROLL
  for (size_t i = 0; i < rows * vectors; ++i)
    out[i] = sum[i];
  attention_write_values(t, begin, rows, vectors, last, out);
}

/* Of `left` rows, those of the next tile: nearly equal heights, for a tile of one or two rows waits for its own sums. */
V16_INLINE size_t attention_height(size_t left) {
  return left <= N16_TILE_ROWS ? left : left <= 2 * N16_TILE_ROWS ? (left + 1) / 2 : (left + 2) / 3;
}

#define ATTENTION_TILE_CASES(CASE) CASE(1) CASE(2) CASE(3) CASE(4) CASE(5) CASE(6) CASE(7) CASE(8)

/* Up to 3 * N16_TILE_ROWS rows; `vectors` and is_dynamic are constants. */
V16_INLINE void attention_scores_wide(const attention_score_tile *t, size_t rows, size_t vectors, bool is_dynamic) {
  for (size_t begin = 0, height; begin < rows; begin += height) {
    height = attention_height(rows - begin);
    switch (height) {
#define ATTENTION_CASE(n)                                                                                  \
  case n: attention_score(t, begin, n <= N16_TILE_ROWS ? n : 1, vectors, is_dynamic); break;
      ATTENTION_TILE_CASES(ATTENTION_CASE)
#undef ATTENTION_CASE
    default: break;
    }
  }
}
V16_INLINE void attention_values_wide(const attention_value_tile *t, size_t rows, size_t vectors, size_t last) {
  for (size_t begin = 0, height; begin < rows; begin += height) {
    height = attention_height(rows - begin);
    switch (height) {
#define ATTENTION_CASE(n)                                                                                  \
  case n: attention_value(t, begin, n <= N16_TILE_ROWS ? n : 1, vectors, last); break;
      ATTENTION_TILE_CASES(ATTENTION_CASE)
#undef ATTENTION_CASE
    default: break;
    }
  }
}

/* Scores of `rows` rows with N16_TILE_VECTORS vectors of keys, or one where only `keys` <= 16 are left. */
static void attention_scores(const attention_score_tile *t, size_t rows, size_t keys, bool is_dynamic) {
  const bool is_wide = N16_TILE_VECTORS > 1 && keys > 16;
  if (is_wide && is_dynamic)
    attention_scores_wide(t, rows, N16_TILE_VECTORS, true);
  else if (is_wide)
    attention_scores_wide(t, rows, N16_TILE_VECTORS, false);
  else if (is_dynamic)
    attention_scores_wide(t, rows, 1, true);
  else
    attention_scores_wide(t, rows, 1, false);
}

/* N16_TILE_VECTORS vectors of outputs, or fewer where only `values` are left. */
static void attention_values(const attention_value_tile *t, size_t rows, size_t values) {
  if (N16_TILE_VECTORS > 1 && values > 16)
    attention_values_wide(t, rows, N16_TILE_VECTORS, values < 32 ? values - 16 : 16);
  else
    attention_values_wide(t, rows, 1, values < 16 ? values : 16);
}

#endif
