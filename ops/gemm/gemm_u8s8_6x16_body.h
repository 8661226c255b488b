/* Tiles of 6 rows x 16 outputs in 16 registers of half the width: 12 sums, 2 of weights, one of inputs. Included after what
 * gemm_u8s8_tile.h wants and
 *   GEMM_WIDEN   a pith_gemm_u8s8_code's, or NULL */
#include "ops/gemm/gemm_u8s8_tile.h"

#define DEFINE_TILE(rows)                                                                                  \
  static void tile_##rows(const pith_gemm_u8s8_tile *t) {                                                  \
    gemm_tile(rows, 1, false, GEMM_KIND_F32, t, NULL);                                                     \
  }
DEFINE_TILE(1)
DEFINE_TILE(2)
DEFINE_TILE(3)
DEFINE_TILE(4)
DEFINE_TILE(5)
DEFINE_TILE(6)

static void (*const tiles[PITH_GEMM_U8S8_MAX_ROWS])(const pith_gemm_u8s8_tile *) = {tile_1, tile_2, tile_3,
                                                                                  tile_4, tile_5, tile_6};

static void multiply(size_t rows, size_t vectors, const pith_gemm_u8s8_tile *t) {
  (void)vectors; /* 1 */
  tiles[rows - 1](t);
}

static void finish(const pith_gemm_u8s8_finish *f) {
  gemm_finish_sums(f);
}

static void quantize_whole_row(const pith_quantized_rows *q, size_t row, const float *z, size_t n) {
  quantize_row(q, row, z, n);
}

static const pith_gemm_u8s8_code code = {
    .widen = GEMM_WIDEN,
    .tile_rows = PITH_GEMM_U8S8_MAX_ROWS,
    .vectors = 1,
    .multiply = multiply,
    .finish = finish,
    .quantize_row = quantize_whole_row,
};

static size_t count_tasks(const void *args, size_t threads) {
  return pith_gemm_u8s8_blocked_count_tasks(&code, args, threads);
}

static size_t get_scratch_bytes(const void *args) {
  return pith_gemm_u8s8_blocked_get_scratch_bytes(&code, args);
}

static void run(const void *args, size_t threads, size_t task, void *scratch) {
  pith_gemm_u8s8_blocked_run(&code, args, threads, task, scratch);
}
