/* y[t] = LayerNorm(sum over tables of table[ids[t]]), tables added in order; without gamma just the sum.
 * Ids were checked against the tables' rows by the caller. */
#ifndef PITH_OPS_EMBEDDING_F32_H
#define PITH_OPS_EMBEDDING_F32_H

#include <stdint.h>

#include "ops/quantize/quantize.h"

enum { PITH_EMBEDDING_MAX_TABLES = 4 };

typedef struct pith_embedding_f32_args {
  size_t table_count;
  /* [*, features], row-major: f32, or s8 where it has row_scales ([*]): its element is then row_scale * s8. */
  const void *tables[PITH_EMBEDDING_MAX_TABLES];
  const float *row_scales[PITH_EMBEDDING_MAX_TABLES];
  const int32_t *ids[PITH_EMBEDDING_MAX_TABLES];  /* [rows]; NULL: id 0 for every row */
  const float *gamma, *beta;                      /* [features], or NULL */
  float epsilon;
  float *y; /* [rows, features] */
  size_t rows, features, y_stride;
  pith_quantized_rows q; /* the rows of y once more in 8 bits, in the same pass */
  const float *q_factors; /* [features] with gamma and a static q only: as LayerNorm has it (layer_norm_f32.h); or NULL */
} pith_embedding_f32_args;
extern const pith_kernel *const pith_embedding_f32_kernels[];

/* positions[t] of each token (PackedPositions in engine/ir/operator.h). */
typedef struct pith_positions_args {
  const int32_t *offsets; /* [sequences + 1] */
  const int32_t *ids;     /* [tokens]; read only where padding_id >= 0 */
  int32_t *positions;     /* [tokens] */
  size_t sequences;
  int32_t start, padding_id;
} pith_positions_args;
extern const pith_kernel *const pith_positions_kernels[];

#endif
