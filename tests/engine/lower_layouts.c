/* The pass `layouts` on small graphs, each made for one of its rules: which norms and attentions go to tiles, how many Reorders
 * that leaves, and that the bits are those of dense weights. lower_sparse.c has whole models. */
#include <stdio.h>
#include <string.h>

#include "engine/lower/lower_internal.h"
#include "tests/engine/integer_fixture.h"
#include "tests/engine/sparse_fixture.h"

enum { TOKENS = 70, FEATURES = 96 };
static float xs[TOKENS * FEATURES];
static const int32_t offsets[] = {0, 3, 64, 66, TOKENS};

/* A graph being built on x [tokens, FEATURES] and offsets. Products called layer.* are stored sparse. */
typedef struct small {
  integer_fixture f;
  pith_tensor_id x, offsets;
  pith_graph *dense;
  pith_graph_run run;
} small;

static void begin(small *s, bool any_tokens) {
  integer_fixture_init(&s->f);
  pith_builder *builder = &s->f.builder;
  const pith_dim dims[2] = {any_tokens ? pith_build_dim(builder, "tokens", 1, 0) : pith_dim_of(TOKENS), pith_dim_of(FEATURES)};
  const pith_dim count = pith_build_dim(builder, "sequences", 1, 1);
  s->x = pith_build_input(builder, "x", PITH_DTYPE_F32, 2, dims);
  s->offsets = pith_build_input(builder, "offsets", PITH_DTYPE_S32, 1, &count);
}

/* 8 bits of x by weights of 8 bits. */
static pith_tensor_id integers(small *s, const char *name, pith_tensor_id x8) {
  char text[80];
  snprintf(text, sizeof text, "%s.weight", name);
  const pith_tensor_id w = integer_fixture_weight(&s->f, text, FEATURES, FEATURES, PITH_LAYOUT_N16K4_S8, 0.1f / 127, false);
  snprintf(text, sizeof text, "%s.bias", name);
  return integer_fixture_gemm(&s->f, name, x8, w, integer_fixture_vector(&s->f, text, FEATURES, -0.5f, 0.5f));
}

static pith_tensor_id floats(small *s, const char *name, pith_tensor_id x) {
  float values[FEATURES * FEATURES];
  char text[80];
  snprintf(text, sizeof text, "%s.weight", name);
  for (size_t i = 0; i < FEATURES * FEATURES; i++)
    values[i] = exec_fixture_uniform(&s->f.random, -0.1f, 0.1f);
  return integer_fixture_gemm(&s->f, name, x,
                              integer_fixture_data(&s->f, text, PITH_DTYPE_F32, 2, FEATURES, FEATURES, PITH_LAYOUT_ROW_MAJOR,
                                                   values, sizeof values),
                              PITH_NONE);
}

static pith_tensor_id eight_bits(small *s, const char *name, pith_tensor_id x) {
  return integer_fixture_pair(&s->f, name, x, PITH_DTYPE_U8, 8.0f / 255, 127);
}

static pith_tensor_id norm(small *s, const char *name, pith_tensor_id x) {
  char text[2][80];
  snprintf(text[0], sizeof text[0], "%s.weight", name);
  snprintf(text[1], sizeof text[1], "%s.bias", name);
  const pith_tensor_id inputs[3] = {x, integer_fixture_vector(&s->f, text[0], FEATURES, 0.5f, 1.5f),
                                    integer_fixture_vector(&s->f, text[1], FEATURES, -0.5f, 0.5f)};
  return pith_build_node(&s->f.builder, name, PITH_OP_LAYER_NORMALIZATION, 3, inputs, 0, NULL);
}

static pith_tensor_id node2(small *s, const char *name, int op, pith_tensor_id a, pith_tensor_id b) {
  return pith_build_node(&s->f.builder, name, op, 2, (const pith_tensor_id[]){a, b}, 0, NULL);
}

static void output(small *s, pith_tensor_id id, const char *name) {
  pith_build_output(&s->f.builder, id, name);
}

/* layer.4x4* in that form, all else 4x1. */
static pith_layout choose(const char *name, pith_dtype dtype) {
  return strncmp(name, "layer.4x4", 9) == 0 ? sparse_fixture_4x4(name, dtype) : sparse_fixture_4x1(name, dtype);
}

/* Runs it and holds the bits to those of dense weights. */
static void end(small *s) {
  static const sparse_fixture_mask mask = {4, 4, 30};
  integer_fixture_finish(&s->f);
  sparse_fixture_prune(s->f.graph, choose, &mask, &s->f.weights, &s->dense);
  const pith_feed feeds[2] = {{xs, {TOKENS, FEATURES}}, {offsets, {sizeof offsets / sizeof *offsets}}};
  const pith_run_options options = {.cpu = pith_cpu_detect(), .rewrites = PITH_REWRITES_DEFAULT};
  pith_graph_run dense;
  if (pith_graph_run_init(&s->run, s->f.graph, &options, feeds, &s->f.error) != PITH_OK ||
      pith_graph_run_init(&dense, s->dense, &options, feeds, &s->f.error) != PITH_OK)
    fail_msg("%s", s->f.error.message);
  exec_fixture_assert_same(&dense, &s->run, s->f.graph->name);
  pith_graph_run_deinit(&dense);
}

static void close_small(small *s) {
  pith_graph_run_deinit(&s->run);
  pith_graph_destroy(s->dense);
  integer_fixture_deinit(&s->f);
}

static void assert_kind(const small *s, pith_step_kind kind, uint32_t wanted) {
  const pith_program *program = s->run.program;
  uint32_t count = 0;
  for (uint32_t i = 0; i < program->step_count; i++)
    count += program->steps[i].row->kind == kind;
  for (uint32_t i = 0; i < program->step_count && count != wanted; i++)
    print_message("%s (%s)\n", program->steps[i].title, program->steps[i].name);
  if (count != wanted)
    fail_msg("%u steps are %s, not %u", count, pith_step_row_get(kind)->name, wanted);
}

static void assert_on_tiles(const small *s, const char *name, bool wanted) {
  for (uint32_t i = 0; i < s->run.program->step_count; i++) {
    const pith_step *step = &s->run.program->steps[i];
    if (strcmp(step->name, name) == 0 && step->row->kind != PITH_STEP_REORDER) {
      const bool on_tiles = step->row->kind == PITH_STEP_TILE_LAYER_NORM || step->row->kind == PITH_STEP_TILE_INTEGER_ATTENTION;
      if (on_tiles != wanted)
        fail_msg("'%s' is %s", name, step->row->name);
      return;
    }
  }
  fail_msg("no step '%s'", name);
}

/* ---- what is counted ------------------------------------------------------------------------------------------------ */

/* A Reorder of 8 bits behind the norm rather than one of floats before it. */
static void test_bytes_count(void **state) {
  (void)state;
  small s;
  begin(&s, true);
  const pith_tensor_id y = norm(&s, "norm", integers(&s, "layer.a", eight_bits(&s, "x", s.x)));
  output(&s, integers(&s, "dense", eight_bits(&s, "y", y)), "out");
  end(&s);
  assert_on_tiles(&s, "norm", true);
  assert_kind(&s, PITH_STEP_REORDER, 2); /* of 8 bits into layer.a, and out of the norm */
  close_small(&s);
}

/* Two products that want both kinds of tiles: from rows that is a Reorder for each, from either tile only one. */
static void test_each_other_layout_counts(void **state) {
  (void)state;
  small s;
  begin(&s, true);
  output(&s, floats(&s, "layer.f", s.x), "f"); /* x is reordered for it anyhow */
  const pith_tensor_id y = eight_bits(&s, "y", norm(&s, "norm", s.x));
  output(&s, integers(&s, "layer.a", y), "a");
  output(&s, integers(&s, "layer.4x4", y), "b");
  end(&s);
  assert_on_tiles(&s, "norm", true);
  assert_kind(&s, PITH_STEP_REORDER, 1 + 1 + 3); /* x, y, and each output */
  close_small(&s);
}

/* What is written in rows, or in tiles of one kind, and read in others gets a Reorder for each. */
static void test_one_value_in_every_layout(void **state) {
  (void)state;
  small s;
  begin(&s, true);
  pith_tensor_id y = eight_bits(&s, "x", s.x);
  output(&s, integers(&s, "layer.a", y), "a");
  output(&s, integers(&s, "layer.4x4", y), "b");
  output(&s, integers(&s, "dense", y), "c");
  y = eight_bits(&s, "y", integers(&s, "layer.c", eight_bits(&s, "z", s.x)));
  output(&s, integers(&s, "layer.d", y), "d");
  output(&s, integers(&s, "layer.4x4.d", y), "e");
  output(&s, integers(&s, "dense.d", y), "g");
  end(&s);
  assert_kind(&s, PITH_STEP_REORDER, 2 + 1 + 2 + 4); /* x, z, y, and the outputs of four sparse products */
  close_small(&s);
}

/* A graph's outputs are rows: the norm's input stands in rows for one of them already. */
static void test_outputs_count(void **state) {
  (void)state;
  small s;
  begin(&s, true);
  const pith_tensor_id y = integers(&s, "layer.a", eight_bits(&s, "x", s.x));
  output(&s, y, "before");
  output(&s, norm(&s, "norm", y), "after");
  end(&s);
  assert_on_tiles(&s, "norm", false);
  assert_kind(&s, PITH_STEP_REORDER, 2);
  close_small(&s);
}

/* A value that stands twice among a step's operands is reordered once. */
static void test_operands_count_once(void **state) {
  (void)state;
  small s;
  begin(&s, true);
  const pith_tensor_id a = integers(&s, "layer.a", eight_bits(&s, "x", s.x));
  const pith_tensor_id y = norm(&s, "norm", node2(&s, "sum", PITH_OP_ADD, a, a));
  output(&s, y, "y");
  output(&s, integers(&s, "dense", eight_bits(&s, "y8", y)), "out");
  end(&s);
  assert_on_tiles(&s, "norm", false);
  assert_kind(&s, PITH_STEP_REORDER, 2);
  close_small(&s);
}

/* ---- the search ----------------------------------------------------------------------------------------------------- */

/* Two norms in a row between sparse products pay on tiles together, and between dense ones on rows; from all rows the first pair
 * is found in two sweeps, from all tiles the second never is. */
static void test_runs_of_steps_turn_together(void **state) {
  (void)state;
  small s;
  begin(&s, true);
  pith_tensor_id y = norm(&s, "norm.1", norm(&s, "norm.0", integers(&s, "layer.a", eight_bits(&s, "x", s.x))));
  output(&s, floats(&s, "layer.f", y), "f");
  output(&s, integers(&s, "layer.b", eight_bits(&s, "y", y)), "b");
  y = norm(&s, "norm.3", norm(&s, "norm.2", integers(&s, "dense.a", eight_bits(&s, "z", s.x))));
  output(&s, integers(&s, "dense.b", eight_bits(&s, "w", y)), "c");
  end(&s);
  assert_on_tiles(&s, "norm.0", true);
  assert_on_tiles(&s, "norm.1", true);
  assert_on_tiles(&s, "norm.2", false);
  assert_on_tiles(&s, "norm.3", false);
  assert_kind(&s, PITH_STEP_REORDER, 1 + 2); /* x, and two outputs */
  close_small(&s);
}

/* Where only the whole run pays: from all rows none of it is found. */
static void test_a_run_that_no_single_step_begins(void **state) {
  (void)state;
  small s;
  begin(&s, true);
  const pith_tensor_id y = norm(&s, "norm.1", norm(&s, "norm.0", integers(&s, "layer.a", eight_bits(&s, "x", s.x))));
  output(&s, integers(&s, "layer.b", eight_bits(&s, "y", y)), "b");
  end(&s);
  assert_on_tiles(&s, "norm.0", true);
  assert_on_tiles(&s, "norm.1", true);
  assert_kind(&s, PITH_STEP_REORDER, 2);
  close_small(&s);
}

/* ---- operands ------------------------------------------------------------------------------------------------------- */

/* Factors that a norm multiplies its 8 bits by are data and stay as they are. */
static void test_factors_of_a_norm(void **state) {
  (void)state;
  small s;
  begin(&s, true);
  pith_tensor_id y = norm(&s, "norm", integers(&s, "layer.a", eight_bits(&s, "x", s.x)));
  y = node2(&s, "smooth", PITH_OP_MUL, y, integer_fixture_vector(&s.f, "factors", FEATURES, 0.5f, 1.5f));
  output(&s, integers(&s, "layer.b", eight_bits(&s, "y", y)), "out");
  end(&s);
  assert_on_tiles(&s, "norm", true);
  assert_kind(&s, PITH_STEP_BINARY, 0);
  assert_kind(&s, PITH_STEP_REORDER, 2);
  close_small(&s);
}

/* Attention between sparse products of 8 bits before and of floats after. */
static void test_floats_of_attention(void **state) {
  (void)state;
  static const struct {
    const char *product, *pair;
    pith_dtype dtype;
  } parts[3] = {{"layer.q", "q", PITH_DTYPE_U8}, {"layer.k", "k", PITH_DTYPE_S8}, {"layer.v", "v", PITH_DTYPE_S8}};
  small s;
  begin(&s, true);
  pith_tensor_id inputs[5] = {0, 0, 0, s.offsets, s.offsets};
  const pith_tensor_id x = eight_bits(&s, "x", s.x);
  for (int i = 0; i < 3; i++)
    inputs[i] = integer_fixture_pair(&s.f, parts[i].pair, integers(&s, parts[i].product, x), parts[i].dtype, 0.03f,
                                     parts[i].dtype == PITH_DTYPE_U8 ? 120 : 0);
  const pith_tensor_id y = pith_build_node(
      &s.f.builder, "attention", PITH_OP_PACKED_ATTENTION, 5, inputs, 2,
      (const pith_attribute_setting[]){PITH_SET_INT("num_heads", 3), PITH_SET_DTYPE("softmax_dtype", PITH_DTYPE_U8)});
  output(&s, floats(&s, "layer.f", y), "out");
  end(&s);
  assert_on_tiles(&s, "attention", true);
  assert_kind(&s, PITH_STEP_REORDER, 2);
  close_small(&s);
}

/* A norm of all rows as one has no way on tiles. */
static void test_a_norm_of_several_rows(void **state) {
  (void)state;
  small s;
  begin(&s, false);
  float gamma[TOKENS * FEATURES];
  for (size_t i = 0; i < TOKENS * FEATURES; i++)
    gamma[i] = exec_fixture_uniform(&s.f.random, 0.5f, 1.5f);
  const pith_tensor_id inputs[2] = {integers(&s, "layer.a", eight_bits(&s, "x", s.x)),
                                    integer_fixture_data(&s.f, "gamma", PITH_DTYPE_F32, 2, TOKENS, FEATURES,
                                                         PITH_LAYOUT_ROW_MAJOR, gamma, sizeof gamma)};
  const pith_tensor_id y = pith_build_node(&s.f.builder, "norm", PITH_OP_LAYER_NORMALIZATION, 2, inputs, 1,
                                           (const pith_attribute_setting[]){PITH_SET_INT("axis", 0)});
  output(&s, integers(&s, "layer.b", eight_bits(&s, "y", y)), "out");
  end(&s);
  assert_on_tiles(&s, "norm", false);
  close_small(&s);
}

static int make_inputs(void **state) {
  (void)state;
  uint64_t random = 5;
  for (size_t i = 0; i < TOKENS * FEATURES; i++)
    xs[i] = exec_fixture_uniform(&random, -3, 3);
  return 0;
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_bytes_count),
      cmocka_unit_test(test_each_other_layout_counts),
      cmocka_unit_test(test_one_value_in_every_layout),
      cmocka_unit_test(test_outputs_count),
      cmocka_unit_test(test_operands_count_once),
      cmocka_unit_test(test_runs_of_steps_turn_together),
      cmocka_unit_test(test_a_run_that_no_single_step_begins),
      cmocka_unit_test(test_factors_of_a_norm),
      cmocka_unit_test(test_floats_of_attention),
      cmocka_unit_test(test_a_norm_of_several_rows),
  };
  return cmocka_run_group_tests(tests, make_inputs, NULL);
}
