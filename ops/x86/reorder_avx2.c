/* At the caches' speed: wider registers gain under a tenth. */
#include "ops/math/v16_avx2.h"

#include "ops/copy/reorder_internal.h"
#include "ops/quantize/weave_avx2.h"

enum { TILE_STEP = PITH_TILE_TOKENS };

V16_INLINE __m128i load_lane(const uint8_t *p) {
  return _mm_loadu_si128((const __m128i *)(const void *)p);
}
V16_INLINE void store_lane(uint8_t *p, __m128i a) {
  _mm_storeu_si128((__m128i *)(void *)p, a);
}

static void transpose_words(const uint8_t *from, size_t from_step, uint8_t *to, size_t to_step) {
  v16 v[16];
  PITH_UNROLL
  for (size_t i = 0; i < 16; ++i)
    v[i] = v16_load((const float *)(const void *)(from + i * from_step));
  v16_transpose(v);
  PITH_UNROLL
  for (size_t i = 0; i < 16; ++i)
    v16_store((float *)(void *)(to + i * to_step), v[i]);
}

/* Four times the same shuffle of all. */
static void transpose_bytes(const uint8_t *from, size_t from_step, uint8_t *to, size_t to_step) {
  __m128i v[16];
  PITH_UNROLL
  for (size_t i = 0; i < 16; ++i)
    v[i] = load_lane(from + i * from_step);
  PITH_UNROLL
  for (size_t stage = 0; stage < 4; ++stage) {
    __m128i t[16];
    PITH_UNROLL
    for (size_t i = 0; i < 8; ++i) {
      t[2 * i] = _mm_unpacklo_epi8(v[i], v[i + 8]);
      t[2 * i + 1] = _mm_unpackhi_epi8(v[i], v[i + 8]);
    }
    PITH_UNROLL
    for (size_t i = 0; i < 16; ++i)
      v[i] = t[i];
  }
  PITH_UNROLL
  for (size_t i = 0; i < 16; ++i)
    store_lane(to + i * to_step, v[i]);
}

static void join(const uint8_t *tile64, size_t groups, size_t vectors, uint8_t *tile64x4) {
  for (size_t g = 0; g < groups; ++g)
    for (size_t v = 0; v < vectors; ++v)
      weave_16(tile64 + g * 4 * TILE_STEP + v * 16, TILE_STEP, tile64x4 + (g * TILE_STEP + v * 16) * 4);
}

static void part(const uint8_t *tile64x4, size_t groups, size_t vectors, uint8_t *tile64) {
  const __m128i by_feature = _mm_setr_epi8(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15);
  for (size_t g = 0; g < groups; ++g)
    for (size_t v = 0; v < vectors; ++v) {
      const uint8_t *x = tile64x4 + (g * TILE_STEP + v * 16) * 4;
      uint8_t *y = tile64 + g * 4 * TILE_STEP + v * 16;
      /* A word is a feature of 4 tokens. */
      const __m128i a = _mm_shuffle_epi8(load_lane(x), by_feature), b = _mm_shuffle_epi8(load_lane(x + 16), by_feature);
      const __m128i c = _mm_shuffle_epi8(load_lane(x + 32), by_feature), d = _mm_shuffle_epi8(load_lane(x + 48), by_feature);
      const __m128i ab_low = _mm_unpacklo_epi32(a, b), ab_high = _mm_unpackhi_epi32(a, b);
      const __m128i cd_low = _mm_unpacklo_epi32(c, d), cd_high = _mm_unpackhi_epi32(c, d);
      store_lane(y, _mm_unpacklo_epi64(ab_low, cd_low));
      store_lane(y + TILE_STEP, _mm_unpackhi_epi64(ab_low, cd_low));
      store_lane(y + 2 * TILE_STEP, _mm_unpacklo_epi64(ab_high, cd_high));
      store_lane(y + 3 * TILE_STEP, _mm_unpackhi_epi64(ab_high, cd_high));
    }
}

static const pith_reorder_code code = {
    .bytes = transpose_bytes,
    .words = transpose_words,
    .join = join,
    .part = part,
};

static void run(const void *args, size_t threads, size_t task, void *scratch) {
  (void)scratch;
  pith_reorder_run(&code, args, threads, task);
}

const pith_kernel pith_reorder_avx2 = {
    .name = "reorder_avx2",
    .needs = PITH_CPU_AVX2,
    .count_tasks = pith_reorder_count_tasks,
    .run = run,
};
