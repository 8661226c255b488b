/* Sparse layouts and patterns in files: written and read back, and files that contradict themselves. */
#include "tests/engine/format_fixture.h"
#include "tests/engine/ir_fixture.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine/format/format.h"
#include "engine/format/stored_layout.h"

enum { N = 13, K = 21 };

typedef struct fixture {
  pith_graph *graph;
  pith_arena arena;
  pith_model_data data;
  pith_tensor_id weight;
  format_bytes file;
} fixture;

/* y = x w', w f32 [13, 21] of pattern 4x1 in b4x1_f32. */
static void create(fixture *f) {
  pith_error error = {0};
  const int64_t dims[] = {N, K};
  const pith_dim shape[] = {pith_dim_of(N), pith_dim_of(K)};
  float w[N * K];
  for (int i = 0; i < N * K; i++) /* three inputs of each group of outputs, not the same ones */
    w[i] = (i % K + i / K / 4) % 7 == 0 ? (float)(i + 1) : 0;
  *f = (fixture){0};
  pith_arena_init(&f->arena, NULL);
  uint64_t bytes = 0;
  assert_int_equal(pith_layout_measure(PITH_DTYPE_F32, 2, shape, PITH_LAYOUT_ROW_MAJOR, w, PITH_LAYOUT_B4X1_F32, &bytes, NULL,
                                       &error), PITH_OK);
  void *packed = pith_arena_array(&f->arena, (size_t)bytes + 64, 1);
  assert_non_null(packed);
  assert_int_equal(pith_layout_convert(PITH_DTYPE_F32, 2, shape, PITH_LAYOUT_ROW_MAJOR, w, PITH_LAYOUT_B4X1_F32, packed, NULL,
                                       &error), PITH_OK);
  assert_int_equal(pith_graph_create(NULL, "sparse", &f->graph, &error), PITH_OK);
  pith_builder builder;
  pith_builder_init(&builder, f->graph, &error);
  const pith_dim x_dims[] = {pith_build_dim(&builder, "tokens", 1, 0), pith_dim_of(K)};
  const pith_tensor_id inputs[] = {
      pith_build_input(&builder, "x", PITH_DTYPE_F32, 2, x_dims),
      pith_build_data(&builder, PITH_TENSOR_PARAMETER, "w", PITH_DTYPE_F32, 2, dims, PITH_LAYOUT_B4X1_F32, packed, bytes)};
  const pith_attribute_setting transposed[] = {PITH_SET_INT("transB", 1)};
  pith_build_output(&builder, pith_build_node(&builder, "product", PITH_OP_GEMM, 2, inputs, 1, transposed), "y");
  if (builder.status == PITH_OK) {
    pith_tensor *weight = &f->graph->tensors[inputs[1]];
    weight->pattern = (pith_pattern){PITH_PATTERN_BLOCK, 4, 1};
    assert_int_equal(pith_pattern_count_kept(&weight->pattern, N, K, w, true, &weight->kept, &error), PITH_OK);
  }
  if (pith_builder_finish(&builder) != PITH_OK)
    fail_msg("%s", error.message);
  f->weight = inputs[1];
  f->data = (pith_model_data){.graph = f->graph, .architecture = "", .task = PITH_TASK_EMBEDDING, .config_json = ""};
  const format_model model = {.data = f->data};
  f->file = format_write_bytes(&model);
}

static void destroy(fixture *f) {
  free(f->file.bytes);
  pith_graph_destroy(f->graph);
  pith_arena_deinit(&f->arena);
}

/* Reads the file and checks its weights; the first failure. */
static pith_status read_and_check(const fixture *f, pith_error *error) {
  pith_arena arena;
  pith_model_data data;
  pith_arena_init(&arena, NULL);
  pith_status status = pith_format_read(f->file.bytes, f->file.size, NULL, &arena, &data, error);
  if (status == PITH_OK) {
    const pith_tensor *weight = &data.graph->tensors[f->weight], *written = &f->graph->tensors[f->weight];
    assert_int_equal(weight->layout, PITH_LAYOUT_B4X1_F32);
    assert_int_equal(weight->data_bytes, written->data_bytes);
    status = pith_format_check_weights(data.graph, error);
    if (status == PITH_OK) {
      assert_true(pith_pattern_equal(&weight->pattern, &written->pattern));
      assert_int_equal(weight->kept, written->kept);
      assert_memory_equal(weight->data, written->data, (size_t)written->data_bytes);
    }
    pith_graph_destroy(data.graph);
  }
  pith_arena_deinit(&arena);
  return status;
}

/* The one place in the file that has these bytes. */
static uint8_t *find(const fixture *f, const void *bytes, size_t count) {
  uint8_t *found = NULL;
  for (size_t i = 0; i + count <= f->file.size; i++)
    if (memcmp(f->file.bytes + i, bytes, count) == 0) {
      assert_null(found);
      found = f->file.bytes + i;
    }
  assert_non_null(found);
  return found;
}

static void expect(const fixture *f, const char *message) {
  pith_error error = {0};
  if (read_and_check(f, &error) != PITH_FORMAT || strstr(error.message, message) == NULL)
    fail_msg("\"%s\" lacks \"%s\"", error.message, message);
}

static void test_round_trip(void **state) {
  (void)state;
  fixture f;
  create(&f);
  pith_error error = {0};
  if (read_and_check(&f, &error) != PITH_OK)
    fail_msg("%s", error.message);
  destroy(&f);
}

static void test_pattern_text(void **state) {
  (void)state;
  static const struct {
    const char text[4], *message;
  } rows[] = {{"4y1", "tensor 'w': '4y1' is no pattern"},
              {"0x1", "tensor 'w': '0x1' is no pattern"},
              {"4:1", "tensor 'w': N:M keeps"},
              {"row", "tensor 'w' of pattern row keeps"},
              {"9x1", "tensor 'w' of pattern 9x1 keeps"},
              {"1:8", "tensor 'w' of pattern 1:8: output 0 has 2 weights"}};
  for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
    fixture f;
    create(&f);
    memcpy(find(&f, "4x1\0", 4), rows[i].text, 3);
    expect(&f, rows[i].message);
    destroy(&f);
  }
}

static void test_kept(void **state) {
  (void)state;
  fixture f;
  create(&f);
  pith_tensor *weight = &f.graph->tensors[f.weight];
  char message[120];
  snprintf(message, sizeof message, "tensor 'w' of pattern 4x1 keeps %llu elements where its weights keep %llu",
           (unsigned long long)weight->kept + 4, (unsigned long long)weight->kept);
  weight->kept += 4;
  const format_model model = {.data = f.data};
  free(f.file.bytes);
  f.file = format_write_bytes(&model);
  expect(&f, message);
  destroy(&f);
}

/* Starts, inputs and weights of the segment, one by one. */
static void test_weights(void **state) {
  (void)state;
  fixture f;
  create(&f);
  const pith_tensor *weight = &f.graph->tensors[f.weight];
  uint8_t *bytes = find(&f, weight->data, (size_t)weight->data_bytes);
  const pith_sparse_parts parts = pith_sparse_get_parts(PITH_SPARSE_B4X1_F32, N, bytes);
  uint32_t *starts = (uint32_t *)(void *)bytes, *input = (uint32_t *)(uintptr_t)(const void *)parts.units;
  static const uint32_t wrong_starts[] = {0, 1000, UINT32_MAX};
  for (size_t i = 0; i < sizeof wrong_starts / sizeof *wrong_starts; i++) {
    const uint32_t old = starts[2];
    starts[2] = wrong_starts[i];
    expect(&f, "tensor 'w': its");
    starts[2] = old;
  }
  const uint32_t old = *input;
  *input = K;
  expect(&f, "starts or inputs are wrong");
  *input = old;
  memset(input + 1, 0, 16); /* a block that should not be there: still a weight, of another count */
  expect(&f, "tensor 'w' in layout b4x1_f32 is not as its weights are packed");
  destroy(&f);
}

/* A file without sparse layouts does not name them: older readers open it. */
static void test_names_in_use(void **state) {
  (void)state;
  format_model model;
  format_model_init(&model, 1, 1);
  format_bytes file = format_write_bytes(&model);
  assert_non_null(memmem(file.bytes, file.size, "n64_f32", 7));
  assert_null(memmem(file.bytes, file.size, "b4x1", 4));
  free(file.bytes);
  format_model_deinit(&model);
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_round_trip), cmocka_unit_test(test_pattern_text),
                                     cmocka_unit_test(test_kept), cmocka_unit_test(test_weights),
                                     cmocka_unit_test(test_names_in_use)};
  return cmocka_run_group_tests_name("format_sparse", tests, NULL, NULL);
}
