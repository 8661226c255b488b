/* attention_u8s8 (static) on tiles, with its bits: nothing is transposed, because queries lie side by side in vectors. q and
 * k as tile64x4, v as tile64, results as tile64 or tile64x4. Sequences begin at any token of a tile; of the results' places only
 * those of their tokens are written. Fastest where heads' sizes are multiples of 4. */
#ifndef PITH_OPS_ATTENTION_TILE_U8S8_H
#define PITH_OPS_ATTENTION_TILE_U8S8_H

#include "ops/attention/attention_u8s8.h"

typedef struct pith_attention_tile_u8s8_args {
  const uint8_t *q; /* [tokens, heads * head_size] */
  const int8_t *k;  /* the same shape (of kv_offsets' tokens) */
  const int8_t *v;  /* [tokens, heads * value_size] */
  const float *q_scale, *k_scale, *v_scale; /* [1] each */
  const uint8_t *q_zero;                    /* [1] */
  float *y;                                 /* tile64 [tokens, heads * value_size], or NULL: only y_q is wanted */
  pith_quantized_tiles y_q;                 /* static */
  const int32_t *q_offsets, *kv_offsets;    /* [sequences + 1] */
  size_t sequences;
  size_t heads, head_size, value_size;
  float scale;
  bool causal;
  size_t max_keys;
} pith_attention_tile_u8s8_args;

extern const pith_kernel *const pith_attention_tile_u8s8_kernels[];

#endif
