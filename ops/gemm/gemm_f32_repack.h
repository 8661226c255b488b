/* Row-major weights to a stored block: included after a v16 header. */
#ifndef PITH_OPS_GEMM_F32_REPACK_H
#define PITH_OPS_GEMM_F32_REPACK_H

#include "ops/gemm/gemm_f32_blocked.h"

enum { GEMM_REPACK_AHEAD = 64 }; /* inputs that are prefetched meanwhile: the third-level cache answers after some steps */

/* 16 outputs x 16 inputs at a time in registers. */
V16_INLINE void gemm_repack_rows(const pith_gemm_f32_repack *r) {
  for (size_t j0 = 0; j0 < r->width; j0 += 16)
    for (size_t i0 = 0; i0 < r->k; i0 += 16) {
      const size_t inputs = r->k - i0 < 16 ? r->k - i0 : 16;
      const m16 mask = m16_first(inputs);
      v16 rows[16];
#pragma GCC unroll 16
      for (size_t j = 0; j < 16; ++j)
        __builtin_prefetch(r->w + (j0 + j) * r->w_stride + i0 + GEMM_REPACK_AHEAD);
#pragma GCC unroll 16
      for (size_t j = 0; j < 16; ++j)
        rows[j] = j0 + j < r->columns ? v16_load_masked(mask, r->w + (j0 + j) * r->w_stride + i0) : v16_set(0.0f);
      v16_transpose(rows);
#pragma GCC unroll 16
      for (size_t i = 0; i < 16; ++i)
        if (i < inputs)
          v16_store(r->out + (i0 + i) * r->width + j0, rows[i]);
    }
}

V16_INLINE void gemm_repack_columns(const pith_gemm_f32_repack *r) {
  const size_t full = r->columns / 16 * 16;
  const m16 tail = m16_first(r->columns - full);
  for (size_t i = 0; i < r->k; ++i) {
    const float *w = r->w + i * r->w_stride;
    float *out = r->out + i * r->width;
    for (size_t j = 0; j < full; j += 16)
      v16_store(out + j, v16_load(w + j));
    if (full < r->width)
      v16_store(out + full, v16_load_masked(tail, w + full));
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
