#include "tests/engine/integer_fixture.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine/format/stored_layout.h"

uint32_t exec_fixture_random(uint64_t *state) {
  /* splitmix64, public domain constants of Steele, Lea and Flood */
  uint64_t z = (*state += UINT64_C(0x9e3779b97f4a7c15));
  z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
  z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
  return (uint32_t)((z ^ (z >> 31)) >> 32);
}

float exec_fixture_uniform(uint64_t *state, float low, float high) {
  return low + (high - low) * (float)(exec_fixture_random(state) >> 8) * 0x1p-24f;
}

/* s8 and u8: any bytes, in the tensor's layout. */
static void fill_bytes(const pith_tensor *tensor, uint64_t *state, void *out) {
  assert_int_equal(pith_dtype_get_info(tensor->dtype)->bits, 8);
  uint64_t count;
  assert_int_equal(pith_layout_get_bytes(PITH_LAYOUT_ROW_MAJOR, tensor->dtype, tensor->rank, tensor->dims, &count, NULL),
                   PITH_OK);
  uint8_t *plain = pith_allocate(NULL, count);
  assert_non_null(plain);
  for (size_t i = 0; i < count; i++)
    plain[i] = (uint8_t)exec_fixture_random(state);
  assert_int_equal(pith_layout_convert(tensor->dtype, tensor->rank, tensor->dims, PITH_LAYOUT_ROW_MAJOR, plain,
                                       tensor->layout, out, NULL, NULL),
                   PITH_OK);
  pith_release(NULL, plain, count);
}

void exec_fixture_fill(pith_graph *graph, uint64_t seed, exec_fixture_weights *weights) {
  weights->count = 0;
  for (uint32_t t = 0; t < graph->tensor_count; t++) {
    const pith_tensor *tensor = &graph->tensors[t];
    if (!pith_tensor_is_data(tensor) || tensor->data != NULL)
      continue;
    uint64_t state = seed * 1000003 + t, bytes;
    assert_int_equal(pith_layout_get_bytes(tensor->layout, tensor->dtype, tensor->rank, tensor->dims, &bytes, NULL),
                     PITH_OK);
    float *data = pith_allocate(NULL, bytes);
    assert_non_null(data);
    assert_true(weights->count < sizeof weights->pieces / sizeof *weights->pieces);
    weights->pieces[weights->count++] = data;
    memset(data, 0, bytes);
    bool is_scale = (strstr(tensor->name, "norm") != NULL && strstr(tensor->name, "weight") != NULL) ||
                    strstr(tensor->name, "scale") != NULL;
    if (tensor->dtype != PITH_DTYPE_F32)
      fill_bytes(tensor, &state, data);
    else if (tensor->layout == PITH_LAYOUT_ROW_MAJOR) {
      for (size_t i = 0; i < bytes / sizeof *data; i++)
        data[i] = exec_fixture_uniform(&state, is_scale ? 0.5f : -0.5f, is_scale ? 1.5f : 0.5f);
    } else {
      size_t n = (size_t)tensor->dims[0].constant, k = (size_t)tensor->dims[1].constant;
      for (size_t block = 0; block < n; block += 64) {
        size_t count = n - block < 64 ? n - block : 64, width = (count + 15) / 16 * 16;
        for (size_t i = 0; i < k; i++)
          for (size_t j = 0; j < count; j++)
            data[block * k + i * width + j] = exec_fixture_uniform(&state, -0.5f, 0.5f);
      }
    }
    pith_graph_set_data(graph, t, data, bytes);
  }
}

void exec_fixture_free_weights(exec_fixture_weights *weights) {
  for (size_t i = 0; i < weights->count; i++)
    pith_release(NULL, weights->pieces[i], 1);
  weights->count = 0;
}

/* ---- a model -------------------------------------------------------------------------------------------------- */

typedef struct bert {
  pith_builder builder;
  pith_tensor_id offsets;
} bert;

static pith_tensor_id parameter(bert *b, const char *scope, const char *name, uint32_t rank, int64_t d0, int64_t d1,
                                pith_layout layout) {
  char full[100];
  snprintf(full, sizeof full, "%s.%s", scope, name);
  return pith_build_data(&b->builder, PITH_TENSOR_PARAMETER, full, PITH_DTYPE_F32, rank, (const int64_t[]){d0, d1},
                         layout, NULL, 0);
}

static pith_tensor_id linear(bert *b, const char *name, pith_tensor_id x, int64_t n, int64_t k) {
  pith_tensor_id inputs[] = {x, parameter(b, name, "weight", 2, n, k, PITH_LAYOUT_N64_F32),
                             parameter(b, name, "bias", 1, n, 0, PITH_LAYOUT_ROW_MAJOR)};
  return pith_build_node(&b->builder, name, PITH_OP_GEMM, 3, inputs, 1,
                         (const pith_attribute_setting[]){PITH_SET_INT("transB", 1)});
}

static pith_tensor_id norm(bert *b, const char *name, pith_tensor_id x) {
  pith_tensor_id inputs[] = {x, parameter(b, name, "weight", 1, EXEC_HIDDEN, 0, PITH_LAYOUT_ROW_MAJOR),
                             parameter(b, name, "bias", 1, EXEC_HIDDEN, 0, PITH_LAYOUT_ROW_MAJOR)};
  return pith_build_node(&b->builder, name, PITH_OP_LAYER_NORMALIZATION, 3, inputs, 1,
                         (const pith_attribute_setting[]){PITH_SET_FLOAT("epsilon", 1e-12)});
}

static pith_tensor_id node1(bert *b, const char *name, int op, pith_tensor_id x) {
  return pith_build_node(&b->builder, name, op, 1, &x, 0, NULL);
}
static pith_tensor_id node2(bert *b, const char *name, int op, pith_tensor_id x, pith_tensor_id y) {
  return pith_build_node(&b->builder, name, op, 2, (const pith_tensor_id[]){x, y}, 0, NULL);
}

static pith_tensor_id layer(bert *b, int index, pith_tensor_id x) {
  char name[64];
#define NAMED(text) (snprintf(name, sizeof name, "layer.%d." text, index), name)
  pith_tensor_id q = linear(b, NAMED("query"), x, EXEC_HIDDEN, EXEC_HIDDEN);
  pith_tensor_id k = linear(b, NAMED("key"), x, EXEC_HIDDEN, EXEC_HIDDEN);
  pith_tensor_id v = linear(b, NAMED("value"), x, EXEC_HIDDEN, EXEC_HIDDEN);
  pith_tensor_id inputs[] = {q, k, v, b->offsets, b->offsets};
  pith_tensor_id context =
      pith_build_node(&b->builder, NAMED("attention"), PITH_OP_PACKED_ATTENTION, 5, inputs, 1,
                      (const pith_attribute_setting[]){PITH_SET_INT("num_heads", EXEC_HEADS)});
  pith_tensor_id y = linear(b, NAMED("attention.dense"), context, EXEC_HIDDEN, EXEC_HIDDEN);
  /* One name at a time: they share a buffer. */
  y = node2(b, NAMED("attention.residual"), PITH_OP_ADD, y, x);
  x = norm(b, NAMED("attention.norm"), y);
  y = linear(b, NAMED("inner"), x, EXEC_INNER, EXEC_HIDDEN);
  y = node1(b, NAMED("gelu"), PITH_OP_GELU, y);
  y = linear(b, NAMED("outer"), y, EXEC_HIDDEN, EXEC_INNER);
  y = node2(b, NAMED("residual"), PITH_OP_ADD, y, x);
  return norm(b, NAMED("norm"), y);
#undef NAMED
}

static void build(bert *b, exec_fixture_head head) {
  pith_builder *builder = &b->builder;
  pith_dim tokens = pith_build_dim(builder, "tokens", 1, 0), offset_count = pith_build_dim(builder, "sequences", 1, 1);
  pith_tensor_id ids = pith_build_input(builder, "input_ids", PITH_DTYPE_S32, 1, &tokens);
  b->offsets = pith_build_input(builder, "offsets", PITH_DTYPE_S32, 1, &offset_count);
  pith_tensor_id type_ids = pith_build_input(builder, "token_type_ids", PITH_DTYPE_S32, 1, &tokens);
  pith_tensor_id words =
      parameter(b, "embeddings", "words", 2, EXEC_VOCABULARY, EXEC_HIDDEN, PITH_LAYOUT_ROW_MAJOR);
  pith_tensor_id kinds = parameter(b, "embeddings", "types", 2, 2, EXEC_HIDDEN, PITH_LAYOUT_ROW_MAJOR);
  pith_tensor_id places =
      parameter(b, "embeddings", "positions", 2, EXEC_MAX_LENGTH, EXEC_HIDDEN, PITH_LAYOUT_ROW_MAJOR);
  pith_tensor_id positions = node2(b, "positions", PITH_OP_PACKED_POSITIONS, b->offsets, ids);
  pith_tensor_id x = node2(b, "sum.0", PITH_OP_ADD, node2(b, "words", PITH_OP_GATHER, words, ids),
                           node2(b, "types", PITH_OP_GATHER, kinds, type_ids));
  x = norm(b, "embeddings.norm",
           node2(b, "sum.1", PITH_OP_ADD, x, node2(b, "places", PITH_OP_GATHER, places, positions)));
  x = layer(b, 1, layer(b, 0, x));
  if (head == EXEC_CLASSIFY) {
    x = node1(b, "pooler.tanh", PITH_OP_TANH,
              linear(b, "pooler", node2(b, "first", PITH_OP_SEQUENCE_POOL, x, b->offsets), EXEC_HIDDEN, EXEC_HIDDEN));
    pith_build_output(builder, linear(b, "classifier", x, EXEC_LABELS, EXEC_HIDDEN), "logits");
  } else if (head == EXEC_FILL_MASK) {
    pith_dim row_count = pith_build_dim(builder, "rows", 1, 0);
    pith_tensor_id rows = pith_build_input(builder, "rows", PITH_DTYPE_S32, 1, &row_count);
    x = node1(b, "transform.gelu", PITH_OP_GELU,
              linear(b, "transform", node2(b, "masked", PITH_OP_GATHER, x, rows), EXEC_HIDDEN, EXEC_HIDDEN));
    x = node2(b, "mix", PITH_OP_MATMUL, x,
              parameter(b, "mix", "weight", 2, EXEC_HIDDEN, EXEC_HIDDEN, PITH_LAYOUT_ROW_MAJOR));
    x = node2(b, "scaled", PITH_OP_MUL, x,
              node1(b, "factor.tanh", PITH_OP_TANH,
                    parameter(b, "factor", "raw", 1, EXEC_HIDDEN, 0, PITH_LAYOUT_ROW_MAJOR)));
    pith_tensor_id inputs[] = {norm(b, "transform.norm", x), words,
                               parameter(b, "decoder", "bias", 1, EXEC_VOCABULARY, 0, PITH_LAYOUT_ROW_MAJOR)};
    x = pith_build_node(builder, "decoder", PITH_OP_GEMM, 3, inputs, 1,
                        (const pith_attribute_setting[]){PITH_SET_INT("transB", 1)});
    pith_build_output(builder, x, "logits");
  } else {
    pith_build_output(builder, x, "last_hidden_state");
    x = node1(b, "vector", PITH_OP_LP_NORMALIZATION, node2(b, "mean", PITH_OP_SEQUENCE_POOL, x, b->offsets));
    pith_build_output(builder, x, "embedding");
  }
}

void exec_fixture_open(exec_fixture_model *fixture, exec_fixture_head head) {
  *fixture = (exec_fixture_model){.model = {.allocator = pith_default_allocator}};
  fixture->model.data.max_length = EXEC_MAX_LENGTH;
  if (head == EXEC_STATIC || head == EXEC_DYNAMIC) {
    integer_fixture f;
    integer_fixture_bert(&f, head == EXEC_STATIC ? INTEGER_STATIC : INTEGER_DYNAMIC);
    fixture->model.data.graph = f.graph;
    fixture->weights = f.weights;
    return;
  }
  bert b;
  pith_error error = {PITH_OK, ""};
  assert_int_equal(pith_graph_create(NULL, "bert", &fixture->model.data.graph, &error), PITH_OK);
  pith_builder_init(&b.builder, fixture->model.data.graph, &error);
  build(&b, head);
  if (pith_builder_finish(&b.builder) != PITH_OK)
    fail_msg("%s", error.message);
  exec_fixture_fill(fixture->model.data.graph, 7, &fixture->weights);
}

void exec_fixture_close(exec_fixture_model *fixture) {
  pith_graph_destroy(fixture->model.data.graph);
  exec_fixture_free_weights(&fixture->weights);
}

void exec_fixture_make_batch(exec_fixture_batch *batch, size_t sequences, const size_t *keys, const size_t *lengths) {
  batch->batch = (pith_batch)PITH_BATCH_INIT;
  batch->batch.sequences = sequences;
  batch->batch.offsets = batch->offsets;
  batch->batch.ids = batch->ids;
  batch->batch.type_ids = batch->type_ids;
  size_t tokens = 0;
  for (size_t i = 0; i < sequences; i++) {
    uint64_t state = keys[i] + 1;
    batch->offsets[i] = (int32_t)tokens;
    for (size_t t = 0; t < lengths[i]; t++, tokens++) {
      batch->ids[tokens] = (int32_t)(exec_fixture_random(&state) % EXEC_VOCABULARY);
      batch->type_ids[tokens] = (int32_t)(exec_fixture_random(&state) % 2);
    }
  }
  batch->offsets[sequences] = (int32_t)tokens;
}

void exec_fixture_assert_same(const pith_graph_run *a, const pith_graph_run *b, const char *what) {
  assert_int_equal(a->program->output_count, b->program->output_count);
  for (uint32_t i = 0; i < a->program->output_count; i++) {
    const pith_view *x = pith_executor_get_output(a->executor, i), *y = pith_executor_get_output(b->executor, i);
    assert_int_equal(x->rows, y->rows);
    assert_int_equal(x->columns, y->columns);
    const pith_value *value = &a->program->values[a->program->outputs[i]];
    size_t bytes;
    assert_int_equal(pith_value_get_bytes(value, x, &bytes, NULL), PITH_OK);
    if (memcmp(x->data, y->data, bytes) != 0)
      fail_msg("%s: output %u, %s, differs", what, (unsigned)i, value->name);
  }
}
