/* Sums to results: included after a v16 header, ops/math/functions.h and the instruction set's
 *   v16 gemm_load_sums(const int32_t *p)                            16 sums as floats
 *   void gemm_store_levels(uint8_t *q, bool is_u8, int32_t zero, const v16 levels[4])   rounded, plus zero, saturated
 * The same bits on each. */
#ifndef PITH_OPS_GEMM_U8S8_FINISH_H
#define PITH_OPS_GEMM_U8S8_FINISH_H

#include "ops/gemm/gemm_u8s8_activate.h"
#include "ops/gemm/gemm_u8s8_blocked.h"
#include "ops/quantize/quantize_rows.h"

/* What a loop is made for: constants in the usual cases, told from the arguments at each row in the others. */
typedef struct gemm_kind {
  pith_activation activation;
  bool for_8bit, residual, y, q;
} gemm_kind;

V16_INLINE v16 gemm_finish_vector(const gemm_kind kind, v16 sums, v16 scale, v16 bias) {
  const v16 z = v16_fma(sums, scale, bias);
  return kind.for_8bit ? gemm_activate_8bit(kind.activation, z) : gemm_activate(kind.activation, z);
}

V16_INLINE void gemm_finish_row(const gemm_kind kind, const pith_gemm_u8s8_finish *f, const quantizer *to_8bit, size_t i,
                                size_t full, m16 tail) {
  const int32_t *sums = f->sums + i * PITH_GEMM_U8S8_PANEL;
  const v16 x_scale = v16_set(f->x_scale[i * f->x_scale_step]);
  const float *residual = kind.residual ? f->residual + i * f->residual_stride : NULL;
  float *y = kind.y ? f->y + i * f->y_stride : NULL;
  uint8_t *q = kind.q ? f->q + i * f->q_stride : NULL;
  if (full == PITH_GEMM_U8S8_PANEL) {
    v16 z[PITH_GEMM_U8S8_PANEL / 16];
#pragma GCC unroll 4
    for (size_t j = 0; j < 4; ++j) {
      const v16 scale = v16_mul(x_scale, v16_load(f->w_scale + 16 * j));
      z[j] = gemm_finish_vector(kind, gemm_load_sums(sums + 16 * j), scale, v16_load(f->bias + 16 * j));
      if (kind.residual)
        z[j] = v16_add(z[j], v16_load(residual + 16 * j));
      if (kind.y)
        v16_store(y + 16 * j, z[j]);
      if (kind.q)
        z[j] = v16_min(v16_mul(z[j], to_8bit->inverse), to_8bit->top);
    }
    if (kind.q)
      gemm_store_levels(q, !to_8bit->is_signed, to_8bit->zero, z);
    return;
  }
  for (size_t j = 0; j < f->columns; j += 16) {
    const bool whole = j < full;
    const v16 scale = v16_mul(x_scale, whole ? v16_load(f->w_scale + j) : v16_load_masked(tail, f->w_scale + j));
    const v16 bias = whole ? v16_load(f->bias + j) : v16_load_masked(tail, f->bias + j);
    v16 z = gemm_finish_vector(kind, gemm_load_sums(sums + j), scale, bias);
    if (kind.residual)
      z = v16_add(z, whole ? v16_load(residual + j) : v16_load_masked(tail, residual + j));
    if (kind.y && whole)
      v16_store(y + j, z);
    else if (kind.y)
      v16_store_masked(tail, y + j, z);
    if (kind.q)
      quantizer_store_first(to_8bit, whole ? 16 : f->columns - full, z, q + j);
  }
}

V16_INLINE quantizer gemm_quantizer(const pith_gemm_u8s8_finish *f) {
  const bool is_signed = f->q_type == PITH_NUMBER_S8;
  return (quantizer){v16_set(f->q_inverse), v16_set((float)((is_signed ? 127 : 255) - f->q_zero)), f->q_zero, is_signed};
}

V16_INLINE void gemm_finish_rows(const gemm_kind kind, const pith_gemm_u8s8_finish *f) {
  const size_t full = f->columns / 16 * 16;
  const m16 tail = m16_first(f->columns - full);
  const quantizer to_8bit = gemm_quantizer(f);
  for (size_t i = 0; i < f->rows; ++i)
    gemm_finish_row(kind, f, &to_8bit, i, full, tail);
}

#define GEMM_KIND_F32 (gemm_kind){PITH_ACTIVATION_NONE, false, false, true, false}
#define GEMM_KIND_RESIDUAL (gemm_kind){PITH_ACTIVATION_NONE, false, true, true, false}
#define GEMM_KIND_Q (gemm_kind){PITH_ACTIVATION_NONE, true, false, false, true}
#define GEMM_KIND_GELU_Q (gemm_kind){PITH_ACTIVATION_GELU, true, false, false, true}
#define GEMM_KIND_GELU_Y (gemm_kind){PITH_ACTIVATION_GELU, true, false, true, false}

#define GEMM_FINISH_OTHER(name, text)                                                                      \
  case PITH_ACTIVATION_##name:                                                                             \
    gemm_finish_rows((gemm_kind){PITH_ACTIVATION_##name, f->for_8bit, f->residual, f->y, f->q}, f);        \
    return;

V16_INLINE void gemm_finish_any(const pith_gemm_u8s8_finish *f) {
  switch (f->activation) {
    PITH_ACTIVATION_LIST(GEMM_FINISH_OTHER)
  case PITH_ACTIVATION_COUNT:
    break;
  }
}

/* A pith_gemm_u8s8_code's finish. */
V16_INLINE void gemm_finish_sums(const pith_gemm_u8s8_finish *f) {
  switch (f->kind) {
  case PITH_GEMM_U8S8_F32:
    gemm_finish_rows(GEMM_KIND_F32, f);
    return;
  case PITH_GEMM_U8S8_RESIDUAL:
    gemm_finish_rows(GEMM_KIND_RESIDUAL, f);
    return;
  case PITH_GEMM_U8S8_Q:
    gemm_finish_rows(GEMM_KIND_Q, f);
    return;
  case PITH_GEMM_U8S8_GELU_Q:
    gemm_finish_rows(GEMM_KIND_GELU_Q, f);
    return;
  case PITH_GEMM_U8S8_GELU_Y:
    gemm_finish_rows(GEMM_KIND_GELU_Y, f);
    return;
  case PITH_GEMM_U8S8_OTHER:
    gemm_finish_any(f);
    return;
  }
}
#undef GEMM_FINISH_OTHER

#endif
