/* Tiles of 6 rows x 64 outputs: 24 sums, 4 vectors of weights, one of inputs in 32 registers. */
#include "ops/math/v16_avx512.h"

#include "ops/math/functions.h"

#include <stdbool.h>
#include <string.h>

V16_INLINE v16 gemm_load_sums(const int32_t *p) {
  return _mm512_cvtepi32_ps(_mm512_loadu_si512(p));
}

V16_INLINE __m512i round_level(v16 level, int32_t zero) {
  return _mm512_add_epi32(_mm512_cvtps_epi32(level), _mm512_set1_epi32(zero));
}

/* Packing works within 128-bit lanes: 4 bytes of each vector lie side by side until put in order. */
V16_INLINE void gemm_store_levels(uint8_t *q, bool is_u8, int32_t zero, const v16 levels[4]) {
  const __m512i low = _mm512_packs_epi32(round_level(levels[0], zero), round_level(levels[1], zero));
  const __m512i high = _mm512_packs_epi32(round_level(levels[2], zero), round_level(levels[3], zero));
  const __m512i bytes = is_u8 ? _mm512_packus_epi16(low, high) : _mm512_packs_epi16(low, high);
  const __m512i order = _mm512_setr_epi32(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15);
  _mm512_storeu_si512(q, _mm512_permutexvar_epi32(order, bytes));
}

#include "ops/gemm/gemm_u8s8_finish.h"

enum { MAX_VECTORS = 4, POINTER_ROWS = 3, MAX_POINTERS = 2 };

V16_INLINE __m512i broadcast(const uint8_t *p) {
  int32_t bytes;
  memcpy(&bytes, p, sizeof bytes);
  return _mm512_set1_epi32(bytes);
}

V16_INLINE void tile_start(const size_t rows, const size_t vectors, const pith_gemm_u8s8_tile *t, const int8_t *w_sums,
                           __m512i sums[][MAX_VECTORS]) {
  const size_t block = t->block_bytes;
#pragma GCC unroll 4
  for (size_t j = 0; j < vectors; ++j) {
    const __m512i of_w = _mm512_loadu_si512(w_sums + j * block);
    if (t->zero_per_row) {
#pragma GCC unroll 6
      for (size_t i = 0; i < rows; ++i)
        sums[i][j] = _mm512_mullo_epi32(of_w, _mm512_set1_epi32(t->minus_zero[i]));
    } else {
      const __m512i start = _mm512_mullo_epi32(of_w, _mm512_set1_epi32(t->minus_zero[0]));
#pragma GCC unroll 6
      for (size_t i = 0; i < rows; ++i)
        sums[i][j] = start;
    }
  }
}

V16_INLINE void tile(const size_t rows, const size_t vectors, const pith_gemm_u8s8_tile *t) {
  const size_t groups = t->k / 4, block = t->block_bytes, stride = t->x_stride, pointers = (rows + POINTER_ROWS - 1) / POINTER_ROWS;
  const int8_t *w = t->w;
  const char *next = t->next;
  const char *const next_end = next + t->next_lines * 64;
  __m512i sums[PITH_GEMM_U8S8_MAX_ROWS][MAX_VECTORS];
  tile_start(rows, vectors, t, w + pith_gemm_u8s8_groups(t->k) * PITH_GEMM_U8S8_GROUP_BYTES, sums);
  const uint8_t *x[MAX_POINTERS];
  for (size_t p = 0; p < pointers; ++p)
    x[p] = t->x + POINTER_ROWS * p * stride;
#pragma GCC unroll 1
  for (size_t g = 0; g < groups; ++g) {
    __m512i b[MAX_VECTORS];
#pragma GCC unroll 4
    for (size_t j = 0; j < vectors; ++j)
      b[j] = _mm512_loadu_si512(w + j * block);
#pragma GCC unroll 6
    for (size_t i = 0; i < rows; ++i) {
      const __m512i a = broadcast(x[i / POINTER_ROWS] + i % POINTER_ROWS * stride);
#pragma GCC unroll 4
      for (size_t j = 0; j < vectors; ++j)
        sums[i][j] = _mm512_dpbusd_epi32(sums[i][j], a, b[j]);
    }
    __builtin_prefetch(next, 0, 2);
    next += next < next_end ? 64 : 0;
    w += PITH_GEMM_U8S8_GROUP_BYTES;
    for (size_t p = 0; p < pointers; ++p)
      x[p] += 4;
  }
  const size_t rest = t->k % 4;
  if (rest > 0)
#pragma GCC unroll 6
    for (size_t i = 0; i < rows; ++i) {
      uint32_t bytes = 0;
      for (size_t n = 0; n < rest; ++n)
        bytes |= (uint32_t)x[i / POINTER_ROWS][i % POINTER_ROWS * stride + n] << 8 * n;
#pragma GCC unroll 4
      for (size_t j = 0; j < vectors; ++j)
        sums[i][j] = _mm512_dpbusd_epi32(sums[i][j], _mm512_set1_epi32((int32_t)bytes), _mm512_loadu_si512(w + j * block));
    }
  int32_t *out = t->sums;
#pragma GCC unroll 6
  for (size_t i = 0; i < rows; ++i)
#pragma GCC unroll 4
    for (size_t j = 0; j < vectors; ++j)
      _mm512_storeu_si512(out + i * PITH_GEMM_U8S8_PANEL + 16 * j, sums[i][j]);
}

#define DEFINE_TILE(rows, vectors)                                                                         \
  static void tile_##rows##x##vectors(const pith_gemm_u8s8_tile *t) {                                      \
    tile(rows, vectors, t);                                                                                \
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
static void (*const tiles[PITH_GEMM_U8S8_MAX_ROWS][MAX_VECTORS])(const pith_gemm_u8s8_tile *) = {
    ROW(1), ROW(2), ROW(3), ROW(4), ROW(5), ROW(6),
};

static void multiply(size_t rows, size_t vectors, const pith_gemm_u8s8_tile *t) {
  tiles[rows - 1][vectors - 1](t);
}

static void finish(size_t rows, const pith_gemm_u8s8_finish *f) {
  gemm_finish_sums(rows, f);
}

static void quantize_whole_row(const pith_quantized_rows *q, size_t row, const float *z, size_t n) {
  quantize_row(q, row, z, n);
}

static const pith_gemm_u8s8_code code = {
    .tile_rows = PITH_GEMM_U8S8_MAX_ROWS,
    .vectors = MAX_VECTORS,
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

const pith_kernel pith_gemm_u8s8_6x64_avx512vnni = {
    .name = "gemm_u8s8_6x64_avx512vnni",
    .needs = PITH_CPU_AVX512VNNI | PITH_CPU_AVX512,
    .count_tasks = count_tasks,
    .get_scratch_bytes = get_scratch_bytes,
    .run = run,
};
