/* Tiles of 6 rows x 64 outputs in 32 registers: 24 sums, 4 vectors of weights, one of inputs. Included after what
 * gemm_u8s8_tile.h wants and
 *   GEMM_WIDEN      a pith_gemm_u8s8_code's, or NULL
 *   GEMM_OVERLAPS   1: tiles finish the one before meanwhile; worth its code where products take little time */
#include "ops/gemm/gemm_u8s8_tile.h"

#define DEFINE_TILE(rows, vectors)                                                                         \
  static void tile_##rows##x##vectors(const pith_gemm_u8s8_tile *t) {                                      \
    gemm_tile(rows, vectors, false, GEMM_KIND_F32, t, NULL);                                                                                \
  }
#define DEFINE_ROW(rows) DEFINE_TILE(rows, 1) DEFINE_TILE(rows, 2) DEFINE_TILE(rows, 3) DEFINE_TILE(rows, 4)
DEFINE_ROW(1)
DEFINE_ROW(2)
DEFINE_ROW(3)
DEFINE_ROW(4)
DEFINE_ROW(5)
DEFINE_ROW(6)

#define ROW(rows) {tile_##rows##x1, tile_##rows##x2, tile_##rows##x3, tile_##rows##x4}
/* [rows - 1][vectors - 1] */
static void (*const tiles[PITH_GEMM_U8S8_MAX_ROWS][GEMM_MAX_VECTORS])(const pith_gemm_u8s8_tile *) = {
    ROW(1), ROW(2), ROW(3), ROW(4), ROW(5), ROW(6),
};

static void multiply(size_t rows, size_t vectors, const pith_gemm_u8s8_tile *t) {
  tiles[rows - 1][vectors - 1](t);
}

#if GEMM_OVERLAPS
#define DEFINE_BOTH(rows, kind)                                                                            \
  static void both_##rows##_##kind(const pith_gemm_u8s8_tile *t, const pith_gemm_u8s8_finish *before) {    \
    gemm_tile(rows, GEMM_MAX_VECTORS, true, GEMM_KIND_##kind, t, before);                                            \
  }
#define DEFINE_BOTH_KINDS(rows)                                                                            \
  DEFINE_BOTH(rows, F32)                                                                                   \
  DEFINE_BOTH(rows, RESIDUAL) DEFINE_BOTH(rows, Q) DEFINE_BOTH(rows, GELU_Q) DEFINE_BOTH(rows, GELU_Y)
DEFINE_BOTH_KINDS(5)
DEFINE_BOTH_KINDS(6)

/* Other rows are those of calls with a few only. */
enum { BOTH_ROWS = 5 };
#define BOTH_KINDS(rows)                                                                                   \
  {                                                                                                        \
    [PITH_GEMM_U8S8_F32] = both_##rows##_F32, [PITH_GEMM_U8S8_RESIDUAL] = both_##rows##_RESIDUAL,          \
    [PITH_GEMM_U8S8_Q] = both_##rows##_Q, [PITH_GEMM_U8S8_GELU_Q] = both_##rows##_GELU_Q,                  \
    [PITH_GEMM_U8S8_GELU_Y] = both_##rows##_GELU_Y                                                         \
  }
/* [rows - BOTH_ROWS][kind] */
static void (*const both[][PITH_GEMM_U8S8_OTHER])(const pith_gemm_u8s8_tile *, const pith_gemm_u8s8_finish *) = {
    BOTH_KINDS(5), BOTH_KINDS(6)};

static void multiply_and_finish(size_t rows, const pith_gemm_u8s8_tile *t, const pith_gemm_u8s8_finish *before) {
  both[rows - BOTH_ROWS][before->kind](t, before);
}

static bool can_finish(size_t rows, const pith_gemm_u8s8_finish *before) {
  return rows >= BOTH_ROWS && before->kind != PITH_GEMM_U8S8_OTHER;
}
#endif

static void finish(const pith_gemm_u8s8_finish *f) {
  gemm_finish_sums(f);
}

static void quantize_whole_row(const pith_quantized_rows *q, size_t row, const float *z, size_t n) {
  quantize_row(q, row, z, n);
}

static const pith_gemm_u8s8_code code = {
    .widen = GEMM_WIDEN,
    .tile_rows = PITH_GEMM_U8S8_MAX_ROWS,
    .vectors = GEMM_MAX_VECTORS,
    .multiply = multiply,
    .finish = finish,
#if GEMM_OVERLAPS
    .multiply_and_finish = multiply_and_finish,
    .can_finish = can_finish,
#endif
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
