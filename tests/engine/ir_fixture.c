#include "tests/engine/ir_fixture.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { HIDDEN = 8, HEADS = 2, INNER = 12, VOCABULARY = 50, POSITIONS = 20, LABELS = 3 };

/* ---- a small BERT
 * ------------------------------------------------------------------------------------- */

typedef struct bert {
  pith_builder builder;
  pith_tensor_id offsets;
} bert;

static pith_tensor_id parameter(bert *b, const char *scope, const char *name, uint32_t rank,
                                int64_t d0, int64_t d1, pith_layout layout) {
  char full[100];
  snprintf(full, sizeof full, "%s.%s", scope, name);
  return pith_build_data(&b->builder, PITH_TENSOR_PARAMETER, full, PITH_DTYPE_F32, rank,
                         (const int64_t[]){d0, d1}, layout, NULL, 0);
}

static pith_tensor_id linear(bert *b, const char *name, pith_tensor_id x, int64_t n, int64_t k) {
  pith_tensor_id inputs[] = {x, parameter(b, name, "weight", 2, n, k, PITH_LAYOUT_N64_F32),
                             parameter(b, name, "bias", 1, n, 0, PITH_LAYOUT_ROW_MAJOR)};
  return pith_build_node(&b->builder, name, PITH_OP_GEMM, 3, inputs, 1,
                         (const pith_attribute_setting[]){PITH_SET_INT("transB", 1)});
}

static pith_tensor_id norm(bert *b, const char *name, pith_tensor_id x) {
  pith_tensor_id inputs[] = {x, parameter(b, name, "weight", 1, HIDDEN, 0, PITH_LAYOUT_ROW_MAJOR),
                             parameter(b, name, "bias", 1, HIDDEN, 0, PITH_LAYOUT_ROW_MAJOR)};
  return pith_build_node(&b->builder, name, PITH_OP_LAYER_NORMALIZATION, 3, inputs, 1,
                         (const pith_attribute_setting[]){PITH_SET_FLOAT("epsilon", 1e-12)});
}

static pith_tensor_id unary(bert *b, int op, pith_tensor_id x) {
  return pith_build_node(&b->builder, NULL, op, 1, &x, 0, NULL);
}

static pith_tensor_id binary(bert *b, const char *name, int op, pith_tensor_id x,
                             pith_tensor_id y) {
  return pith_build_node(&b->builder, name, op, 2, (const pith_tensor_id[]){x, y}, 0, NULL);
}

static pith_tensor_id layer(bert *b, int index, pith_tensor_id x) {
  char name[64];
#define NAMED(text) (snprintf(name, sizeof name, "layer.%d." text, index), name)
  pith_tensor_id q = linear(b, NAMED("query"), x, HIDDEN, HIDDEN);
  pith_tensor_id k = linear(b, NAMED("key"), x, HIDDEN, HIDDEN);
  pith_tensor_id v = linear(b, NAMED("value"), x, HIDDEN, HIDDEN);
  pith_tensor_id inputs[] = {q, k, v, b->offsets, b->offsets};
  pith_tensor_id context =
      pith_build_node(&b->builder, NAMED("attention"), PITH_OP_PACKED_ATTENTION, 5, inputs, 1,
                      (const pith_attribute_setting[]){PITH_SET_INT("num_heads", HEADS)});
  pith_tensor_id y = linear(b, NAMED("attention.dense"), context, HIDDEN, HIDDEN);
  pith_tensor_id sum = binary(b, NAMED("attention.residual"), PITH_OP_ADD, y, x);
  x = norm(b, NAMED("attention.norm"), sum);
  y = linear(b, NAMED("inner"), x, INNER, HIDDEN);
  y = pith_build_node(
      &b->builder, NAMED("gelu"), PITH_OP_GELU, 1, &y, 1,
      (const pith_attribute_setting[]){PITH_SET_ENUM("approximate", PITH_GELU_TANH)});
  y = linear(b, NAMED("outer"), y, HIDDEN, INNER);
  sum = binary(b, NAMED("residual"), PITH_OP_ADD, y, x);
  return norm(b, NAMED("norm"), sum);
#undef NAMED
}

static pith_tensor_id data(bert *b, const char *name, pith_dtype dtype, uint32_t rank, int64_t size,
                           pith_layout layout) {
  return pith_build_data(&b->builder, PITH_TENSOR_PARAMETER, name, dtype, rank,
                         (const int64_t[]){size, size}, layout, NULL, 0);
}

/* x in 8 bits, by its own range and by a scale that is data, times weights in 8 bits. */
static pith_tensor_id quantized(bert *b, pith_tensor_id x) {
  pith_builder *builder = &b->builder;
  x = pith_build_node(builder, "quantized.dynamic", PITH_OP_DYNAMIC_QUANTIZE, 1, &x, 1,
                      (const pith_attribute_setting[]){PITH_SET_INT("block_size", HIDDEN / 2)});
  if (x == PITH_NONE)
    return PITH_NONE;
  const pith_tensor_id *outputs = builder->graph->nodes[builder->graph->node_count - 1].outputs;
  pith_tensor_id level[] = {x, outputs[1], outputs[2]};
  x = pith_build_node(builder, "quantized.levels", PITH_OP_DEQUANTIZE_LINEAR, 3, level, 1,
                      (const pith_attribute_setting[]){PITH_SET_INT("block_size", HIDDEN / 2)});
  pith_tensor_id weights[] = {
      data(b, "quantized.weight", PITH_DTYPE_S8, 2, HIDDEN, PITH_LAYOUT_N16K4_S8),
      data(b, "quantized.weight_scale", PITH_DTYPE_F32, 1, HIDDEN, PITH_LAYOUT_ROW_MAJOR)};
  weights[1] = pith_build_node(builder, "quantized.floats", PITH_OP_DEQUANTIZE_LINEAR, 2, weights, 1,
                               (const pith_attribute_setting[]){PITH_SET_INT("axis", 0)});
  weights[0] = x;
  pith_tensor_id y =
      pith_build_node(builder, "quantized", PITH_OP_GEMM, 2, weights, 1,
                      (const pith_attribute_setting[]){PITH_SET_INT("transB", 1)});
  pith_tensor_id fixed[] = {
      y, data(b, "quantized.scale", PITH_DTYPE_F32, 0, 0, PITH_LAYOUT_ROW_MAJOR),
      data(b, "quantized.zero_point", PITH_DTYPE_U8, 0, 0, PITH_LAYOUT_ROW_MAJOR)};
  fixed[0] =
      pith_build_node(builder, "quantized.static", PITH_OP_QUANTIZE_LINEAR, 3, fixed, 0, NULL);
  return pith_build_node(builder, "quantized.result", PITH_OP_DEQUANTIZE_LINEAR, 3, fixed, 0, NULL);
}

static void build(bert *b, int layers) {
  pith_builder *builder = &b->builder;
  pith_dim tokens = pith_build_dim(builder, "tokens", 1, 0);
  pith_dim sequences_1 = pith_build_dim(builder, "sequences", 1, 1);
  pith_tensor_id ids = pith_build_input(builder, "ids", PITH_DTYPE_S32, 1, &tokens);
  pith_tensor_id type_ids = pith_build_input(builder, "type_ids", PITH_DTYPE_S64, 1, &tokens);
  b->offsets = pith_build_input(builder, "offsets", PITH_DTYPE_S32, 1, &sequences_1);
  pith_tensor_id positions = binary(b, "positions", PITH_OP_PACKED_POSITIONS, b->offsets, ids);
  pith_tensor_id types =
      pith_build_node(builder, "types", PITH_OP_CAST, 1, &type_ids, 1,
                      (const pith_attribute_setting[]){PITH_SET_DTYPE("to", PITH_DTYPE_S32)});
  pith_tensor_id words =
      parameter(b, "embeddings", "words", 2, VOCABULARY, HIDDEN, PITH_LAYOUT_ROW_MAJOR);
  pith_tensor_id places =
      parameter(b, "embeddings", "positions", 2, POSITIONS, HIDDEN, PITH_LAYOUT_ROW_MAJOR);
  pith_tensor_id kinds = parameter(b, "embeddings", "types", 2, 2, HIDDEN, PITH_LAYOUT_ROW_MAJOR);
  pith_tensor_id x = binary(b, "embeddings.words.gather", PITH_OP_GATHER, words, ids);
  pith_tensor_id y = binary(b, "embeddings.positions.gather", PITH_OP_GATHER, places, positions);
  pith_tensor_id z = binary(b, "embeddings.types.gather", PITH_OP_GATHER, kinds, types);
  x = binary(b, NULL, PITH_OP_ADD, binary(b, NULL, PITH_OP_ADD, x, y), z);
  x = norm(b, "embeddings.norm", x);
  for (int i = 0; i < layers; i++)
    x = layer(b, i, x);

  pith_tensor_id pooled = pith_build_node(
      builder, "pool", PITH_OP_SEQUENCE_POOL, 2, (const pith_tensor_id[]){x, b->offsets}, 1,
      (const pith_attribute_setting[]){PITH_SET_ENUM("mode", PITH_POOL_CLS)});
  y = unary(b, PITH_OP_TANH, linear(b, "pooler", pooled, HIDDEN, HIDDEN));
  pith_tensor_id logits = linear(b, "classifier", y, LABELS, HIDDEN);
  pith_build_output(builder, logits, "logits");
  pith_build_output(builder, unary(b, PITH_OP_SOFTMAX, logits), "probabilities");

  /* What a BERT has not: so that every operator occurs. */
  y = binary(b, "squared", PITH_OP_MUL, pooled, pooled);
  y = unary(b, PITH_OP_SIGMOID, unary(b, PITH_OP_ERF, unary(b, PITH_OP_RELU, y)));
  y = binary(b, "shifted", PITH_OP_SUB, y,
             parameter(b, "shift", "scalar", 0, 0, 0, PITH_LAYOUT_ROW_MAJOR));
  y = binary(b, "divided", PITH_OP_DIV, y, pooled);
  y = binary(b, "rotated", PITH_OP_MATMUL, y,
             parameter(b, "rotation", "weight", 2, HIDDEN, HIDDEN, PITH_LAYOUT_ROW_MAJOR));
  y = quantized(b, y);
  y = unary(b, PITH_OP_IDENTITY, unary(b, PITH_OP_LP_NORMALIZATION, y));
  pith_build_output(builder, y, "vector");
}

pith_graph *fixture_build_bert(const pith_allocator *allocator, int layers, pith_error *error) {
  bert b;
  pith_graph *graph;
  if (pith_graph_create(allocator, "small-bert", &graph, error) != PITH_OK)
    return NULL;
  pith_builder_init(&b.builder, graph, error);
  build(&b, layers);
  if (pith_builder_finish(&b.builder) == PITH_OK)
    return graph;
  pith_graph_destroy(graph);
  return NULL;
}

/* ---- text
 * --------------------------------------------------------------------------------------------- */

static void append(void *context, const char *text, size_t bytes) {
  fixture_text *all = context;
  if (all->bytes + bytes + 1 > all->capacity) {
    all->capacity = 2 * (all->bytes + bytes) + 64;
    all->text = realloc(all->text, all->capacity);
    assert_non_null(all->text);
  }
  memcpy(all->text + all->bytes, text, bytes);
  all->bytes += bytes;
  all->text[all->bytes] = '\0';
}

pith_text_sink fixture_text_sink(fixture_text *text) {
  *text = (fixture_text){0};
  append(text, "", 0);
  return (pith_text_sink){append, text};
}

void fixture_text_free(fixture_text *text) {
  free(text->text);
  *text = (fixture_text){0};
}

fixture_text fixture_print(const pith_graph *graph,
                           void (*print)(const pith_graph *, const pith_text_sink *)) {
  fixture_text text;
  pith_text_sink sink = fixture_text_sink(&text);
  print(graph, &sink);
  return text;
}

/* ---- allocator
 * ---------------------------------------------------------------------------------------- */

static void *allocate(void *context, size_t bytes, size_t alignment) {
  fixture_allocator *allocator = context;
  if (allocator->budget >= 0 && allocator->allocations >= allocator->budget)
    return NULL;
  void *memory = pith_default_allocator.allocate(NULL, bytes, alignment);
  if (memory != NULL) {
    allocator->allocations++;
    allocator->held_bytes += bytes;
  }
  return memory;
}

static void release(void *context, void *memory, size_t bytes) {
  fixture_allocator *allocator = context;
  allocator->held_bytes -= bytes;
  pith_default_allocator.release(NULL, memory, bytes);
}

void fixture_allocator_init(fixture_allocator *allocator, long budget) {
  *allocator = (fixture_allocator){.allocator = {allocate, release, allocator}, .budget = budget};
}
