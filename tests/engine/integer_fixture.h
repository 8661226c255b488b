/* Quantized graphs that the tests of lowering and sessions share: a BERT of two layers with Q/DQ
 * pairs around its products. */
#ifndef PITH_TESTS_INTEGER_FIXTURE_H
#define PITH_TESTS_INTEGER_FIXTURE_H

#include "tests/engine/exec_fixture.h"

typedef enum integer_fixture_kind { INTEGER_STATIC, INTEGER_DYNAMIC } integer_fixture_kind;

/* A builder with the data that it gave to its graph. */
typedef struct integer_fixture {
  pith_builder builder;
  pith_graph *graph;
  pith_error error;
  exec_fixture_weights weights;
  uint64_t random;
} integer_fixture;
void integer_fixture_init(integer_fixture *f);
void integer_fixture_finish(integer_fixture *f); /* fails the test where the graph is wrong */
void integer_fixture_deinit(integer_fixture *f);

/* Data in memory that the fixture frees; `bytes` of it are copied from `from`. */
pith_tensor_id integer_fixture_data(integer_fixture *f, const char *name, pith_dtype dtype,
                                    uint32_t rank, int64_t d0, int64_t d1, pith_layout layout,
                                    const void *from, size_t bytes);
pith_tensor_id integer_fixture_scalar(integer_fixture *f, float value);
/* f32 [count], uniform. */
pith_tensor_id integer_fixture_vector(integer_fixture *f, const char *name, int64_t count,
                                      float low, float high);
/* DequantizeLinear of random s8 [n, k] in `layout`, a scale for each of the n around `scale`;
 * exactly that where `equal`. */
pith_tensor_id integer_fixture_weight(integer_fixture *f, const char *name, int64_t n, int64_t k,
                                      pith_layout layout, float scale, bool equal);
/* QuantizeLinear, then DequantizeLinear, one scale; `x`.quantize and .dequantize. */
pith_tensor_id integer_fixture_pair(integer_fixture *f, const char *name, pith_tensor_id x,
                                    pith_dtype dtype, float scale, uint8_t zero);
/* DynamicQuantize and DequantizeLinear; block 0: all features. */
pith_tensor_id integer_fixture_dynamic_pair(integer_fixture *f, const char *name, pith_tensor_id x,
                                            pith_dtype dtype, int64_t block, int64_t features,
                                            pith_tensor_id offsets);
pith_tensor_id integer_fixture_gemm(integer_fixture *f, const char *name, pith_tensor_id x,
                                    pith_tensor_id w, pith_tensor_id bias);

/* Sizes as in exec_fixture.h; outputs last_hidden_state [tokens, 96], logits [sequences, 3] and
 * scores [sequences, vocabulary]. Tables are s8, and the words are the weights of scores too; the
 * first layer's weights are in blocks, the second's row-major; the classifier is in floats. */
void integer_fixture_bert(integer_fixture *f, integer_fixture_kind kind);

#endif
