/* Bias, activation, residual: included after a v16 header and ops/math/functions.h, the same bits on each. */
#ifndef PITH_OPS_GEMM_F32_FINISH_H
#define PITH_OPS_GEMM_F32_FINISH_H

#include "ops/gemm/gemm_f32_blocked.h"

V16_INLINE v16 gemm_activate(pith_activation activation, v16 z) {
  switch (activation) {
  case PITH_ACTIVATION_RELU:
    return v16_relu(z);
  case PITH_ACTIVATION_GELU:
    return v16_gelu(z);
  case PITH_ACTIVATION_GELU_TANH:
    return v16_gelu_tanh(z);
  case PITH_ACTIVATION_TANH:
    return v16_tanh(z);
  case PITH_ACTIVATION_NONE:
  case PITH_ACTIVATION_COUNT:
    break;
  }
  return z;
}

V16_INLINE void gemm_finish_as(pith_activation activation, size_t rows, const pith_gemm_f32_finish *f) {
  const size_t full = f->columns / 16 * 16;
  const m16 tail = m16_first(f->columns - full);
  for (size_t i = 0; i < rows; ++i) {
    const float *c = f->c + i * PITH_GEMM_BLOCK;
    const float *residual = f->residual ? f->residual + i * f->residual_stride : NULL;
    float *y = f->y + i * f->y_stride;
    for (size_t j = 0; j < full; j += 16) {
      v16 z = v16_load(c + j);
      if (f->bias)
        z = v16_add(z, v16_load(f->bias + j));
      z = gemm_activate(activation, z);
      if (residual)
        z = v16_add(z, v16_load(residual + j));
      v16_store(y + j, z);
    }
    if (full < f->columns) {
      v16 z = v16_load(c + full);
      if (f->bias)
        z = v16_add(z, v16_load_masked(tail, f->bias + full));
      z = gemm_activate(activation, z);
      if (residual)
        z = v16_add(z, v16_load_masked(tail, residual + full));
      v16_store_masked(tail, y + full, z);
    }
  }
}

/* A pith_gemm_f32_code's finish: a loop per activation, so that none tests it. */
V16_INLINE void gemm_finish(size_t rows, const pith_gemm_f32_finish *f) {
  switch (f->activation) {
  case PITH_ACTIVATION_RELU:
    gemm_finish_as(PITH_ACTIVATION_RELU, rows, f);
    return;
  case PITH_ACTIVATION_GELU:
    gemm_finish_as(PITH_ACTIVATION_GELU, rows, f);
    return;
  case PITH_ACTIVATION_GELU_TANH:
    gemm_finish_as(PITH_ACTIVATION_GELU_TANH, rows, f);
    return;
  case PITH_ACTIVATION_TANH:
    gemm_finish_as(PITH_ACTIVATION_TANH, rows, f);
    return;
  case PITH_ACTIVATION_NONE:
  case PITH_ACTIVATION_COUNT:
    break;
  }
  gemm_finish_as(PITH_ACTIVATION_NONE, rows, f);
}

#endif
