/* Models with exits: how they are made, and what a session with a threshold answers: the logits of the first exit that is sure enough, to the
 * bit those that the whole model gives there, in any batch, of float and INT8 models; in memory as planned. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <pthreadpool.h>

#include "engine/base/probability.h"
#include "engine/exec/exits.h"
#include "engine/ir/operator.h"
#include "quant/quantize_model.h"
#include "quant/source.h"
#include "tests/engine/ir_fixture.h"
#include "tests/slow_build.h"
#include "tests/train/trainer_fixture.h"
#include "train/exits.h"

enum { TEXTS = 24, MOST_LENGTH = 40, VOCABULARY = 50, LABELS = 3, EXITS = 3 };

static pith_error error;

#define MUST(expression)                                                                                   \
  do {                                                                                                     \
    if ((expression) != PITH_OK)                                                                           \
      fail_msg("%s: %s", #expression, error.message);                                                      \
  } while (0)

/* ---- models --------------------------------------------------------------------------------------------------------------- */

/* Four layers, random weights large enough that labels are now sure, now not. */
static const char config[] =
    "{\"model_type\":\"bert\",\"architectures\":[\"BertForSequenceClassification\"],\"vocab_size\":50,\"hidden_size\":32,"
    "\"num_hidden_layers\":4,\"num_attention_heads\":4,\"intermediate_size\":64,\"hidden_act\":\"gelu\",\"max_position_embeddings\":64,"
    "\"type_vocab_size\":2,\"initializer_range\":0.25,\"layer_norm_eps\":1e-12,\"pad_token_id\":0,"
    "\"id2label\":{\"0\":\"a\",\"1\":\"b\",\"2\":\"c\"}}";

typedef struct exits_model {
  pith_import import;
  pith_graph *graph;
  struct pith_model model; /* with exits behind layers 0, 1 and 2 */
  pith_quantized quantized;
} exits_model;

static pith_import make_plain(void) {
  char path[300];
  const char *folder = getenv("TMPDIR");
  snprintf(path, sizeof path, "%s/pith-exits-%d.json", folder == NULL ? "/tmp" : folder, (int)getpid());
  FILE *file = fopen(path, "w");
  assert_non_null(file);
  fputs(config, file);
  fclose(file);
  pith_import import;
  pith_new_options options = PITH_NEW_OPTIONS_INIT;
  options.seed = 3;
  const pith_status status = pith_new_model(path, &options, &import, &error);
  unlink(path);
  if (status != PITH_OK)
    fail_msg("%s", error.message);
  return import;
}

/* `mode`: NULL, floats; "static" or "dynamic". */
static void open_model(exits_model *m, const char *mode) {
  *m = (exits_model){.import = make_plain()};
  MUST(pith_model_add_exits(&m->import.data, (const uint32_t[]){0, 1, 2}, EXITS, NULL, &m->graph, &error));
  m->model = (struct pith_model){.allocator = pith_default_allocator, .data = m->import.data};
  m->model.data.graph = m->graph;
  if (mode == NULL)
    return;
  pith_quant_options options = pith_quant_defaults;
  options.mode = strcmp(mode, "static") == 0 ? PITH_QUANT_STATIC : PITH_QUANT_DYNAMIC;
  pith_random_source random;
  MUST(pith_random_source_init(&random, &m->model.data, 60, 5, &error));
  const pith_calibration_source source = pith_random_source_get(&random);
  pith_session_options session = PITH_SESSION_OPTIONS_INIT;
  session.max_tokens = 2048;
  session.max_sequences = 64;
  const pith_quantize_request request = {.options = &options, .source = &source, .random_ids = true, .session = session};
  MUST(pith_quantize_model(&m->model, &request, &m->quantized, &error));
  m->model.data = m->quantized.data;
}

static void close_model(exits_model *m) {
  pith_quantized_deinit(&m->quantized);
  pith_graph_destroy(m->graph);
  pith_import_deinit(&m->import);
}

/* Each exit is the head once more: its own parameters, with the head's values. */
static void test_made(void **state) {
  (void)state;
  exits_model m;
  open_model(&m, NULL);
  const pith_graph *plain = m.import.data.graph, *graph = m.graph;
  assert_int_equal(pith_exits_count(plain), 0);
  assert_int_equal(pith_exits_count(graph), EXITS);
  pith_model_info info = {.struct_size = sizeof info};
  MUST(pith_model_get_info(&m.model, &info, &error));
  assert_int_equal(info.exit_count, EXITS);
  assert_int_equal(graph->output_count, plain->output_count + EXITS);
  /* Pooling, its product and tanh, the classifier. */
  assert_int_equal(graph->node_count, plain->node_count + 4 * EXITS);
  assert_ptr_equal(graph->tensors[graph->outputs[0]].name, graph->tensors[pith_exits_get_output(graph, EXITS)].name);
  for (uint32_t e = 1; e <= EXITS; e++) {
    static const char *const names[] = {"bert.pooler.dense.weight", "bert.pooler.dense.bias", "classifier.weight", "classifier.bias"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
      char name[80];
      snprintf(name, sizeof name, "exit_%u.%s", e, names[i]);
      const pith_tensor_id own = pith_graph_find_tensor(graph, name), head = pith_graph_find_tensor(graph, names[i]);
      assert_true(own != PITH_NONE && head != PITH_NONE && own != head);
      assert_int_equal(graph->tensors[own].kind, PITH_TENSOR_PARAMETER);
      assert_int_equal(graph->tensors[own].layout, graph->tensors[head].layout);
      assert_memory_equal(graph->tensors[own].data, graph->tensors[head].data, graph->tensors[head].data_bytes);
    }
  }
  close_model(&m);
}

static void expect_none(const pith_model_data *model, const uint32_t *layers, uint32_t count, pith_status status, const char *text) {
  pith_graph *graph = NULL;
  expect_refused(pith_model_add_exits(model, layers, count, NULL, &graph, &error), status, &error, text);
  assert_null(graph);
}

static void test_refused(void **state) {
  (void)state;
  exits_model m, integer;
  open_model(&m, NULL);
  expect_none(&m.import.data, (const uint32_t[]){3}, 1, PITH_INVALID_ARGUMENT,
              "exits have layer 3: the model has layers 0 to 3, and ends behind the last one");
  expect_none(&m.import.data, (const uint32_t[]){1, 1}, 2, PITH_INVALID_ARGUMENT, "exits have layer 1 behind 1: they ascend");
  expect_none(&m.import.data, NULL, 0, PITH_INVALID_ARGUMENT, "exits are 0 layers: from 1 to 63");
  expect_none(&m.model.data, (const uint32_t[]){0}, 1, PITH_UNSUPPORTED, "exits: the model has 3 already");
  open_model(&integer, "dynamic");
  expect_none(&integer.model.data, (const uint32_t[]){0}, 1, PITH_UNSUPPORTED, "exits: the model is quantized");
  pith_import other = open_golden("bert-regression");
  expect_none(&other.data, (const uint32_t[]){0}, 1, PITH_UNSUPPORTED, "exits are for classification, not for regression");
  pith_import_deinit(&other);
  pith_session_options options = PITH_SESSION_OPTIONS_INIT;
  pith_session *session;
  struct pith_model plain = {.allocator = pith_default_allocator, .data = m.import.data};
  options.exit_threshold = 0.5;
  expect_refused(pith_session_create(&plain, &options, &session, &error), PITH_UNSUPPORTED, &error, "the model has no exits");
  options.exit_threshold = 1.5;
  expect_refused(pith_session_create(&m.model, &options, &session, &error), PITH_INVALID_ARGUMENT, &error, "exit_threshold is 1.5");
  options.exit_threshold = 0.5;
  options.profile = 1;
  expect_refused(pith_session_create(&m.model, &options, &session, &error), PITH_UNSUPPORTED, &error, "profile goes without");
  size_t count;
  assert_null(pith_session_get_exits(NULL, &count));
  assert_int_equal(count, 0);
  close_model(&integer);
  close_model(&m);
}

/* ---- texts ------------------------------------------------------------------------------------------------------------------ */

typedef struct texts {
  int32_t ids[TEXTS][MOST_LENGTH];
  size_t lengths[TEXTS];
  float whole[EXITS + 1][TEXTS][LABELS]; /* of each exit and of the end, the whole model's */
} texts;

typedef struct texts_batch {
  int32_t offsets[TEXTS + 1], ids[TEXTS * MOST_LENGTH];
  pith_batch batch;
} texts_batch;

static uint32_t random_below(uint64_t *random, uint32_t bound) {
  *random = *random * 6364136223846793005u + 1442695040888963407u;
  return (uint32_t)(*random >> 33) % bound;
}

static void make_batch(const texts *t, const size_t *which, size_t count, texts_batch *out) {
  out->offsets[0] = 0;
  for (size_t i = 0; i < count; i++) {
    const size_t n = t->lengths[which[i]];
    memcpy(out->ids + out->offsets[i], t->ids[which[i]], n * sizeof *out->ids);
    out->offsets[i + 1] = out->offsets[i] + (int32_t)n;
  }
  out->batch = (pith_batch)PITH_BATCH_INIT;
  out->batch.sequences = count;
  out->batch.offsets = out->offsets;
  out->batch.ids = out->ids;
}

static pith_session_options make_options(double threshold) {
  pith_session_options options = PITH_SESSION_OPTIONS_INIT;
  options.max_tokens = TEXTS * MOST_LENGTH;
  options.max_sequences = TEXTS;
  options.exit_threshold = threshold;
  return options;
}

static pith_result run(pith_session *session, const pith_batch *batch) {
  pith_result result = {.struct_size = sizeof result};
  MUST(pith_session_run(session, batch, &result, &error));
  return result;
}

static void make_texts(texts *t, const pith_model *model) {
  static texts_batch batch;
  uint64_t random = 17;
  size_t all[TEXTS];
  for (size_t i = 0; i < TEXTS; i++) {
    all[i] = i;
    t->lengths[i] = 1 + random_below(&random, MOST_LENGTH);
    for (size_t j = 0; j < t->lengths[i]; j++)
      t->ids[i][j] = (int32_t)random_below(&random, VOCABULARY);
  }
  make_batch(t, all, TEXTS, &batch);
  const pith_session_options options = make_options(0);
  pith_session *session;
  MUST(pith_session_create(model, &options, &session, &error));
  const pith_result result = run(session, &batch.batch);
  size_t count;
  assert_int_equal(result.count, EXITS + 1); /* as many as there may be */
  assert_null(pith_session_get_exits(session, &count));
  for (size_t e = 0; e <= EXITS; e++) { /* the end is the first output */
    const pith_output *output = &result.outputs[e == EXITS ? 0 : e + 1];
    assert_true(output->rows == TEXTS && output->columns == LABELS);
    memcpy(t->whole[e], output->data, sizeof t->whole[e]);
  }
  pith_session_destroy(session);
}

static double get_probability(const float *logits) {
  float max;
  return 1 / pith_softmax_sum(logits, LABELS, &max);
}

/* Where text i is done. */
static size_t find_exit(const texts *t, size_t i, double threshold) {
  size_t e = 0;
  while (e < EXITS && get_probability(t->whole[e][i]) < threshold)
    e++;
  return e;
}

/* ---- sessions ---------------------------------------------------------------------------------------------------------------- */

/* Random batches; the counts are those of all of them. */
static void check_batches(const texts *t, const pith_model *model, const pith_session_options *options, uint64_t *counted) {
  static texts_batch batch;
  pith_session *session;
  uint64_t random = 5, wanted[EXITS + 1] = {0};
  MUST(pith_session_create(model, options, &session, &error));
  for (int round = 0; round < 40; round++) {
    size_t which[TEXTS], count = round == 0 ? TEXTS : random_below(&random, TEXTS + 1);
    for (size_t i = 0; i < count; i++)
      which[i] = round == 0 ? TEXTS - 1 - i : random_below(&random, TEXTS);
    make_batch(t, which, count, &batch);
    const pith_result result = run(session, &batch.batch);
    assert_int_equal(result.count, 1);
    assert_string_equal(result.outputs[0].name, "logits");
    assert_true(result.outputs[0].rows == count && result.outputs[0].columns == LABELS);
    for (size_t i = 0; i < count; i++) {
      const size_t e = find_exit(t, which[i], options->exit_threshold);
      wanted[e]++;
      if (memcmp(result.outputs[0].data + i * LABELS, t->whole[e][which[i]], LABELS * sizeof(float)) != 0)
        fail_msg("round %d, text %zu at %zu: exit %zu gives %g .., not %g ..", round, which[i], i, e,
                 (double)result.outputs[0].data[i * LABELS], (double)t->whole[e][which[i]][0]);
    }
  }
  size_t exits;
  const uint64_t *counts = pith_session_get_exits(session, &exits);
  assert_int_equal(exits, EXITS + 1);
  for (size_t e = 0; e <= EXITS; e++) {
    assert_int_equal(counts[e], wanted[e]);
    counted[e] += counts[e];
  }
  pith_session_destroy(session);
}

/* `skips`: the last layer's sum takes what the first one gives, which goes past the stages between. */
static void check_model(const char *mode, bool skips) {
  static texts t;
  exits_model m;
  open_model(&m, mode);
  if (skips) {
    const pith_tensor_id sum = pith_graph_find_tensor(m.graph, "bert.encoder.layer.3.output.residual");
    const pith_tensor_id from = pith_graph_find_tensor(m.graph, "bert.encoder.layer.0.output.LayerNorm");
    assert_true(sum != PITH_NONE && from != PITH_NONE);
    m.graph->nodes[m.graph->tensors[sum].producer].inputs[1] = from;
    MUST(pith_graph_verify(m.graph, &error));
  }
  make_texts(&t, &m.model);
  pthreadpool_t pool = pthreadpool_create(2);
  static const double thresholds[] = {0.34, 0.42, 0.44, 0.46, 0.55, 0.65, 1};
  uint64_t counts[EXITS + 1] = {0};
  for (size_t i = 0; i < sizeof thresholds / sizeof *thresholds; i += SLOW_BUILD ? 3 : 1)
    for (int variant = 0; variant < 3; variant++) {
      pith_session_options options = make_options(thresholds[i]);
      options.threadpool = variant == 1 ? pool : NULL;
      options.cpu_features_mask = variant == 2 ? UINT64_MAX : 0;
      check_batches(&t, &m.model, &options, counts);
    }
  for (size_t e = 0; e <= EXITS && !SLOW_BUILD; e++)
    if (counts[e] < 20)
      fail_msg("%zu texts were done at exit %zu", (size_t)counts[e], e);
  pthreadpool_destroy(pool);
  close_model(&m);
}

static void test_floats(void **state) {
  (void)state;
  check_model(NULL, false);
  check_model(NULL, true);
}
static void test_static(void **state) {
  (void)state;
  check_model("static", false);
}
static void test_dynamic(void **state) {
  (void)state;
  check_model("dynamic", false);
}

/* ---- limits, memory -------------------------------------------------------------------------------------------------------------- */

static void test_limits(void **state) {
  (void)state;
  static texts t;
  static texts_batch batch;
  exits_model m;
  open_model(&m, NULL);
  make_texts(&t, &m.model);
  const pith_session_options options = make_options(0.8);
  pith_session *session;
  MUST(pith_session_create(&m.model, &options, &session, &error));
  size_t all[TEXTS];
  for (size_t i = 0; i < TEXTS; i++)
    all[i] = i;
  make_batch(&t, all, TEXTS, &batch);
  pith_result result = {.struct_size = sizeof result};
  const int cancel = 1;
  batch.batch.cancel = &cancel;
  assert_int_equal(pith_session_run(session, &batch.batch, &result, &error), PITH_CANCELLED);
  batch.batch.cancel = NULL;
  batch.batch.deadline_ns = 1;
  assert_int_equal(pith_session_run(session, &batch.batch, &result, &error), PITH_DEADLINE);
  batch.batch.deadline_ns = 0;
  batch.ids[3] = VOCABULARY;
  assert_int_not_equal(pith_session_run(session, &batch.batch, &result, &error), PITH_OK);
  assert_non_null(strstr(error.message, "50"));
  batch.ids[3] = 0;
  batch.batch.sequences = TEXTS + 1;
  expect_refused(pith_session_run(session, &batch.batch, &result, &error), PITH_LIMIT, &error, "25 sequences");
  const pith_profile_entry *entries;
  size_t count;
  pith_session_profile(session, &entries, &count);
  assert_int_equal(count, 0);
  pith_session_destroy(session);
  close_model(&m);
}

typedef struct counter {
  long left; /* calls that succeed; below 0: all */
  size_t now, peak, calls;
} counter;

static void *count_allocate(void *context, size_t bytes, size_t alignment) {
  counter *c = context;
  if (c->left-- == 0) {
    c->left = 0;
    return NULL;
  }
  c->calls++;
  c->now += bytes;
  c->peak = c->now > c->peak ? c->now : c->peak;
  return pith_default_allocator.allocate(NULL, bytes, alignment);
}

static void count_release(void *context, void *memory, size_t bytes) {
  counter *c = context;
  c->now -= memory == NULL ? 0 : bytes;
  pith_default_allocator.release(NULL, memory, bytes);
}

/* As much as planned and no more; nothing is allocated by runs; wherever there is none, creating fails and holds nothing. */
static void test_memory(void **state) {
  (void)state;
  static texts t;
  static texts_batch batch;
  exits_model m;
  open_model(&m, "static");
  make_texts(&t, &m.model);
  counter c = {.left = -1};
  const pith_allocator allocator = {count_allocate, count_release, &c};
  pith_session_options options = make_options(0.8);
  options.allocator = &allocator;
  size_t planned, all[TEXTS];
  pith_session *session;
  MUST(pith_session_plan_memory(&m.model, &options, &planned, &error));
  assert_int_equal(c.now, 0);
  c = (counter){.left = -1};
  MUST(pith_session_create(&m.model, &options, &session, &error));
  assert_int_equal(c.peak, planned);
  const size_t calls = c.calls;
  for (size_t i = 0; i < TEXTS; i++)
    all[i] = i;
  make_batch(&t, all, TEXTS, &batch);
  (void)run(session, &batch.batch);
  assert_int_equal(c.calls, calls);
  pith_session_destroy(session);
  assert_int_equal(c.now, 0);
  for (long left = 0; left < (long)calls; left++) {
    c = (counter){.left = left};
    assert_int_equal(pith_session_create(&m.model, &options, &session, &error), PITH_OUT_OF_MEMORY);
    assert_int_equal(c.now, 0);
  }
  for (long left = 0; left < 6; left++) {
    pith_graph *graph;
    c = (counter){.left = left};
    assert_int_equal(pith_model_add_exits(&m.import.data, (const uint32_t[]){0, 2}, 2, &allocator, &graph, &error), PITH_OUT_OF_MEMORY);
    assert_int_equal(c.now, 0);
  }
  close_model(&m);
}

/* ---- graphs that cannot be cut ------------------------------------------------------------------------------------------------------ */

static void test_cutting(void **state) {
  (void)state;
  exits_model m;
  open_model(&m, NULL);
  pith_graph *graph;
  pith_session *session;
  const pith_session_options options = make_options(0.8);
  struct pith_model model = m.model;
  /* An exit that the end leads to. */
  MUST(pith_graph_clone(m.graph, NULL, &graph, &error));
  model.data.graph = graph;
  pith_builder builder;
  pith_builder_init(&builder, graph, &error);
  const pith_tensor_id end = pith_exits_get_output(graph, EXITS);
  graph->tensors[pith_exits_get_output(graph, 0)].name = "another";
  graph->outputs[1] = pith_build_node(&builder, "exit_1.logits", PITH_OP_TANH, 1, &end, 0, NULL);
  MUST(pith_builder_finish(&builder));
  expect_refused(pith_session_create(&model, &options, &session, &error), PITH_UNSUPPORTED, &error, "stands behind a later one");
  pith_graph_destroy(graph);
  /* An output that only says that it is an exit. */
  MUST(pith_graph_clone(m.graph, NULL, &graph, &error));
  model.data.graph = graph;
  pith_tensor *first = &graph->tensors[pith_exits_get_output(graph, 0)];
  pith_tensor *state_tensor = &graph->tensors[pith_graph_find_tensor(graph, "bert.encoder.layer.0.output.LayerNorm")];
  graph->outputs[1] = (pith_tensor_id)(state_tensor - graph->tensors);
  const char *name = first->name;
  first->name = state_tensor->name;
  state_tensor->name = name;
  expect_refused(pith_session_create(&model, &options, &session, &error), PITH_UNSUPPORTED, &error, "is no row of logits for each sequence");
  pith_graph_destroy(graph);
  close_model(&m);
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_made),   cmocka_unit_test(test_refused), cmocka_unit_test(test_floats),
                                     cmocka_unit_test(test_static), cmocka_unit_test(test_dynamic), cmocka_unit_test(test_limits),
                                     cmocka_unit_test(test_memory), cmocka_unit_test(test_cutting)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
