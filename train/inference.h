/* What the inference functions of training operators share. */
#ifndef PITH_TRAIN_INFERENCE_H
#define PITH_TRAIN_INFERENCE_H

#include "engine/ir/inference.h"
#include "train/operators.h"

/* Inputs `a` and `b` have the same rank and dimensions. */
PITH_WARN_UNUSED pith_status pith_inference_check_same(const pith_inference *inference, uint32_t a, uint32_t b, pith_error *error);
PITH_WARN_UNUSED pith_status pith_inference_check_rank(const pith_inference *inference, uint32_t input, uint32_t rank,
                                                       pith_error *error);
/* The attribute "ratio" of dropout and its key, input `key`, which may be absent where nothing is dropped. */
PITH_WARN_UNUSED pith_status pith_inference_check_dropout(const pith_inference *inference, uint32_t key, pith_error *error);
/* Output `output` is f32 with the shape of input `input`. */
void pith_inference_set_like(pith_inference *inference, uint32_t output, uint32_t input);

#endif
