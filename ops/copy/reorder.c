#include "ops/copy/reorder.h"

#include <stdbool.h>
#include <string.h>

#include "ops/copy/reorder_internal.h"
#include "ops/split.h"

enum { TOKENS = PITH_TILE_TOKENS, CHUNK = 64 /* features of an item */, BLOCK = PITH_REORDER_BLOCK };

static size_t min_size(size_t a, size_t b) {
  return a < b ? a : b;
}

/* Tokens of a tile that are touched. */
static size_t pad_tokens(size_t tokens) {
  return (tokens + BLOCK - 1) / BLOCK * BLOCK;
}

/* ---- tasks: runs of items, each a chunk of the features of a tile ----------------------------------------------- */

static size_t count_chunks(const pith_reorder_args *a) {
  return (a->features + CHUNK - 1) / CHUNK;
}

static size_t count_items(const pith_reorder_args *a) {
  return (a->rows + TOKENS - 1) / TOKENS * count_chunks(a);
}

size_t pith_reorder_count_tasks(const void *args, size_t threads) {
  const pith_reorder_args *a = args;
  return pith_split_count(count_items(a), 2 * TOKENS * CHUNK * a->element_bytes / sizeof(float), threads);
}

/* ---- reference: by the definition of layouts. Tokens that do not exist are the last one again where they come from rows;
 * features that do not exist are 0. ----- */

static void run_item_reference(const pith_reorder_args *a, size_t item) {
  const size_t token0 = item / count_chunks(a) * TOKENS, feature0 = item % count_chunks(a) * CHUNK;
  const size_t tokens = min_size(a->rows - token0, TOKENS), features = min_size(a->features - feature0, CHUNK);
  const size_t to_tokens = a->to == PITH_ACTIVATION_LAYOUT_ROW_MAJOR ? tokens : pad_tokens(tokens);
  const size_t to_features = a->to == PITH_ACTIVATION_LAYOUT_TILE64X4 ? (features + 3) / 4 * 4 : features;
  const size_t bytes = a->element_bytes;
  for (size_t f = feature0; f < feature0 + to_features; ++f)
    for (size_t t = token0; t < token0 + to_tokens; ++t) {
      uint8_t *y = (uint8_t *)a->y + pith_activation_index(a->to, a->features, t, f) * bytes;
      if (f >= a->features) {
        *y = 0; /* tile64x4, of bytes */
        continue;
      }
      const size_t from = a->from == PITH_ACTIVATION_LAYOUT_ROW_MAJOR ? min_size(t, a->rows - 1) : t;
      memcpy(y, (const uint8_t *)a->x + pith_activation_index(a->from, a->features, from, f) * bytes, bytes);
    }
}

static void run_reference(const void *args, size_t threads, size_t task, void *scratch) {
  (void)scratch;
  const pith_reorder_args *a = args;
  const size_t items = count_items(a), count = pith_reorder_count_tasks(args, threads);
  for (size_t item = pith_split_begin(items, count, task); item < pith_split_begin(items, count, task + 1); ++item)
    run_item_reference(a, item);
}

static const pith_kernel reference = {
    .name = "reorder_reference",
    .count_tasks = pith_reorder_count_tasks,
    .run = run_reference,
};

/* ---- by blocks --------------------------------------------------------------------------------------------------- */

/* A part of a tile and of its rows. */
typedef struct part {
  const pith_reorder_code *code;
  size_t stride; /* bytes from row to row */
  size_t tokens, features, bytes;
} part;

/* A block, or the part of one that exists: `lines` lines of `from` with `columns` elements each, each column a line of `to` with
 * `width` elements, those past `lines` copies of the last. */
static void transpose_block(const part *p, const uint8_t *from, size_t from_step, size_t lines, size_t columns, uint8_t *to,
                            size_t to_step, size_t width) {
  pith_reorder_transpose *transpose = p->bytes == 1 ? p->code->bytes : p->code->words;
  if (lines >= BLOCK && columns >= BLOCK) {
    transpose(from, from_step, to, to_step);
    return;
  }
  const size_t step = BLOCK * p->bytes;
  uint8_t in[BLOCK * BLOCK * sizeof(float)] = {0}, out[sizeof in];
  for (size_t i = 0; i < BLOCK; ++i)
    memcpy(in + i * step, from + min_size(i, lines - 1) * from_step, min_size(columns, BLOCK) * p->bytes);
  transpose(in, step, out, step);
  for (size_t i = 0; i < min_size(columns, BLOCK); ++i)
    memcpy(to + i * to_step, out + i * step, min_size(width, BLOCK) * p->bytes);
}

static void transpose_part(const part *p, bool to_tile, const uint8_t *x, uint8_t *y) {
  const size_t tile_step = TOKENS * p->bytes;
  for (size_t t = 0; t < p->tokens; t += BLOCK)
    for (size_t f = 0; f < p->features; f += BLOCK) {
      const size_t row_at = t * p->stride + f * p->bytes, tile_at = f * tile_step + t * p->bytes;
      if (to_tile)
        transpose_block(p, x + row_at, p->stride, p->tokens - t, p->features - f, y + tile_at, tile_step, BLOCK);
      else
        transpose_block(p, x + tile_at, tile_step, p->features - f, p->tokens - t, y + row_at, p->stride, p->features - f);
    }
}

/* The features behind the last whole group of 4 of tile64x4, 1 to 3: `rows` at the first of them. */
static void join_last(const part *p, const uint8_t *rows, size_t features, uint8_t *group) {
  for (size_t t = 0; t < pad_tokens(p->tokens); ++t)
    for (size_t i = 0; i < 4; ++i)
      group[4 * t + i] = (uint8_t)(i < features ? rows[min_size(t, p->tokens - 1) * p->stride + i] : 0);
}

static void part_last(const part *p, const uint8_t *group, size_t features, uint8_t *rows) {
  for (size_t t = 0; t < p->tokens; ++t)
    for (size_t i = 0; i < features; ++i)
      rows[t * p->stride + i] = group[4 * t + i];
}

/* Between rows and either kind of tile. */
static void reorder_rows(const part *p, pith_activation_layout tile_layout, bool to_tile, const uint8_t *x, uint8_t *y) {
  part q = *p;
  size_t last = 0;
  if (tile_layout == PITH_ACTIVATION_LAYOUT_TILE64X4) {
    q.bytes = 4;
    q.features = p->features / 4;
    last = p->features % 4;
  }
  const size_t rows_end = q.features * q.bytes, tile_end = rows_end * TOKENS;
  transpose_part(&q, to_tile, x, y);
  if (last > 0 && to_tile)
    join_last(p, x + rows_end, last, y + tile_end);
  else if (last > 0)
    part_last(p, x + tile_end, last, y + rows_end);
}

/* Between both kinds of tiles. */
static void reorder_tiles(const part *p, bool join, const uint8_t *x, uint8_t *y) {
  const size_t groups = p->features / 4, last = p->features % 4, end = groups * 4 * TOKENS;
  const size_t tokens = pad_tokens(p->tokens), vectors = tokens / BLOCK;
  uint8_t group[4 * TOKENS] = {0};
  if (join) {
    p->code->join(x, groups, vectors, y);
    for (size_t i = 0; i < last; ++i)
      memcpy(group + i * TOKENS, x + end + i * TOKENS, tokens);
    if (last > 0)
      p->code->join(group, 1, vectors, y + end);
  } else {
    p->code->part(x, groups, vectors, y);
    if (last > 0)
      p->code->part(x + end, 1, vectors, group);
    for (size_t i = 0; i < last; ++i)
      memcpy(y + end + i * TOKENS, group + i * TOKENS, tokens);
  }
}

static void run_item(const pith_reorder_code *code, const pith_reorder_args *a, size_t item) {
  const size_t token0 = item / count_chunks(a) * TOKENS, feature0 = item % count_chunks(a) * CHUNK;
  const part p = {.code = code,
                  .stride = a->features * a->element_bytes,
                  .tokens = min_size(a->rows - token0, TOKENS),
                  .features = min_size(a->features - feature0, CHUNK),
                  .bytes = a->element_bytes};
  /* A chunk begins with a group of 4: its index is the same in both kinds of tiles. */
  const uint8_t *x = (const uint8_t *)a->x + pith_activation_index(a->from, a->features, token0, feature0) * p.bytes;
  uint8_t *y = (uint8_t *)a->y + pith_activation_index(a->to, a->features, token0, feature0) * p.bytes;
  if (a->from == PITH_ACTIVATION_LAYOUT_ROW_MAJOR)
    reorder_rows(&p, a->to, true, x, y);
  else if (a->to == PITH_ACTIVATION_LAYOUT_ROW_MAJOR)
    reorder_rows(&p, a->from, false, x, y);
  else
    reorder_tiles(&p, a->to == PITH_ACTIVATION_LAYOUT_TILE64X4, x, y);
}

void pith_reorder_run(const pith_reorder_code *code, const void *args, size_t threads, size_t task) {
  const pith_reorder_args *a = args;
  const size_t items = count_items(a), count = pith_reorder_count_tasks(args, threads);
  for (size_t item = pith_split_begin(items, count, task); item < pith_split_begin(items, count, task + 1); ++item)
    run_item(code, a, item);
}

const pith_kernel *const pith_reorder_kernels[] = {
    &reference,
#if defined(__x86_64__)
    &pith_reorder_avx2,
#endif
    NULL,
};
