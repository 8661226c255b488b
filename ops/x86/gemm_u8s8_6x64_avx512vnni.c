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

/* Where the sum of a tile has got to. */
typedef struct cursor {
  const uint8_t *x[MAX_POINTERS];
  const int8_t *w;
  const char *next, *next_end;
} cursor;

V16_INLINE void tile_sum(const size_t rows, const size_t vectors, const pith_gemm_u8s8_tile *t, size_t groups, cursor *at,
                         __m512i sums[][MAX_VECTORS]) {
  const size_t block = t->block_bytes, stride = t->x_stride, pointers = (rows + POINTER_ROWS - 1) / POINTER_ROWS;
  cursor c = *at;
#pragma GCC unroll 1
  for (; groups > 0; --groups) {
    __m512i b[MAX_VECTORS];
#pragma GCC unroll 4
    for (size_t j = 0; j < vectors; ++j)
      b[j] = _mm512_loadu_si512(c.w + j * block);
#pragma GCC unroll 6
    for (size_t i = 0; i < rows; ++i) {
      const __m512i a = broadcast(c.x[i / POINTER_ROWS] + i % POINTER_ROWS * stride);
#pragma GCC unroll 4
      for (size_t j = 0; j < vectors; ++j)
        sums[i][j] = _mm512_dpbusd_epi32(sums[i][j], a, b[j]);
    }
    __builtin_prefetch(c.next, 0, 2);
    c.next += c.next < c.next_end ? 64 : 0;
    c.w += PITH_GEMM_U8S8_GROUP_BYTES;
    for (size_t p = 0; p < pointers; ++p)
      c.x[p] += 4;
  }
  *at = c;
}

/* The last k % 4 inputs, without a read past them. */
V16_INLINE void tile_sum_rest(const size_t rows, const size_t vectors, const pith_gemm_u8s8_tile *t, const cursor *at,
                              __m512i sums[][MAX_VECTORS]) {
  const size_t rest = t->k % 4;
  if (rest > 0)
#pragma GCC unroll 6
    for (size_t i = 0; i < rows; ++i) {
      uint32_t bytes = 0;
      for (size_t n = 0; n < rest; ++n)
        bytes |= (uint32_t)at->x[i / POINTER_ROWS][i % POINTER_ROWS * t->x_stride + n] << 8 * n;
      const __m512i a = _mm512_set1_epi32((int32_t)bytes);
#pragma GCC unroll 4
      for (size_t j = 0; j < vectors; ++j)
        sums[i][j] = _mm512_dpbusd_epi32(sums[i][j], a, _mm512_loadu_si512(at->w + j * t->block_bytes));
    }
}

V16_INLINE void tile(const size_t rows, const size_t vectors, const bool finishes, const gemm_kind kind,
                     const pith_gemm_u8s8_tile *t, const pith_gemm_u8s8_finish *before) {
  const size_t groups = t->k / 4;
  __m512i sums[PITH_GEMM_U8S8_MAX_ROWS][MAX_VECTORS];
  tile_start(rows, vectors, t, t->w + pith_gemm_u8s8_groups(t->k) * PITH_GEMM_U8S8_GROUP_BYTES, sums);
  cursor at = {.w = t->w, .next = t->next, .next_end = t->next + t->next_lines * 64};
  for (size_t i = 0; i < rows; i += POINTER_ROWS)
    at.x[i / POINTER_ROWS] = t->x + i * t->x_stride;
  if (finishes) {
    const quantizer to_8bit = gemm_quantizer(before);
    const size_t share = groups / PITH_GEMM_U8S8_MAX_ROWS;
    const char *out = t->out, *residual = t->residual;
#pragma GCC unroll 1
    for (size_t i = 0; i < before->rows; ++i) {
#pragma GCC unroll 4
      for (size_t line = 0; line < 4; ++line) {
        if (!kind.q)
          __builtin_prefetch(out + 64 * line, 1, 3);
        if (kind.residual)
          __builtin_prefetch(residual + 64 * line, 0, 3);
      }
      out += t->out_stride;
      residual += t->residual_stride;
      tile_sum(rows, vectors, t, share, &at, sums);
      gemm_finish_row(kind, before, &to_8bit, i, PITH_GEMM_U8S8_PANEL, m16_first(0));
    }
    tile_sum(rows, vectors, t, groups - share * before->rows, &at, sums);
  } else
    tile_sum(rows, vectors, t, groups, &at, sums);
  tile_sum_rest(rows, vectors, t, &at, sums);
  int32_t *out = t->sums;
#pragma GCC unroll 6
  for (size_t i = 0; i < rows; ++i)
#pragma GCC unroll 4
    for (size_t j = 0; j < vectors; ++j)
      _mm512_storeu_si512(out + i * PITH_GEMM_U8S8_PANEL + 16 * j, sums[i][j]);
}

#define DEFINE_TILE(rows, vectors)                                                                         \
  static void tile_##rows##x##vectors(const pith_gemm_u8s8_tile *t) {                                      \
    tile(rows, vectors, false, GEMM_KIND_F32, t, NULL);                                                                                \
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

#define DEFINE_BOTH(rows, kind)                                                                            \
  static void both_##rows##_##kind(const pith_gemm_u8s8_tile *t, const pith_gemm_u8s8_finish *before) {    \
    tile(rows, MAX_VECTORS, true, GEMM_KIND_##kind, t, before);                                            \
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

static bool multiply_and_finish(size_t rows, const pith_gemm_u8s8_tile *t, const pith_gemm_u8s8_finish *before) {
  if (rows < BOTH_ROWS || before->kind == PITH_GEMM_U8S8_OTHER)
    return false;
  both[rows - BOTH_ROWS][before->kind](t, before);
  return true;
}

static void finish(const pith_gemm_u8s8_finish *f) {
  gemm_finish_sums(f);
}

static void quantize_whole_row(const pith_quantized_rows *q, size_t row, const float *z, size_t n) {
  quantize_row(q, row, z, n);
}

static const pith_gemm_u8s8_code code = {
    .tile_rows = PITH_GEMM_U8S8_MAX_ROWS,
    .vectors = MAX_VECTORS,
    .multiply = multiply,
    .finish = finish,
    .multiply_and_finish = multiply_and_finish,
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
