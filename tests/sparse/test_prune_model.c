/* Pruning a small model: which weights, how many zeros, patterns and counts, and what is refused. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "compiler/rewrite/rewriter.h"
#include "quant/quantize_model.h"
#include "quant/recipe.h"
#include "quant/source.h"
#include "sparse/prune_model.h"
#include "sparse/weights.h"
#include "tests/engine/exec_fixture.h"

static exec_fixture_model fixture;
static pith_error error;

#define MUST(expression)                                                                                   \
  do {                                                                                                     \
    if ((expression) != PITH_OK)                                                                           \
      fail_msg("%s: %s", #expression, error.message);                                                      \
  } while (0)

static int open_model(void **state) {
  (void)state;
  exec_fixture_open(&fixture, EXEC_CLASSIFY);
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

static pith_prune_options make_options(const char *pattern, double sparsity) {
  pith_prune_options options = pith_prune_defaults;
  options.pattern = pattern;
  options.sparsity = sparsity;
  return options;
}

static pith_status prune(const pith_model *model, const pith_prune_options *options, pith_pruned *out) {
  pith_random_source random;
  MUST(pith_random_source_init(&random, &fixture.model.data, 40, 1, &error));
  const pith_calibration_source source = pith_random_source_get(&random);
  const pith_prune_request request = {.options = options, .source = &source, .random_ids = true, .session = make_session()};
  return pith_prune_model(model, &request, out, &error);
}

enum { WEIGHTS = 12, ELEMENTS = 2 * (4 * EXEC_HIDDEN * EXEC_HIDDEN + 2 * EXEC_HIDDEN * EXEC_INNER) };

/* Zeros of the encoder's weights; each one's pattern and count are right. */
static uint64_t check_graph(const pith_graph *graph, const char *pattern_text) {
  pith_pattern pattern;
  MUST(pith_pattern_parse(pattern_text, &pattern, &error));
  MUST(pith_graph_verify(graph, &error));
  pith_rewriter reader;
  MUST(pith_rewriter_init(&reader, graph, NULL, &error));
  uint64_t zeros = 0, weights = 0;
  for (uint32_t t = 0; t < graph->tensor_count; t++) {
    const pith_tensor *tensor = &graph->tensors[t];
    if (tensor->pattern.kind == PITH_PATTERN_DENSE)
      continue;
    weights++;
    assert_true(pith_pattern_equal(&tensor->pattern, &pattern));
    const float *w = pith_rewriter_read(&reader, t);
    assert_non_null(w);
    const size_t n = (size_t)tensor->dims[0].constant, k = (size_t)tensor->dims[1].constant;
    uint64_t kept;
    MUST(pith_pattern_count_kept(&pattern, n, k, w, true, &kept, &error));
    assert_int_equal(kept, tensor->kept);
    for (size_t i = 0; i < n * k; i++)
      zeros += w[i] == 0;
  }
  assert_int_equal(weights, WEIGHTS);
  pith_rewriter_deinit(&reader);
  return zeros;
}

static void test_magnitude(void **state) {
  (void)state;
  static const struct {
    const char *pattern;
    double sparsity;
    uint64_t slack; /* a block less one, and again for each weight in layer scope */
  } cases[] = {{"element", 0.6, 0}, {"4x1", 0.5, 3}, {"4x4", 0.8, 15}, {"16x4", 0.5, 63}, {"2:4", 0.5, 0},
               {"1:4", 0.75, 0},    {"row", 0.3, 199}, {"column", 0.3, 199}, {"7x3", 0.9, 20}, {"element", 0, 0}};
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
    for (int scope = 0; scope < PITH_PRUNE_SCOPE_COUNT; scope++) {
      pith_prune_options options = make_options(cases[i].pattern, cases[i].sparsity);
      options.scope = (pith_prune_scope)scope;
      pith_pruned pruned;
      MUST(prune(&fixture.model, &options, &pruned));
      const uint64_t zeros = check_graph(pruned.graph, cases[i].pattern);
      const double wanted = cases[i].sparsity * ELEMENTS;
      const double slack = (double)cases[i].slack * (scope == PITH_PRUNE_LAYER ? WEIGHTS : 1) + WEIGHTS * 0.5;
      if (pruned.summary.weights != WEIGHTS || pruned.summary.elements != ELEMENTS || pruned.summary.zeros != zeros ||
          (double)zeros > wanted + slack || (double)zeros < wanted - slack)
        fail_msg("%s %g: %llu zeros of %llu", cases[i].pattern, cases[i].sparsity, (unsigned long long)zeros,
                 (unsigned long long)pruned.summary.elements);
      pith_pruned_deinit(&pruned);
    }
}

/* Steps end in what one shot gives; a model that is pruned keeps its zeros. */
static void test_steps_and_again(void **state) {
  (void)state;
  pith_prune_options options = make_options("element", 0.6);
  pith_pruned once, steps, again;
  MUST(prune(&fixture.model, &options, &once));
  options.schedule = PITH_SCHEDULE_CUBIC;
  options.steps = 4;
  MUST(prune(&fixture.model, &options, &steps));
  assert_int_equal(once.summary.zeros, steps.summary.zeros);
  pith_model model = fixture.model;
  model.data = once.data;
  options = make_options("4x1", 0.5);
  MUST(prune(&model, &options, &again));
  assert_true(again.summary.zeros > once.summary.zeros);
  check_graph(again.graph, "4x1");
  assert_int_equal(again.data.history_count, fixture.model.data.history_count + 2);
  assert_non_null(strstr(again.data.history[again.data.history_count - 1].json, "\"pattern\":\"4x1\",\"sparsity\":0.5"));
  pith_pruned_deinit(&again);
  options = make_options("element", 0.3); /* less than it has */
  MUST(prune(&model, &options, &again));
  assert_int_equal(again.summary.zeros, once.summary.zeros);
  pith_pruned_deinit(&again);
  pith_pruned_deinit(&steps);
  pith_pruned_deinit(&once);
}

/* Zeros, pattern and count after pruning and INT8; what quantization rounds to 0 counts too. Rounding on data moves nothing onto a 0. */
static void test_quantized(void **state) {
  (void)state;
  pith_prune_options options = make_options("4x1", 0.7);
  pith_pruned pruned;
  MUST(prune(&fixture.model, &options, &pruned));
  pith_model model = fixture.model;
  model.data = pruned.data;
  uint64_t kept_before = 0;
  for (uint32_t t = 0; t < pruned.graph->tensor_count; t++)
    kept_before += pruned.graph->tensors[t].kept;
  for (int rounding = 0; rounding < PITH_ROUNDING_COUNT; rounding++) {
    pith_random_source random;
    MUST(pith_random_source_init(&random, &fixture.model.data, 40, 1, &error));
    const pith_calibration_source source = pith_random_source_get(&random);
    pith_quant_options quant = pith_quant_defaults;
    quant.smoothquant = 0.5;
    quant.rounding = (pith_rounding)rounding;
    const pith_quantize_request request = {.options = &quant, .source = &source, .random_ids = true, .session = make_session()};
    pith_quantized quantized;
    MUST(pith_quantize_model(&model, &request, &quantized, &error));
    uint64_t kept = 0, patterns = 0;
    const pith_graph *graph = quantized.data.graph;
    for (uint32_t t = 0; t < graph->tensor_count; t++)
      if (graph->tensors[t].pattern.kind == PITH_PATTERN_BLOCK) {
        assert_int_equal(graph->tensors[t].dtype, PITH_DTYPE_S8);
        patterns++;
        kept += graph->tensors[t].kept;
      }
    assert_int_equal(patterns, WEIGHTS);
    assert_true(kept <= kept_before && kept > kept_before * 9 / 10);
    pith_quantized_deinit(&quantized);
  }
  pith_pruned_deinit(&pruned);
}

/* The difference of an output from the float model's, as a share. */
static double compare_logits(const pith_graph *graph) {
  exec_fixture_batch batch;
  exec_fixture_make_batch(&batch, 3, (const size_t[]){1, 2, 3}, (const size_t[]){5, 19, 40});
  double difference = 0, whole = 0;
  float logits[2][3 * EXEC_LABELS];
  for (int i = 0; i < 2; i++) {
    pith_model model = fixture.model;
    if (i == 1)
      model.data.graph = (pith_graph *)(uintptr_t)graph;
    const pith_session_options options = make_session();
    pith_session *session;
    MUST(pith_session_create(&model, &options, &session, &error));
    pith_result result = {.struct_size = sizeof result};
    MUST(pith_session_run(session, &batch.batch, &result, &error));
    memcpy(logits[i], result.outputs[0].data, sizeof logits[i]);
    pith_session_destroy(session);
  }
  for (int i = 0; i < 3 * EXEC_LABELS; i++) {
    difference += pow((double)logits[0][i] - (double)logits[1][i], 2);
    whole += pow((double)logits[0][i], 2);
  }
  return sqrt(difference / whole);
}

/* The same zeros as by magnitude, and outputs that change less; nothing changes where nothing goes. */
static void test_obs(void **state) {
  (void)state;
  static const struct {
    const char *pattern;
    double sparsity; /* little: the weights are random, and none can go unnoticed */
  } cases[] = {{"element", 0.2}, {"4x1", 0.1}, {"4x4", 0.1}, {"7:8", PITH_PRUNE_SPARSITY_OF_PATTERN}};
  for (size_t p = 0; p < sizeof cases / sizeof *cases; p++)
    for (int scope = 0; scope < PITH_PRUNE_SCOPE_COUNT; scope++) {
      pith_prune_options options = make_options(cases[p].pattern, cases[p].sparsity);
      options.scope = (pith_prune_scope)scope;
      pith_pruned magnitude, obs;
      MUST(prune(&fixture.model, &options, &magnitude));
      options.method = PITH_PRUNE_OBS;
      MUST(prune(&fixture.model, &options, &obs));
      const uint64_t zeros = check_graph(obs.graph, cases[p].pattern), wanted = magnitude.summary.zeros;
      assert_true(zeros <= wanted && zeros + WEIGHTS * 16 >= wanted); /* a block less in each */
      const double by_magnitude = compare_logits(magnitude.graph), by_obs = compare_logits(obs.graph);
      if (!(by_obs < by_magnitude))
        fail_msg("%s: outputs differ by %g, by magnitude %g", cases[p].pattern, by_obs, by_magnitude);
      pith_pruned_deinit(&obs);
      pith_pruned_deinit(&magnitude);
    }
  pith_prune_options options = make_options("4x1", 0);
  options.method = PITH_PRUNE_OBS;
  pith_pruned nothing;
  MUST(prune(&fixture.model, &options, &nothing));
  assert_int_equal(check_graph(nothing.graph, "4x1"), 0);
  assert_true(compare_logits(nothing.graph) < 1e-4);
  pith_pruned_deinit(&nothing);
}

/* A run that is cut off goes on where it was: the same weights, and less to do. A torn record and another run's file do no harm. */
typedef struct cut {
  uint64_t calls;
} cut;

static void see_progress(void *context, uint64_t done, uint64_t total) {
  cut *c = context;
  assert_true(done <= total && total == 2 * WEIGHTS);
  c->calls++;
}

static pith_status prune_with_state(const pith_prune_options *options, const char *path, uint64_t seed, cut *c, pith_pruned *out) {
  pith_random_source random;
  MUST(pith_random_source_init(&random, &fixture.model.data, 40, seed, &error));
  const pith_calibration_source source = pith_random_source_get(&random);
  const pith_prune_request request = {.options = options, .source = &source, .session = make_session(), .state_path = path,
                                      .progress = see_progress, .context = c};
  return pith_prune_model(&fixture.model, &request, out, &error);
}

static long get_size(const char *path) {
  struct stat info;
  return stat(path, &info) == 0 ? (long)info.st_size : -1;
}

static void assert_same_weights(const pith_graph *a, const pith_graph *b) {
  assert_int_equal(a->tensor_count, b->tensor_count);
  for (uint32_t t = 0; t < a->tensor_count; t++)
    if (a->tensors[t].data != NULL) {
      assert_int_equal(a->tensors[t].data_bytes, b->tensors[t].data_bytes);
      assert_memory_equal(a->tensors[t].data, b->tensors[t].data, a->tensors[t].data_bytes);
    }
}

static void test_resume(void **state) {
  (void)state;
  char path[64];
  const char *base = getenv("TMPDIR");
  snprintf(path, sizeof path, "%.20s/state-XXXXXX", base == NULL ? "/tmp" : base);
  const int fd = mkstemp(path);
  assert_true(fd >= 0);
  close(fd);
  pith_prune_options options = make_options("4x1", 0.3);
  options.method = PITH_PRUNE_OBS;
  options.schedule = PITH_SCHEDULE_LINEAR;
  options.steps = 2;
  cut c = {0};
  pith_pruned whole, again;
  MUST(prune_with_state(&options, path, 1, &c, &whole));
  assert_int_equal(c.calls, 2 * WEIGHTS);
  const long size = get_size(path);
  assert_true(size > 2 * ELEMENTS * (long)sizeof(float));
  /* All there; cut in the second step, in the first, in its first record, in the head. */
  const long cuts[] = {size, size * 3 / 4, size / 4, 100, 5};
  for (size_t i = 0; i < sizeof cuts / sizeof *cuts; i++) {
    assert_int_equal(truncate(path, cuts[i]), 0);
    MUST(prune_with_state(&options, path, 1, &c, &again));
    assert_same_weights(whole.graph, again.graph);
    assert_int_equal(get_size(path), size);
    pith_pruned_deinit(&again);
  }
  /* A bit that flipped: that record is made again. */
  FILE *file = fopen(path, "r+b");
  assert_non_null(file);
  assert_int_equal(fseek(file, 200, SEEK_SET), 0);
  assert_int_equal(fputc(0x55, file), 0x55);
  fclose(file);
  MUST(prune_with_state(&options, path, 1, &c, &again));
  assert_same_weights(whole.graph, again.graph);
  pith_pruned_deinit(&again);
  /* Other data: nothing of the file is taken. */
  pith_pruned other, fresh;
  MUST(prune_with_state(&options, path, 2, &c, &other));
  MUST(prune_with_state(&options, NULL, 2, &c, &fresh));
  assert_same_weights(fresh.graph, other.graph);
  pith_pruned_deinit(&fresh);
  pith_pruned_deinit(&other);
  pith_pruned_deinit(&whole);
  unlink(path);
  assert_int_equal(prune_with_state(&options, "/no/such/folder/state", 1, &c, &again), PITH_IO);
  assert_non_null(strstr(error.message, "/no/such/folder/state: cannot keep what is done so far"));
  pith_pruned_deinit(&again);
}

static void test_refused(void **state) {
  (void)state;
  pith_pruned pruned;
  pith_prune_options options = make_options("4x1", 0.5);
  options.exclude = (pith_name_patterns){1, {"no.such.*"}};
  assert_int_equal(prune(&fixture.model, &options, &pruned), PITH_INVALID_ARGUMENT);
  assert_non_null(strstr(error.message, "exclude pattern 'no.such.*' matches no product"));
  pith_pruned_deinit(&pruned);
  options.exclude = (pith_name_patterns){1, {"*"}};
  assert_int_equal(prune(&fixture.model, &options, &pruned), PITH_INVALID_ARGUMENT);
  assert_non_null(strstr(error.message, "exclude leaves no product"));
  pith_pruned_deinit(&pruned);
  options.exclude.count = 0;
  options.graph = "0123456789abcdef";
  assert_int_equal(prune(&fixture.model, &options, &pruned), PITH_INVALID_ARGUMENT);
  assert_non_null(strstr(error.message, "the recipe is for another model"));
  pith_pruned_deinit(&pruned);

  exec_fixture_model quantized;
  exec_fixture_open(&quantized, EXEC_STATIC);
  options.graph = NULL;
  assert_int_equal(prune(&quantized.model, &options, &pruned), PITH_INVALID_ARGUMENT);
  assert_non_null(strstr(error.message, "prune the float model, then quantize"));
  pith_pruned_deinit(&pruned);
  exec_fixture_close(&quantized);

  pith_tensor *tensor = NULL;
  for (uint32_t t = 0; t < fixture.model.data.graph->tensor_count && tensor == NULL; t++)
    if (strstr(fixture.model.data.graph->tensors[t].name, "query.weight") != NULL)
      tensor = &fixture.model.data.graph->tensors[t];
  assert_non_null(tensor);
  float *w = (float *)(uintptr_t)tensor->data, before = w[5];
  w[5] = NAN;
  assert_int_equal(prune(&fixture.model, &options, &pruned), PITH_FORMAT);
  assert_non_null(strstr(error.message, tensor->name));
  pith_pruned_deinit(&pruned);
  w[5] = before;
}

static void test_exclude(void **state) {
  (void)state;
  pith_prune_options options = make_options("element", 0.5);
  options.exclude = (pith_name_patterns){1, {"layer.0.*"}};
  pith_pruned pruned;
  MUST(prune(&fixture.model, &options, &pruned));
  assert_int_equal(pruned.summary.weights, WEIGHTS / 2);
  assert_int_equal(pruned.summary.elements, ELEMENTS / 2);
  assert_int_equal(pruned.summary.zeros, ELEMENTS / 4);
  pith_pruned_deinit(&pruned);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_magnitude), cmocka_unit_test(test_steps_and_again), cmocka_unit_test(test_quantized),
      cmocka_unit_test(test_resume),    cmocka_unit_test(test_obs),       cmocka_unit_test(test_refused),         cmocka_unit_test(test_exclude),
  };
  return cmocka_run_group_tests(tests, open_model, close_model);
}
