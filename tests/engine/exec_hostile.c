/* Graphs that no exporter makes: whatever a file can hold is refused, or lowered within bounds and run within its memory. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "tests/engine/exec_fixture.h"
#include "tests/slow_build.h"

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

/* Constant indices read by a Gather that folds and by one over activations: each is held against what it looks into. */
static void test_indices_of_two_gathers(void **state) {
  (void)state;
  static const int32_t picks[3] __attribute__((aligned(64))) = {0, 4, 1};
  for (uint32_t rewrites = 0; rewrites <= PITH_REWRITES_DEFAULT; rewrites += PITH_REWRITES_DEFAULT) {
    pith_error error = {PITH_OK, ""};
    pith_builder builder;
    pith_graph *graph = open_graph(&builder, &error);
    const pith_dim tokens = pith_build_dim(&builder, "tokens", 1, 0);
    pith_tensor_id words[2], fixed[2], chosen[2], sum[2];
    words[1] = pith_build_input(&builder, "ids", PITH_DTYPE_S32, 1, &tokens);
    words[0] = fixed[0] = add_table(&builder);
    fixed[1] = chosen[1] = pith_build_data(&builder, PITH_TENSOR_CONSTANT, "picks", PITH_DTYPE_S32, 1,
                                           (const int64_t[]){3}, PITH_LAYOUT_ROW_MAJOR, picks, sizeof picks);
    chosen[0] = pith_build_node(&builder, "words", PITH_OP_GATHER, 2, words, 0, NULL);
    sum[0] = pith_build_node(&builder, "fixed", PITH_OP_GATHER, 2, fixed, 0, NULL);
    sum[1] = pith_build_node(&builder, "chosen", PITH_OP_GATHER, 2, chosen, 0, NULL);
    pith_build_output(&builder, pith_build_node(&builder, "sum", PITH_OP_ADD, 2, sum, 0, NULL), "y");
    assert_int_equal(pith_builder_finish(&builder), PITH_OK);
    for (size_t i = 0; i < 5; i++)
      ids[i] = (int32_t)i + 2;
    const pith_run_options options = {.rewrites = rewrites};
    const pith_feed enough = {ids, {5}}, few = {ids, {4}};
    pith_graph_run run;
    if (pith_graph_run_init(&run, graph, &options, &enough, &error) != PITH_OK)
      fail_msg("%s", error.message);
    const float *y = pith_executor_get_output(run.executor, 0)->data;
    for (size_t i = 0; i < 3; i++)
      for (size_t j = 0; j < HIDDEN; j++)
        assert_true(y[i * HIDDEN + j] == table[(size_t)picks[i] * HIDDEN + j] +
                                             table[(size_t)ids[picks[i]] * HIDDEN + j]);
    pith_graph_run_deinit(&run);
    assert_int_equal(pith_graph_run_init(&run, graph, &options, &few, &error), PITH_INVALID_ARGUMENT);
    assert_string_equal(error.message, "picks[1] is 4, outside 0..3, the rows of words");
    pith_graph_destroy(graph);
  }
}

/* y = column [n, 1] + row [m], then `more` times the row again. */
static pith_graph *build_spread(int64_t n, int64_t m, int more) {
  static float numbers[4096] __attribute__((aligned(64)));
  for (size_t i = 0; i < 4096; i++)
    numbers[i] = (float)i;
  pith_error error = {PITH_OK, ""};
  pith_builder builder;
  pith_graph *graph = open_graph(&builder, &error);
  pith_tensor_id terms[2];
  terms[0] = pith_build_data(&builder, PITH_TENSOR_CONSTANT, "column", PITH_DTYPE_F32, 2, (const int64_t[]){n, 1},
                             PITH_LAYOUT_ROW_MAJOR, numbers, (uint64_t)n * sizeof(float));
  terms[1] = pith_build_data(&builder, PITH_TENSOR_CONSTANT, "row", PITH_DTYPE_F32, 1, &m, PITH_LAYOUT_ROW_MAJOR,
                             numbers, (uint64_t)m * sizeof(float));
  for (int i = 0; i <= more; i++)
    terms[0] = pith_build_node(&builder, NULL, PITH_OP_ADD, 2, terms, 0, NULL);
  pith_build_output(&builder, terms[0], "y");
  assert_int_equal(pith_builder_finish(&builder), PITH_OK);
  return graph;
}

/* Folds what it can, in little memory; the rest is computed by the run. */
static void check_spread(int64_t n, int64_t m, int more, uint32_t least_steps, uint32_t most_steps) {
  fixture_allocator allocator;
  fixture_allocator_init(&allocator, -1);
  pith_error error = {PITH_OK, ""};
  pith_graph *graph = build_spread(n, m, more);
  const pith_lower_options lowering = {.allocator = &allocator.allocator, .threads = 1};
  pith_program *program;
  pith_executor *executor;
  assert_int_equal(pith_program_create(graph, &lowering, &program, &error), PITH_OK);
  assert_true(allocator.held_bytes < 3 << 20);
  assert_in_range(program->step_count, least_steps, most_steps);
  assert_int_equal(pith_executor_create(program, &(pith_executor_options){0}, &executor, &error), PITH_OK);
  assert_int_equal(pith_executor_run(executor, NULL, NULL, 0, &error), PITH_OK);
  const pith_view *y = pith_executor_get_output(executor, 0);
  assert_int_equal(y->rows, n);
  assert_int_equal(y->columns, m);
  assert_true(((const float *)y->data)[n * m - 1] == (float)(n - 1 + (m - 1) * (more + 1)));
  pith_executor_destroy(executor);
  pith_program_destroy(program);
  pith_graph_destroy(graph);
}

static void test_folding_is_bounded(void **state) {
  (void)state;
  check_spread(50, 70, 3, 0, 0);      /* all of it folds */
  check_spread(3000, 4000, 0, 1, 1);  /* 48 MB from 28 kB */
  check_spread(300, 300, 40, 38, 39); /* 360 kB each: the third one is over 1 MiB + 2.4 kB */
}

/* ---- many nodes --------------------------------------------------------------------------------------------------------- */

static double now_seconds(void) {
  struct timespec now;
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
  return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

/* As many nodes as a graph may have, each an operation on two of the results before it (`far`: of long ago, so that all
 * stay alive), or a product with a row-major weight of its own, or a lookup with a check of its own. */
typedef enum many_kind { MANY_NEAR, MANY_FAR, MANY_PRODUCTS, MANY_LOOKUPS, MANY_KINDS } many_kind;

static pith_graph *build_many(many_kind kind) {
  static float weights[HIDDEN * (HIDDEN + PITH_MAX_NODES)] __attribute__((aligned(64)));
  pith_error error = {PITH_OK, ""};
  pith_builder builder;
  pith_graph *graph = open_graph(&builder, &error);
  const pith_dim tokens = pith_build_dim(&builder, "tokens", 1, 0), dims[2] = {tokens, pith_dim_of(HIDDEN)};
  pith_tensor_id x = pith_build_input(&builder, "x", PITH_DTYPE_F32, 2, dims);
  pith_tensor_id index = pith_build_input(&builder, "ids", PITH_DTYPE_S32, 1, &tokens);
  pith_tensor_id *made = calloc(PITH_MAX_NODES, sizeof *made);
  assert_non_null(made);
  const pith_attribute_setting transposed = PITH_SET_INT("transB", 1);
  for (uint32_t i = 0; i < PITH_MAX_NODES; i++) {
    pith_tensor_id operands[2] = {i == 0 ? x : made[i - 1], i < 2 ? x : made[i - 2]};
    int op = PITH_OP_ADD;
    char name[40];
    snprintf(name, sizeof name, "weight.%u", i);
    if (kind == MANY_FAR && i > PITH_MAX_NODES / 2)
      operands[1] = made[PITH_MAX_NODES - i]; /* the last ones made die first */
    if (kind == MANY_PRODUCTS) {
      op = PITH_OP_GEMM;
      operands[1] = pith_build_data(&builder, PITH_TENSOR_CONSTANT, name, PITH_DTYPE_F32, 2,
                                    (const int64_t[]){HIDDEN, HIDDEN}, PITH_LAYOUT_ROW_MAJOR,
                                    &weights[i * HIDDEN], HIDDEN * HIDDEN * sizeof *weights);
    }
    if (kind == MANY_LOOKUPS) {
      op = PITH_OP_GATHER;
      operands[1] = index;
    }
    made[i] = pith_build_node(&builder, NULL, op, 2, operands, op == PITH_OP_GEMM, &transposed);
  }
  pith_build_output(&builder, made[PITH_MAX_NODES - 1], "y");
  free(made);
  if (pith_builder_finish(&builder) != PITH_OK)
    fail_msg("%s", error.message);
  return graph;
}

static void test_many_nodes_take_no_second(void **state) {
  (void)state;
  for (many_kind kind = MANY_NEAR; kind < MANY_KINDS; kind++) {
    pith_error error = {PITH_OK, ""};
    pith_graph *graph = build_many(kind);
    int64_t limits[1] = {16};
    const pith_lower_options lowering = {.threads = 2, .symbol_limits = limits, .rewrites = PITH_REWRITES_DEFAULT};
    pith_program *program;
    double begin = now_seconds();
    assert_int_equal(pith_program_create(graph, &lowering, &program, &error), PITH_OK);
    double seconds = now_seconds() - begin;
    print_message("kind %d: %u steps, %u checks, %u packs, %.3f s\n", (int)kind, program->step_count,
                  program->check_count, program->pack_count, seconds);
    if (seconds > 1 && !SLOW_BUILD)
      fail_msg("kind %d: lowering %u nodes took %.2f s", (int)kind, graph->node_count, seconds);
    pith_program_destroy(program);
    pith_graph_destroy(graph);
  }
}

int main(void) {
  for (size_t i = 0; i < VOCABULARY * HIDDEN; i++)
    table[i] = (float)i;
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_a_dimension_that_falls),
      cmocka_unit_test(test_indices_of_two_gathers),
      cmocka_unit_test(test_folding_is_bounded),
      cmocka_unit_test(test_many_nodes_take_no_second),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
