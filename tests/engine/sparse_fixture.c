#include "tests/engine/sparse_fixture.h"

#include <string.h>

#include "engine/format/stored_layout.h"

static bool is_layers(const char *name) {
  const size_t bytes = strlen(name);
  return strncmp(name, "layer.", 6) == 0 && bytes > 7 && strcmp(name + bytes - 7, ".weight") == 0;
}

pith_layout sparse_fixture_4x1(const char *name, pith_dtype dtype) {
  if (!is_layers(name))
    return PITH_LAYOUT_ROW_MAJOR;
  return dtype == PITH_DTYPE_F32 ? PITH_LAYOUT_B4X1_F32 : PITH_LAYOUT_B4X1_S8;
}

pith_layout sparse_fixture_4x4(const char *name, pith_dtype dtype) {
  if (!is_layers(name))
    return PITH_LAYOUT_ROW_MAJOR;
  return dtype == PITH_DTYPE_F32 ? PITH_LAYOUT_B4X1_F32 : PITH_LAYOUT_B4X4_S8;
}

pith_layout sparse_fixture_mixed(const char *name, pith_dtype dtype) {
  if (strstr(name, "key") != NULL || strstr(name, "layer.0.outer") != NULL)
    return PITH_LAYOUT_ROW_MAJOR;
  const bool second = strstr(name, "layer.1.") != NULL, inner = strstr(name, "inner") != NULL;
  return second != inner ? sparse_fixture_4x1(name, dtype) : sparse_fixture_4x4(name, dtype);
}

/* Where a block's index and the name say so, the same on every machine. */
static bool keeps(const sparse_fixture_mask *mask, uint64_t seed, size_t n, size_t k) {
  uint64_t state = seed + n / mask->outputs * 1000003 + k / mask->inputs;
  return exec_fixture_random(&state) % 100 < mask->percent;
}

static void *keep_bytes(exec_fixture_weights *weights, size_t bytes) {
  void *data = pith_allocate(NULL, bytes < 64 ? 64 : bytes);
  assert_non_null(data);
  assert_true(weights->count < sizeof weights->pieces / sizeof *weights->pieces);
  weights->pieces[weights->count++] = data;
  return data;
}

/* `rows` as data of the tensor in `layout`. */
static void store(pith_graph *graph, pith_tensor_id id, const void *rows, pith_layout layout,
                  exec_fixture_weights *weights) {
  pith_tensor *tensor = &graph->tensors[id];
  const size_t n = (size_t)tensor->dims[0].constant, k = (size_t)tensor->dims[1].constant;
  const pith_sparse_form form = pith_layout_get_sparse_form(layout);
  uint64_t bytes;
  void *data;
  if (form != PITH_SPARSE_FORM_COUNT) {
    bytes = pith_sparse_packed_bytes(form, n, pith_sparse_count_units(form, n, k, rows));
    data = keep_bytes(weights, bytes);
    pith_sparse_pack(form, n, k, rows, data);
    assert_true(pith_sparse_check(form, n, k, data, bytes));
  } else {
    assert_int_equal(pith_layout_get_bytes(layout, tensor->dtype, 2, tensor->dims, &bytes, NULL), PITH_OK);
    data = keep_bytes(weights, bytes);
    assert_int_equal(pith_layout_convert(tensor->dtype, 2, tensor->dims, PITH_LAYOUT_ROW_MAJOR, rows, layout, data,
                                         NULL, NULL),
                     PITH_OK);
  }
  tensor->layout = layout;
  pith_graph_set_data(graph, id, data, bytes);
}

void sparse_fixture_prune(pith_graph *graph, sparse_fixture_choice choice, const sparse_fixture_mask *mask,
                          exec_fixture_weights *weights, pith_graph **out_dense) {
  pith_error error = {PITH_OK, ""};
  if (out_dense != NULL)
    assert_int_equal(pith_graph_clone(graph, NULL, out_dense, &error), PITH_OK);
  for (uint32_t t = 0; t < graph->tensor_count; t++) {
    pith_tensor *tensor = &graph->tensors[t];
    if (tensor->rank != 2 || tensor->data == NULL)
      continue;
    const pith_layout layout = choice(tensor->name, tensor->dtype);
    if (layout == PITH_LAYOUT_ROW_MAJOR)
      continue;
    const size_t n = (size_t)tensor->dims[0].constant, k = (size_t)tensor->dims[1].constant;
    const size_t element = pith_dtype_get_info(tensor->dtype)->bits / 8;
    char *rows = pith_allocate(NULL, n * k * element);
    assert_non_null(rows);
    assert_int_equal(pith_layout_convert(tensor->dtype, 2, tensor->dims, tensor->layout, tensor->data,
                                         PITH_LAYOUT_ROW_MAJOR, rows, NULL, NULL),
                     PITH_OK);
    for (size_t i = 0; i < n * k; i++)
      if (!keeps(mask, t, i / k, i % k))
        memset(rows + i * element, 0, element);
    if (out_dense != NULL)
      store(*out_dense, t, rows, element == 1 ? PITH_LAYOUT_N16K4_S8 : PITH_LAYOUT_N64_F32, weights);
    store(graph, t, rows, layout, weights);
    pith_release(NULL, rows, n * k * element);
  }
  assert_int_equal(pith_graph_verify(graph, &error), PITH_OK);
}

void sparse_fixture_open(exec_fixture_model *fixture, int head) {
  static const sparse_fixture_mask mask = {4, 4, 30};
  exec_fixture_open(fixture, head == SPARSE_FIXTURE_STATIC ? EXEC_STATIC : (exec_fixture_head)head);
  if (head == SPARSE_FIXTURE_STATIC)
    sparse_fixture_prune(fixture->model.data.graph, sparse_fixture_mixed, &mask, &fixture->weights, NULL);
}
