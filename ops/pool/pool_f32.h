/* One row per sequence from its tokens: mean, first (cls), max or last. The mean's sum over tokens is one ascending
 * chain of additions per feature, then one division. A NaN makes the mean and the maximum of its feature NaN. */
#ifndef PITH_OPS_POOL_F32_H
#define PITH_OPS_POOL_F32_H

#include <stdint.h>

#include "ops/kernel.h"

#define PITH_POOL_F32_LIST(X) X(MEAN, "mean") X(CLS, "cls") X(MAX, "max") X(LAST, "last")

typedef enum pith_pool_mode {
#define PITH_POOL_F32_ENUM(name, text) PITH_POOL_F32_##name,
  PITH_POOL_F32_LIST(PITH_POOL_F32_ENUM)
#undef PITH_POOL_F32_ENUM
} pith_pool_mode;

typedef struct pith_pool_f32_args {
  const float *x; /* [tokens, features] */
  size_t x_stride;
  const int32_t *offsets; /* [sequences + 1]; no sequence is empty */
  size_t sequences, features;
  float *y; /* [sequences, features] */
  size_t y_stride;
  pith_pool_mode mode;
} pith_pool_f32_args;
extern const pith_kernel *const pith_pool_f32_kernels[];

#endif
