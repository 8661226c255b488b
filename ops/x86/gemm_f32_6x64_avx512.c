/* Tiles of 6 rows x 64 outputs: 24 sums, 4 vectors of weights, one of inputs in 32 registers. */
#include "ops/math/v16_avx512.h"

#include "ops/math/functions.h"

#include "ops/gemm/gemm_f32_finish.h"
#include "ops/gemm/gemm_f32_internal.h"
#include "ops/gemm/gemm_f32_repack.h"
#include "ops/gemm/gemm_f32_tile.h"

#define DEFINE_TILE(rows, vectors)                                                                         \
  static void tile_##rows##x##vectors(const pith_gemm_f32_tile *tile) {                                    \
    gemm_tile(rows, vectors, tile);                                                                        \
  }
#define DEFINE_ROW(rows) DEFINE_TILE(rows, 1) DEFINE_TILE(rows, 2) DEFINE_TILE(rows, 3) DEFINE_TILE(rows, 4)
DEFINE_ROW(1)
DEFINE_ROW(2)
DEFINE_ROW(3)
DEFINE_ROW(4)
DEFINE_ROW(5)
DEFINE_ROW(6)

#define ROW(rows) {tile_##rows##x1, tile_##rows##x2, tile_##rows##x3, tile_##rows##x4}
/* [rows - 1][width / 16 - 1] */
static void (*const tiles[PITH_GEMM_MAX_ROWS][GEMM_TILE_MAX_VECTORS])(const pith_gemm_f32_tile *) = {
    ROW(1), ROW(2), ROW(3), ROW(4), ROW(5), ROW(6),
};

static void multiply(size_t rows, size_t width, const pith_gemm_f32_tile *tile) {
  tiles[rows - 1][width / 16 - 1](tile);
}

static void finish(size_t rows, const pith_gemm_f32_finish *f) {
  gemm_finish(rows, f);
}

static void repack(const pith_gemm_f32_repack *r) {
  gemm_repack(r);
}

static const pith_gemm_f32_code code = {
    .tile_rows = PITH_GEMM_MAX_ROWS,
    .panel = PITH_GEMM_BLOCK,
    .wide_rows = 0,
    .multiply = multiply,
    .finish = finish,
    .repack = repack,
};

static size_t count_tasks(const void *args, size_t threads) {
  return pith_gemm_f32_blocked_count_tasks(&code, args, threads);
}

static void run(const void *args, size_t threads, size_t task, void *scratch) {
  pith_gemm_f32_blocked_run(&code, args, threads, task, scratch);
}

const pith_kernel pith_gemm_f32_6x64_avx512 = {
    .name = "gemm_f32f32_6x64_avx512",
    .needs = V16_NEEDS,
    .count_tasks = count_tasks,
    .get_scratch_bytes = pith_gemm_f32_blocked_get_scratch_bytes,
    .run = run,
};
