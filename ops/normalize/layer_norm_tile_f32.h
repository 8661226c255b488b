/* layer_norm_f32 on tiles, with its bits: every array [tokens, features] lies as tile64, 8 bits as tile64 or tile64x4. */
#ifndef PITH_OPS_LAYER_NORM_TILE_F32_H
#define PITH_OPS_LAYER_NORM_TILE_F32_H

#include "ops/quantize/quantize.h"

typedef struct pith_layer_norm_tile_f32_args {
  const float *x;        /* [rows, features] */
  const float *residual; /* the same, or NULL */
  const float *gamma;    /* [features] */
  const float *beta;     /* [features], or NULL */
  float *y;              /* [rows, features]; may be x or residual */
  size_t rows, features;
  float epsilon;
  pith_quantized_tiles q; /* y once more in 8 bits, in the same pass */
  const float *q_factors; /* [features] static q only: what becomes 8 bits is y times them; NULL: y itself */
} pith_layer_norm_tile_f32_args;
extern const pith_kernel *const pith_layer_norm_tile_f32_kernels[];

#endif
