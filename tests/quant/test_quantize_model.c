/* Rewrites and quantization on a small model: what leaves results as they are, what is measured, and what is refused. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include <cjson/cJSON.h>

#include "engine/format/stored_layout.h"
#include "quant/quantize_model.h"
#include "quant/range_check.h"
#include "quant/recipe.h"
#include "quant/report.h"
#include "quant/source.h"
#include "quant/tap.h"
#include "quant/transform.h"
#include "quant/weights.h"
#include "tests/engine/sparse_fixture.h"

static exec_fixture_model fixture;
static exec_fixture_batch batch;
static pith_error error;

#define MUST(expression)                                                                                    \
  do {                                                                                                      \
    if ((expression) != PITH_OK)                                                                            \
      fail_msg("%s: %s", #expression, error.message);                                                       \
  } while (0)

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

/* The logits of the batch by a graph with the model's inputs. */
static void run(const pith_graph *graph, float logits[3 * EXEC_LABELS]) {
  pith_model model = fixture.model;
  model.data.graph = (pith_graph *)(uintptr_t)graph;
  const pith_session_options options = make_session();
  pith_session *session;
  MUST(pith_session_create(&model, &options, &session, &error));
  pith_result result = {.struct_size = sizeof result};
  MUST(pith_session_run(session, &batch.batch, &result, &error));
  memcpy(logits, result.outputs[0].data, 3 * EXEC_LABELS * sizeof *logits);
  pith_session_destroy(session);
}

static double compare_logits(const pith_graph *a, const pith_graph *b) {
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

/* A row's data is the fixture's: set for one test and put back. */
static float *find_data(const char *name, size_t *out_count) {
  const pith_tensor_id id = pith_graph_find_tensor(fixture.model.data.graph, name);
  assert_int_not_equal(id, PITH_NONE);
  const pith_tensor *tensor = &fixture.model.data.graph->tensors[id];
  *out_count = tensor->data_bytes / sizeof(float);
  return (float *)(uintptr_t)tensor->data;
}

static pith_random_source random_source(uint64_t count, uint64_t seed) {
  pith_random_source source;
  MUST(pith_random_source_init(&source, &fixture.model.data, count, seed, &error));
  assert_int_equal(source.vocabulary, EXEC_VOCABULARY);
  return source;
}

static pith_status quantize(const pith_quant_options *options, uint64_t seed, pith_quantized *out) {
  pith_random_source random = random_source(40, seed);
  const pith_calibration_source source = pith_random_source_get(&random);
  const pith_quantize_request request = {
      .options = options, .source = &source, .random_ids = true, .session = make_session()};
  return pith_quantize_model(&fixture.model, &request, out, &error);
}

static void calibrate(const pith_graph *graph, const pith_quant_options *options, uint64_t seed, pith_ranges *ranges) {
  pith_arena arena;
  pith_arena_init(&arena, NULL);
  pith_calibrate_options calibration = {.quant = options, .channels = true, .session = make_session()};
  MUST(pith_quant_list_activations(graph, options, &arena, &calibration.names, &calibration.name_count, &error));
  pith_random_source random = random_source(40, seed);
  const pith_calibration_source source = pith_random_source_get(&random);
  MUST(pith_calibrate(&fixture.model, graph, &source, &calibration, ranges, &error));
  pith_arena_deinit(&arena);
}

/* ---- rewrites leave results as they are ---------------------------------------------------------------------- */

static void test_smoothquant(void **state) {
  (void)state;
  const pith_graph *graph = fixture.model.data.graph;
  static const double alphas[] = {0.5, 0.8, PITH_SMOOTHQUANT_AUTO, PITH_SMOOTHQUANT_FREE};
  for (size_t a = 0; a < sizeof alphas / sizeof *alphas; a++) {
    pith_quant_options options = pith_quant_defaults;
    options.smoothquant = alphas[a];
    pith_ranges ranges;
    calibrate(graph, &options, 1, &ranges);
    pith_graph *smooth;
    uint32_t count = 0;
    MUST(pith_smooth_graph(graph, &ranges, &options, NULL, &smooth, &count, &error));
    if (alphas[a] >= 0) /* two layers of: query, key and value; context; inner; outer */
      assert_int_equal(count, 8);
    for (uint32_t n = 0; n < smooth->node_count && alphas[a] == PITH_SMOOTHQUANT_FREE; n++)
      if (strstr(smooth->nodes[n].name, ".smooth") != NULL) { /* merged into what makes its input */
        const pith_node_id producer = smooth->tensors[smooth->nodes[n].inputs[0]].producer;
        assert_int_equal(smooth->nodes[producer].op->id, PITH_OP_LAYER_NORMALIZATION);
      }
    const double difference = compare_logits(graph, smooth);
    if (!(difference < 1e-5) || (count != 0 && difference == 0))
      fail_msg("alpha %g: %u activations, results differ by %g", alphas[a], count, difference);
    pith_graph_destroy(smooth);
    pith_ranges_deinit(&ranges);
  }
}

static void test_equalization(void **state) {
  (void)state;
  pith_graph *equal;
  uint32_t count = 0;
  MUST(pith_equalize_graph(fixture.model.data.graph, &pith_quant_defaults, NULL, &equal, &count, &error));
  assert_int_equal(count, 2); /* values and attention.dense of two layers; GELU lets no factor through */
  const double difference = compare_logits(fixture.model.data.graph, equal);
  assert_true(difference < 1e-5 && difference > 0);
  pith_graph_destroy(equal);
}

/* The largest mean over data of (float - by `graph`), of a tensor's features. */
static double find_mean_error(const pith_graph *graph, const char *name) {
  const pith_session_options session = make_session();
  pith_tap a, b;
  MUST(pith_tap_init(&a, &fixture.model, NULL, &name, 1, &session, &error));
  MUST(pith_tap_init(&b, &fixture.model, graph, &name, 1, &session, &error));
  double sums[EXEC_INNER] = {0}, largest = 0, tokens = 0;
  pith_random_source random = random_source(40, 1);
  for (;;) { /* one sequence a run: any order gives the same sums */
    const pith_calibration_source source = pith_random_source_get(&random);
    pith_arena arena;
    pith_arena_init(&arena, NULL);
    const pith_sequence *sequences;
    size_t count;
    MUST(source.next(source.context, a.session, &arena, &sequences, &count, &error));
    for (size_t i = 0; i < count; i++) {
      pith_batch one = PITH_BATCH_INIT;
      const int32_t offsets[2] = {0, (int32_t)sequences[i].length};
      one.sequences = 1;
      one.offsets = offsets;
      one.ids = sequences[i].ids;
      pith_result result = {.struct_size = sizeof result};
      MUST(pith_session_run(a.session, &one, &result, &error));
      MUST(pith_session_run(b.session, &one, &result, &error));
      const pith_view *x = pith_tap_get(&a, 0), *y = pith_tap_get(&b, 0);
      assert_true(x->columns <= EXEC_INNER && x->columns == y->columns);
      tokens += (double)x->rows;
      for (size_t e = 0; e < x->rows * x->columns; e++)
        sums[e % x->columns] += (double)((const float *)x->data)[e] - (double)((const float *)y->data)[e];
    }
    pith_arena_deinit(&arena);
    if (count == 0)
      break;
  }
  for (int n = 0; n < EXEC_INNER; n++)
    largest = fmax(largest, fabs(sums[n] / tokens));
  pith_tap_deinit(&b);
  pith_tap_deinit(&a);
  return largest;
}

/* Of the first layer's query, whose input is the same, with rounded weights alone. */
static double find_weights_mean_error(bool correct) {
  pith_quant_options options = pith_quant_defaults;
  options.mode = PITH_QUANT_DYNAMIC;
  options.float_embeddings = true;
  options.weight_clip = PITH_WEIGHT_CLIP_MIN_MAX;
  options.bias_correction = correct;
  pith_quantized quantized;
  MUST(quantize(&options, 1, &quantized));
  assert_true(!correct || quantized.corrected > 0);
  pith_graph *weights_only;
  MUST(pith_dequantize_graph(quantized.data.graph, NULL, &weights_only, &error));
  const double largest = find_mean_error(weights_only, "layer.0.query");
  pith_graph_destroy(weights_only);
  pith_quantized_deinit(&quantized);
  return largest;
}

static void test_bias_correction(void **state) {
  (void)state;
  const double without = find_weights_mean_error(false), with = find_weights_mean_error(true);
  if (!(with < 0.005 * without))
    fail_msg("mean errors sum to %g, without correction to %g", with, without);
}

/* ---- quantizing ------------------------------------------------------------------------------------------------ */

static void test_close_to_float(void **state) {
  (void)state;
  for (int mode = 0; mode < PITH_QUANT_MODE_COUNT; mode++) {
    pith_quant_options options = pith_quant_defaults;
    options.mode = (pith_quant_mode)mode;
    pith_quantized quantized;
    MUST(quantize(&options, 1, &quantized));
    assert_int_equal(quantized.summary.products, 12);
    assert_int_equal(quantized.summary.tables, 3);
    assert_int_equal(quantized.data.history_count, 1);
    const double difference = compare_logits(fixture.model.data.graph, quantized.data.graph);
    if (!(difference < 0.15 && difference > 0)) /* of the largest logit */
      fail_msg("mode %d: logits differ by %g", mode, difference);
    pith_quantized_deinit(&quantized);
  }
}

/* Weights that 8 bits hold: quantizing and going back is the identity, bit for bit, and so is doing it again. */
static void test_identity(void **state) {
  (void)state;
  pith_quant_options options = pith_quant_defaults;
  options.mode = PITH_QUANT_DYNAMIC;
  options.weight_clip = PITH_WEIGHT_CLIP_MIN_MAX;
  pith_quantized once, twice;
  MUST(quantize(&options, 1, &once));
  pith_graph *back, *again;
  MUST(pith_dequantize_graph(once.data.graph, NULL, &back, &error));
  const double rounded = compare_logits(fixture.model.data.graph, back);
  assert_true(rounded > 1e-6 && rounded < 0.1);
  pith_graph *own = fixture.model.data.graph;
  fixture.model.data.graph = back;
  MUST(quantize(&options, 1, &twice));
  fixture.model.data.graph = own;
  MUST(pith_dequantize_graph(twice.data.graph, NULL, &again, &error));
  assert_true(compare_logits(back, again) < 1e-6);
  assert_int_equal(again->node_count, own->node_count);
  for (uint32_t t = 0; t < own->tensor_count; t++) { /* same names, dtypes and layouts as before */
    const pith_tensor *tensor = &own->tensors[t];
    const pith_tensor_id id = pith_graph_find_tensor(again, tensor->name);
    assert_int_not_equal(id, PITH_NONE);
    assert_int_equal(again->tensors[id].dtype, tensor->dtype);
    assert_int_equal(again->tensors[id].layout, tensor->layout);
  }
  pith_graph_destroy(again);
  pith_graph_destroy(back);
  pith_quantized_deinit(&twice);
  pith_quantized_deinit(&once);
}

/* Noise of the products' outputs over the calibration data, in dB: the mean of their signal-to-noise ratios. */
static double find_quality(const pith_quant_options *options, uint64_t seed) {
  pith_quantized quantized;
  MUST(quantize(options, 1, &quantized));
  assert_int_equal(quantized.summary.weights, 12);
  pith_random_source random = random_source(40, seed);
  const pith_calibration_source source = pith_random_source_get(&random);
  const pith_session_options session = make_session();
  pith_quant_report report;
  MUST(pith_quant_report_make(&fixture.model, quantized.float_graph, quantized.data.graph, &source, &session, NULL, NULL,
                              &report, &error));
  double sum = 0, count = 0;
  for (uint32_t i = 0; i < report.count; i++)
    if (report.errors[i].kind == PITH_QUANT_ERROR_OUTPUT) {
      sum += pith_quant_error_sqnr(&report.errors[i]);
      count++;
    }
  pith_quant_report_deinit(&report);
  pith_quantized_deinit(&quantized);
  return sum / count;
}

/* Rounding on data: less noise, also on other data than it saw. */
static void test_gptq(void **state) {
  (void)state;
  for (int mode = 0; mode < PITH_QUANT_MODE_COUNT; mode++)
    for (uint64_t seed = 1; seed < 3; seed++) {
      pith_quant_options options = pith_quant_defaults;
      options.mode = (pith_quant_mode)mode;
      options.rounding = PITH_ROUNDING_NEAREST;
      const double nearest = find_quality(&options, seed);
      options.rounding = PITH_ROUNDING_GPTQ;
      const double gptq = find_quality(&options, seed);
      if (!(gptq > nearest + 0.2))
        fail_msg("mode %d: outputs are at %g dB, with weights to the nearest at %g", mode, gptq, nearest);
    }
  /* The means of the float model, of what products give and of the sums that they go into; not behind the second attention, whose
   * random weights make much of the last bits. */
  static const char *const names[] = {"layer.0.query", "layer.0.attention.residual", "layer.0.inner", "layer.0.residual",
                                      "layer.1.value"};
  pith_quant_options options = pith_quant_defaults;
  options.smoothquant = PITH_SMOOTHQUANT_OFF; /* it scales products' outputs */
  pith_quantized by_nearest, by_gptq;
  MUST(quantize(&options, 1, &by_nearest));
  options.rounding = PITH_ROUNDING_GPTQ;
  MUST(quantize(&options, 1, &by_gptq));
  for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
    const double nearest = find_mean_error(by_nearest.data.graph, names[i]), gptq = find_mean_error(by_gptq.data.graph, names[i]);
    if (!(gptq < 0.02 * nearest))
      fail_msg("'%s': means err by %g, with weights to the nearest by %g", names[i], gptq, nearest);
  }
  pith_quantized_deinit(&by_gptq);
  pith_quantized_deinit(&by_nearest);
  /* A layer that stays in float is left alone. */
  options.keep_float = (pith_name_patterns){1, {"layer.0.*"}};
  pith_quantized quantized;
  MUST(quantize(&options, 1, &quantized));
  const pith_tensor_id kept = pith_graph_find_tensor(quantized.data.graph, "layer.0.inner.weight");
  assert_int_equal(quantized.data.graph->tensors[kept].dtype, PITH_DTYPE_F32);
  size_t count;
  const float *before = find_data("layer.0.inner.weight", &count);
  assert_memory_equal(quantized.data.graph->tensors[kept].data, before, count * sizeof(float));
  pith_quantized_deinit(&quantized);
}

static void test_seeds(void **state) {
  (void)state;
  pith_ranges ranges[3];
  for (int i = 0; i < 3; i++)
    calibrate(fixture.model.data.graph, &pith_quant_defaults, i == 2 ? 5 : 4, &ranges[i]);
  bool other = false;
  assert_true(ranges[0].count > 8 && ranges[0].count == ranges[1].count && ranges[0].texts == 40);
  for (uint32_t i = 0; i < ranges[0].count; i++) {
    const pith_range *a = &ranges[0].ranges[i], *b = &ranges[1].ranges[i], *c = &ranges[2].ranges[i];
    assert_string_equal(a->name, b->name);
    assert_true(a->low == b->low && a->high == b->high && a->count == b->count);
    other |= a->low != c->low;
  }
  assert_true(other);
  for (int i = 0; i < 3; i++)
    pith_ranges_deinit(&ranges[i]);
}

static void test_weight_rows(void **state) {
  (void)state;
  enum { N = 2, K = 64 };
  float w[N * K], scales[2][N];
  int8_t q[2][N * K];
  uint64_t random = 3;
  for (int i = 0; i < N * K; i++)
    w[i] = exec_fixture_uniform(&random, -1, 1);
  w[7] = 4; /* an outlier */
  for (int i = 0; i < K; i++)
    w[K + i] = 0;
  for (int c = 0; c < PITH_WEIGHT_CLIP_COUNT; c++) {
    pith_weight_rows_choose_scales(w, N, K, (pith_weight_clip)c, scales[c]);
    pith_weight_rows_round(w, N, K, scales[c], q[c]);
  }
  assert_true(scales[0][0] == 4.0f / 127 && scales[0][1] == 1 && q[0][K] == 0 && q[0][7] == 127);
  double errors[101], got[2] = {0, 0};
  int best = 100;
  for (int percent = 100; percent >= 60; percent--) {
    const double scale = 4.0 / 127 * percent / 100;
    errors[percent] = 0;
    for (int i = 0; i < K; i++)
      errors[percent] += pow((double)w[i] - scale * fmin(127, fmax(-127, rint((double)w[i] / scale))), 2);
    best = errors[percent] < errors[best] ? percent : best;
  }
  for (int c = 0; c < 2; c++)
    for (int i = 0; i < K; i++)
      got[c] += pow((double)w[i] - (double)scales[c][0] * q[c][i], 2);
  assert_true(fabs(got[0] - errors[100]) < 1e-5 && fabs(got[1] - errors[best]) < 1e-5 && got[1] <= got[0]);
}

/* ---- reports -------------------------------------------------------------------------------------------------- */

static void test_report(void **state) {
  (void)state;
  pith_quantized quantized;
  MUST(quantize(&pith_quant_defaults, 1, &quantized));
  pith_random_source random = random_source(40, 1);
  const pith_calibration_source source = pith_random_source_get(&random);
  const pith_session_options session = make_session();
  pith_quant_report report;
  MUST(pith_quant_report_make(&fixture.model, quantized.float_graph, quantized.data.graph, &source, &session, NULL, NULL,
                              &report, &error));
  uint32_t kinds[3] = {0};
  for (uint32_t i = 0; i < report.count; i++) {
    const pith_quant_error *row = &report.errors[i];
    const double sqnr = pith_quant_error_sqnr(row);
    kinds[row->kind]++;
    if (!(sqnr > 10 && sqnr < 80 && row->largest > 0 && row->count > 0))
      fail_msg("'%s': %g dB of %llu elements", row->name, sqnr, (unsigned long long)row->count);
  }
  assert_int_equal(kinds[PITH_QUANT_ERROR_WEIGHT], 15);
  assert_int_equal(kinds[PITH_QUANT_ERROR_ACTIVATION], quantized.ranges.count);
  assert_int_equal(kinds[PITH_QUANT_ERROR_OUTPUT], 12 + 2 + 3 + 1); /* products, attentions, lookups, logits */
  pith_quant_report_deinit(&report);
  pith_quantized_deinit(&quantized);
}

static void test_ranges_at_run_time(void **state) {
  (void)state;
  pith_quantized quantized;
  MUST(quantize(&pith_quant_defaults, 1, &quantized));
  pith_model model = fixture.model;
  model.data = quantized.data;
  const pith_session_options session = make_session();
  pith_random_source random = random_source(40, 1);
  const pith_calibration_source source = pith_random_source_get(&random);
  pith_range_check check;
  MUST(pith_range_check_run(&model, &source, &session, NULL, NULL, &check, &error));
  assert_int_equal(check.count, quantized.ranges.count);
  assert_int_equal(check.exceeded, 0); /* the data that it was calibrated on */
  assert_int_equal(check.texts, 40);
  pith_range_check_deinit(&check);

  /* As if calibrated on half of everything: without history, and with scales of a third. */
  model.data.history_count = 0;
  for (uint32_t t = 0; t < model.data.graph->tensor_count; t++) {
    const pith_tensor *tensor = &model.data.graph->tensors[t];
    if (tensor->rank == 0 && tensor->dtype == PITH_DTYPE_F32 && strstr(tensor->name, "_scale") != NULL)
      *(float *)(uintptr_t)tensor->data /= 3;
  }
  MUST(pith_range_check_run(&model, &source, &session, NULL, NULL, &check, &error));
  assert_true(check.exceeded > check.count / 2);
  assert_true(check.uses[0].factor > 2 && check.uses[0].outside > 0);
  pith_range_check_deinit(&check);

  assert_int_equal(pith_range_check_run(&fixture.model, &source, &session, NULL, NULL, &check, &error),
                   PITH_INVALID_ARGUMENT);
  assert_non_null(strstr(error.message, "no calibrated ranges"));
  pith_range_check_deinit(&check);
  pith_quantized_deinit(&quantized);
}

/* ---- refused ---------------------------------------------------------------------------------------------------- */

static void assert_refused(const pith_quant_options *options, pith_status status, const char *says) {
  pith_quantized quantized;
  const pith_status got = quantize(options, 1, &quantized);
  if (got != status || strstr(error.message, says) == NULL)
    fail_msg("status %d '%s', wanted %d with '%s'", got, error.message, status, says);
  pith_quantized_deinit(&quantized);
}

static void test_wrong_numbers(void **state) {
  (void)state;
  size_t count;
  float *w = find_data("layer.1.inner.weight", &count), kept = w[3];
  w[3] = NAN;
  pith_quant_options dynamic = pith_quant_defaults;
  dynamic.mode = PITH_QUANT_DYNAMIC;
  assert_refused(&dynamic, PITH_FORMAT, "layer.1.inner.weight");
  w[3] = kept;

  float *bias = find_data("layer.0.inner.bias", &count);
  kept = bias[0];
  bias[0] = INFINITY;
  assert_refused(&pith_quant_defaults, PITH_FORMAT, "activation 'layer.0.gelu' is inf");
  bias[0] = kept;

  float *scale = find_data("layer.0.norm.weight", &count), all[2][EXEC_HIDDEN];
  float *shift = find_data("layer.0.norm.bias", &count);
  memcpy(all[0], scale, sizeof all[0]);
  memcpy(all[1], shift, sizeof all[1]);
  memset(scale, 0, sizeof all[0]);
  memset(shift, 0, sizeof all[1]);
  assert_refused(&pith_quant_defaults, PITH_INVALID_ARGUMENT, "tensor 'layer.0.norm' was 0 throughout");
  for (int i = 0; i < EXEC_HIDDEN; i++)
    shift[i] = 3; /* constant, not 0: a range like any other */
  pith_quantized quantized;
  MUST(quantize(&pith_quant_defaults, 1, &quantized));
  pith_quantized_deinit(&quantized);
  memcpy(scale, all[0], sizeof all[0]);
  memcpy(shift, all[1], sizeof all[1]);
}

/* A weight whose starts or inputs point elsewhere is refused before anything is read there. */
static void test_wrong_sparse_weight(void **state) {
  (void)state;
  exec_fixture_model sparse;
  sparse_fixture_open(&sparse, SPARSE_FIXTURE_STATIC);
  const pith_graph *graph = sparse.model.data.graph;
  pith_graph *floats;
  MUST(pith_dequantize_graph(graph, NULL, &floats, &error));
  pith_graph_destroy(floats);
  uint32_t count = 0;
  for (uint32_t t = 0; t < graph->tensor_count; t++) {
    const pith_tensor *tensor = &graph->tensors[t];
    const pith_sparse_form form = pith_layout_get_sparse_form(tensor->layout);
    if (form == PITH_SPARSE_FORM_COUNT)
      continue;
    const pith_sparse_parts parts = pith_sparse_get_parts(form, (size_t)tensor->dims[0].constant, tensor->data);
    uint32_t *const places[] = {(uint32_t *)(uintptr_t)(const void *)(parts.starts + 1),
                                (uint32_t *)(uintptr_t)(const void *)parts.units};
    for (int i = 0; i < 2; i++) {
      const uint32_t right = *places[i];
      *places[i] = UINT32_MAX;
      floats = NULL;
      assert_int_equal(pith_dequantize_graph(graph, NULL, &floats, &error), PITH_FORMAT);
      assert_null(floats);
      assert_non_null(strstr(error.message, tensor->name));
      *places[i] = right;
    }
    count++;
  }
  assert_true(count > 6); /* both s8 layouts among them */
  exec_fixture_close(&sparse);
}

static void test_refused(void **state) {
  (void)state;
  pith_quant_options options = pith_quant_defaults;
  options.keep_float.count = 2;
  options.keep_float.list[0] = "layer.0.*";
  options.keep_float.list[1] = "layer.7.*";
  assert_refused(&options, PITH_INVALID_ARGUMENT, "keep-float pattern 'layer.7.*' matches no operator");
  options.keep_float.count = 1;
  pith_quantized quantized;
  MUST(quantize(&options, 1, &quantized));
  assert_int_equal(quantized.summary.products, 6);
  assert_int_equal(quantized.summary.products_kept, 6 + 2); /* and the head's */

  pith_model model = fixture.model; /* a quantized model once more */
  model.data = quantized.data;
  pith_quantized again;
  pith_random_source random = random_source(4, 1);
  const pith_calibration_source source = pith_random_source_get(&random);
  const pith_quantize_request request = {.options = &pith_quant_defaults, .source = &source, .session = make_session()};
  assert_int_equal(pith_quantize_model(&model, &request, &again, &error), PITH_INVALID_ARGUMENT);
  assert_non_null(strstr(error.message, "quantized already"));
  pith_quantized_deinit(&again);
  pith_quantized_deinit(&quantized);

  options = pith_quant_defaults;
  options.graph = "0123456789abcdef";
  assert_refused(&options, PITH_INVALID_ARGUMENT, "the recipe is for another model");
  char hash[17];
  pith_recipe_hash_graph(fixture.model.data.graph, hash);
  options.graph = hash;
  MUST(quantize(&options, 1, &quantized));
  pith_quantized_deinit(&quantized);
}

/* What would be read over in silence is refused, and what has an effect is not. */
static void test_options_without_effect(void **state) {
  (void)state;
  pith_quant_options options = pith_quant_defaults;
  options.percentile = 99.5;
  assert_refused(&options, PITH_INVALID_ARGUMENT, "percentile 99.5 does nothing with observer min_max: it goes with percentile");
  options.observer = PITH_OBSERVER_KL;
  assert_refused(&options, PITH_INVALID_ARGUMENT, "percentile 99.5 does nothing with observer kl");
  options.observer = PITH_OBSERVER_PERCENTILE;
  assert_int_equal(pith_quantize_check_options(&options, &error), PITH_OK);
  options.averaging = 0.5;
  assert_refused(&options, PITH_INVALID_ARGUMENT, "averaging 0.5 does nothing with observer percentile: it goes with moving_average");
  options = pith_quant_defaults;
  options.observer = PITH_OBSERVER_MOVING_AVERAGE;
  options.averaging = 0.5;
  assert_int_equal(pith_quantize_check_options(&options, &error), PITH_OK);
  options.mode = PITH_QUANT_DYNAMIC;
  assert_refused(&options, PITH_INVALID_ARGUMENT, "observer moving_average does nothing in dynamic mode");
  options = pith_quant_defaults;
  options.mode = PITH_QUANT_DYNAMIC;
  assert_int_equal(pith_quantize_check_options(&options, &error), PITH_OK);
  options = pith_quant_defaults;
  options.seed = 7;
  options.samples = 0;
  assert_int_equal(pith_quantize_check_options(&options, &error), PITH_OK); /* of random ids */
  options.data = "texts.txt";
  assert_refused(&options, PITH_INVALID_ARGUMENT, "seed 7 does nothing with samples 0");
  options = pith_quant_defaults;
  options.bias_correction = true;
  options.rounding = PITH_ROUNDING_GPTQ;
  assert_refused(&options, PITH_INVALID_ARGUMENT, "bias-correction does nothing with rounding gptq");
}

int main(void) {
  const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, open_model, close_model)
      TEST(test_smoothquant), TEST(test_equalization), TEST(test_bias_correction), TEST(test_close_to_float),
      TEST(test_identity),    TEST(test_gptq), TEST(test_seeds),        TEST(test_weight_rows),     TEST(test_report),
      TEST(test_ranges_at_run_time), TEST(test_wrong_numbers), TEST(test_refused), TEST(test_wrong_sparse_weight),
      TEST(test_options_without_effect),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
