/* The activation of a product, made for what its result becomes: included after a v16 header and ops/math/functions.h. */
#ifndef PITH_OPS_GEMM_U8S8_ACTIVATE_H
#define PITH_OPS_GEMM_U8S8_ACTIVATE_H

#include "ops/gemm/gemm_f32_finish.h"
#include "ops/math/functions_8bit.h"

V16_INLINE v16 gemm_activate_8bit(pith_activation activation, v16 z) {
  switch (activation) {
  case PITH_ACTIVATION_GELU:
    return v16_gelu_8bit(z);
  case PITH_ACTIVATION_GELU_TANH:
    return v16_gelu_tanh_8bit(z);
  default:
    return gemm_activate(activation, z);
  }
}

#endif
