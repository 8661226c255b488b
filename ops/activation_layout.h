/* How an activation [tokens, features] may lie. Dense kernels read rows. Sparse products take one input of many tokens at a
 * time, so they read tiles: 64 tokens, within which a feature's tokens are neighbours.
 *
 *     row_major  [tokens][features]
 *     tile64     [ceil(tokens / 64)][features][64]
 *     tile64x4   [ceil(tokens / 64)][ceil(features / 4)][64][4], of 8 bits: vpdpbusd reads 4 inputs of a token at once
 *
 * A tile's strides are constants, so no stride is ever a multiple of 4096 bytes, however many tokens there are, and what a
 * product reads of x is one run of memory. A tile is whole in memory, also the last; of its tokens, kernels touch those up to
 * the next multiple of 16. What lies in the places of tokens (or of tile64x4's features) that do not exist is anything, and
 * never reaches those that do. */
#ifndef PITH_OPS_ACTIVATION_LAYOUT_H
#define PITH_OPS_ACTIVATION_LAYOUT_H

#include <stddef.h>

enum { PITH_TILE_TOKENS = 64 };

#define PITH_ACTIVATION_LAYOUT_LIST(X)                                                                      \
  X(ROW_MAJOR, "row_major")                                                                                \
  X(TILE64, "tile64")                                                                                      \
  X(TILE64X4, "tile64x4")
typedef enum pith_activation_layout {
#define PITH_ACTIVATION_LAYOUT_ENUM(name, text) PITH_ACTIVATION_LAYOUT_##name,
  PITH_ACTIVATION_LAYOUT_LIST(PITH_ACTIVATION_LAYOUT_ENUM)
#undef PITH_ACTIVATION_LAYOUT_ENUM
      PITH_ACTIVATION_LAYOUT_COUNT
} pith_activation_layout;

/* Elements that [tokens, features] takes. */
static inline size_t pith_activation_count(pith_activation_layout layout, size_t tokens, size_t features) {
  const size_t tiles = (tokens + PITH_TILE_TOKENS - 1) / PITH_TILE_TOKENS;
  switch (layout) {
  case PITH_ACTIVATION_LAYOUT_TILE64:
    return tiles * features * PITH_TILE_TOKENS;
  case PITH_ACTIVATION_LAYOUT_TILE64X4:
    return tiles * ((features + 3) / 4) * 4 * PITH_TILE_TOKENS;
  default:
    return tokens * features;
  }
}

/* Where element (token, feature) is. */
static inline size_t pith_activation_index(pith_activation_layout layout, size_t features, size_t token, size_t feature) {
  const size_t tile = token / PITH_TILE_TOKENS, t = token % PITH_TILE_TOKENS;
  switch (layout) {
  case PITH_ACTIVATION_LAYOUT_TILE64:
    return (tile * features + feature) * PITH_TILE_TOKENS + t;
  case PITH_ACTIVATION_LAYOUT_TILE64X4:
    return ((tile * ((features + 3) / 4) + feature / 4) * PITH_TILE_TOKENS + t) * 4 + feature % 4;
  default:
    return token * features + feature;
  }
}

#endif
