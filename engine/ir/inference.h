/* What the functions are written with that infer an operator's outputs (pith_operator.infer). */
#ifndef PITH_IR_INFERENCE_H
#define PITH_IR_INFERENCE_H

#include "engine/ir/operator.h"

/* PITH_FORMAT with "node 'name' (Gemm): ..." */
__attribute__((format(printf, 3, 4))) pith_status
pith_inference_fail(const pith_inference *inference, pith_error *error, const char *format, ...);
/* Long enough for any shape whose message is still readable. */
enum { PITH_SHAPE_TEXT_BYTES = 160 };
/* "Gemm"'s input shapes as text, for messages. */
typedef struct pith_shape_text {
  char text[PITH_SHAPE_TEXT_BYTES];
} pith_shape_text;
pith_shape_text pith_inference_shape(const pith_inference *inference, uint32_t input);

int64_t pith_inference_get_int(const pith_inference *inference, const char *attribute);
double pith_inference_get_float(const pith_inference *inference, const char *attribute);
/* The attribute "axis" as 0 .. rank - 1 of input 0. */
PITH_WARN_UNUSED pith_status pith_inference_get_axis(const pith_inference *inference,
                                                     uint32_t *out_axis, pith_error *error);
/* Output 0 has dtype and shape of input 0. */
pith_status pith_infer_same(pith_inference *inference, pith_error *error);

/* Sets of dtypes in rows. */
enum {
  F32 = 1 << PITH_DTYPE_F32,
  S32 = 1 << PITH_DTYPE_S32,
  S64 = 1 << PITH_DTYPE_S64,
  S8 = 1 << PITH_DTYPE_S8,
  U8 = 1 << PITH_DTYPE_U8,
  ANY_DTYPE = (1 << PITH_DTYPE_COUNT) - 1,
};

#endif
