#include "tests/engine/integer_fixture.h"

#include <stdio.h>
#include <string.h>

#include "engine/format/stored_layout.h"

void integer_fixture_init(integer_fixture *f) {
  *f = (integer_fixture){.random = 11};
  assert_int_equal(pith_graph_create(NULL, "integers", &f->graph, &f->error), PITH_OK);
  pith_builder_init(&f->builder, f->graph, &f->error);
}
void integer_fixture_finish(integer_fixture *f) {
  if (pith_builder_finish(&f->builder) != PITH_OK)
    fail_msg("%s", f->error.message);
}
void integer_fixture_deinit(integer_fixture *f) {
  pith_graph_destroy(f->graph);
  exec_fixture_free_weights(&f->weights);
}

pith_tensor_id integer_fixture_data(integer_fixture *f, const char *name, pith_dtype dtype,
                                    uint32_t rank, int64_t d0, int64_t d1, pith_layout layout,
                                    const void *from, size_t bytes) {
  void *data = pith_allocate(NULL, bytes < 64 ? 64 : bytes);
  assert_non_null(data);
  assert_true(f->weights.count < sizeof f->weights.pieces / sizeof *f->weights.pieces);
  f->weights.pieces[f->weights.count++] = data;
  memcpy(data, from, bytes);
  return pith_build_data(&f->builder, PITH_TENSOR_PARAMETER, name, dtype, rank,
                         (const int64_t[]){d0, d1}, layout, data, bytes);
}

pith_tensor_id integer_fixture_scalar(integer_fixture *f, float value) {
  return integer_fixture_data(f, NULL, PITH_DTYPE_F32, 0, 0, 0, PITH_LAYOUT_ROW_MAJOR, &value,
                              sizeof value);
}

pith_tensor_id integer_fixture_vector(integer_fixture *f, const char *name, int64_t count,
                                      float low, float high) {
  float values[1024];
  assert_true(count <= 1024);
  for (int64_t i = 0; i < count; i++)
    values[i] = exec_fixture_uniform(&f->random, low, high);
  return integer_fixture_data(f, name, PITH_DTYPE_F32, 1, count, 0, PITH_LAYOUT_ROW_MAJOR, values,
                              (size_t)count * sizeof *values);
}

pith_tensor_id integer_fixture_weight(integer_fixture *f, const char *name, int64_t n, int64_t k,
                                      pith_layout layout, float scale, bool equal) {
  static _Alignas(64) int8_t rows[512 * 512], stored[512 * 1024];
  char text[120];
  assert_true(n * k <= (int64_t)sizeof rows);
  for (int64_t i = 0; i < n * k; i++)
    rows[i] = (int8_t)((int)(exec_fixture_random(&f->random) % 255) - 127);
  const pith_dim dims[2] = {pith_dim_of(n), pith_dim_of(k)};
  uint64_t bytes;
  assert_int_equal(pith_layout_get_bytes(layout, PITH_DTYPE_S8, 2, dims, &bytes, NULL), PITH_OK);
  assert_true(bytes <= sizeof stored);
  assert_int_equal(pith_layout_convert(PITH_DTYPE_S8, 2, dims, PITH_LAYOUT_ROW_MAJOR, rows, layout,
                                       stored, NULL, NULL),
                   PITH_OK);
  pith_tensor_id w = integer_fixture_data(f, name, PITH_DTYPE_S8, 2, n, k, layout, stored, bytes);
  snprintf(text, sizeof text, "%s_scale", name);
  pith_tensor_id scales =
      integer_fixture_vector(f, text, n, equal ? scale : scale / 2, equal ? scale : scale * 1.5f);
  snprintf(text, sizeof text, "%s.dequantize", name);
  return pith_build_node(&f->builder, text, PITH_OP_DEQUANTIZE_LINEAR, 2,
                         (const pith_tensor_id[]){w, scales}, 1,
                         (const pith_attribute_setting[]){PITH_SET_INT("axis", 0)});
}

pith_tensor_id integer_fixture_pair(integer_fixture *f, const char *name, pith_tensor_id x,
                                    pith_dtype dtype, float scale, uint8_t zero) {
  char text[80];
  pith_tensor_id inputs[3] = {
      x, integer_fixture_scalar(f, scale),
      integer_fixture_data(f, NULL, dtype, 0, 0, 0, PITH_LAYOUT_ROW_MAJOR, &zero, 1)};
  snprintf(text, sizeof text, "%s.quantize", name);
  inputs[0] =
      pith_build_node(&f->builder, text, PITH_OP_QUANTIZE_LINEAR, 3, inputs, 1,
                      (const pith_attribute_setting[]){PITH_SET_DTYPE("output_dtype", dtype)});
  snprintf(text, sizeof text, "%s.dequantize", name);
  return pith_build_node(&f->builder, text, PITH_OP_DEQUANTIZE_LINEAR, 3, inputs, 0, NULL);
}

pith_tensor_id integer_fixture_dynamic_pair(integer_fixture *f, const char *name, pith_tensor_id x,
                                            pith_dtype dtype, int64_t block, int64_t features,
                                            pith_tensor_id offsets) {
  char text[80];
  snprintf(text, sizeof text, "%s.quantize", name);
  const pith_attribute_setting how[] = {PITH_SET_DTYPE("dtype", dtype),
                                        PITH_SET_INT("block_size", block)};
  pith_tensor_id q =
      pith_build_node(&f->builder, text, PITH_OP_DYNAMIC_QUANTIZE, offsets == PITH_NONE ? 1 : 2,
                      (const pith_tensor_id[]){x, offsets}, 2, how);
  if (q == PITH_NONE)
    return PITH_NONE;
  const pith_node *node = &f->graph->nodes[f->graph->tensors[q].producer];
  const pith_tensor_id inputs[3] = {q, node->outputs[1], node->outputs[2]};
  snprintf(text, sizeof text, "%s.dequantize", name);
  return pith_build_node(
      &f->builder, text, PITH_OP_DEQUANTIZE_LINEAR, 3, inputs, 2,
      (const pith_attribute_setting[]){PITH_SET_INT("axis", 1),
                                       PITH_SET_INT("block_size", block == 0 ? features : block)});
}

pith_tensor_id integer_fixture_gemm(integer_fixture *f, const char *name, pith_tensor_id x,
                                    pith_tensor_id w, pith_tensor_id bias) {
  return pith_build_node(&f->builder, name, PITH_OP_GEMM, bias == PITH_NONE ? 2 : 3,
                         (const pith_tensor_id[]){x, w, bias}, 1,
                         (const pith_attribute_setting[]){PITH_SET_INT("transB", 1)});
}

/* ---- a BERT
 * ----------------------------------------------------------------------------------------------------
 */

typedef struct bert {
  integer_fixture *f;
  integer_fixture_kind kind;
  pith_layout layout;
  pith_tensor_id offsets;
} bert;

static pith_tensor_id rows_pair(bert *b, const char *name, pith_tensor_id x, float scale,
                                uint8_t zero, int64_t features) {
  return b->kind == INTEGER_STATIC
             ? integer_fixture_pair(b->f, name, x, PITH_DTYPE_U8, scale, zero)
             : integer_fixture_dynamic_pair(b->f, name, x, PITH_DTYPE_U8, 0, features, PITH_NONE);
}

static pith_tensor_id linear(bert *b, const char *name, pith_tensor_id x, int64_t n, int64_t k) {
  char text[80];
  snprintf(text, sizeof text, "%s.weight", name);
  pith_tensor_id w = integer_fixture_weight(b->f, text, n, k, b->layout, 0.1f / 127, false);
  snprintf(text, sizeof text, "%s.bias", name);
  return integer_fixture_gemm(b->f, name, x, w, integer_fixture_vector(b->f, text, n, -0.5f, 0.5f));
}

static pith_tensor_id norm(bert *b, const char *name, pith_tensor_id x) {
  char text[80];
  snprintf(text, sizeof text, "%s.weight", name);
  pith_tensor_id gamma = integer_fixture_vector(b->f, text, EXEC_HIDDEN, 0.5f, 1.5f);
  snprintf(text, sizeof text, "%s.bias", name);
  pith_tensor_id beta = integer_fixture_vector(b->f, text, EXEC_HIDDEN, -0.5f, 0.5f);
  return pith_build_node(&b->f->builder, name, PITH_OP_LAYER_NORMALIZATION, 3,
                         (const pith_tensor_id[]){x, gamma, beta}, 1,
                         (const pith_attribute_setting[]){PITH_SET_FLOAT("epsilon", 1e-12)});
}

static pith_tensor_id node2(bert *b, const char *name, int op, pith_tensor_id x, pith_tensor_id y) {
  return pith_build_node(&b->f->builder, name, op, 2, (const pith_tensor_id[]){x, y}, 0, NULL);
}

static pith_tensor_id attention(bert *b, int index, pith_tensor_id q, pith_tensor_id k,
                                pith_tensor_id v) {
  enum { SIZE = EXEC_HIDDEN / EXEC_HEADS };
  char name[64];
#define NAMED(text) (snprintf(name, sizeof name, "layer.%d." text, index), name)
  if (b->kind == INTEGER_STATIC) {
    q = integer_fixture_pair(b->f, NAMED("query"), q, PITH_DTYPE_U8, 0.03f, 120);
    k = integer_fixture_pair(b->f, NAMED("key"), k, PITH_DTYPE_S8, 0.03f, 0);
    v = integer_fixture_pair(b->f, NAMED("value"), v, PITH_DTYPE_S8, 0.03f, 0);
  } else {
    q = integer_fixture_dynamic_pair(b->f, NAMED("query"), q, PITH_DTYPE_U8, SIZE, EXEC_HIDDEN,
                                     PITH_NONE);
    k = integer_fixture_dynamic_pair(b->f, NAMED("key"), k, PITH_DTYPE_S8, SIZE, EXEC_HIDDEN,
                                     PITH_NONE);
    v = integer_fixture_dynamic_pair(b->f, NAMED("value"), v, PITH_DTYPE_S8, SIZE, EXEC_HIDDEN,
                                     b->offsets);
  }
  const pith_tensor_id inputs[] = {q, k, v, b->offsets, b->offsets};
  return pith_build_node(
      &b->f->builder, NAMED("attention"), PITH_OP_PACKED_ATTENTION, 5, inputs, 2,
      (const pith_attribute_setting[]){PITH_SET_INT("num_heads", EXEC_HEADS),
                                       PITH_SET_DTYPE("softmax_dtype", PITH_DTYPE_U8)});
}

static pith_tensor_id layer(bert *b, int index, pith_tensor_id x) {
  char name[64];
  b->layout = index == 0 ? PITH_LAYOUT_N16K4_S8 : PITH_LAYOUT_ROW_MAJOR;
  pith_tensor_id input = rows_pair(b, NAMED("input"), x, 8.0f / 255, 127, EXEC_HIDDEN);
  pith_tensor_id q = linear(b, NAMED("query"), input, EXEC_HIDDEN, EXEC_HIDDEN);
  pith_tensor_id k = linear(b, NAMED("key"), input, EXEC_HIDDEN, EXEC_HIDDEN);
  pith_tensor_id v = linear(b, NAMED("value"), input, EXEC_HIDDEN, EXEC_HIDDEN);
  pith_tensor_id y = attention(b, index, q, k, v);
  y = rows_pair(b, NAMED("context"), y, 4.0f / 255, 127, EXEC_HIDDEN);
  y = linear(b, NAMED("attention.dense"), y, EXEC_HIDDEN, EXEC_HIDDEN);
  y = node2(b, NAMED("attention.residual"), PITH_OP_ADD, y, x);
  x = norm(b, NAMED("attention.norm"), y);
  y = rows_pair(b, NAMED("attention.norm"), x, 8.0f / 255, 127, EXEC_HIDDEN);
  y = linear(b, NAMED("inner"), y, EXEC_INNER, EXEC_HIDDEN);
  y = pith_build_node(&b->f->builder, NAMED("gelu"), PITH_OP_GELU, 1, &y, 0, NULL);
  y = rows_pair(b, NAMED("gelu"), y, 3.2f / 255, 14, EXEC_INNER);
  y = linear(b, NAMED("outer"), y, EXEC_HIDDEN, EXEC_INNER);
  y = node2(b, NAMED("residual"), PITH_OP_ADD, y, x);
  return norm(b, NAMED("norm"), y);
#undef NAMED
}

void integer_fixture_bert(integer_fixture *f, integer_fixture_kind kind) {
  integer_fixture_init(f);
  pith_builder *builder = &f->builder;
  bert b = {.f = f, .kind = kind};
  pith_dim tokens = pith_build_dim(builder, "tokens", 1, 0),
           offset_count = pith_build_dim(builder, "sequences", 1, 1);
  pith_tensor_id ids = pith_build_input(builder, "input_ids", PITH_DTYPE_S32, 1, &tokens);
  b.offsets = pith_build_input(builder, "offsets", PITH_DTYPE_S32, 1, &offset_count);
  pith_tensor_id type_ids = pith_build_input(builder, "token_type_ids", PITH_DTYPE_S32, 1, &tokens);
  const pith_layout rows = PITH_LAYOUT_ROW_MAJOR;
  pith_tensor_id words = integer_fixture_weight(f, "embeddings.words", EXEC_VOCABULARY, EXEC_HIDDEN,
                                                rows, 1.0f / 127, false);
  pith_tensor_id kinds =
      integer_fixture_weight(f, "embeddings.types", 2, EXEC_HIDDEN, rows, 0.2f / 127, false);
  pith_tensor_id places = integer_fixture_weight(f, "embeddings.positions", EXEC_MAX_LENGTH,
                                                 EXEC_HIDDEN, rows, 0.5f / 127, false);
  pith_tensor_id positions = node2(&b, "positions", PITH_OP_PACKED_POSITIONS, b.offsets, ids);
  pith_tensor_id x = node2(&b, "sum.0", PITH_OP_ADD, node2(&b, "words", PITH_OP_GATHER, words, ids),
                           node2(&b, "types", PITH_OP_GATHER, kinds, type_ids));
  x = norm(
      &b, "embeddings.norm",
      node2(&b, "sum.1", PITH_OP_ADD, x, node2(&b, "places", PITH_OP_GATHER, places, positions)));
  x = layer(&b, 1, layer(&b, 0, x));
  pith_build_output(builder, x, "last_hidden_state");
  x = node2(&b, "first", PITH_OP_SEQUENCE_POOL, x, b.offsets);
  float w[EXEC_LABELS * EXEC_HIDDEN];
  for (size_t i = 0; i < EXEC_LABELS * EXEC_HIDDEN; i++)
    w[i] = exec_fixture_uniform(&f->random, -0.5f, 0.5f);
  pith_tensor_id weight = integer_fixture_data(f, "classifier.weight", PITH_DTYPE_F32, 2,
                                               EXEC_LABELS, EXEC_HIDDEN, rows, w, sizeof w);
  pith_build_output(builder, integer_fixture_gemm(f, "classifier", x, weight, PITH_NONE), "logits");
  x = rows_pair(&b, "first", x, 8.0f / 255, 127, EXEC_HIDDEN);
  pith_build_output(builder, integer_fixture_gemm(f, "decoder", x, words, PITH_NONE), "scores");
  integer_fixture_finish(f);
}
