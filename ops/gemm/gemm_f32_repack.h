/* Row-major weights to a stored block: included after a v16 header. */
#ifndef PITH_OPS_GEMM_F32_REPACK_H
#define PITH_OPS_GEMM_F32_REPACK_H

#include "ops/copy/transpose_block.h"
#include "ops/gemm/gemm_f32_blocked.h"

/* Inputs that are prefetched meanwhile, in a row and by rows of them: the third-level cache answers after some steps. */
enum { GEMM_REPACK_AHEAD = 64, GEMM_REPACK_ROWS_AHEAD = 16 };

/* Where outputs j0 to j0 + 15 go: input 0 there, inputs `out_stride` apart. */
V16_INLINE float *gemm_repack_place(const pith_gemm_f32_repack *r, size_t j0, size_t *out_stride) {
  const size_t first = j0 / r->panel * r->panel, left = r->width - first;
  *out_stride = left < r->panel ? left : r->panel;
  return r->out + first * r->k + (j0 - first);
}

/* 16 outputs x 16 inputs at a time in registers. */
V16_INLINE void gemm_repack_rows(const pith_gemm_f32_repack *r) {
  for (size_t j0 = 0; j0 < r->width; j0 += 16) {
    size_t stride;
    float *out = gemm_repack_place(r, j0, &stride);
    for (size_t i0 = 0; i0 < r->k; i0 += 16) {
      const size_t outputs = r->columns - j0 < 16 ? r->columns - j0 : 16, inputs = r->k - i0 < 16 ? r->k - i0 : 16;
      const float *w = r->w + j0 * r->w_stride + i0;
      PITH_UNROLL
      for (size_t j = 0; j < 16; ++j)
        __builtin_prefetch(w + j * r->w_stride + GEMM_REPACK_AHEAD);
      transpose_block(outputs, inputs, 16, w, r->w_stride, out + i0 * stride, stride);
    }
  }
}

/* `vectors` of 16 outputs of each input: a constant where it is called, and places found once, for a row is but a few copies. */
V16_INLINE void gemm_repack_columns_as(const size_t vectors, const pith_gemm_f32_repack *r) {
  const size_t full = r->columns / 16;
  const m16 tail = m16_first(r->columns % 16);
  float *out[PITH_GEMM_BLOCK / 16];
  size_t stride[PITH_GEMM_BLOCK / 16];
  PITH_UNROLL
  for (size_t j = 0; j < vectors; ++j)
    out[j] = gemm_repack_place(r, 16 * j, &stride[j]);
  const float *w = r->w;
  for (size_t i = 0; i < r->k; ++i, w += r->w_stride) {
    PITH_UNROLL
    for (size_t j = 0; j < vectors; ++j)
      __builtin_prefetch(w + GEMM_REPACK_ROWS_AHEAD * r->w_stride + 16 * j);
    PITH_UNROLL
    for (size_t j = 0; j < vectors; ++j) {
      v16_store(out[j], j < full ? v16_load(w + 16 * j) : v16_load_masked(tail, w + 16 * full));
      out[j] += stride[j];
    }
  }
}

V16_INLINE void gemm_repack_columns(const pith_gemm_f32_repack *r) {
  switch (r->width / 16) {
  case 1:
    gemm_repack_columns_as(1, r);
    return;
  case 2:
    gemm_repack_columns_as(2, r);
    return;
  case 3:
    gemm_repack_columns_as(3, r);
    return;
  default:
    gemm_repack_columns_as(PITH_GEMM_BLOCK / 16, r);
  }
}

/* A pith_gemm_f32_code's repack. */
V16_INLINE void gemm_repack(const pith_gemm_f32_repack *r) {
  if (r->form == PITH_GEMM_ROWS)
    gemm_repack_rows(r);
  else
    gemm_repack_columns(r);
}

#endif
