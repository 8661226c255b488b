/* Tiles of 6 rows x 16 outputs: 12 sums, 2 vectors of weights, one of inputs in 16 registers; one row: 1 x 64. */
#include "ops/math/v16_avx2.h"

#include "ops/math/functions.h"

#include "ops/gemm/gemm_f32_finish.h"
#include "ops/gemm/gemm_f32_internal.h"
#include "ops/gemm/gemm_f32_repack.h"
#include "ops/gemm/gemm_f32_tile.h"

#define DEFINE_TILE(rows, vectors)                                                                         \
  static void tile_##rows##x##vectors(const pith_gemm_f32_tile *tile) {                                    \
    gemm_tile(rows, vectors, tile);                                                                        \
  }
DEFINE_TILE(1, 1)
DEFINE_TILE(1, 2)
DEFINE_TILE(1, 3)
DEFINE_TILE(1, 4)
DEFINE_TILE(2, 1)
DEFINE_TILE(3, 1)
DEFINE_TILE(4, 1)
DEFINE_TILE(5, 1)
DEFINE_TILE(6, 1)

/* [rows - 1][width / 16 - 1] */
static void (*const tiles[PITH_GEMM_MAX_ROWS][GEMM_TILE_MAX_VECTORS])(const pith_gemm_f32_tile *) = {
    {tile_1x1, tile_1x2, tile_1x3, tile_1x4}, {tile_2x1}, {tile_3x1}, {tile_4x1}, {tile_5x1}, {tile_6x1},
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
    .panel = 16,
    .wide_rows = 1,
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

const pith_kernel pith_gemm_f32_6x16_avx2 = {
    .name = "gemm_f32f32_6x16_avx2",
    .needs = V16_NEEDS,
    .count_tasks = count_tasks,
    .get_scratch_bytes = pith_gemm_f32_blocked_get_scratch_bytes,
    .run = run,
};
