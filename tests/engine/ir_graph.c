/* Dimensions, layouts, building and cloning. */
#include "tests/engine/ir_fixture.h"

#include <inttypes.h>
#include <string.h>

/* ---- dtypes and layouts
 * ------------------------------------------------------------------------------- */

static void test_tables_give_names(void **state) {
  (void)state;
  for (int i = 0; i < PITH_DTYPE_COUNT; i++)
    assert_int_equal(pith_dtype_find(pith_dtype_get_info((pith_dtype)i)->name), i);
  for (int i = 0; i < PITH_LAYOUT_COUNT; i++)
    assert_int_equal(pith_layout_find(pith_layout_get_name((pith_layout)i)), i);
  assert_int_equal(pith_dtype_get_info(PITH_DTYPE_BF16)->bits, 16);
  assert_true(pith_dtype_get_info(PITH_DTYPE_BF16)->is_float);
  assert_false(pith_dtype_get_info(PITH_DTYPE_U8)->is_signed);
  assert_null(pith_dtype_get_info(PITH_DTYPE_COUNT));
  assert_null(pith_dtype_get_info((pith_dtype)-1));
  assert_null(pith_layout_get_name((pith_layout)77));
  assert_null(pith_tensor_kind_get_name((pith_tensor_kind)4));
  assert_int_equal(pith_dtype_find("f8"), PITH_DTYPE_COUNT);
  assert_int_equal(pith_layout_find(""), PITH_LAYOUT_COUNT);
}

static uint64_t get_bytes(pith_layout layout, pith_dtype dtype, uint32_t rank, int64_t d0,
                          int64_t d1) {
  const pith_dim dims[2] = {pith_dim_of(d0), pith_dim_of(d1)};
  uint64_t bytes = UINT64_MAX;
  return pith_layout_get_bytes(layout, dtype, rank, dims, &bytes, NULL) == PITH_OK ? bytes
                                                                                   : UINT64_MAX;
}

static void test_layouts_take_bytes(void **state) {
  (void)state;
  assert_int_equal(get_bytes(PITH_LAYOUT_ROW_MAJOR, PITH_DTYPE_F32, 2, 3, 5), 60);
  assert_int_equal(get_bytes(PITH_LAYOUT_ROW_MAJOR, PITH_DTYPE_F64, 0, 0, 0), 8);
  assert_int_equal(get_bytes(PITH_LAYOUT_ROW_MAJOR, PITH_DTYPE_S8, 1, 7, 0), 7);
  assert_int_equal(get_bytes(PITH_LAYOUT_ROW_MAJOR, PITH_DTYPE_S8, 2, 7, 0), 0);
  /* n rounded up to 16, times k, times 4 */
  assert_int_equal(get_bytes(PITH_LAYOUT_N64_F32, PITH_DTYPE_F32, 2, 1, 3), 16 * 3 * 4);
  assert_int_equal(get_bytes(PITH_LAYOUT_N64_F32, PITH_DTYPE_F32, 2, 16, 3), 16 * 3 * 4);
  assert_int_equal(get_bytes(PITH_LAYOUT_N64_F32, PITH_DTYPE_F32, 2, 65, 7), 80 * 7 * 4);
  assert_int_equal(get_bytes(PITH_LAYOUT_N64_F32, PITH_DTYPE_F32, 2, 384, 1536), 384 * 1536 * 4);
  /* Refused: dtype, rank, negative, too many bytes, overflow. */
  assert_int_equal(get_bytes(PITH_LAYOUT_N64_F32, PITH_DTYPE_F16, 2, 16, 16), UINT64_MAX);
  assert_int_equal(get_bytes(PITH_LAYOUT_N64_F32, PITH_DTYPE_F32, 1, 16, 16), UINT64_MAX);
  assert_int_equal(get_bytes((pith_layout)9, PITH_DTYPE_F32, 1, 16, 16), UINT64_MAX);
  assert_int_equal(get_bytes(PITH_LAYOUT_ROW_MAJOR, (pith_dtype)99, 1, 16, 16), UINT64_MAX);
  assert_int_equal(get_bytes(PITH_LAYOUT_ROW_MAJOR, PITH_DTYPE_F32, 9, 16, 16), UINT64_MAX);
  assert_int_equal(get_bytes(PITH_LAYOUT_ROW_MAJOR, PITH_DTYPE_F32, 2, -1, 16), UINT64_MAX);
  assert_int_equal(get_bytes(PITH_LAYOUT_ROW_MAJOR, PITH_DTYPE_F32, 2, INT64_MAX, INT64_MAX),
                   UINT64_MAX);
  assert_int_equal(get_bytes(PITH_LAYOUT_ROW_MAJOR, PITH_DTYPE_F32, 2, INT64_C(1) << 40, 4),
                   PITH_MAX_TENSOR_BYTES);
  assert_int_equal(get_bytes(PITH_LAYOUT_ROW_MAJOR, PITH_DTYPE_F32, 2, INT64_C(1) << 40, 5),
                   UINT64_MAX);
  assert_int_equal(get_bytes(PITH_LAYOUT_N64_F32, PITH_DTYPE_F32, 2, INT64_MAX, 1), UINT64_MAX);
  pith_dim symbolic = {.term_count = 1, .terms = &(const pith_dim_term){0, 1}};
  uint64_t bytes;
  assert_int_equal(
      pith_layout_get_bytes(PITH_LAYOUT_ROW_MAJOR, PITH_DTYPE_F32, 1, &symbolic, &bytes, NULL),
      PITH_FORMAT);
}

/* ---- dimensions
 * --------------------------------------------------------------------------------------- */

static const pith_dim a_dim = {
    .constant = 3, .term_count = 2, .terms = (const pith_dim_term[]){{0, 2}, {4, -1}}};
static const pith_dim b_dim = {
    .constant = -1, .term_count = 2, .terms = (const pith_dim_term[]){{1, 5}, {4, 1}}};

static void test_dims_combine(void **state) {
  (void)state;
  pith_arena arena;
  pith_arena_init(&arena, NULL);
  pith_dim sum;
  const pith_dim expected = {
      .constant = 2, .term_count = 2, .terms = (const pith_dim_term[]){{0, 2}, {1, 5}}};
  assert_int_equal(pith_dim_combine(&arena, 1, &a_dim, 1, &b_dim, &sum, NULL), PITH_OK);
  assert_true(pith_dim_equal(&sum, &expected)); /* the terms of symbol 4 vanish */
  const pith_dim scaled = {
      .constant = 10, .term_count = 3, .terms = (const pith_dim_term[]){{0, 6}, {1, -5}, {4, -4}}};
  assert_int_equal(pith_dim_combine(&arena, 3, &a_dim, -1, &b_dim, &sum, NULL), PITH_OK);
  assert_true(pith_dim_equal(&sum, &scaled));
  assert_int_equal(pith_dim_combine(&arena, 1, &a_dim, -1, &a_dim, &sum, NULL), PITH_OK);
  assert_true(pith_dim_is_constant(&sum));
  assert_int_equal(sum.constant, 0);

  const pith_dim huge = {
      .constant = 0, .term_count = 1, .terms = &(const pith_dim_term){0, INT64_MAX}};
  const pith_dim most = pith_dim_of(INT64_MAX);
  assert_int_equal(pith_dim_combine(&arena, 1, &huge, 1, &huge, &sum, NULL), PITH_LIMIT);
  assert_int_equal(pith_dim_combine(&arena, 2, &huge, 0, &a_dim, &sum, NULL), PITH_LIMIT);
  assert_int_equal(pith_dim_combine(&arena, 1, &most, 1, &most, &sum, NULL), PITH_LIMIT);
  pith_dim_term terms[PITH_MAX_DIM_TERMS];
  for (uint32_t i = 0; i < PITH_MAX_DIM_TERMS; i++)
    terms[i] = (pith_dim_term){i + 5, 1};
  const pith_dim wide = {.term_count = PITH_MAX_DIM_TERMS, .terms = terms};
  assert_int_equal(pith_dim_combine(&arena, 1, &wide, 0, &most, &sum, NULL), PITH_OK);
  assert_int_equal(pith_dim_combine(&arena, 1, &wide, 1, &a_dim, &sum, NULL), PITH_LIMIT);
  pith_arena_deinit(&arena);
}

static void test_dims_without_memory(void **state) {
  (void)state;
  fixture_allocator allocator;
  fixture_allocator_init(&allocator, 0);
  pith_arena arena;
  pith_arena_init(&arena, &allocator.allocator);
  pith_dim sum;
  pith_error error;
  assert_int_equal(pith_dim_combine(&arena, 1, &a_dim, 1, &b_dim, &sum, &error),
                   PITH_OUT_OF_MEMORY);
  assert_non_null(strstr(error.message, "no memory for a dimension of 4 terms"));
  pith_arena_deinit(&arena);
}

static void test_dims_compare(void **state) {
  (void)state;
  const pith_dim three = pith_dim_of(3), four = pith_dim_of(4);
  assert_true(pith_dim_equal(&three, &three));
  assert_false(pith_dim_equal(&three, &four));
  assert_false(pith_dim_equal(&three, &a_dim));
  pith_dim other = a_dim;
  assert_true(pith_dim_equal(&a_dim, &other));
  other.terms = (const pith_dim_term[]){{0, 2}, {4, 1}};
  assert_false(pith_dim_equal(&a_dim, &other));
  other.terms = (const pith_dim_term[]){{0, 2}, {3, -1}};
  assert_false(pith_dim_equal(&a_dim, &other));
}

static void test_dims_evaluate(void **state) {
  (void)state;
  pith_error error;
  int64_t values[5] = {10, 0, 0, 0, 7}, value = -1;
  assert_int_equal(pith_dim_evaluate(&a_dim, values, &value, &error), PITH_OK);
  assert_int_equal(value, 3 + 2 * 10 - 7);
  values[4] = 23;
  assert_int_equal(pith_dim_evaluate(&a_dim, values, &value, &error), PITH_OK);
  assert_int_equal(value, 0);
  values[4] = 24;
  assert_int_equal(pith_dim_evaluate(&a_dim, values, &value, &error), PITH_LIMIT);
  assert_non_null(strstr(error.message, "-1"));
  assert_int_equal(value, 0); /* untouched */
  values[0] = INT64_MAX;
  assert_int_equal(pith_dim_evaluate(&a_dim, values, &value, &error), PITH_LIMIT);
  values[0] = INT64_MAX / 2; /* the product fits, the sum does not */
  assert_int_equal(pith_dim_evaluate(&a_dim, values, &value, &error), PITH_LIMIT);
}

/* ---- operators
 * ---------------------------------------------------------------------------------------- */

static void test_operator_rows_are_whole(void **state) {
  (void)state;
  static const char *const names[] = {
#define NAME(id, name) name,
      PITH_OPERATOR_LIST(NAME)
#undef NAME
  };
  for (int id = 0; id < PITH_OP_COUNT; id++) {
    const pith_operator *op = pith_operator_get((pith_operator_id)id);
    assert_int_equal(op->id, id);
    assert_string_equal(op->name, names[id]);
    assert_ptr_equal(pith_operator_find(op->domain, op->name), op);
    assert_true(op->version > 0);
    assert_true(strlen(op->doc) > 5);
    assert_non_null(op->infer);
    assert_non_null(op->inputs[0].name);
    assert_non_null(op->outputs[0].name);
    for (const pith_port *port = op->inputs; port->name != NULL; port++) {
      assert_true(port->dtypes != 0);
      assert_non_null(port->doc);
      assert_true(port->packs <= PITH_MAX_PORTS);
    }
    for (const pith_attribute_row *row = op->attributes; row->name != NULL; row++) {
      assert_non_null(row->doc);
      assert_int_equal(row->names != NULL, row->type == PITH_ATTRIBUTE_ENUM);
      if (row->type == PITH_ATTRIBUTE_INT && row->min_int < row->max_int)
        assert_in_range(row->default_int - row->min_int, 0, row->max_int - row->min_int);
    }
  }
  assert_null(pith_operator_get(PITH_OP_COUNT));
  assert_null(pith_operator_get((pith_operator_id)-1));
  assert_null(pith_operator_find("pith", "Gemm"));
  assert_null(pith_operator_find("", "SequencePool"));
}

/* ---- building
 * ----------------------------------------------------------------------------------------- */

static void test_bert_uses_every_operator(void **state) {
  (void)state;
  pith_error error;
  pith_graph *graph = fixture_build_bert(NULL, 2, &error);
  assert_non_null(graph);
  for (int id = 0; id < PITH_OP_COUNT; id++) {
    bool found = false;
    for (uint32_t i = 0; i < graph->node_count; i++)
      found |= graph->nodes[i].op->id == (pith_operator_id)id;
    if (!found)
      fail_msg("%s is not in the fixture", pith_operator_get((pith_operator_id)id)->name);
  }
  pith_tensor_id logits = pith_graph_find_tensor(graph, "logits");
  assert_int_equal(logits, graph->outputs[0]);
  const pith_tensor *tensor = &graph->tensors[logits];
  assert_int_equal(tensor->rank, 2);
  assert_int_equal(tensor->dims[0].term_count, 1); /* sequences + 1 - 1 */
  assert_int_equal(tensor->dims[0].constant, 0);
  assert_int_equal(tensor->dims[0].terms[0].symbol, pith_graph_find_symbol(graph, "sequences"));
  assert_int_equal(tensor->dims[1].constant, 3);
  assert_string_equal(graph->nodes[tensor->producer].name, "classifier");
  assert_int_equal(pith_graph_find_tensor(graph, "nothing"), PITH_NONE);
  assert_int_equal(pith_graph_find_symbol(graph, "nothing"), PITH_NONE);
  const pith_node *node = &graph->nodes[tensor->producer];
  assert_int_equal(pith_node_get_attribute(node, "transB")->i, 1);
  assert_true(pith_node_get_attribute(node, "alpha")->f == 1.0); /* the default */
  assert_null(pith_node_get_attribute(node, "axis"));
  pith_graph_destroy(graph);
}

static void test_builder_keeps_the_first_failure(void **state) {
  (void)state;
  pith_error error;
  pith_graph *graph;
  pith_builder builder;
  assert_int_equal(pith_graph_create(NULL, "g", &graph, &error), PITH_OK);
  pith_builder_init(&builder, graph, &error);
  const pith_dim dims[2] = {pith_build_dim(&builder, "tokens", 1, 0), pith_dim_of(4)};
  pith_tensor_id x = pith_build_input(&builder, "x", PITH_DTYPE_F32, 2, dims);
  assert_int_not_equal(x, PITH_NONE);
  uint32_t tensors = graph->tensor_count;
  pith_tensor_id y = pith_build_node(&builder, "bad", PITH_OP_SOFTMAX, 1, &x, 1,
                                     (const pith_attribute_setting[]){PITH_SET_INT("axis", 2)});
  assert_int_equal(y, PITH_NONE);
  assert_non_null(strstr(error.message, "'bad' (Softmax): axis 2"));
  assert_non_null(strstr(error.message, "[tokens, 4]"));
  /* Nothing after it does anything. */
  assert_int_equal(pith_build_node(&builder, "good", PITH_OP_SOFTMAX, 1, &x, 0, NULL), PITH_NONE);
  assert_int_equal(pith_build_input(&builder, "z", PITH_DTYPE_F32, 2, dims), PITH_NONE);
  pith_build_output(&builder, x, "out");
  pith_builder_fail(&builder, PITH_IO, "later");
  assert_int_equal(graph->tensor_count, tensors);
  assert_int_equal(graph->output_count, 0);
  assert_int_equal(pith_builder_finish(&builder), PITH_FORMAT);
  assert_int_equal(error.status, PITH_FORMAT);
  assert_non_null(strstr(error.message, "'bad'"));
  pith_graph_destroy(graph);
}

/* Each builds one wrong thing into a graph with x [tokens, 4] and returns. */
static void build_unknown_operator(pith_builder *b, pith_tensor_id x) {
  pith_build_node(b, "n", 1000, 1, &x, 0, NULL);
}
static void build_too_many_inputs(pith_builder *b, pith_tensor_id x) {
  pith_build_node(b, "n", PITH_OP_TANH, 2, (pith_tensor_id[]){x, x}, 0, NULL);
}
static void build_more_inputs_than_any(pith_builder *b, pith_tensor_id x) {
  pith_build_node(b, "n", PITH_OP_TANH, 9, (pith_tensor_id[]){x, x, x, x, x, x, x, x, x}, 0, NULL);
}
static void build_missing_input(pith_builder *b, pith_tensor_id x) {
  pith_build_node(b, "n", PITH_OP_ADD, 1, &x, 0, NULL);
}
static void build_absent_input(pith_builder *b, pith_tensor_id x) {
  (void)x;
  pith_build_node(b, "n", PITH_OP_TANH, 1, (pith_tensor_id[]){77}, 0, NULL);
}
static void build_unknown_attribute(pith_builder *b, pith_tensor_id x) {
  pith_build_node(b, "n", PITH_OP_SOFTMAX, 1, &x, 1,
                  (pith_attribute_setting[]){PITH_SET_INT("ax", 1)});
}
static void build_attribute_twice(pith_builder *b, pith_tensor_id x) {
  pith_build_node(b, "n", PITH_OP_SOFTMAX, 1, &x, 2,
                  (pith_attribute_setting[]){PITH_SET_INT("axis", 1), PITH_SET_INT("axis", 1)});
}
static void build_attribute_type(pith_builder *b, pith_tensor_id x) {
  pith_build_node(b, "n", PITH_OP_SOFTMAX, 1, &x, 1,
                  (pith_attribute_setting[]){PITH_SET_FLOAT("axis", 1)});
}
static void build_missing_attribute(pith_builder *b, pith_tensor_id x) {
  pith_build_node(b, "n", PITH_OP_CAST, 1, &x, 0, NULL);
}
static void build_input_rank(pith_builder *b, pith_tensor_id x) {
  (void)x;
  pith_build_input(b, "n", PITH_DTYPE_F32, 9, NULL);
}
static void build_input_dtype(pith_builder *b, pith_tensor_id x) {
  (void)x;
  pith_build_input(b, "n", PITH_DTYPE_COUNT, 0, NULL);
}
static void build_input_dim(pith_builder *b, pith_tensor_id x) {
  (void)x;
  pith_build_input(b, "n", PITH_DTYPE_F32, 1,
                   &(pith_dim){.term_count = 1, .terms = &(pith_dim_term){9, 1}});
}
static void build_data_kind(pith_builder *b, pith_tensor_id x) {
  (void)x;
  pith_build_data(b, PITH_TENSOR_INPUT, "n", PITH_DTYPE_F32, 0, NULL, PITH_LAYOUT_ROW_MAJOR, NULL,
                  0);
}
static void build_data_layout(pith_builder *b, pith_tensor_id x) {
  (void)x;
  pith_build_data(b, PITH_TENSOR_CONSTANT, "n", PITH_DTYPE_S8, 2, (int64_t[]){2, 2},
                  PITH_LAYOUT_N64_F32, NULL, 0);
}
static void build_output_id(pith_builder *b, pith_tensor_id x) {
  (void)x;
  pith_build_output(b, 77, "n");
}

static void test_builder_refuses(void **state) {
  (void)state;
  static const struct {
    void (*build)(pith_builder *builder, pith_tensor_id x);
    const char *message;
  } cases[] = {
      {build_unknown_operator, "operator 1000 is not in the table"},
      {build_too_many_inputs, "'n' (Tanh) has 2 inputs, at most 1"},
      {build_more_inputs_than_any, "'n' (Tanh) has 9 inputs, at most 1"},
      {build_missing_input, "'n' (Add): input B is missing"},
      {build_absent_input, "'n' (Tanh): input X is tensor 77 of 1"},
      {build_unknown_attribute, "'n' (Softmax) has no attribute 'ax'"},
      {build_attribute_twice, "attribute 'axis' is given twice"},
      {build_attribute_type, "attribute 'axis' has type"},
      {build_missing_attribute, "'n' (Cast) needs attribute 'to'"},
      {build_input_rank, "rank 9 is over 8"},
      {build_input_dtype, "'n': dtype 9 is not in the table"},
      {build_input_dim, "'n': dimension 0 names symbol 9 of 1"},
      {build_data_kind, "kind 1 must be constant or parameter"},
      {build_data_layout, "n64_f32 takes f32 of rank 2"},
      {build_output_id, "output 'n' is tensor 77"},
  };
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    pith_error error = {0};
    pith_graph *graph;
    pith_builder builder;
    assert_int_equal(pith_graph_create(NULL, "g", &graph, &error), PITH_OK);
    pith_builder_init(&builder, graph, &error);
    const pith_dim dims[2] = {pith_build_dim(&builder, "tokens", 1, 0), pith_dim_of(4)};
    pith_tensor_id x = pith_build_input(&builder, "x", PITH_DTYPE_F32, 2, dims);
    cases[i].build(&builder, x);
    assert_int_not_equal(pith_builder_finish(&builder), PITH_OK);
    if (strstr(error.message, cases[i].message) == NULL)
      fail_msg("case %zu: \"%s\" lacks \"%s\"", i, error.message, cases[i].message);
    pith_graph_destroy(graph);
  }
}

static void test_counts_are_limited(void **state) {
  (void)state;
  pith_error error;
  pith_graph *graph;
  assert_int_equal(pith_graph_create(NULL, "g", &graph, &error), PITH_OK);
  for (int i = 0; i < PITH_MAX_SYMBOLS; i++)
    assert_int_equal(pith_graph_add_symbol(graph, "s", NULL, &error), PITH_OK);
  assert_int_equal(pith_graph_add_symbol(graph, "s", NULL, &error), PITH_LIMIT);
  assert_non_null(strstr(error.message, "graph 'g' has more than 1024 symbols"));
  assert_int_equal(graph->symbol_count, PITH_MAX_SYMBOLS);
  pith_graph_destroy(graph);
}

/* ---- cloning
 * ------------------------------------------------------------------------------------------ */

static void test_clone_is_equal_and_apart(void **state) {
  (void)state;
  pith_error error;
  pith_graph *graph = fixture_build_bert(NULL, 1, &error), *clone;
  assert_non_null(graph);
  _Alignas(64) static const float data[8];
  pith_tensor_id weight = pith_graph_find_tensor(graph, "embeddings.norm.weight");
  pith_graph_set_data(graph, weight, data, sizeof data);
  assert_int_equal(pith_graph_clone(graph, NULL, &clone, &error), PITH_OK);
  assert_ptr_equal(clone->tensors[weight].data, data); /* borrowed */
  assert_int_equal(clone->tensors[weight].data_bytes, sizeof data);
  fixture_text before = fixture_print(graph, pith_graph_print);
  for (uint32_t i = 0; i < graph->tensor_count; i++)
    assert_ptr_not_equal(graph->tensors[i].name, clone->tensors[i].name);
  for (uint32_t i = 0; i < graph->node_count; i++) {
    assert_ptr_not_equal(graph->nodes[i].inputs, clone->nodes[i].inputs);
    assert_ptr_not_equal(graph->nodes[i].attributes, clone->nodes[i].attributes);
  }
  pith_graph_destroy(graph);
  assert_int_equal(pith_graph_verify(clone, &error), PITH_OK);
  fixture_text after = fixture_print(clone, pith_graph_print);
  assert_string_equal(before.text, after.text);
  fixture_text_free(&before);
  fixture_text_free(&after);
  pith_graph_destroy(clone);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_tables_give_names),
      cmocka_unit_test(test_layouts_take_bytes),
      cmocka_unit_test(test_dims_combine),
      cmocka_unit_test(test_dims_without_memory),
      cmocka_unit_test(test_dims_compare),
      cmocka_unit_test(test_dims_evaluate),
      cmocka_unit_test(test_operator_rows_are_whole),
      cmocka_unit_test(test_bert_uses_every_operator),
      cmocka_unit_test(test_builder_keeps_the_first_failure),
      cmocka_unit_test(test_builder_refuses),
      cmocka_unit_test(test_counts_are_limited),
      cmocka_unit_test(test_clone_is_equal_and_apart),
  };
  return cmocka_run_group_tests_name("ir_graph", tests, NULL, NULL);
}
