/* Block-sparse products: included after sparse_gemm_u8s8_avx2.h or _avx512.h, ops/math/functions.h and the instruction set's
 *   GEMM_STEPS                        how many products with a unit's weights make a dot product: 1 or 2
 *   s16 sparse_inputs(step, x)        what 4 bytes of each token are in step `step`
 *   s16 sparse_weights(step, w)       what 4 bytes of an output are, the same for each token
 *   s16 gemm_dot(sums, x, w)
 *   SPARSE_WIDE                       1: SPARSE_PASS is 4
 *   SPARSE_FUSES                      1: whole groups are finished from registers; worth its code where products take little time
 *
 * A unit is 4 outputs x 4 inputs: for 64 tokens 16 accumulators, of which each unit adds 4 products of bytes to every lane. */
#ifndef PITH_OPS_SPARSE_GEMM_U8S8_BODY_H
#define PITH_OPS_SPARSE_GEMM_U8S8_BODY_H

#include "ops/sparse_gemm/sparse_gemm_u8s8_finish.h"

enum { SPARSE_AHEAD = 2 /* groups that lines of results are asked for early */ };

/* A group's sums for `vectors` x 16 tokens from x on. */
typedef struct sparse_group {
  const uint8_t *x, *unit, *end;
  const int32_t *w_sums;     /* [4] */
  const int32_t *minus_zero; /* of each token */
  bool zero_per_row;         /* else all are the first */
  void *sums;                /* s32 [4][64] */
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

V16_INLINE void sparse_sum(const pith_sparse_form form, const size_t vectors, const sparse_group *g,
                           s16 sums[SPARSE_GROUP][SPARSE_PASS]) {
  const size_t unit_bytes = form == PITH_SPARSE_B4X4_S8 ? 20 : 24;
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
  if (form == PITH_SPARSE_B4X1_S8) {
    PITH_UNROLL
    for (size_t o = 0; o < SPARSE_GROUP; ++o)
      sparse_order(vectors, sums[o]);
  }
}

V16_INLINE void sparse_store(const size_t vectors, s16 sums[SPARSE_GROUP][SPARSE_PASS], int32_t *out) {
  PITH_UNROLL
  for (size_t o = 0; o < SPARSE_GROUP; ++o)
    PITH_UNROLL
    for (size_t v = 0; v < vectors; ++v)
      s16_store(out + o * SPARSE_TOKENS + 16 * v, sums[o][v]);
}

V16_INLINE void sparse_multiply(const pith_sparse_form form, const size_t vectors, const sparse_group *g) {
  s16 sums[SPARSE_GROUP][SPARSE_PASS];
  sparse_sum(form, vectors, g, sums);
  sparse_store(vectors, sums, g->sums);
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

static void sparse_aim(const pith_sparse_gemm_u8s8_range *r, size_t group, sparse_group *g) {
  g->unit = r->w.units + r->w.starts[group] * r->w.unit_bytes;
  g->end = r->w.units + r->w.starts[group + 1] * r->w.unit_bytes;
  g->w_sums = r->w.sums + group * SPARSE_GROUP;
}

static void sparse_run_any(const sparse_finish *f, size_t first, size_t last, sparse_group g) {
  const pith_sparse_gemm_u8s8_range *r = f->range;
  const size_t token_bytes = r->form == PITH_SPARSE_B4X4_S8 ? 4 : 1;
  const int32_t *minus_zero = g.minus_zero;
  _Alignas(64) float sums[SPARSE_GROUP * SPARSE_TOKENS]; /* s32 at first */
  for (size_t group = first; group < last; ++group) {
    sparse_aim(r, group, &g);
    for (size_t v = 0; v < f->vectors; v += SPARSE_PASS) {
      g.x = r->x + 16 * v * token_bytes;
      g.minus_zero = minus_zero + 16 * v;
      g.sums = sums + 16 * v;
      multipliers[r->form][f->vectors - v < SPARSE_PASS ? f->vectors - v - 1 : SPARSE_PASS - 1](&g);
    }
    sparse_finish_group(f, group, sums);
  }
}

/* Asks for the lines of floats that finishing a group, a little ahead, will read and write. */
V16_INLINE void sparse_fetch(const pith_sparse_gemm_u8s8_range *r, size_t group) {
  const size_t at = (group + SPARSE_AHEAD) * SPARSE_GROUP * SPARSE_TOKENS;
  if (r->residual)
    for (size_t i = 0; i < SPARSE_GROUP * SPARSE_TOKENS; i += 16)
      __builtin_prefetch(r->residual + at + i, 0, 3);
  if (r->y)
    for (size_t i = 0; i < SPARSE_GROUP * SPARSE_TOKENS; i += 16)
      __builtin_prefetch(r->y + at + i, 1, 3);
}

#if SPARSE_FUSES
/* Whole groups of a whole tile: from registers. */
V16_INLINE void sparse_run_whole(const pith_sparse_form form, const sparse_kind kind, const sparse_finish *f, size_t first,
                                 size_t last, sparse_group g) {
  for (size_t group = first; group < last; ++group) {
    s16 sums[SPARSE_GROUP][SPARSE_PASS];
    sparse_aim(f->range, group, &g);
    sparse_fetch(f->range, group);
    sparse_sum(form, SPARSE_PASS, &g, sums);
    const sparse_outputs outputs = sparse_get_outputs(f, group);
    if (kind == SPARSE_GELU) { /* takes so long that a way by memory is worth a quarter of the code */
      _Alignas(64) int32_t stored[SPARSE_GROUP * SPARSE_TOKENS];
      sparse_store(SPARSE_PASS, sums, stored);
#pragma GCC unroll 1
      for (size_t v = 0; v < SPARSE_PASS; ++v) {
        v16 of_v[SPARSE_GROUP];
        PITH_UNROLL
        for (size_t o = 0; o < SPARSE_GROUP; ++o)
          of_v[o] = gemm_load_sums(stored + o * SPARSE_TOKENS + 16 * v);
        sparse_finish_vector(kind, true, f, &outputs, v, of_v);
      }
      continue;
    }
    PITH_UNROLL
    for (size_t v = 0; v < SPARSE_PASS; ++v) {
      v16 of_v[SPARSE_GROUP];
      PITH_UNROLL
      for (size_t o = 0; o < SPARSE_GROUP; ++o)
        of_v[o] = gemm_to_floats(sums[o][v]);
      sparse_finish_vector(kind, true, f, &outputs, v, of_v);
    }
  }
}

#define DEFINE_RUN_WHOLE(form, kind)                                                                       \
  static void run_whole_##form##_##kind(const sparse_finish *f, size_t first, size_t last, sparse_group g) { \
    sparse_run_whole(PITH_SPARSE_##form, SPARSE_##kind, f, first, last, g);                                \
  }
DEFINE_RUN_WHOLE(B4X1_S8, NONE)
DEFINE_RUN_WHOLE(B4X1_S8, GELU)
DEFINE_RUN_WHOLE(B4X4_S8, NONE)
DEFINE_RUN_WHOLE(B4X4_S8, GELU)
#endif

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
  const sparse_group g = {.x = r->x, .minus_zero = minus_zero, .zero_per_row = r->x_per_row};
  size_t first = r->first;
#if SPARSE_FUSES
  const size_t whole = r->n / SPARSE_GROUP < r->last ? r->n / SPARSE_GROUP : r->last;
  const bool gelu = r->activation == PITH_ACTIVATION_GELU && r->for_8bit;
  if (f.vectors == SPARSE_PASS && first < whole && (gelu || r->activation == PITH_ACTIVATION_NONE)) {
    if (r->form == PITH_SPARSE_B4X1_S8)
      (gelu ? run_whole_B4X1_S8_GELU : run_whole_B4X1_S8_NONE)(&f, first, whole, g);
    else
      (gelu ? run_whole_B4X4_S8_GELU : run_whole_B4X4_S8_NONE)(&f, first, whole, g);
    first = whole;
  }
#endif
  sparse_run_any(&f, first, r->last, g);
}

static const pith_sparse_gemm_u8s8_code code = {.run_range = run_range, .quantize_tile = sparse_quantize_tile};

static void run(const void *args, size_t threads, size_t task, void *scratch) {
  pith_sparse_gemm_u8s8_run(&code, args, threads, task, scratch);
}

#endif
