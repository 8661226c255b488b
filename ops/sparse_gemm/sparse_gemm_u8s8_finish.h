/* Sums of a group to results: included after an instruction set's header (sparse_gemm_u8s8_avx2.h, _avx512.h) and
 * ops/math/functions.h. The same bits on each. */
#ifndef PITH_OPS_SPARSE_GEMM_U8S8_FINISH_H
#define PITH_OPS_SPARSE_GEMM_U8S8_FINISH_H

#include <string.h>

#include "ops/gemm/gemm_u8s8_activate.h"
#include "ops/quantize/quantize_rows.h"
#include "ops/sparse_gemm/sparse_gemm_u8s8_walk.h"

enum { SPARSE_GROUP = PITH_SPARSE_GROUP, SPARSE_TOKENS = PITH_TILE_TOKENS };

/* What stays the same over the groups of a range. */
typedef struct sparse_finish {
  const pith_sparse_gemm_u8s8_range *range;
  size_t vectors;               /* of 16 tokens */
  float x_scale[SPARSE_TOKENS]; /* 0 where there is no token */
  v16 inverse, top;             /* a quantizer's */
  s16 zeros;
  bool is_u8, is_x4;
} sparse_finish;

/* What an activation of the sums is made for: constants. */
typedef enum sparse_kind {
  SPARSE_NONE,
  SPARSE_GELU, /* for 8 bits */
  SPARSE_DONE, /* the sums are floats, activated already */
} sparse_kind;

/* What a group has of its own. */
typedef struct sparse_outputs {
  size_t at, count; /* the first of them, in a tile; how many exist */
  v16 scale[SPARSE_GROUP], bias[SPARSE_GROUP]; /* scale: of w and x, or of w where each token has its own */
} sparse_outputs;

V16_INLINE sparse_outputs sparse_get_outputs(const sparse_finish *f, size_t group) {
  const pith_sparse_gemm_u8s8_range *r = f->range;
  const size_t n0 = group * SPARSE_GROUP;
  sparse_outputs out = {.at = n0 * SPARSE_TOKENS, .count = r->n - n0 < SPARSE_GROUP ? r->n - n0 : SPARSE_GROUP};
  const v16 x_scale = v16_set(r->x_per_row ? 1.0f : f->x_scale[0]);
  PITH_UNROLL
  for (size_t o = 0; o < SPARSE_GROUP; ++o) {
    const size_t n = n0 + (o < out.count ? o : 0); /* one that does not exist is computed, and not stored */
    out.scale[o] = v16_mul(x_scale, v16_set(r->w_scale[n]));
    out.bias[o] = v16_set(r->bias ? r->bias[n] : 0.0f);
  }
  return out;
}

/* 16 tokens of sums to results. `whole`: all 4 outputs exist. */
V16_INLINE void sparse_finish_vector(const sparse_kind kind, const bool whole, const sparse_finish *f,
                                     const sparse_outputs *outputs, size_t v, const v16 sums[SPARSE_GROUP]) {
  const pith_sparse_gemm_u8s8_range *r = f->range;
  v16 z[SPARSE_GROUP], scale[SPARSE_GROUP];
  PITH_UNROLL
  for (size_t o = 0; o < SPARSE_GROUP; ++o)
    scale[o] = outputs->scale[o];
  if (kind != SPARSE_DONE && r->x_per_row) {
    PITH_UNROLL
    for (size_t o = 0; o < SPARSE_GROUP; ++o)
      scale[o] = v16_mul(v16_load(f->x_scale + 16 * v), scale[o]);
  }
  PITH_UNROLL
  for (size_t o = 0; o < SPARSE_GROUP; ++o) {
    z[o] = kind == SPARSE_DONE ? sums[o] : v16_fma(sums[o], scale[o], outputs->bias[o]);
    if (kind == SPARSE_GELU)
      z[o] = v16_gelu_8bit(z[o]);
  }
  if (r->residual) {
    const float *residual = r->residual + outputs->at + 16 * v;
    PITH_UNROLL
    for (size_t o = 0; o < SPARSE_GROUP; ++o)
      if (whole || o < outputs->count)
        z[o] = v16_add(z[o], v16_load(residual + o * SPARSE_TOKENS));
  }
  if (r->y) {
    float *y = r->y + outputs->at + 16 * v;
    PITH_UNROLL
    for (size_t o = 0; o < SPARSE_GROUP; ++o)
      if (whole || o < outputs->count)
        v16_store(y + o * SPARSE_TOKENS, z[o]);
  }
  if (r->q) {
    PITH_UNROLL
    for (size_t o = 0; o < SPARSE_GROUP; ++o)
      z[o] = v16_min(v16_mul(z[o], f->inverse), f->top);
    sparse_store_levels(r->q + outputs->at + (f->is_x4 ? 64 : 16) * v, f->is_x4, whole ? SPARSE_GROUP : outputs->count,
                        f->is_u8, f->zeros, z);
  }
}

/* A group's sums, [4][64], become activated floats in place. */
V16_INLINE void sparse_activate(const sparse_finish *f, const sparse_outputs *outputs, float *sums) {
  const pith_activation activation = f->range->activation;
  for (size_t o = 0; o < SPARSE_GROUP; ++o)
    for (size_t v = 0; v < f->vectors; ++v) {
      float *at = sums + o * SPARSE_TOKENS + 16 * v;
      v16 scale = outputs->scale[o];
      if (f->range->x_per_row)
        scale = v16_mul(v16_load(f->x_scale + 16 * v), scale);
      const v16 z = v16_fma(gemm_load_sums((const int32_t *)(const void *)at), scale, outputs->bias[o]);
      v16_store(at, f->range->for_8bit ? gemm_activate_8bit(activation, z) : gemm_activate(activation, z));
    }
}

/* A group of any kind and number of tokens, by way of memory; that is destroyed. */
V16_INLINE void sparse_finish_group(const sparse_finish *f, size_t group, float *sums) {
  const sparse_outputs outputs = sparse_get_outputs(f, group);
  sparse_activate(f, &outputs, sums);
  for (size_t v = 0; v < f->vectors; ++v) {
    v16 z[SPARSE_GROUP];
    PITH_UNROLL
    for (size_t o = 0; o < SPARSE_GROUP; ++o)
      z[o] = v16_load(sums + o * SPARSE_TOKENS + 16 * v);
    sparse_finish_vector(SPARSE_DONE, false, f, &outputs, v, z);
  }
}

/* A pith_sparse_gemm_u8s8_code's quantize_tile: lanes are tokens. */
static void sparse_quantize_tile(const pith_sparse_gemm_u8s8_tile_rows *rows) {
  const pith_quantized_tiles *q = &rows->q;
  const bool is_x4 = q->layout == PITH_ACTIVATION_LAYOUT_TILE64X4;
  for (size_t t = 0; t < rows->tokens; t += 16) {
    const size_t tokens = rows->tokens - t < 16 ? rows->tokens - t : 16;
    quantize_range range = quantize_range_start();
    for (size_t o = 0; o < rows->n; ++o)
      quantize_range_add(&range, v16_load(rows->z + o * SPARSE_TOKENS + t));
    quantize_scales scales;
    quantize_scales_make(v16_sub(v16_set(0.0f), range.low), range.high, q->type, &scales);
    memcpy(q->row_scale + t, scales.scale, tokens * sizeof *q->row_scale);
    if (q->row_zero)
      memcpy(q->row_zero + t, scales.zero, tokens);
    int32_t zeros[16];
    for (size_t i = 0; i < 16; ++i)
      zeros[i] = scales.zero[i];
    const v16 inverse = v16_load(scales.inverse), top = v16_load(scales.top);
    for (size_t n0 = 0; n0 < rows->n; n0 += SPARSE_GROUP) {
      const size_t outputs = rows->n - n0 < SPARSE_GROUP ? rows->n - n0 : SPARSE_GROUP;
      v16 z[SPARSE_GROUP];
      PITH_UNROLL
      for (size_t o = 0; o < SPARSE_GROUP; ++o)
        z[o] = v16_min(v16_mul(v16_load(rows->z + (n0 + (o < outputs ? o : 0)) * SPARSE_TOKENS + t), inverse), top);
      sparse_store_levels((uint8_t *)q->q + n0 * SPARSE_TOKENS + (is_x4 ? 4 : 1) * t, is_x4, outputs, !scales.is_signed,
                          s16_load(zeros), z);
    }
  }
}

#endif
