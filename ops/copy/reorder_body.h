/* The blocks of a reorder; included after a v16 header and these, of registers of BYTES_LANES x 16 bytes:
 *
 *   bytes_load, bytes_store              BYTES_LANES x 16 neighbours
 *   bytes_load_lanes, bytes_store_lanes  16 neighbours every 16 features of a tile
 *   bytes_low, bytes_high                unpack bytes within lanes */
#include "ops/copy/reorder_internal.h"

enum { TILE_STEP = PITH_TILE_TOKENS, BYTES_WIDTH = BYTES_LANES * 16 };

static void words_to_tile(const uint8_t *rows, size_t stride_bytes, uint8_t *tile) {
  v16 v[16];
  PITH_UNROLL
  for (size_t i = 0; i < 16; ++i)
    v[i] = v16_load((const float *)(const void *)(rows + i * stride_bytes));
  v16_transpose(v);
  PITH_UNROLL
  for (size_t i = 0; i < 16; ++i)
    v16_store((float *)(void *)tile + i * TILE_STEP, v[i]);
}

static void words_to_rows(const uint8_t *tile, uint8_t *rows, size_t stride_bytes) {
  v16 v[16];
  PITH_UNROLL
  for (size_t i = 0; i < 16; ++i)
    v[i] = v16_load((const float *)(const void *)tile + i * TILE_STEP);
  v16_transpose(v);
  PITH_UNROLL
  for (size_t i = 0; i < 16; ++i)
    v16_store((float *)(void *)(rows + i * stride_bytes), v[i]);
}

/* 16 x 16 bytes within each lane: four times the same shuffle of all. */
V16_INLINE void bytes_transpose(bytes v[16]) {
  PITH_UNROLL
  for (size_t stage = 0; stage < 4; ++stage) {
    bytes t[16];
    PITH_UNROLL
    for (size_t i = 0; i < 8; ++i) {
      t[2 * i] = bytes_low(v[i], v[i + 8]);
      t[2 * i + 1] = bytes_high(v[i], v[i + 8]);
    }
    PITH_UNROLL
    for (size_t i = 0; i < 16; ++i)
      v[i] = t[i];
  }
}

static void bytes_to_tile(const uint8_t *rows, size_t stride_bytes, uint8_t *tile) {
  for (size_t f = 0; f < PITH_REORDER_LINE; f += BYTES_WIDTH) {
    bytes v[16];
    PITH_UNROLL
    for (size_t i = 0; i < 16; ++i)
      v[i] = bytes_load(rows + i * stride_bytes + f);
    bytes_transpose(v);
    PITH_UNROLL
    for (size_t i = 0; i < 16; ++i)
      bytes_store_lanes(tile + (f + i) * TILE_STEP, 16 * TILE_STEP, v[i]);
  }
}

static void bytes_to_rows(const uint8_t *tile, uint8_t *rows, size_t stride_bytes) {
  for (size_t f = 0; f < PITH_REORDER_LINE; f += BYTES_WIDTH) {
    bytes v[16];
    PITH_UNROLL
    for (size_t i = 0; i < 16; ++i)
      v[i] = bytes_load_lanes(tile + (f + i) * TILE_STEP, 16 * TILE_STEP);
    bytes_transpose(v);
    PITH_UNROLL
    for (size_t i = 0; i < 16; ++i)
      bytes_store(rows + i * stride_bytes + f, v[i]);
  }
}

static const pith_reorder_code code = {
    .words_to_tile = words_to_tile,
    .words_to_rows = words_to_rows,
    .bytes_to_tile = bytes_to_tile,
    .bytes_to_rows = bytes_to_rows,
    .join = pith_reorder_join_avx2,
    .part = pith_reorder_part_avx2,
};

static void run(const void *args, size_t threads, size_t task, void *scratch) {
  (void)scratch;
  pith_reorder_run(&code, args, threads, task);
}

const pith_kernel V16_NAME(pith_reorder) = {
    .name = "reorder_" V16_ISA_TEXT,
    .needs = V16_NEEDS,
    .count_tasks = pith_reorder_count_tasks,
    .run = run,
};
