/* Graphs that no exporter makes: whatever a file can hold is refused, or lowered within bounds and run within its memory. */
#include <string.h>

#include "tests/engine/exec_fixture.h"

enum { VOCABULARY = 10, HIDDEN = 16 };

static float table[VOCABULARY * HIDDEN] __attribute__((aligned(64)));
static int32_t ids[128];

static pith_graph *open_graph(pith_builder *builder, pith_error *error) {
  pith_graph *graph;
  assert_int_equal(pith_graph_create(NULL, "hostile", &graph, error), PITH_OK);
  pith_builder_init(builder, graph, error);
  return graph;
}

static pith_tensor_id add_table(pith_builder *builder) {
  return pith_build_data(builder, PITH_TENSOR_CONSTANT, "table", PITH_DTYPE_F32, 2, (const int64_t[]){VOCABULARY, HIDDEN},
                         PITH_LAYOUT_ROW_MAJOR, table, sizeof table);
}

/* y = `tokens` rows of the table. */
static pith_graph *build_rows(void) {
  pith_error error = {PITH_OK, ""};
  pith_builder builder;
  pith_graph *graph = open_graph(&builder, &error);
  const pith_dim rows = pith_build_dim(&builder, "tokens", 1, 0);
  pith_tensor_id inputs[2];
  inputs[1] = pith_build_input(&builder, "ids", PITH_DTYPE_S32, 1, &rows);
  inputs[0] = add_table(&builder);
  pith_build_output(&builder, pith_build_node(&builder, "rows", PITH_OP_GATHER, 2, inputs, 0, NULL), "y");
  assert_int_equal(builder.status, PITH_OK);
  return graph;
}

/* A run of 1 token, planned for 128. */
static pith_status run_one_token(const pith_graph *graph, size_t rows, pith_error *error) {
  const int64_t limits[1] = {128};
  const pith_lower_options lowering = {.threads = 1, .symbol_limits = limits, .rewrites = PITH_REWRITES_DEFAULT};
  const pith_feed feed = {ids, {rows}};
  pith_program *program;
  pith_executor *executor;
  assert_int_equal(pith_program_create(graph, &lowering, &program, error), PITH_OK);
  assert_int_equal(pith_executor_create(program, &(pith_executor_options){0}, &executor, error), PITH_OK);
  pith_status status = pith_executor_run(executor, &feed, NULL, 0, error);
  if (status == PITH_OK)
    assert_int_equal(pith_executor_get_output(executor, 0)->rows, rows);
  pith_executor_destroy(executor);
  pith_program_destroy(program);
  return status;
}

/* Memory is planned at the most tokens, where 129 - tokens is least. */
static void test_a_dimension_that_falls(void **state) {
  (void)state;
  pith_error error = {PITH_OK, ""};
  pith_graph *rising = build_rows(), *falling = build_rows();
  static const pith_dim_term minus_tokens = {0, -1};
  for (uint32_t t = 0; t < falling->tensor_count; t++)
    if (falling->tensors[t].dims[0].term_count != 0)
      falling->tensors[t].dims[0] = (pith_dim){129, 1, &minus_tokens};
  assert_int_equal(pith_graph_verify(rising, &error), PITH_OK);
  assert_int_equal(pith_graph_verify(falling, &error), PITH_FORMAT);
  assert_non_null(strstr(error.message, "has coefficient -1, not in 1 .. "));
  assert_int_equal(run_one_token(rising, 1, &error), PITH_OK);
  /* And were it not verified, the run would not leave its memory either. */
  assert_int_equal(run_one_token(falling, 128, &error), PITH_LIMIT);
  assert_string_equal(error.message, "y takes 8192 bytes, over the 64 that were planned for it");
  pith_graph_destroy(rising);
  pith_graph_destroy(falling);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_a_dimension_that_falls),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
