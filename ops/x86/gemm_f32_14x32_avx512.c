/* Tiles of 14 rows x 32 outputs (28 sums, two weights, one input in 32 registers); for few rows 6 x 64. */
#include "ops/math/v16_avx512.h"

#include "ops/math/functions.h"

#include "ops/gemm/gemm_f32_finish.h"
#include "ops/gemm/gemm_f32_internal.h"
#include "ops/gemm/gemm_f32_tile.h"

enum { TILE_ROWS = 14, WIDE_ROWS = 6 };

#define DEFINE_TILE(rows, vectors)                                                                         \
  static void tile_##rows##x##vectors(const pith_gemm_f32_tile *tile) {                                    \
    gemm_tile(rows, vectors, tile);                                                                        \
  }
#define DEFINE_WIDE(rows) DEFINE_TILE(rows, 1) DEFINE_TILE(rows, 2) DEFINE_TILE(rows, 3) DEFINE_TILE(rows, 4)
#define DEFINE_NARROW(rows) DEFINE_TILE(rows, 1) DEFINE_TILE(rows, 2)
DEFINE_WIDE(1)
DEFINE_WIDE(2)
DEFINE_WIDE(3)
DEFINE_WIDE(4)
DEFINE_WIDE(5)
DEFINE_WIDE(6)
DEFINE_NARROW(7)
DEFINE_NARROW(8)
DEFINE_NARROW(9)
DEFINE_NARROW(10)
DEFINE_NARROW(11)
DEFINE_NARROW(12)
DEFINE_NARROW(13)
DEFINE_NARROW(14)

#define ROW_WIDE(rows) {tile_##rows##x1, tile_##rows##x2, tile_##rows##x3, tile_##rows##x4}
#define ROW_NARROW(rows) {tile_##rows##x1, tile_##rows##x2}
/* [rows - 1][width / 16 - 1] */
static void (*const tiles[TILE_ROWS][PITH_GEMM_BLOCK / 16])(const pith_gemm_f32_tile *) = {
    ROW_WIDE(1),   ROW_WIDE(2),   ROW_WIDE(3),    ROW_WIDE(4),    ROW_WIDE(5),    ROW_WIDE(6),    ROW_NARROW(7),
    ROW_NARROW(8), ROW_NARROW(9), ROW_NARROW(10), ROW_NARROW(11), ROW_NARROW(12), ROW_NARROW(13), ROW_NARROW(14),
};

static void multiply(size_t rows, size_t width, const pith_gemm_f32_tile *tile) {
  tiles[rows - 1][width / 16 - 1](tile);
}

static void finish(size_t rows, const pith_gemm_f32_finish *f) {
  gemm_finish(rows, f);
}

static const pith_gemm_f32_code code = {
    .tile_rows = TILE_ROWS,
    .panel = 32,
    .wide_rows = WIDE_ROWS,
    .multiply = multiply,
    .finish = finish,
};

static size_t count_tasks(const void *args, size_t threads) {
  return pith_gemm_f32_blocked_count_tasks(&code, args, threads);
}

static void run(const void *args, size_t threads, size_t task, void *scratch) {
  pith_gemm_f32_blocked_run(&code, args, threads, task, scratch);
}

const pith_kernel pith_gemm_f32_14x32_avx512 = {
    .name = "gemm_f32f32_14x32_avx512",
    .needs = V16_NEEDS,
    .count_tasks = count_tasks,
    .get_scratch_bytes = pith_gemm_f32_blocked_get_scratch_bytes,
    .run = run,
};
