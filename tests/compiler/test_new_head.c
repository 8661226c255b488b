/* New heads on bodies: what is kept, what is new, what is refused. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "compiler/import/new_head.h"
#include "engine/exec/model.h"
#include "engine/format/format.h"
#include "engine/format/stored_layout.h"
#include "sparse/structured.h"
#include "tests/compiler/import_fixture.h"

static pith_error error;
#define MUST(expression)                                                                           \
  do {                                                                                             \
    if ((expression) != PITH_OK)                                                                   \
      fail_msg("%s: %s", #expression, error.message);                                              \
  } while (0)

static const char *const labels[] = {"bad", "good", "neither"};

static void open_golden(const char *name, pith_import *import) {
  MUST(pith_import_huggingface(folder_path(GOLDEN_FOLDER, name), NULL, import, &error));
}

/* A parameter's values, row-major; the caller frees them. */
static float *read_parameter(const pith_graph *graph, const char *name, size_t *out_count) {
  const pith_tensor_id id = pith_graph_find_tensor(graph, name);
  if (id == PITH_NONE)
    fail_msg("no parameter '%s'", name);
  const pith_tensor *tensor = &graph->tensors[id];
  *out_count = 1;
  for (uint32_t d = 0; d < tensor->rank; d++)
    *out_count *= (size_t)tensor->dims[d].constant;
  float *values = malloc(*out_count * sizeof *values);
  assert_non_null(values);
  MUST(pith_tensor_unpack(tensor, values, NULL, &error));
  return values;
}

static void expect_same(const pith_graph *a, const char *a_name, const pith_graph *b, const char *b_name, bool same) {
  size_t a_count, b_count;
  float *x = read_parameter(a, a_name, &a_count), *y = read_parameter(b, b_name, &b_count);
  assert_int_equal(a_count, b_count);
  if ((memcmp(x, y, a_count * sizeof *x) == 0) != same)
    fail_msg("'%s' and '%s' %s", a_name, b_name, same ? "differ" : "are the same");
  free(x);
  free(y);
}

/* Outputs of one batch; the caller frees them. */
static float *run(const pith_model_data *data, size_t *out_count) {
  struct pith_model model = {.data = *data};
  model.allocator = pith_default_allocator;
  pith_session_options options = PITH_SESSION_OPTIONS_INIT;
  options.max_tokens = 16;
  options.max_sequences = 2;
  pith_session *session;
  MUST(pith_session_create(&model, &options, &session, &error));
  static const int32_t offsets[] = {0, 3, 8}, ids[] = {1, 5, 2, 1, 9, 7, 6, 2}, rows[] = {1, 4};
  pith_batch batch = PITH_BATCH_INIT;
  batch.sequences = 2;
  batch.offsets = offsets;
  batch.ids = ids;
  if (data->task == PITH_TASK_FILL_MASK) {
    batch.rows = rows;
    batch.row_count = 2;
  }
  pith_result result = {.struct_size = sizeof result};
  MUST(pith_session_run(session, &batch, &result, &error));
  *out_count = result.outputs[0].rows * result.outputs[0].columns;
  float *values = malloc(*out_count * sizeof *values);
  assert_non_null(values);
  memcpy(values, result.outputs[0].data, *out_count * sizeof *values);
  for (size_t i = 0; i < *out_count; i++)
    assert_true(isfinite(values[i]));
  pith_session_destroy(session);
  return values;
}

/* Every head on every architecture: it runs, is written and read, and its config.json says what it is. */
static void test_all(void **state) {
  (void)state;
  static const struct {
    const char *head;
    pith_task task;
    uint32_t labels; /* given */
    size_t outputs;  /* of two sequences of 8 tokens together; 0: by the vocabulary or the hidden size */
  } heads[] = {{"classification", PITH_TASK_CLASSIFICATION, 3, 6}, {"multi-label", PITH_TASK_MULTI_LABEL, 3, 6},
               {"regression", PITH_TASK_REGRESSION, 0, 2},         {"ranking", PITH_TASK_RERANK, 0, 2},
               {"entities", PITH_TASK_TOKEN_CLASSIFICATION, 2, 16}, {"question-answering", PITH_TASK_QUESTION_ANSWERING, 0, 16},
               {"fill-mask", PITH_TASK_FILL_MASK, 0, 0},           {"embedding", PITH_TASK_EMBEDDING, 0, 0}};
  static const char *const bodies[] = {"bert-sequence", "bert-model", "roberta-token", "distilbert-sequence", "electra-model",
                                       "sentence-cls-dense-normalize", "camembert-token"};
  const folder folder = folder_make();
  for (size_t b = 0; b < sizeof bodies / sizeof *bodies; b++)
    for (size_t h = 0; h < sizeof heads / sizeof *heads; h++) {
      pith_import body, made;
      open_golden(bodies[b], &body);
      const pith_new_head head = {heads[h].head, heads[h].labels, labels, 7};
      if (pith_model_set_head(&body.data, &head, NULL, &made, &error) != PITH_OK)
        fail_msg("%s on %s: %s", heads[h].head, bodies[b], error.message);
      assert_int_equal(made.data.task, heads[h].task);
      assert_int_equal(made.data.max_length, body.data.max_length);
      assert_ptr_equal(made.data.tokenizer, body.data.tokenizer);
      if (heads[h].labels != 0)
        assert_string_equal(made.data.labels[1], "good");
      assert_int_equal(made.data.history_count, body.data.history_count + 1);
      const char *path = folder_path(folder.path, "made.pith");
      MUST(pith_format_write(path, &made.data, &error));
      pith_model *model;
      MUST(pith_model_open(path, NULL, &model, &error));
      size_t count, again;
      float *values = run(&made.data, &count), *same = run(&model->data, &again);
      assert_true(count == again && memcmp(values, same, count * sizeof *values) == 0);
      if (heads[h].outputs != 0)
        assert_int_equal(count, heads[h].outputs);
      free(values);
      free(same);
      assert_non_null(strstr(model->data.config_json, heads[h].task == PITH_TASK_REGRESSION  ? "\"regression\""
                                                         : heads[h].task == PITH_TASK_EMBEDDING ? "Model\""
                                                                                                : "For"));
      pith_model_close(model);
      pith_import_deinit(&made);
      pith_import_deinit(&body);
    }
  folder_remove(&folder);
}

static void test_weights(void **state) {
  (void)state;
  pith_import body, a, b, c;
  open_golden("bert-sequence", &body);
  const pith_new_head head = {"classification", 3, labels, 7}, other_seed = {"classification", 3, labels, 8};
  MUST(pith_model_set_head(&body.data, &head, NULL, &a, &error));
  MUST(pith_model_set_head(&body.data, &head, NULL, &b, &error));
  MUST(pith_model_set_head(&body.data, &other_seed, NULL, &c, &error));
  const pith_graph *g = a.data.graph;
  expect_same(g, "bert.encoder.layer.1.output.dense.weight", body.data.graph, "bert.encoder.layer.1.output.dense.weight", true);
  expect_same(g, "bert.pooler.dense.weight", body.data.graph, "bert.pooler.dense.weight", true);
  expect_same(g, "classifier.weight", body.data.graph, "classifier.weight", false); /* new, though it has the same shape */
  expect_same(g, "classifier.weight", b.data.graph, "classifier.weight", true);
  expect_same(g, "classifier.weight", c.data.graph, "classifier.weight", false);
  size_t count;
  float *bias = read_parameter(g, "classifier.bias", &count);
  for (size_t i = 0; i < count; i++)
    assert_true(bias[i] == 0);
  free(bias);
  pith_import_deinit(&a);
  pith_import_deinit(&b);
  pith_import_deinit(&c);
  pith_import_deinit(&body);
  /* Names with the prefix from names without it, and back. */
  open_golden("bert-model", &body);
  MUST(pith_model_set_head(&body.data, &head, NULL, &a, &error));
  expect_same(a.data.graph, "bert.embeddings.word_embeddings.weight", body.data.graph, "embeddings.word_embeddings.weight", true);
  const pith_new_head embedding = {.name = "embedding"};
  MUST(pith_model_set_head(&a.data, &embedding, NULL, &b, &error));
  expect_same(b.data.graph, "encoder.layer.0.attention.self.query.bias", body.data.graph,
              "encoder.layer.0.attention.self.query.bias", true);
  pith_import_deinit(&a);
  pith_import_deinit(&b);
  pith_import_deinit(&body);
  /* The mean of the tokens, its length made 1, on a model that has just that. */
  open_golden("sentence-mean-normalize", &body);
  MUST(pith_model_set_head(&body.data, &embedding, NULL, &a, &error));
  size_t again;
  float *x = run(&body.data, &count), *y = run(&a.data, &again);
  assert_true(count == again && memcmp(x, y, count * sizeof *x) == 0);
  free(x);
  free(y);
  pith_import_deinit(&a);
  pith_import_deinit(&body);
}

/* Of layers that were chosen, the ones that are left, counted anew. */
static void test_layers(void **state) {
  (void)state;
  pith_import body, made;
  open_golden("bert-sequence", &body);
  struct pith_model model = {.data = body.data};
  model.allocator = pith_default_allocator;
  pith_structured kept;
  const uint32_t second[] = {1};
  MUST(pith_keep_layers(&model, second, 1, &kept, &error));
  const pith_new_head head = {"classification", 3, labels, 7};
  MUST(pith_model_set_head(&kept.data, &head, NULL, &made, &error));
  expect_same(made.data.graph, "bert.encoder.layer.0.output.dense.weight", body.data.graph,
              "bert.encoder.layer.1.output.dense.weight", true);
  assert_int_equal(pith_graph_find_tensor(made.data.graph, "bert.encoder.layer.1.output.dense.weight"), PITH_NONE);
  assert_int_equal(made.data.history_count, body.data.history_count + 2);
  assert_string_equal(made.data.history[made.data.history_count - 2].step, "layers");
  assert_string_equal(made.data.history[made.data.history_count - 2].json, "{\"layers\":[1]}");
  assert_non_null(strstr(made.data.config_json, "\"num_hidden_layers\":\t1"));
  pith_import_deinit(&made);
  pith_structured_deinit(&kept);
  const uint32_t all[] = {0, 1};
  MUST(pith_keep_layers(&model, all, 2, &kept, &error));
  size_t count, again;
  float *x = run(&body.data, &count), *y = run(&kept.data, &again);
  assert_true(count == again && memcmp(x, y, count * sizeof *x) == 0);
  free(x);
  free(y);
  pith_structured_deinit(&kept);
  static const struct {
    uint32_t layers[2], count;
    const char *says;
  } wrong[] = {{{2}, 1, "has 0 to 1, not 2"}, {{1, 0}, 2, "0 after 1"}, {{1, 1}, 2, "1 after 1"}, {{0}, 0, "none is left"}};
  for (size_t i = 0; i < 4; i++) {
    assert_int_equal(pith_keep_layers(&model, wrong[i].layers, wrong[i].count, &kept, &error), PITH_INVALID_ARGUMENT);
    if (strstr(error.message, wrong[i].says) == NULL)
      fail_msg("%s", error.message);
    pith_structured_deinit(&kept);
  }
  pith_import_deinit(&body);
}

static void test_refused(void **state) {
  (void)state;
  pith_import body, made;
  open_golden("bert-sequence", &body);
  static const char *const twice[] = {"a", "b", "a"}, *const empty[] = {"a", ""};
  static const struct {
    pith_new_head head;
    const char *says;
  } cases[] = {{{"classifier", 2, labels, 0}, "no head 'classifier'; there are classification, "},
               {{"classification", 1, labels, 0}, "needs labels, at least 2"},
               {{"classification", 0, NULL, 0}, "needs labels"},
               {{"regression", 2, labels, 0}, "takes no labels"},
               {{"entities", 3, twice, 0}, "'a' is empty or stands twice"},
               {{"entities", 2, empty, 0}, "'' is empty"}};
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    assert_int_equal(pith_model_set_head(&body.data, &cases[i].head, NULL, &made, &error), PITH_INVALID_ARGUMENT);
    if (strstr(error.message, cases[i].says) == NULL)
      fail_msg("%s", error.message);
  }
  const pith_new_head head = {"regression", 0, NULL, 0};
  pith_model_data without = body.data;
  without.config_json = "";
  assert_int_equal(pith_model_set_head(&without, &head, NULL, &made, &error), PITH_UNSUPPORTED);
  pith_import_deinit(&body);
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_all), cmocka_unit_test(test_weights), cmocka_unit_test(test_layers),
                                     cmocka_unit_test(test_refused)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
