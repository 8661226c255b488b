/* Every fused operator gives the bits of the steps that it replaces, and every rewrite finds what it is for. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "engine/lower/lower_internal.h"
#include "tests/engine/exec_fixture.h"

enum { TOKENS = 23, SEQUENCES = 3 };
static const int32_t ids[TOKENS] = {3, 1, 4, 1, 5, 9, 2, 6, 5, 3, 5, 8, 9, 7, 49, 0, 3, 2, 3, 8, 4, 6, 2};
static const int64_t type_ids[TOKENS] = {0, 0, 1, 1, 1, 0, 0, 0, 1};
static const int32_t offsets[SEQUENCES + 1] = {0, 1, 9, TOKENS};

static const pith_feed feeds[3] = {{ids, {TOKENS}}, {type_ids, {TOKENS}}, {offsets, {SEQUENCES + 1}}};

static void run(pith_graph_run *out, const pith_graph *graph, const pith_feed *inputs, uint32_t rewrites) {
  pith_error error = {PITH_OK, ""};
  pith_run_options options = {.cpu = pith_cpu_detect(), .rewrites = rewrites};
  if (pith_graph_run_init(out, graph, &options, inputs, &error) != PITH_OK)
    fail_msg("rewrites %#x: %s", rewrites, error.message);
}

static uint32_t count_title(const pith_program *program, const char *title) {
  uint32_t count = 0;
  for (uint32_t i = 0; i < program->step_count; i++)
    count += strcmp(program->steps[i].title, title) == 0;
  return count;
}

static void test_every_subset_gives_the_same_bits(void **state) {
  (void)state;
  pith_error error = {PITH_OK, ""};
  pith_graph *graph = fixture_build_bert(NULL, 2, &error);
  assert_non_null(graph);
  exec_fixture_weights weights;
  exec_fixture_fill(graph, 1, &weights);
  pith_graph_run plain;
  run(&plain, graph, feeds, 0);
  assert_true(plain.program->step_count >= graph->node_count);
  /* Those that the graph has something for: nothing in it is quantized. */
  uint32_t idle = 1 << PITH_REWRITE_TABLES | 1 << PITH_REWRITE_RESIDUAL_INTEGER;
  for (int i = 0; i < PITH_REWRITE_COUNT; i++)
    if (pith_rewrites[i].stage == PITH_STAGE_INTEGER)
      idle |= (uint32_t)1 << i;
  for (uint32_t rewrites = 1; rewrites <= PITH_REWRITES_ALL; rewrites++) {
    if ((rewrites & idle) != 0 && rewrites != PITH_REWRITES_ALL)
      continue;
    pith_graph_run fused;
    run(&fused, graph, feeds, rewrites);
    char what[40];
    snprintf(what, sizeof what, "rewrites %#x", rewrites);
    exec_fixture_assert_same(&plain, &fused, what);
    pith_graph_run_deinit(&fused);
  }
  pith_graph_run_deinit(&plain);
  pith_graph_destroy(graph);
  exec_fixture_free_weights(&weights);
}

static void test_every_fusion_happens(void **state) {
  (void)state;
  pith_error error = {PITH_OK, ""};
  pith_graph *graph = fixture_build_bert(NULL, 2, &error);
  assert_non_null(graph);
  exec_fixture_weights weights;
  exec_fixture_fill(graph, 1, &weights);
  pith_graph_run fused;
  run(&fused, graph, feeds, PITH_REWRITES_DEFAULT);
  assert_int_equal(count_title(fused.program, "Embedding+LayerNorm"), 1);
  assert_int_equal(count_title(fused.program, "Gemm x3"), 2);
  assert_int_equal(count_title(fused.program, "Gemm+GeluTanh"), 2);
  assert_int_equal(count_title(fused.program, "Gemm+Tanh"), 1);
  assert_int_equal(count_title(fused.program, "LayerNorm+Residual"), 4);
  assert_int_equal(count_title(fused.program, "Gather"), 0);
  assert_int_equal(count_title(fused.program, "Cast"), 1); /* of the type ids, to s32; Identity is gone */
  pith_graph_run_deinit(&fused);
  run(&fused, graph, feeds, PITH_REWRITES_ALL);
  assert_int_equal(count_title(fused.program, "Gemm+Residual"), 4);
  assert_int_equal(count_title(fused.program, "LayerNorm"), 4);
  pith_graph_run_deinit(&fused);
  run(&fused, graph, feeds, 1 << PITH_REWRITE_EMBEDDING);
  assert_int_equal(count_title(fused.program, "Embedding+LayerNorm"), 1);
  pith_graph_run_deinit(&fused);
  pith_graph_destroy(graph);
  exec_fixture_free_weights(&weights);
}

/* ---- what the small BERT has not -------------------------------------------------------------------------------- */

typedef struct small {
  pith_builder builder;
  pith_graph *graph;
  pith_error error;
  exec_fixture_weights weights;
} small;

static void small_init(small *s) {
  *s = (small){.graph = NULL};
  assert_int_equal(pith_graph_create(NULL, "small", &s->graph, &s->error), PITH_OK);
  pith_builder_init(&s->builder, s->graph, &s->error);
}
static void small_finish(small *s) {
  if (pith_builder_finish(&s->builder) != PITH_OK)
    fail_msg("%s", s->error.message);
  exec_fixture_fill(s->graph, 3, &s->weights);
}
static void small_deinit(small *s) {
  pith_graph_destroy(s->graph);
  exec_fixture_free_weights(&s->weights);
}
static pith_tensor_id node2(small *s, int op, pith_tensor_id a, pith_tensor_id b) {
  return pith_build_node(&s->builder, NULL, op, 2, (const pith_tensor_id[]){a, b}, 0, NULL);
}
static pith_tensor_id scalar(small *s, const float *value) {
  return pith_build_data(&s->builder, PITH_TENSOR_CONSTANT, NULL, PITH_DTYPE_F32, 0, NULL, PITH_LAYOUT_ROW_MAJOR,
                         value, sizeof *value);
}

/* The spellings of exporters: x/sqrt 2 by division or multiplication; the product in three orders. */
static void test_spelled_out_gelu(void **state) {
  (void)state;
  _Alignas(64) static const float root[16] = {1.41421356f}, inverse[16] = {0.70710678f}, one[16] = {1}, half[16] = {0.5f};
  float x_data[4 * 37];
  uint64_t random = 5;
  for (size_t i = 0; i < 4 * 37; i++)
    x_data[i] = exec_fixture_uniform(&random, -4, 4);
  for (int spelling = 0; spelling < 8; spelling++) {
    small s;
    small_init(&s);
    const pith_dim dims[2] = {pith_build_dim(&s.builder, "tokens", 1, 0), pith_dim_of(37)};
    pith_tensor_id x = pith_build_input(&s.builder, "x", PITH_DTYPE_F32, 2, dims);
    pith_tensor_id scaled =
        spelling & 1 ? node2(&s, PITH_OP_DIV, x, scalar(&s, root)) : node2(&s, PITH_OP_MUL, scalar(&s, inverse), x);
    pith_tensor_id erf = pith_build_node(&s.builder, NULL, PITH_OP_ERF, 1, &scaled, 0, NULL), y;
    pith_tensor_id sum = node2(&s, PITH_OP_ADD, erf, scalar(&s, one));
    if (spelling >> 1 == 0)
      y = node2(&s, PITH_OP_MUL, node2(&s, PITH_OP_MUL, x, sum), scalar(&s, half));
    else if (spelling >> 1 == 1)
      y = node2(&s, PITH_OP_MUL, node2(&s, PITH_OP_MUL, scalar(&s, half), sum), x);
    else if (spelling >> 1 == 2)
      y = node2(&s, PITH_OP_MUL, node2(&s, PITH_OP_MUL, x, scalar(&s, half)), sum);
    else /* not a GELU: x + sum */
      y = node2(&s, PITH_OP_MUL, node2(&s, PITH_OP_ADD, x, sum), scalar(&s, half));
    pith_build_output(&s.builder, y, "y");
    small_finish(&s);
    pith_graph_run plain, fused;
    const pith_feed feed = {x_data, {4, 37}};
    run(&plain, s.graph, &feed, 0);
    run(&fused, s.graph, &feed, 1 << PITH_REWRITE_GELU);
    assert_int_equal(count_title(fused.program, "Gelu"), spelling >> 1 < 3);
    assert_int_equal(fused.program->step_count, spelling >> 1 < 3 ? 1 : 5);
    const float *a = pith_executor_get_output(plain.executor, 0)->data;
    const float *b = pith_executor_get_output(fused.executor, 0)->data;
    for (size_t i = 0; i < 4 * 37; i++)
      if (!(fabsf(a[i] - b[i]) <= 1e-6f))
        fail_msg("spelling %d, element %zu: %g and %g", spelling, i, (double)a[i], (double)b[i]);
    pith_graph_run_deinit(&plain);
    pith_graph_run_deinit(&fused);
    small_deinit(&s);
  }
}

/* MatMul with data [K, N] and an Add become one product with bias; the weights are packed. */
static void test_bias(void **state) {
  (void)state;
  enum { ROWS = 7, K = 33, N = 70 };
  float x_data[ROWS * K];
  uint64_t random = 6;
  for (size_t i = 0; i < ROWS * K; i++)
    x_data[i] = exec_fixture_uniform(&random, -1, 1);
  for (int side = 0; side < 2; side++) {
    small s;
    small_init(&s);
    const pith_dim dims[2] = {pith_build_dim(&s.builder, "tokens", 1, 0), pith_dim_of(K)};
    pith_tensor_id x = pith_build_input(&s.builder, "x", PITH_DTYPE_F32, 2, dims);
    pith_tensor_id w = pith_build_data(&s.builder, PITH_TENSOR_PARAMETER, "w", PITH_DTYPE_F32, 2,
                                       (const int64_t[]){K, N}, PITH_LAYOUT_ROW_MAJOR, NULL, 0);
    pith_tensor_id b = pith_build_data(&s.builder, PITH_TENSOR_PARAMETER, "b", PITH_DTYPE_F32, 1,
                                       (const int64_t[]){N}, PITH_LAYOUT_ROW_MAJOR, NULL, 0);
    pith_tensor_id product = node2(&s, PITH_OP_MATMUL, x, w);
    pith_build_output(&s.builder, side ? node2(&s, PITH_OP_ADD, b, product) : node2(&s, PITH_OP_ADD, product, b), "y");
    small_finish(&s);
    pith_graph_run plain, fused;
    const pith_feed feed = {x_data, {ROWS, K}};
    run(&plain, s.graph, &feed, 0);
    run(&fused, s.graph, &feed, 1 << PITH_REWRITE_BIAS);
    assert_int_equal(plain.program->step_count, 2);
    assert_int_equal(fused.program->step_count, 1);
    assert_int_equal(fused.program->pack_count, 1);
    exec_fixture_assert_same(&plain, &fused, "bias");
    const float *y = pith_executor_get_output(fused.executor, 0)->data;
    const float *weights = s.graph->tensors[w].data, *bias = s.graph->tensors[b].data;
    for (size_t r = 0; r < ROWS; r++)
      for (size_t n = 0; n < N; n++) {
        double want = (double)bias[n];
        for (size_t k = 0; k < K; k++)
          want += (double)x_data[r * K + k] * (double)weights[k * N + n];
        if (!(fabs((double)y[r * N + n] - want) <= 1e-5))
          fail_msg("y[%zu, %zu] is %g, not %g", r, n, (double)y[r * N + n], want);
      }
    pith_graph_run_deinit(&plain);
    pith_graph_run_deinit(&fused);
    small_deinit(&s);
  }
}

/* Both products of x. */
static void assert_flops_of_columns(const pith_program *program, pith_value_id x, const int64_t *symbols, double want) {
  pith_view views[32];
  uint32_t found = 0;
  assert_true(program->value_count <= 32);
  for (uint32_t v = 0; v < program->value_count; v++)
    assert_int_equal(pith_value_measure(&program->values[v], symbols, &views[v], NULL), PITH_OK);
  for (uint32_t i = 0; i < program->step_count; i++) {
    const pith_step *step = &program->steps[i];
    if (!pith_step_is_gemm(step) || step->inputs[PITH_GEMM_X] != x)
      continue;
    assert_true(step->params.gemm.columns);
    assert_true(step->row->count_flops(step, views) == want);
    found++;
  }
  assert_int_equal(found, 2);
}

/* Products of two activations are read as [k, n] and take bias, activation and residual as others do; two of one x stay two
 * steps, for the second's weights may come later. */
static void test_products_of_activations(void **state) {
  (void)state;
  enum { ROWS = 9, K = 21, N = 70 };
  static float data[4][ROWS * N + K * N];
  uint64_t random = 11;
  for (size_t i = 0; i < 4 * sizeof data[0] / sizeof data[0][0]; i++)
    data[i % 4][i / 4] = exec_fixture_uniform(&random, -1, 1);
  small s;
  small_init(&s);
  const pith_dim tokens = pith_build_dim(&s.builder, "tokens", 1, 0), width = pith_build_dim(&s.builder, "width", 1, 0);
  pith_tensor_id x = pith_build_input(&s.builder, "x", PITH_DTYPE_F32, 2, (const pith_dim[]){tokens, width});
  pith_tensor_id v = pith_build_input(&s.builder, "v", PITH_DTYPE_F32, 2, (const pith_dim[]){width, pith_dim_of(N)});
  pith_tensor_id r = pith_build_input(&s.builder, "r", PITH_DTYPE_F32, 2, (const pith_dim[]){tokens, pith_dim_of(N)});
  pith_tensor_id bias = pith_build_data(&s.builder, PITH_TENSOR_PARAMETER, "b", PITH_DTYPE_F32, 1, (const int64_t[]){N},
                                        PITH_LAYOUT_ROW_MAJOR, NULL, 0);
  const pith_attribute_setting turned[] = {PITH_SET_INT("transB", 1)};
  pith_tensor_id first = node2(&s, PITH_OP_ADD, node2(&s, PITH_OP_MATMUL, x, v), bias); /* [tokens, N] */
  first = pith_build_node(&s.builder, NULL, PITH_OP_RELU, 1, &first, 0, NULL);
  pith_tensor_id w = node2(&s, PITH_OP_MUL, v, v);
  pith_tensor_id second = node2(&s, PITH_OP_ADD, r, node2(&s, PITH_OP_MATMUL, x, w));
  pith_tensor_id scores =
      pith_build_node(&s.builder, NULL, PITH_OP_GEMM, 2, (const pith_tensor_id[]){first, second}, 1, turned);
  pith_build_output(&s.builder, node2(&s, PITH_OP_MATMUL, scores, second), "y");
  small_finish(&s);
  const pith_feed inputs[3] = {{data[0], {ROWS, K}}, {data[1], {K, N}}, {data[2], {ROWS, N}}};
  pith_graph_run plain;
  run(&plain, s.graph, inputs, 0);
  assert_int_equal(count_title(plain.program, "Gemm"), 4);
  for (uint32_t rewrites = 1; rewrites <= PITH_REWRITES_ALL; rewrites++) {
    pith_graph_run fused;
    run(&fused, s.graph, inputs, rewrites);
    char what[40];
    snprintf(what, sizeof what, "rewrites %#x", rewrites);
    exec_fixture_assert_same(&plain, &fused, what);
    if (rewrites == PITH_REWRITES_ALL) {
      assert_int_equal(fused.program->step_count, 5);
      assert_int_equal(count_title(fused.program, "Gemm+Relu"), 1);
      assert_int_equal(count_title(fused.program, "Gemm+Residual"), 1);
      assert_int_equal(count_title(fused.program, "Gemm"), 2);
      assert_flops_of_columns(fused.program, x, (const int64_t[]){ROWS, K}, 2.0 * ROWS * K * N);
    }
    pith_graph_run_deinit(&fused);
  }
  static double a[ROWS][N], c[ROWS][N];
  const float *b = s.graph->tensors[bias].data, *y = pith_executor_get_output(plain.executor, 0)->data;
  for (size_t i = 0; i < ROWS; i++)
    for (size_t n = 0; n < N; n++) {
      a[i][n] = (double)b[n], c[i][n] = (double)data[2][i * N + n];
      for (size_t k = 0; k < K; k++) {
        const double value = (double)data[1][k * N + n], at = (double)data[0][i * K + k];
        a[i][n] += at * value, c[i][n] += at * value * value;
      }
      a[i][n] = a[i][n] > 0 ? a[i][n] : 0;
    }
  for (size_t i = 0; i < ROWS; i++)
    for (size_t n = 0; n < N; n++) {
      double sum = 0;
      for (size_t j = 0; j < ROWS; j++) {
        double score = 0;
        for (size_t k = 0; k < N; k++)
          score += a[i][k] * c[j][k];
        sum += score * c[j][n];
      }
      if (!(fabs((double)y[i * N + n] - sum) <= 1e-5 * (1 + fabs(sum))))
        fail_msg("y[%zu, %zu] is %g, not %g", i, n, (double)y[i * N + n], sum);
    }
  pith_graph_run_deinit(&plain);
  small_deinit(&s);
}

/* Values with a second reader, outputs included, are not merged away. */
static void test_second_readers_keep_their_value(void **state) {
  (void)state;
  small s;
  small_init(&s);
  const pith_dim dims[2] = {pith_build_dim(&s.builder, "tokens", 1, 0), pith_dim_of(16)};
  pith_tensor_id x = pith_build_input(&s.builder, "x", PITH_DTYPE_F32, 2, dims);
  pith_tensor_id w = pith_build_data(&s.builder, PITH_TENSOR_PARAMETER, "w", PITH_DTYPE_F32, 2,
                                     (const int64_t[]){16, 16}, PITH_LAYOUT_N64_F32, NULL, 0);
  pith_tensor_id gamma = pith_build_data(&s.builder, PITH_TENSOR_PARAMETER, "norm.weight", PITH_DTYPE_F32, 1,
                                         (const int64_t[]){16}, PITH_LAYOUT_ROW_MAJOR, NULL, 0);
  const pith_attribute_setting turned[] = {PITH_SET_INT("transB", 1)};
  pith_tensor_id a = pith_build_node(&s.builder, "a", PITH_OP_GEMM, 2, (const pith_tensor_id[]){x, w}, 1, turned);
  pith_tensor_id b = pith_build_node(&s.builder, "b", PITH_OP_GELU, 1, &a, 0, NULL);
  pith_tensor_id c = node2(&s, PITH_OP_ADD, b, a); /* a is read again */
  pith_tensor_id d = node2(&s, PITH_OP_LAYER_NORMALIZATION, c, gamma);
  pith_build_output(&s.builder, c, "c"); /* c is an output */
  pith_build_output(&s.builder, d, "d");
  small_finish(&s);
  float x_data[5 * 16];
  uint64_t random = 8;
  for (size_t i = 0; i < 5 * 16; i++)
    x_data[i] = exec_fixture_uniform(&random, -1, 1);
  const pith_feed feed = {x_data, {5, 16}};
  pith_graph_run plain, fused;
  run(&plain, s.graph, &feed, 0);
  run(&fused, s.graph, &feed, PITH_REWRITES_ALL);
  exec_fixture_assert_same(&plain, &fused, "second readers");
  assert_int_equal(fused.program->step_count, 4);
  /* c against its formula: nothing took a's bytes while c still needed them. */
  const float *weights = s.graph->tensors[w].data, *got = pith_executor_get_output(fused.executor, 0)->data;
  for (size_t r = 0; r < 5; r++)
    for (size_t n = 0; n < 16; n++) {
      double sum = 0;
      for (size_t k = 0; k < 16; k++)
        sum += (double)x_data[r * 16 + k] * (double)weights[k * 16 + n]; /* one block, 16 wide */
      double want = sum / 2 * (1 + erf(sum / sqrt(2))) + sum;
      if (!(fabs((double)got[r * 16 + n] - want) <= 1e-5))
        fail_msg("c[%zu, %zu] is %g, not %g", r, n, (double)got[r * 16 + n], want);
    }
  pith_graph_run_deinit(&plain);
  pith_graph_run_deinit(&fused);
  small_deinit(&s);
}

static void test_constants_fold(void **state) {
  (void)state;
  _Alignas(64) static const float values[16] = {1, 2, 3, 4}, two[16] = {2};
  small s;
  small_init(&s);
  const pith_dim dims[2] = {pith_build_dim(&s.builder, "tokens", 1, 0), pith_dim_of(4)};
  pith_tensor_id x = pith_build_input(&s.builder, "x", PITH_DTYPE_F32, 2, dims);
  pith_tensor_id c = pith_build_data(&s.builder, PITH_TENSOR_CONSTANT, "c", PITH_DTYPE_F32, 1, (const int64_t[]){4},
                                     PITH_LAYOUT_ROW_MAJOR, values, 4 * sizeof *values);
  pith_tensor_id folded = node2(&s, PITH_OP_MUL, c, scalar(&s, two));
  pith_tensor_id unread = node2(&s, PITH_OP_MUL, x, x);
  (void)unread;
  pith_build_output(&s.builder, node2(&s, PITH_OP_ADD, x, folded), "y");
  pith_build_output(&s.builder, folded, "constant");
  pith_tensor_id same = pith_build_node(&s.builder, NULL, PITH_OP_IDENTITY, 1, &x, 0, NULL);
  pith_build_output(&s.builder, same, "copy");
  small_finish(&s);
  const float x_data[2][4] = {{10, 20, 30, 40}, {50, 60, 70, 80}}, want[2][4] = {{12, 24, 36, 48}, {52, 64, 76, 88}};
  const pith_feed feed = {x_data, {2, 4}};
  pith_graph_run r;
  run(&r, s.graph, &feed, PITH_REWRITES_ALL);
  assert_int_equal(r.program->step_count, 2); /* the Add, and the copy that makes an input an output */
  assert_memory_equal(pith_executor_get_output(r.executor, 0)->data, want, sizeof want);
  assert_memory_equal(pith_executor_get_output(r.executor, 1)->data, ((const float[]){2, 4, 6, 8}), 16);
  assert_ptr_not_equal(pith_executor_get_output(r.executor, 2)->data, x_data);
  assert_memory_equal(pith_executor_get_output(r.executor, 2)->data, x_data, sizeof x_data);
  pith_graph_run_deinit(&r);
  small_deinit(&s);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_every_subset_gives_the_same_bits), cmocka_unit_test(test_every_fusion_happens),
      cmocka_unit_test(test_spelled_out_gelu),                 cmocka_unit_test(test_bias),
      cmocka_unit_test(test_products_of_activations),
      cmocka_unit_test(test_second_readers_keep_their_value),  cmocka_unit_test(test_constants_fold),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
