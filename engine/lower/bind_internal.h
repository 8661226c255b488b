/* The functions of the table in step_rows.c, by family. */
#ifndef PITH_LOWER_BIND_INTERNAL_H
#define PITH_LOWER_BIND_INTERNAL_H

#include "engine/lower/program.h"
#include "ops/quantize/quantize.h"

#define PITH_DECLARE_BIND(name)                                                                             \
  void pith_bind_##name(const pith_program *program, const pith_step *step, const pith_view *views, void *args)

/* bind_products.c */
PITH_DECLARE_BIND(gemm);
PITH_DECLARE_BIND(integer_gemm);
PITH_DECLARE_BIND(attention);
PITH_DECLARE_BIND(integer_attention);
double pith_gemm_count_flops(const pith_step *step, const pith_view *views);
double pith_attention_count_flops(const pith_step *step, const pith_view *views);
const char *pith_gemm_make_title(pith_arena *arena, const pith_step *step);
const char *pith_integer_attention_make_title(pith_arena *arena, const pith_step *step);
/* Where a step writes 8-bit rows: PITH_ROWS_* begin at output `outputs`, a static scale is input `scale`, its zero the next. */
pith_quantized_rows pith_bind_quantized_rows(const pith_program *program, const pith_step *step,
                                             const pith_view *views, uint32_t outputs, uint32_t scale);
const char *pith_rows_get_suffix(const pith_step *step, uint32_t outputs); /* of titles */

/* bind_tiles.c */
PITH_DECLARE_BIND(sparse_gemm);
PITH_DECLARE_BIND(sparse_integer_gemm);
PITH_DECLARE_BIND(tile_layer_norm);
PITH_DECLARE_BIND(tile_integer_attention);
PITH_DECLARE_BIND(reorder);

/* bind_rows.c */
PITH_DECLARE_BIND(embedding);
PITH_DECLARE_BIND(layer_norm);
PITH_DECLARE_BIND(lp_norm);
PITH_DECLARE_BIND(softmax);
PITH_DECLARE_BIND(pool);
PITH_DECLARE_BIND(positions);
const char *pith_embedding_make_title(pith_arena *arena, const pith_step *step);
const char *pith_layer_norm_make_title(pith_arena *arena, const pith_step *step);

/* bind_elements.c */
PITH_DECLARE_BIND(unary);
PITH_DECLARE_BIND(binary);
PITH_DECLARE_BIND(gather);
PITH_DECLARE_BIND(cast);
PITH_DECLARE_BIND(transpose);
pith_number pith_number_of(pith_dtype dtype);
const char *pith_unary_make_title(pith_arena *arena, const pith_step *step);
const char *pith_binary_make_title(pith_arena *arena, const pith_step *step);

/* bind_quantize.c */
PITH_DECLARE_BIND(quantize);
PITH_DECLARE_BIND(dynamic_quantize);
PITH_DECLARE_BIND(dequantize);

/* The zero point of what has none. */
extern const uint8_t pith_bind_zero_point;

#endif
