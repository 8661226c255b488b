/* Block-sparse products: included after sparse_gemm_u8s8_avx2.h or _avx512.h, ops/math/functions.h and the instruction set's
 *   GEMM_STEPS                        how many products with a unit's weights make a dot product: 1 or 2
 *   s16 sparse_inputs(step, x)        what 4 bytes of each token are in step `step`
 *   s16 sparse_weights(step, w)       what 4 bytes of an output are, the same for each token
 *   s16 gemm_dot(sums, x, w)
 *
 * A unit is 4 outputs x 4 inputs: for 64 tokens 16 accumulators, of which each unit adds 4 products of bytes to every lane. */
#ifndef PITH_OPS_SPARSE_GEMM_U8S8_BODY_H
#define PITH_OPS_SPARSE_GEMM_U8S8_BODY_H

#include "ops/sparse_gemm/sparse_gemm_u8s8_finish.h"

/* A group's sums for `vectors` x 16 tokens from x on. */
typedef struct sparse_group {
  const uint8_t *x, *unit, *end;
  const int32_t *w_sums;     /* [4] */
  const int32_t *minus_zero; /* of each token */
  bool zero_per_row;         /* else all are the first */
  int32_t *sums;             /* [4][64] */
} sparse_group;

V16_INLINE s16 sparse_broadcast(const uint8_t *w) {
  int32_t bytes;
  memcpy(&bytes, w, sizeof bytes);
  return s16_set(bytes);
}

V16_INLINE void sparse_start(const pith_sparse_form form, const size_t vectors, const sparse_group *g,
                             s16 sums[SPARSE_GROUP][SPARSE_PASS]) {
  if (!g->zero_per_row) {
    const uint32_t minus_zero = (uint32_t)g->minus_zero[0];
    PITH_UNROLL
    for (size_t o = 0; o < SPARSE_GROUP; ++o) {
      const s16 start = s16_set((int32_t)(minus_zero * (uint32_t)g->w_sums[o]));
      PITH_UNROLL
      for (size_t v = 0; v < vectors; ++v)
        sums[o][v] = start;
    }
    return;
  }
  s16 minus_zero[SPARSE_PASS];
  PITH_UNROLL
  for (size_t v = 0; v < vectors; ++v)
    minus_zero[v] = s16_load(g->minus_zero + 16 * v);
  if (form == PITH_SPARSE_B4X1_S8)
    sparse_order(vectors, minus_zero);
  PITH_UNROLL
  for (size_t o = 0; o < SPARSE_GROUP; ++o)
    PITH_UNROLL
    for (size_t v = 0; v < vectors; ++v)
      sums[o][v] = s16_mul(minus_zero[v], s16_set(g->w_sums[o]));
}

V16_INLINE void sparse_load(const pith_sparse_form form, const size_t vectors, const uint8_t *x, const uint8_t *unit,
                            s16 out[SPARSE_PASS]) {
  if (form == PITH_SPARSE_B4X4_S8) {
    uint32_t block;
    memcpy(&block, unit, sizeof block);
    x += (size_t)block * 4 * PITH_TILE_TOKENS;
    PITH_UNROLL
    for (size_t v = 0; v < vectors; ++v)
      out[v] = s16_load(x + 64 * v);
  } else {
    const uint8_t *in[4];
    PITH_UNROLL
    for (size_t i = 0; i < 4; ++i) {
      uint16_t input;
      memcpy(&input, unit + 2 * i, sizeof input);
      in[i] = x + (size_t)input * PITH_TILE_TOKENS;
    }
    sparse_interleave(vectors, in, out);
  }
}

V16_INLINE void sparse_multiply(const pith_sparse_form form, const size_t vectors, const sparse_group *g) {
  const size_t unit_bytes = form == PITH_SPARSE_B4X4_S8 ? 20 : 24;
  s16 sums[SPARSE_GROUP][SPARSE_PASS];
  sparse_start(form, vectors, g, sums);
  const uint8_t *x = g->x, *end = g->end;
#pragma GCC unroll 1
  for (const uint8_t *unit = g->unit; unit != end; unit += unit_bytes) {
    s16 inputs[SPARSE_PASS];
    sparse_load(form, vectors, x, unit, inputs);
    const uint8_t *weights = unit + unit_bytes - SPARSE_GROUP * 4;
    PITH_UNROLL
    for (int step = 0; step < GEMM_STEPS; ++step) {
      s16 a[SPARSE_PASS];
      PITH_UNROLL
      for (size_t v = 0; v < vectors; ++v)
        a[v] = sparse_inputs(step, inputs[v]);
      PITH_UNROLL
      for (size_t o = 0; o < SPARSE_GROUP; ++o) {
        const s16 w = sparse_weights(step, sparse_broadcast(weights + 4 * o));
        PITH_UNROLL
        for (size_t v = 0; v < vectors; ++v)
          sums[o][v] = gemm_dot(sums[o][v], a[v], w);
      }
    }
  }
  PITH_UNROLL
  for (size_t o = 0; o < SPARSE_GROUP; ++o) {
    if (form == PITH_SPARSE_B4X1_S8)
      sparse_order(vectors, sums[o]);
    PITH_UNROLL
    for (size_t v = 0; v < vectors; ++v)
      s16_store(g->sums + o * SPARSE_TOKENS + 16 * v, sums[o][v]);
  }
}

#define DEFINE_MULTIPLY(form, vectors)                                                                     \
  static void multiply_##form##_##vectors(const sparse_group *g) {                                         \
    sparse_multiply(PITH_SPARSE_##form, vectors, g);                                                       \
  }
DEFINE_MULTIPLY(B4X1_S8, 1)
DEFINE_MULTIPLY(B4X4_S8, 1)
#if SPARSE_WIDE
DEFINE_MULTIPLY(B4X1_S8, 2)
DEFINE_MULTIPLY(B4X1_S8, 4)
DEFINE_MULTIPLY(B4X4_S8, 2)
DEFINE_MULTIPLY(B4X4_S8, 3)
DEFINE_MULTIPLY(B4X4_S8, 4)
#endif

typedef void sparse_multiplier(const sparse_group *g);
/* [form][vectors - 1] */
static sparse_multiplier *const multipliers[][SPARSE_PASS] = {
#if SPARSE_WIDE
    [PITH_SPARSE_B4X1_S8] = {multiply_B4X1_S8_1, multiply_B4X1_S8_2, multiply_B4X1_S8_4, multiply_B4X1_S8_4},
    [PITH_SPARSE_B4X4_S8] = {multiply_B4X4_S8_1, multiply_B4X4_S8_2, multiply_B4X4_S8_3, multiply_B4X4_S8_4},
#else
    [PITH_SPARSE_B4X1_S8] = {multiply_B4X1_S8_1},
    [PITH_SPARSE_B4X4_S8] = {multiply_B4X4_S8_1},
#endif
};

V16_INLINE void sparse_range_as(const sparse_kind kind, const bool is_activated, const sparse_finish *f,
                                const int32_t *minus_zero) {
  const pith_sparse_gemm_u8s8_range *r = f->range;
  const size_t unit_bytes = r->w.unit_bytes, token_bytes = r->form == PITH_SPARSE_B4X4_S8 ? 4 : 1;
  _Alignas(64) int32_t sums[SPARSE_GROUP * SPARSE_TOKENS];
  sparse_group g = {.zero_per_row = r->x_per_row};
  for (size_t group = r->first; group < r->last; ++group) {
    g.unit = r->w.units + r->w.starts[group] * unit_bytes;
    g.end = r->w.units + r->w.starts[group + 1] * unit_bytes;
    g.w_sums = r->w.sums + group * SPARSE_GROUP;
    for (size_t v = 0; v < f->vectors; v += SPARSE_PASS) {
      g.x = r->x + 16 * v * token_bytes;
      g.minus_zero = minus_zero + 16 * v;
      g.sums = sums + 16 * v;
      multipliers[r->form][f->vectors - v < SPARSE_PASS ? f->vectors - v - 1 : SPARSE_PASS - 1](&g);
    }
    sparse_finish_group(kind, is_activated, f, group, sums);
  }
}

static void run_range(const pith_sparse_gemm_u8s8_range *r) {
  int32_t minus_zero[SPARSE_TOKENS] = {0};
  sparse_finish f = {.range = r, .vectors = (r->tokens + 15) / 16};
  for (size_t t = 0; t < SPARSE_TOKENS; ++t) {
    const bool is_there = t < r->tokens;
    const size_t at = r->x_per_row && is_there ? t : 0;
    minus_zero[t] = -(int32_t)r->x_zero[at];
    f.x_scale[t] = is_there ? r->x_scale[at] : 0.0f;
  }
  if (r->q) {
    const quantizer to_8bit = quantizer_make(r->q_type, r->q_scale, r->q_zero);
    f.inverse = to_8bit.inverse;
    f.top = to_8bit.top;
    f.zeros = s16_set(r->q_zero);
    f.is_u8 = r->q_type == PITH_NUMBER_U8;
    f.is_x4 = r->q_layout == PITH_ACTIVATION_LAYOUT_TILE64X4;
  }
  const bool gelu = r->activation == PITH_ACTIVATION_GELU && r->for_8bit;
  const bool is_alone = !r->y != !r->q; /* one output */
  if (is_alone && r->activation == PITH_ACTIVATION_NONE && !r->residual && r->y)
    sparse_range_as((sparse_kind){false, false, true, false}, false, &f, minus_zero);
  else if (is_alone && r->activation == PITH_ACTIVATION_NONE && r->residual && r->y)
    sparse_range_as((sparse_kind){false, true, true, false}, false, &f, minus_zero);
  else if (is_alone && r->activation == PITH_ACTIVATION_NONE && !r->residual)
    sparse_range_as((sparse_kind){false, false, false, true}, false, &f, minus_zero);
  else if (is_alone && gelu && !r->residual && r->q)
    sparse_range_as((sparse_kind){true, false, false, true}, false, &f, minus_zero);
  else if (is_alone && gelu && !r->residual)
    sparse_range_as((sparse_kind){true, false, true, false}, false, &f, minus_zero);
  else
    sparse_range_as((sparse_kind){false, r->residual, r->y, r->q}, true, &f, minus_zero);
}

static const pith_sparse_gemm_u8s8_code code = {.run_range = run_range, .quantize_tile = sparse_quantize_tile};

static void run(const void *args, size_t threads, size_t task, void *scratch) {
  pith_sparse_gemm_u8s8_run(&code, args, threads, task, scratch);
}

#endif
