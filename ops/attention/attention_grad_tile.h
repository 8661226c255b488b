/* The register tile of attention's gradients: y = scale * (what y held or 0, + a b), where the rows or the columns of a are the
 * contiguous ones (attention_chains.h). Included after a v16 header. */
#ifndef PITH_OPS_ATTENTION_GRAD_TILE_H
#define PITH_OPS_ATTENTION_GRAD_TILE_H

#include "ops/attention/attention_ahead.h"
#include "ops/attention/attention_chains.h"

typedef struct attention_grad_tile_args {
  const float *a; /* element k of row r: a[r * a_stride + k * a_step] */
  size_t a_stride, a_step;
  const float *b; /* [k][16 * vectors] */
  size_t k;
  float *y; /* [rows, 16 * vectors] */
  size_t y_stride;
  size_t last_lanes; /* lanes of the last vector that exist, 1 to 16 */
  float scale;
  bool add; /* the chains go on from what y holds */
} attention_grad_tile_args;

/* rows and vectors are constants where this is expanded. */
V16_INLINE void attention_grad_tile(const attention_grad_tile_args *t, size_t rows, size_t vectors) {
  v16 sum[ATTENTION_TILE_MAX_ROWS * V16_TILE_VECTORS];
  const m16 last = m16_first(t->last_lanes);
  const size_t y_stride = t->y_stride;
  float *y = t->y;
  if (t->add) {
    PITH_UNROLL
    for (size_t r = 0; r < rows; ++r, y += y_stride) {
      PITH_UNROLL
      for (size_t v = 0; v + 1 < vectors; ++v)
        sum[r * vectors + v] = v16_load(y + 16 * v);
      sum[(r + 1) * vectors - 1] = v16_load_masked(last, y + 16 * (vectors - 1));
    }
  } else {
    PITH_UNROLL
    for (size_t i = 0; i < rows * vectors; ++i)
      sum[i] = v16_set(0.0f);
  }
  attention_chains(t->a, t->a_stride, t->a_step, t->b, t->k, rows, vectors, sum);
  const v16 scale = v16_set(t->scale);
  y = t->y;
  PITH_UNROLL
  for (size_t r = 0; r < rows; ++r, y += y_stride) {
    PITH_UNROLL
    for (size_t v = 0; v + 1 < vectors; ++v)
      v16_store(y + 16 * v, v16_mul(sum[r * vectors + v], scale));
    attention_store_last(t->last_lanes == 16, last, y + 16 * (vectors - 1), v16_mul(sum[(r + 1) * vectors - 1], scale));
  }
}

#define ATTENTION_GRAD_TILE_FUNCTION(vectors, rows)                                          \
  PITH_ONCE void attention_grad_tile_##vectors##x##rows(const attention_grad_tile_args *t) { \
    attention_grad_tile(t, rows, vectors);                                                   \
  }
ATTENTION_TILES(ATTENTION_GRAD_TILE_FUNCTION)

/* Any number of rows, as tiles of nearly equal heights; fetches ahead once for each. Leaves a and y of t behind the last row. */
PITH_ONCE void attention_grad_tiles(attention_grad_tile_args *t, size_t rows, size_t vectors, attention_ahead *ahead) {
#define ATTENTION_GRAD_TILE_ENTRY(vectors, rows) [(vectors) - 1][(rows) - 1] = attention_grad_tile_##vectors##x##rows,
  static void (*const functions[V16_TILE_VECTORS][ATTENTION_TILE_MAX_ROWS])(const attention_grad_tile_args *) = {
      ATTENTION_TILES(ATTENTION_GRAD_TILE_ENTRY)};
  const size_t most = attention_tile_most[vectors - 1], count = (rows + most - 1) / most;
  for (size_t left = rows, i = count; i > 0; --i) {
    const size_t height = (left + i - 1) / i;
    attention_fetch(ahead);
    functions[vectors - 1][height - 1](t);
    t->a += height * t->a_stride;
    t->y += height * t->y_stride;
    left -= height;
  }
}

#endif
