/* Sums of a group to results: included after an instruction set's header (sparse_gemm_u8s8_avx2.h, _avx512.h) and
 * ops/math/functions.h. The same bits on each. */
#ifndef PITH_OPS_SPARSE_GEMM_U8S8_FINISH_H
#define PITH_OPS_SPARSE_GEMM_U8S8_FINISH_H

#include <string.h>

#include "ops/gemm/gemm_u8s8_activate.h"
#include "ops/quantize/quantize_rows.h"
#include "ops/sparse_gemm/sparse_gemm_u8s8_walk.h"

enum { SPARSE_GROUP = PITH_SPARSE_GROUP, SPARSE_TOKENS = PITH_TILE_TOKENS };

/* What a loop is made for: constants in the usual cases. */
typedef struct sparse_kind {
  bool gelu; /* the one for 8 bits */
  bool residual, y, q;
} sparse_kind;

/* What stays the same over the groups of a range. */
typedef struct sparse_finish {
  const pith_sparse_gemm_u8s8_range *range;
  size_t vectors;                 /* of 16 tokens */
  float x_scale[SPARSE_TOKENS];   /* 0 where there is no token */
  v16 inverse, top;               /* a quantizer's */
  s16 zeros;
  bool is_u8, is_x4;
} sparse_finish;

/* Whatever is not of the usual kinds: the sums become results in place, so that only residuals and outputs are left to do. */
__attribute__((noinline)) static void sparse_activate(const sparse_finish *f, const float w_scale[SPARSE_GROUP],
                                                      const float bias[SPARSE_GROUP], float *sums) {
  for (size_t o = 0; o < SPARSE_GROUP; ++o)
    for (size_t v = 0; v < f->vectors; ++v) {
      float *at = sums + o * SPARSE_TOKENS + 16 * v;
      const v16 scale = v16_mul(v16_load(f->x_scale + 16 * v), v16_set(w_scale[o]));
      const v16 z = v16_fma(gemm_load_sums((const int32_t *)(const void *)at), scale, v16_set(bias[o]));
      v16_store(at, f->range->for_8bit ? gemm_activate_8bit(f->range->activation, z) : gemm_activate(f->range->activation, z));
    }
}

/* `is_activated`: sums are what sparse_activate left. */
V16_INLINE void sparse_finish_group(const sparse_kind kind, const bool is_activated, const sparse_finish *f, size_t group,
                                    const int32_t *sums) {
  const pith_sparse_gemm_u8s8_range *r = f->range;
  const size_t n0 = group * SPARSE_GROUP, outputs = r->n - n0 < SPARSE_GROUP ? r->n - n0 : SPARSE_GROUP;
  float w_scale[SPARSE_GROUP] = {0}, bias[SPARSE_GROUP] = {0};
  if (outputs == SPARSE_GROUP) {
    memcpy(w_scale, r->w_scale + n0, sizeof w_scale);
    if (r->bias)
      memcpy(bias, r->bias + n0, sizeof bias);
  } else {
    for (size_t o = 0; o < outputs; ++o) {
      w_scale[o] = r->w_scale[n0 + o];
      bias[o] = r->bias ? r->bias[n0 + o] : 0.0f;
    }
  }
  float activated[SPARSE_GROUP * SPARSE_TOKENS];
  if (is_activated) {
    memcpy(activated, sums, sizeof activated);
    sparse_activate(f, w_scale, bias, activated);
  }
  const size_t at = n0 * SPARSE_TOKENS;
  for (size_t v = 0; v < f->vectors; ++v) {
    const v16 x_scale = v16_load(f->x_scale + 16 * v);
    v16 z[SPARSE_GROUP];
    PITH_UNROLL
    for (size_t o = 0; o < SPARSE_GROUP; ++o) {
      const size_t place = o * SPARSE_TOKENS + 16 * v;
      if (is_activated) {
        z[o] = v16_load(activated + place);
      } else {
        z[o] = v16_fma(gemm_load_sums(sums + place), v16_mul(x_scale, v16_set(w_scale[o])), v16_set(bias[o]));
        if (kind.gelu)
          z[o] = v16_gelu_8bit(z[o]);
      }
      if (o >= outputs)
        continue;
      if (kind.residual)
        z[o] = v16_add(z[o], v16_load(r->residual + at + place));
      if (kind.y)
        v16_store(r->y + at + place, z[o]);
    }
    if (kind.q) {
      PITH_UNROLL
      for (size_t o = 0; o < SPARSE_GROUP; ++o)
        z[o] = v16_min(v16_mul(z[o], f->inverse), f->top);
      sparse_store_levels(r->q + at + (f->is_x4 ? 64 : 16) * v, f->is_x4, outputs, f->is_u8, f->zeros, z);
    }
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
