/* Heads, neurons and layers that leave: results that stay, sizes that shrink, errors that the fit
 * lowers, what is refused. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "engine/format/format.h"
#include "engine/format/stored_layout.h"
#include "quant/quantize_model.h"
#include "quant/source.h"
#include "quant/moments.h"
#include "sparse/structured.h"
#include "sparse/structured_solve.h"
#include "tests/engine/exec_fixture.h"

static exec_fixture_model fixture;
static exec_fixture_batch batch;
static pith_error error;

#define MUST(expression)                                                                           \
  do {                                                                                             \
    if ((expression) != PITH_OK)                                                                   \
      fail_msg("%s: %s", #expression, error.message);                                              \
  } while (0)

enum { TEXTS = 40 };

static int open_model(void **state) {
  (void)state;
  exec_fixture_open(&fixture, EXEC_CLASSIFY);
  exec_fixture_make_batch(&batch, 3, (const size_t[]){1, 2, 3}, (const size_t[]){5, 19, 40});
  return 0;
}

static int close_model(void **state) {
  (void)state;
  exec_fixture_close(&fixture);
  return 0;
}

static pith_session_options make_session(void) {
  pith_session_options options = PITH_SESSION_OPTIONS_INIT;
  options.max_tokens = 128;
  options.max_sequences = 64;
  return options;
}

static void run(const pith_model_data *data, float logits[3 * EXEC_LABELS]) {
  pith_model model = fixture.model;
  model.data = *data;
  const pith_session_options options = make_session();
  pith_session *session;
  MUST(pith_session_create(&model, &options, &session, &error));
  pith_result result = {.struct_size = sizeof result};
  MUST(pith_session_run(session, &batch.batch, &result, &error));
  memcpy(logits, result.outputs[0].data, 3 * EXEC_LABELS * sizeof *logits);
  pith_session_destroy(session);
}

static double compare(const pith_model_data *a, const pith_model_data *b) {
  float x[3 * EXEC_LABELS], y[3 * EXEC_LABELS];
  run(a, x);
  run(b, y);
  double largest = 0, difference = 0;
  for (int i = 0; i < 3 * EXEC_LABELS; i++) {
    largest = fmax(largest, fabs((double)x[i]));
    difference = fmax(difference, fabs((double)x[i] - (double)y[i]));
  }
  return difference / largest;
}

static pith_prune_options make_options(const char *pattern, double sparsity,
                                       pith_prune_method method, pith_prune_scope scope) {
  pith_prune_options options = pith_prune_defaults;
  options.pattern = pattern;
  options.sparsity = sparsity;
  options.method = method;
  options.scope = scope;
  return options;
}

static pith_status prune(const pith_prune_options *options, bool data, pith_structured *out) {
  pith_random_source random;
  MUST(pith_random_source_init(&random, &fixture.model.data, TEXTS, 1, &error));
  const pith_calibration_source source = pith_random_source_get(&random);
  const pith_prune_request request = {.options = options,
                                      .source = data ? &source : NULL,
                                      .random_ids = true,
                                      .session = make_session()};
  return pith_prune_structured(&fixture.model, &request, out, &error);
}

static pith_tensor *find(const pith_graph *graph, const char *name) {
  const pith_tensor_id id = pith_graph_find_tensor(graph, name);
  if (id == PITH_NONE)
    fail_msg("no tensor '%s'", name);
  return &graph->tensors[id];
}

/* A change of the fixture's weights, by rows and columns of the logical tensor. */
static void change(const char *name, float (*value)(size_t row, size_t column, float old)) {
  pith_tensor *tensor = find(fixture.model.data.graph, name);
  const size_t rows = (size_t)tensor->dims[0].constant;
  const size_t columns = tensor->rank == 1 ? 1 : (size_t)tensor->dims[1].constant;
  float *values = calloc(rows * columns + 16, sizeof *values);
  MUST(pith_layout_convert(tensor->dtype, tensor->rank, tensor->dims, tensor->layout, tensor->data,
                           PITH_LAYOUT_ROW_MAJOR, values, &fixture.model.allocator, &error));
  for (size_t r = 0; r < rows; r++)
    for (size_t c = 0; c < columns; c++)
      values[r * columns + c] = value(r, c, values[r * columns + c]);
  MUST(pith_layout_convert(tensor->dtype, tensor->rank, tensor->dims, PITH_LAYOUT_ROW_MAJOR, values,
                           tensor->layout, (void *)(uintptr_t)tensor->data,
                           &fixture.model.allocator, &error));
  free(values);
}

static int64_t get_heads(const pith_graph *graph, int layer) {
  for (uint32_t n = 0; n < graph->node_count; n++)
    if (graph->nodes[n].op->id == PITH_OP_PACKED_ATTENTION && layer-- == 0)
      return pith_node_get_attribute(&graph->nodes[n], "num_heads")->i;
  return -1;
}

/* ---- nothing that counts leaves
 * -------------------------------------------------------------------------- */

/* Every fourth neuron gives nothing to what comes after it; its own weights are the largest. */
static float silence_inner(size_t row, size_t column, float old) {
  (void)row;
  return column % 4 == 1 ? 0 : old;
}

static void test_silent_neurons(void **state) {
  (void)state;
  change("layer.0.outer.weight", silence_inner);
  change("layer.1.outer.weight", silence_inner);
  const pith_prune_options options = make_options("neuron", 0.25, PITH_PRUNE_OBS, PITH_PRUNE_LAYER);
  pith_structured out;
  MUST(prune(&options, true, &out));
  assert_int_equal(out.row_count, 2);
  for (uint32_t i = 0; i < 2; i++) {
    assert_int_equal(out.rows[i].before, EXEC_INNER);
    assert_int_equal(out.rows[i].after, EXEC_INNER - EXEC_INNER / 4);
    assert_true(out.rows[i].plain_error < 1e-9);
  }
  assert_int_equal(find(out.data.graph, "layer.0.inner.weight")->dims[0].constant, 150);
  assert_int_equal(find(out.data.graph, "layer.0.inner.bias")->dims[0].constant, 150);
  assert_int_equal(find(out.data.graph, "layer.0.outer.weight")->dims[1].constant, 150);
  const double difference = compare(&fixture.model.data, &out.data);
  if (!(difference < 1e-5))
    fail_msg("results differ by %g", difference);
  pith_structured_deinit(&out);
}

/* Every fourth neuron says the same whatever comes in: the bias after it can say it too. */
static float hold_inner(size_t row, size_t column, float old) {
  (void)column;
  return row % 4 == 1 ? 0 : old;
}
static float hold_inner_bias(size_t row, size_t column, float old) {
  (void)column;
  return row % 4 == 1 ? 3 : old;
}

static void test_constant_neurons(void **state) {
  (void)state;
  change("layer.1.inner.weight", hold_inner);
  change("layer.1.inner.bias", hold_inner_bias);
  pith_prune_options options = make_options("neuron", 0.25, PITH_PRUNE_OBS, PITH_PRUNE_LAYER);
  options.exclude = (pith_name_patterns){1, {"layer.0.inner"}};
  options.damping = 1e-6; /* with more, what varies little is as good as constant */
  pith_structured out;
  MUST(prune(&options, true, &out));
  assert_int_equal(out.rows[1].after, EXEC_INNER - EXEC_INNER / 4);
  const double difference = compare(&fixture.model.data, &out.data);
  if (!(difference < 1e-4))
    fail_msg("results differ by %g", difference);
  pith_structured_deinit(&out);
}

/* The second head says nothing, and magnitude sees that its weights are 0. */
static float silence_head(size_t row, size_t column, float old) {
  (void)column;
  return row / (EXEC_HIDDEN / EXEC_HEADS) == 1 ? 0 : old;
}
static float silence_head_out(size_t row, size_t column, float old) {
  return silence_head(column, row, old);
}

static void test_silent_head(void **state) {
  (void)state;
  static const char *const rows[] = {"query", "key", "value"};
  char name[64];
  for (int layer = 0; layer < 2; layer++) {
    for (int i = 0; i < 3; i++) {
      snprintf(name, sizeof name, "layer.%d.%s.weight", layer, rows[i]);
      change(name, silence_head);
      snprintf(name, sizeof name, "layer.%d.%s.bias", layer, rows[i]);
      change(name, silence_head);
    }
    snprintf(name, sizeof name, "layer.%d.attention.dense.weight", layer);
    change(name, silence_head_out);
  }
  const pith_prune_options options =
      make_options("head", 1.0 / 3, PITH_PRUNE_MAGNITUDE, PITH_PRUNE_GLOBAL);
  pith_structured out;
  MUST(prune(&options, false, &out));
  assert_int_equal(get_heads(out.data.graph, 0), 2);
  assert_int_equal(get_heads(out.data.graph, 1), 2);
  assert_int_equal(find(out.data.graph, "layer.1.query.weight")->dims[0].constant, 64);
  assert_int_equal(find(out.data.graph, "layer.1.attention.dense.weight")->dims[1].constant, 64);
  assert_true(compare(&fixture.model.data, &out.data) < 1e-5);
  pith_structured_deinit(&out);
}

/* ---- the fit
 * ------------------------------------------------------------------------------------------------
 */

static void test_fit_lowers_errors(void **state) {
  (void)state;
  static const char *const patterns[] = {"neuron", "head"};
  for (int p = 0; p < 2; p++) {
    double errors[2][2];
    for (int obs = 0; obs < 2; obs++) {
      const pith_prune_options options = make_options(
          patterns[p], 0.4, obs ? PITH_PRUNE_OBS : PITH_PRUNE_MAGNITUDE, PITH_PRUNE_LAYER);
      pith_structured out;
      MUST(prune(&options, true, &out));
      assert_int_equal(out.texts, TEXTS);
      for (uint32_t i = 0; i < 2; i++) {
        assert_true(out.rows[i].error > 0);
        if (!(out.rows[i].error < 0.95 * out.rows[i].plain_error))
          fail_msg("%s: error %g, without fit %g", out.rows[i].name, out.rows[i].error,
                   out.rows[i].plain_error);
        errors[obs][i] = out.rows[i].error;
      }
      assert_true(compare(&fixture.model.data, &out.data) > 1e-4);
      pith_structured_deinit(&out);
    }
    if (!(errors[1][0] <= errors[0][0] * 1.0001))
      fail_msg("%s: obs leaves an error of %g, magnitude one of %g", patterns[p], errors[1][0],
               errors[0][0]);
  }
}

/* The same neurons leave with and without data; with it, and with it alone, results stay near. */
static void test_fit_helps_results(void **state) {
  (void)state;
  const pith_prune_options options =
      make_options("neuron", 0.4, PITH_PRUNE_MAGNITUDE, PITH_PRUNE_LAYER);
  double differences[2];
  for (int data = 0; data < 2; data++) {
    pith_structured out;
    MUST(prune(&options, data != 0, &out));
    differences[data] = compare(&fixture.model.data, &out.data);
    pith_structured_deinit(&out);
  }
  if (!(differences[1] < 0.8 * differences[0]))
    fail_msg("results differ by %g with the fit and by %g without", differences[1], differences[0]);
}

/* Input 2 is the sum of inputs 0 and 1: it leaves first, at no cost but damping, and they take its
 * weights. */
static void test_known_solution(void **state) {
  (void)state;
  pith_arena arena;
  pith_arena_init(&arena, NULL);
  pith_moments moments;
  MUST(pith_moments_init(&moments, 4, &arena, &error));
  uint64_t seed = 1;
  for (int i = 0; i < 1000; i++) {
    float x[4];
    for (int f = 0; f < 4; f++)
      x[f] = exec_fixture_uniform(&seed, -1, 1) + 3;
    x[2] = x[0] + x[1];
    pith_moments_add(&moments, x, 1);
  }
  pith_moments_finish(&moments, true, 1e-9);
  const float w[2 * 4] = {1, 2, 3, 4, -1, 0, 2, 5};
  const pith_group_problem problem = {2, 4, 1, moments.products, w};
  uint32_t order[3];
  double costs[3];
  MUST(pith_groups_order(&problem, 1, order, costs, &error));
  assert_true(order[0] <= 2); /* any of the three is in the span of the other two */
  assert_true(costs[0] < 1e-4);
  const uint32_t places[3] = {0, 1, 3};
  float fitted[2 * 3];
  pith_group_errors errors;
  MUST(pith_groups_compensate(&problem, (pith_kept){places, 3}, true, fitted, &errors, &error));
  static const float want[2 * 3] = {4, 5, 4, 1, 2, 5};
  for (int i = 0; i < 6; i++)
    if (!(fabsf(fitted[i] - want[i]) < 1e-3f))
      fail_msg("weight %d is %g, not %g", i, (double)fitted[i], (double)want[i]);
  assert_true(errors.compensated < 1e-6 && errors.plain > 0.1);
  MUST(pith_groups_compensate(&problem, (pith_kept){places, 3}, false, fitted, &errors, &error));
  assert_true(fitted[0] == 1 && errors.compensated == errors.plain);
  pith_arena_deinit(&arena);
}

/* ---- layers
 * --------------------------------------------------------------------------------------------------
 */

static void test_layers(void **state) {
  (void)state;
  for (int obs = 0; obs < 2; obs++) {
    const pith_prune_options options =
        make_options("layer", 0.5, obs ? PITH_PRUNE_OBS : PITH_PRUNE_MAGNITUDE, PITH_PRUNE_GLOBAL);
    pith_structured out;
    MUST(prune(&options, obs != 0, &out));
    assert_int_equal(out.row_count, 1);
    assert_int_equal(out.rows[0].after, 0);
    const pith_graph *graph = out.data.graph, *old = fixture.model.data.graph;
    assert_true(get_heads(graph, 0) > 0 && get_heads(graph, 1) < 0);
    assert_true(graph->node_count == old->node_count - 12);
    assert_string_equal(graph->tensors[graph->outputs[0]].name, old->tensors[old->outputs[0]].name);
    assert_true(!obs || out.rows[0].error < out.rows[0].plain_error);
    assert_true(compare(&fixture.model.data, &out.data) > 1e-4);
    pith_structured_deinit(&out);
  }
}

/* Layer 1 gives 2 x + 0.5 of an x that is normalized: the LayerNorm before it can. */
static float be_zero(size_t row, size_t column, float old) {
  (void)row, (void)column, (void)old;
  return 0;
}
static float be_one(size_t row, size_t column, float old) {
  return be_zero(row, column, old) + 1;
}
static float be_two(size_t row, size_t column, float old) {
  return be_zero(row, column, old) + 2;
}
static float be_half(size_t row, size_t column, float old) {
  return be_zero(row, column, old) + 0.5f;
}

static void test_layer_that_is_a_factor(void **state) {
  (void)state;
  static const char *const zeros[] = {
      "layer.1.attention.dense.weight", "layer.1.attention.dense.bias",
      "layer.1.outer.weight",           "layer.1.outer.bias",
      "layer.1.attention.norm.bias",    "layer.0.norm.bias"};
  for (size_t i = 0; i < sizeof zeros / sizeof *zeros; i++)
    change(zeros[i], be_zero);
  change("layer.0.norm.weight", be_one);
  change("layer.1.attention.norm.weight", be_one);
  change("layer.1.norm.weight", be_two);
  change("layer.1.norm.bias", be_half);
  const pith_prune_options options = make_options("layer", 0.5, PITH_PRUNE_OBS, PITH_PRUNE_LAYER);
  pith_structured out;
  MUST(prune(&options, true, &out));
  assert_string_equal(out.rows[0].name, "layer.1.outer");
  assert_true(out.rows[0].error < 1e-6 && out.rows[0].plain_error > 0.1);
  const double difference = compare(&fixture.model.data, &out.data);
  if (!(difference < 1e-4))
    fail_msg("results differ by %g", difference);
  pith_structured_deinit(&out);
}

/* ---- sizes that nothing divides, by layer, and INT8
 * ---------------------------------------------------------- */

static void test_own_sizes(void **state) {
  (void)state;
  const pith_prune_options options =
      make_options("neuron", 0.415, PITH_PRUNE_OBS, PITH_PRUNE_GLOBAL);
  pith_structured out;
  MUST(prune(&options, true, &out));
  assert_int_equal(out.rows[0].after + out.rows[1].after, 2 * EXEC_INNER - 166);
  assert_true(out.rows[0].after > 0 && out.rows[1].after > 0);
  assert_string_equal(out.data.history[out.data.history_count - 1].step, "prune");
  for (int mode = 0; mode < PITH_QUANT_MODE_COUNT; mode++) {
    pith_model model = fixture.model;
    model.data = out.data;
    pith_random_source random;
    MUST(pith_random_source_init(&random, &model.data, TEXTS, 1, &error));
    const pith_calibration_source source = pith_random_source_get(&random);
    pith_quant_options quant = pith_quant_defaults;
    quant.mode = (pith_quant_mode)mode;
    const pith_quantize_request request = {
        .options = &quant, .source = &source, .random_ids = true, .session = make_session()};
    pith_quantized quantized;
    MUST(pith_quantize_model(&model, &request, &quantized, &error));
    assert_int_equal(quantized.summary.products, 12);
    const double difference = compare(&out.data, &quantized.data);
    if (!(difference > 0 && difference < 0.15))
      fail_msg("mode %d: INT8 differs by %g", mode, difference);
    pith_quantized_deinit(&quantized);
  }
  pith_structured_deinit(&out);
}

static void test_configuration(void **state) {
  (void)state;
  const char *own = fixture.model.data.config_json;
  fixture.model.data.config_json =
      "{\"num_hidden_layers\":2,\"intermediate_size\":200,\"pruned_heads\":{\"1\":[0]}}";
  pith_structured out;
  pith_prune_options options = make_options("neuron", 0.5, PITH_PRUNE_MAGNITUDE, PITH_PRUNE_LAYER);
  MUST(prune(&options, false, &out));
  assert_non_null(strstr(out.data.config_json, "\"intermediate_size\":\t100"));
  pith_structured_deinit(&out);
  options = make_options("layer", 0.5, PITH_PRUNE_MAGNITUDE, PITH_PRUNE_LAYER);
  MUST(prune(&options, false, &out));
  assert_non_null(strstr(out.data.config_json, "\"num_hidden_layers\":\t1"));
  pith_structured_deinit(&out);
  options = make_options("head", 1.0 / 3, PITH_PRUNE_MAGNITUDE, PITH_PRUNE_LAYER);
  MUST(prune(&options, false, &out));
  const char *heads = strstr(out.data.config_json, "\"1\":");
  assert_non_null(heads); /* of layer 1: head 0, which had left, and another */
  assert_non_null(strstr(heads, "[0, "));
  pith_structured_deinit(&out);
  fixture.model.data.config_json = own;
}

/* ---- refused
 * ----------------------------------------------------------------------------------------------------
 */

static void refuse(pith_prune_options options, bool data, const char *words) {
  pith_structured out;
  error.message[0] = '\0';
  const pith_status status = prune(&options, data, &out);
  if (status != PITH_INVALID_ARGUMENT || strstr(error.message, words) == NULL)
    fail_msg("status %d, \"%s\" without \"%s\"", status, error.message, words);
  pith_structured_deinit(&out);
}

static void test_refused(void **state) {
  (void)state;
  const pith_prune_method magnitude = PITH_PRUNE_MAGNITUDE;
  refuse(make_options("head", 0.99, magnitude, PITH_PRUNE_LAYER), false, "all of them");
  refuse(make_options("head", 0.01, magnitude, PITH_PRUNE_LAYER), false, "none of them");
  refuse(make_options("layer", 0.9, magnitude, PITH_PRUNE_LAYER), false, "all of them");
  refuse(make_options("neuron", 1, magnitude, PITH_PRUNE_LAYER), false, "above 0 and below 1");
  refuse(make_options("neuron", 0, magnitude, PITH_PRUNE_LAYER), false, "above 0 and below 1");
  refuse(make_options("neuron", NAN, magnitude, PITH_PRUNE_LAYER), false, "above 0 and below 1");
  refuse(make_options("neuron", PITH_PRUNE_SPARSITY_OF_PATTERN, magnitude, PITH_PRUNE_LAYER), false,
         "missing");
  refuse(make_options("4x1", 0.5, magnitude, PITH_PRUNE_LAYER), false, "head, neuron or layer");
  refuse(make_options("head", 0.4, PITH_PRUNE_OBS, PITH_PRUNE_LAYER), false, "data");
  pith_prune_options options = make_options("neuron", 0.5, magnitude, PITH_PRUNE_GLOBAL);
  options.maximum = 0.4;
  refuse(options, false, "maximum");
  options = make_options("neuron", 0.5, magnitude, PITH_PRUNE_GLOBAL);
  options.schedule = PITH_SCHEDULE_CUBIC;
  refuse(options, false, "schedule");
  options = make_options("head", 0.4, magnitude, PITH_PRUNE_GLOBAL);
  options.exclude = (pith_name_patterns){1, {"*query*"}};
  refuse(options, false, "exclude");
  options.exclude = (pith_name_patterns){1, {"nonsense"}};
  refuse(options, false, "nonsense");
  options.exclude = (pith_name_patterns){1, {"layer.0.value"}};
  pith_structured out;
  MUST(prune(&options, false, &out));
  assert_int_equal(out.rows[0].after, EXEC_HEADS);
  assert_int_equal(out.rows[1].after, EXEC_HEADS - 1);
  pith_structured_deinit(&out);
}

static void test_quantized_model(void **state) {
  (void)state;
  exec_fixture_close(&fixture);
  exec_fixture_open(&fixture, EXEC_DYNAMIC);
  refuse(make_options("head", 0.4, PITH_PRUNE_MAGNITUDE, PITH_PRUNE_LAYER), false, "quantized");
}

/* Weights in a pattern of zeros: the file's mask would no longer be true. */
static void test_pruned_model(void **state) {
  (void)state;
  pith_tensor *tensor = find(fixture.model.data.graph, "layer.0.inner.weight");
  tensor->pattern = (pith_pattern){.kind = PITH_PATTERN_ELEMENT};
  tensor->kept = 1;
  refuse(make_options("neuron", 0.4, PITH_PRUNE_MAGNITUDE, PITH_PRUNE_LAYER), false,
         "pattern of zeros");
}

int main(void) {
#define TEST(function) cmocka_unit_test_setup_teardown(function, open_model, close_model)
  const struct CMUnitTest tests[] = {
      TEST(test_silent_neurons),    TEST(test_silent_head),      TEST(test_fit_lowers_errors),
      TEST(test_fit_helps_results), TEST(test_constant_neurons), TEST(test_layer_that_is_a_factor),
      TEST(test_known_solution),    TEST(test_layers),           TEST(test_own_sizes),
      TEST(test_configuration),     TEST(test_refused),          TEST(test_quantized_model),
      TEST(test_pruned_model),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
