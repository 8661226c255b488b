/* Q/DQ graphs become integer programs: what is merged, how close it stays to the graph as it stands, that the whole program
 * gives the same bits on every instruction set, and that what stays says why. */
#include <math.h>
#include <pthreadpool.h>
#include <stdio.h>
#include <string.h>

#include "engine/lower/lower_internal.h"
#include "tests/engine/integer_fixture.h"

enum { TOKENS = 41, SEQUENCES = 4 };
static int32_t ids[TOKENS], type_ids[TOKENS];
static const int32_t offsets[SEQUENCES + 1] = {0, 1, 9, 26, TOKENS};
static const pith_feed feeds[3] = {{ids, {TOKENS}}, {offsets, {SEQUENCES + 1}}, {type_ids, {TOKENS}}};

static void run_on(pith_graph_run *out, const pith_graph *graph, const pith_feed *inputs, uint32_t rewrites,
                   pith_cpu_set cpu, struct pthreadpool *pool) {
  pith_error error = {PITH_OK, ""};
  pith_run_options options = {.cpu = cpu, .rewrites = rewrites, .threadpool = pool};
  if (pith_graph_run_init(out, graph, &options, inputs, &error) != PITH_OK)
    fail_msg("rewrites %#x: %s", rewrites, error.message);
}

static void run(pith_graph_run *out, const pith_graph *graph, const pith_feed *inputs, uint32_t rewrites) {
  run_on(out, graph, inputs, rewrites, pith_cpu_detect(), NULL);
}

static uint32_t count_title(const pith_program *program, const char *title) {
  uint32_t count = 0;
  for (uint32_t i = 0; i < program->step_count; i++)
    count += strcmp(program->steps[i].title, title) == 0;
  return count;
}

static void assert_title(const pith_program *program, const char *title, uint32_t wanted) {
  if (count_title(program, title) == wanted)
    return;
  for (uint32_t i = 0; i < program->step_count; i++)
    print_message("%s (%s)\n", program->steps[i].title, program->steps[i].name);
  fail_msg("%u steps are %s, not %u", count_title(program, title), title, wanted);
}

static const char *find_note(const pith_program *program, const char *step) {
  for (uint32_t i = 0; i < program->note_count; i++)
    if (strcmp(program->notes[i].step, step) == 0)
      return program->notes[i].reason;
  return NULL;
}

static void assert_note(const pith_program *program, const char *step, const char *part) {
  const char *reason = find_note(program, step);
  if (reason == NULL || strstr(reason, part) == NULL)
    fail_msg("%s: '%s', without '%s'", step, reason == NULL ? "no note" : reason, part);
}

/* A quantizing or dequantizing step without a note. */
static void assert_all_noted(const pith_program *program) {
  for (uint32_t i = 0; i < program->step_count; i++) {
    pith_step_kind kind = program->steps[i].row->kind;
    if ((kind == PITH_STEP_QUANTIZE || kind == PITH_STEP_DYNAMIC_QUANTIZE || kind == PITH_STEP_DEQUANTIZE) &&
        find_note(program, program->steps[i].name) == NULL)
      fail_msg("%s (%s) has no note", program->steps[i].name, program->steps[i].title);
  }
}

static void assert_near(const pith_graph_run *a, const pith_graph_run *b, uint32_t output, double bound,
                        const char *what) {
  const pith_view *x = pith_executor_get_output(a->executor, output);
  const pith_view *y = pith_executor_get_output(b->executor, output);
  assert_int_equal(pith_view_count(x), pith_view_count(y));
  double worst = 0;
  for (size_t i = 0; i < pith_view_count(x); i++) {
    double difference = fabs((double)((const float *)x->data)[i] - (double)((const float *)y->data)[i]);
    worst = difference > worst || isnan(difference) ? difference : worst;
  }
  if (!(worst <= bound))
    fail_msg("%s: output %u is %g apart, over %g", what, output, worst, bound);
}

static int make_inputs(void **state) {
  (void)state;
  uint64_t random = 3;
  for (size_t i = 0; i < TOKENS; i++) {
    ids[i] = (int32_t)(exec_fixture_random(&random) % EXEC_VOCABULARY);
    type_ids[i] = (int32_t)(exec_fixture_random(&random) % 2);
  }
  return 0;
}

/* ---- a whole model --------------------------------------------------------------------------------------------- */

static void test_everything_is_merged(void **state) {
  (void)state;
  for (int kind = INTEGER_STATIC; kind <= INTEGER_DYNAMIC; kind++) {
    integer_fixture f;
    integer_fixture_bert(&f, (integer_fixture_kind)kind);
    pith_graph_run fused;
    run(&fused, f.graph, feeds, PITH_REWRITES_DEFAULT);
    const pith_program *program = fused.program;
    const bool is_static = kind == INTEGER_STATIC;
    assert_title(program, is_static ? "Embedding+LayerNorm+Quantize" : "Embedding+LayerNorm+DynamicQuantize", 1);
    assert_title(program, is_static ? "IntegerGemm x3+Quantize" : "IntegerGemm x3", 2);
    assert_title(program, is_static ? "IntegerAttention+Quantize" : "DynamicQuantize+IntegerAttention", 2);
    assert_title(program, is_static ? "IntegerGemm+Gelu+Quantize" : "IntegerGemm+Gelu+DynamicQuantize", 2);
    assert_title(program, "IntegerGemm", 4);
    assert_title(program, is_static ? "LayerNorm+Residual+Quantize" : "LayerNorm+Residual+DynamicQuantize", 3);
    assert_title(program, "LayerNorm+Residual", 1); /* the last one, which floats read */
    assert_title(program, "Dequantize", 0);
    assert_title(program, "Quantize", 0);
    assert_title(program, "DynamicQuantize", is_static ? 0 : 2); /* of the context: its row's range spans all heads */
    assert_all_noted(program);
    assert_int_equal(program->note_count, is_static ? 0 : 2);
    if (!is_static)
      assert_note(program, "layer.1.context.quantize", "goes head by head");
    /* The second layer's six weights, row-major, are packed once; the first's are read in place. */
    uint32_t integer_packs = 0;
    for (uint32_t i = 0; i < program->pack_count; i++)
      integer_packs += program->packs[i].to == PITH_LAYOUT_N16K4_S8;
    assert_int_equal(integer_packs, 6);
    pith_graph_run_deinit(&fused);
    run(&fused, f.graph, feeds, PITH_REWRITES_ALL);
    assert_title(fused.program, "IntegerGemm+Residual", 4);
    pith_graph_run_deinit(&fused);
    integer_fixture_deinit(&f);
  }
}

/* The graph as it stands divides, rounds sums and takes another GELU: single levels of 8 bits move. One of the last hidden
 * state's elements, about 1 in size, stays this near; most are far nearer. */
static void test_fused_is_near_the_graph(void **state) {
  (void)state;
  for (int kind = INTEGER_STATIC; kind <= INTEGER_DYNAMIC; kind++) {
    integer_fixture f;
    integer_fixture_bert(&f, (integer_fixture_kind)kind);
    pith_graph_run plain, fused;
    run(&plain, f.graph, feeds, 0);
    assert_all_noted(plain.program);
    run(&fused, f.graph, feeds, PITH_REWRITES_DEFAULT);
    assert_near(&plain, &fused, 0, 0.1, kind == INTEGER_STATIC ? "static" : "dynamic");
    assert_near(&plain, &fused, 1, 0.1, kind == INTEGER_STATIC ? "static" : "dynamic");
    const float *y = pith_executor_get_output(plain.executor, 0)->data;
    double size = 0;
    for (size_t i = 0; i < TOKENS * EXEC_HIDDEN; i++)
      size += fabs((double)y[i]) / (TOKENS * EXEC_HIDDEN);
    assert_true(size > 0.5);
    pith_graph_run_deinit(&plain);
    pith_graph_run_deinit(&fused);
    integer_fixture_deinit(&f);
  }
}

static void test_every_subset_of_features_gives_the_same_bits(void **state) {
  (void)state;
  pthreadpool_t pool = pthreadpool_create(2);
  for (int kind = INTEGER_STATIC; kind <= INTEGER_DYNAMIC; kind++) {
    integer_fixture f;
    integer_fixture_bert(&f, (integer_fixture_kind)kind);
    for (uint32_t rewrites = PITH_REWRITES_DEFAULT;; rewrites = PITH_REWRITES_ALL) {
      pith_graph_run plain;
      run_on(&plain, f.graph, feeds, rewrites, 0, NULL);
      const pith_cpu_set detected = pith_cpu_detect();
      pith_cpu_set seen[64];
      size_t seen_count = 0;
      /* Every feature alone taken away, and each prefix of the list. */
      for (unsigned bit = 0; bit < 2 * PITH_CPU_FEATURE_COUNT; bit++) {
        const unsigned feature = bit % PITH_CPU_FEATURE_COUNT;
        pith_cpu_set cpu = bit < PITH_CPU_FEATURE_COUNT ? detected & ~((pith_cpu_set)1 << feature)
                                                        : detected & (((pith_cpu_set)2 << feature) - 1);
        size_t have = 0;
        while (have < seen_count && seen[have] != cpu)
          have++;
        if (have < seen_count)
          continue;
        seen[seen_count++] = cpu;
        pith_graph_run other;
        char what[80];
        snprintf(what, sizeof what, "kind %d, features %#llx", kind, (unsigned long long)cpu);
        run_on(&other, f.graph, feeds, rewrites, cpu, bit % 2 == 0 ? NULL : pool);
        exec_fixture_assert_same(&plain, &other, what);
        pith_graph_run_deinit(&other);
      }
      for (int threads = 1; threads <= 2; threads++) {
        pith_graph_run other;
        run_on(&other, f.graph, feeds, rewrites, detected, threads == 1 ? NULL : pool);
        exec_fixture_assert_same(&plain, &other, threads == 1 ? "one thread" : "two threads");
        pith_graph_run_deinit(&other);
      }
      pith_graph_run_deinit(&plain);
      if (rewrites == PITH_REWRITES_ALL)
        break;
    }
    integer_fixture_deinit(&f);
  }
  pthreadpool_destroy(pool);
}

/* ---- where everything is exact --------------------------------------------------------------------------------- */

/* Scales are powers of two and values lie on the grid: no rounding differs, so that every subset of the rewrites gives the
 * same bits. y = LayerNorm(outer(relu(inner(x))) + table rows), with what REQUANTIZE may take off each of them. */
static void build_exact(integer_fixture *f, bool spread) {
  integer_fixture_init(f);
  pith_builder *b = &f->builder;
  const pith_dim tokens = pith_build_dim(b, "tokens", 1, 0);
  pith_tensor_id row_ids = pith_build_input(b, "ids", PITH_DTYPE_S32, 1, &tokens);
  pith_tensor_id table = integer_fixture_weight(f, "table", 50, 40, PITH_LAYOUT_ROW_MAJOR, 0x1p-6f, true);
  pith_tensor_id more = integer_fixture_weight(f, "more", 50, 40, PITH_LAYOUT_ROW_MAJOR, 0x1p-5f, true);
  pith_tensor_id a = pith_build_node(b, "rows", PITH_OP_GATHER, 2, (const pith_tensor_id[]){table, row_ids}, 0, NULL);
  pith_tensor_id c = pith_build_node(b, "others", PITH_OP_GATHER, 2, (const pith_tensor_id[]){more, row_ids}, 0, NULL);
  pith_tensor_id x = pith_build_node(b, "sum", PITH_OP_ADD, 2, (const pith_tensor_id[]){a, c}, 0, NULL);
  pith_tensor_id gamma = integer_fixture_vector(f, "gamma", 40, 0.5f, 1.5f);
  pith_tensor_id beta = integer_fixture_vector(f, "beta", 40, -0.5f, 0.5f);
  const pith_attribute_setting epsilon[] = {PITH_SET_FLOAT("epsilon", 1e-5)};
  if (spread)
    x = pith_build_node(b, "first", PITH_OP_LAYER_NORMALIZATION, 3, (const pith_tensor_id[]){x, gamma, beta}, 1, epsilon);
  pith_tensor_id q = integer_fixture_pair(f, "x", x, PITH_DTYPE_U8, 0x1p-5f, 130);
  pith_tensor_id w = integer_fixture_weight(f, "inner.weight", 70, 40, PITH_LAYOUT_N16K4_S8, 0x1p-9f, true);
  pith_tensor_id other = integer_fixture_weight(f, "other.weight", 33, 40, PITH_LAYOUT_N16K4_S8, 0x1p-9f, true);
  pith_tensor_id y = integer_fixture_gemm(f, "inner", q, w, PITH_NONE);
  pith_build_output(b, integer_fixture_gemm(f, "other", q, other, PITH_NONE), "z");
  y = pith_build_node(b, "relu", PITH_OP_RELU, 1, &y, 0, NULL);
  y = integer_fixture_pair(f, "relu", y, PITH_DTYPE_U8, 0x1p-6f, 0);
  w = integer_fixture_weight(f, "outer.weight", 40, 70, PITH_LAYOUT_ROW_MAJOR, 0x1p-10f, true);
  y = integer_fixture_gemm(f, "outer", y, w, PITH_NONE);
  y = pith_build_node(b, "residual", PITH_OP_ADD, 2, (const pith_tensor_id[]){y, x}, 0, NULL);
  y = pith_build_node(b, "norm", PITH_OP_LAYER_NORMALIZATION, 3, (const pith_tensor_id[]){y, gamma, beta}, 1, epsilon);
  pith_build_output(b, y, "y");
  pith_tensor_id s = integer_fixture_pair(f, "y", y, PITH_DTYPE_S8, 0x1p-5f, 0);
  pith_build_output(b, s, "s");
  integer_fixture_finish(f);
}

static void test_exact_graphs_give_the_same_bits(void **state) {
  (void)state;
  static const int parts[] = {PITH_REWRITE_TABLES,        PITH_REWRITE_EMBEDDING,     PITH_REWRITE_INTEGER_GEMM,
                              PITH_REWRITE_SEGMENTS,      PITH_REWRITE_ACTIVATION,    PITH_REWRITE_RESIDUAL_GEMM,
                              PITH_REWRITE_RESIDUAL_NORM, PITH_REWRITE_RESIDUAL_INTEGER, PITH_REWRITE_REQUANTIZE};
  enum { PARTS = sizeof parts / sizeof *parts };
  int32_t row_ids[23];
  for (int i = 0; i < 23; i++)
    row_ids[i] = (i * 7 + 3) % 50;
  const pith_feed feed = {row_ids, {23}};
  for (int spread = 0; spread < 2; spread++) {
    integer_fixture f;
    build_exact(&f, spread != 0);
    pith_graph_run plain;
    run(&plain, f.graph, &feed, 0);
    for (uint32_t subset = 0; subset < 1 << PARTS; subset++) {
      uint32_t rewrites = 0;
      for (int i = 0; i < PARTS; i++)
        rewrites |= (subset >> i & 1) << parts[i];
      pith_graph_run fused;
      char what[60];
      snprintf(what, sizeof what, "rewrites %#x", rewrites);
      run(&fused, f.graph, &feed, rewrites);
      exec_fixture_assert_same(&plain, &fused, what);
      assert_all_noted(fused.program);
      pith_graph_run_deinit(&fused);
    }
    pith_graph_run fused;
    run(&fused, f.graph, &feed, PITH_REWRITES_DEFAULT);
    assert_title(fused.program, spread ? "Embedding+LayerNorm+Quantize" : "Embedding+Quantize", 1);
    assert_title(fused.program, "IntegerGemm+Relu+Quantize", 0); /* relu's product is a segment beside z's */
    assert_title(fused.program, "IntegerGemm x2", 1);
    assert_title(fused.program, "LayerNorm+Residual+Quantize", 1);
    assert_title(fused.program, "Dequantize", 1);
    assert_note(fused.program, "y.dequantize", "its floats are an output of the model");
    assert_note(fused.program, "relu.quantize", "comes from 'relu' (Unary), which writes floats only");
    pith_graph_run_deinit(&fused);
    run(&fused, f.graph, &feed, PITH_REWRITES_ALL & ~(1 << PITH_REWRITE_SEGMENTS));
    assert_title(fused.program, "IntegerGemm+Relu+Quantize", 1);
    assert_title(fused.program, "IntegerGemm+Residual", 1);
    assert_title(fused.program, "LayerNorm+Quantize", 1);
    pith_graph_run_deinit(&fused);
    pith_graph_run_deinit(&plain);
    integer_fixture_deinit(&f);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_everything_is_merged),
      cmocka_unit_test(test_fused_is_near_the_graph),
      cmocka_unit_test(test_every_subset_of_features_gives_the_same_bits),
      cmocka_unit_test(test_exact_graphs_give_the_same_bits),
  };
  return cmocka_run_group_tests(tests, make_inputs, NULL);
}
