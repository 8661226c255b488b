/* What heads and neurons are worth by gradients: PyTorch's values (tests/golden/train/sensitivity.py), what leaves by them, the same bits
 * with any number of threads, what is refused. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cjson/cJSON.h>
#include <pthreadpool.h>

#include "engine/format/stored_layout.h"
#include "models/tasks/evaluate.h"
#include "sparse/structured.h"
#include "tests/engine/ir_fixture.h"
#include "tests/train/trainer_fixture.h"
#include "train/sensitivity.h"

enum { LAYERS = 2, HEADS = 4, NEURONS = 48, HIDDEN = 32 };

static const char rows[] = PITH_SOURCE_DIR "/tests/golden/train/sensitivity.jsonl";

typedef struct fixture {
  pith_import import;
  struct pith_model model;
  pith_sensitivity_options options;
  cJSON *json;
} fixture;

static fixture open_fixture(void) {
  size_t bytes;
  char *text = file_read(PITH_SOURCE_DIR "/tests/golden/train/sensitivity.json", &bytes);
  fixture f = {.import = open_golden("bert-sequence"), .json = cJSON_ParseWithLength(text, bytes)};
  assert_non_null(f.json);
  free(text);
  f.model = (struct pith_model){.allocator = pith_default_allocator, .data = f.import.data};
  f.options = (pith_sensitivity_options){.task = pith_eval_task_find("classification"),
                                         .path = rows,
                                         .folder = ".",
                                         .batch = (uint64_t)cJSON_GetObjectItem(f.json, "batch")->valueint};
  return f;
}

static void close_fixture(fixture *f) {
  cJSON_Delete(f->json);
  pith_import_deinit(&f->import);
}

static const char *get_name(bool heads, int layer) {
  static char name[80];
  snprintf(name, sizeof name, "bert.encoder.layer.%d.%s.dense.weight", layer, heads ? "attention.output" : "intermediate");
  return name;
}

static pith_status measure(void *context, const pith_model *model, pith_sensitivity *list, uint32_t count, pith_error *error) {
  pith_sensitivity_options options = ((const fixture *)context)->options;
  options.model = model;
  return pith_sensitivity_measure(&options, list, count, error);
}

static pith_status measure_one(fixture *f, const char *name, bool heads, double *values, pith_error *error) {
  pith_sensitivity s = {.weight = name, .by_input = heads, .groups = heads ? HEADS : NEURONS, .values = values};
  return measure(f, &f->model, &s, 1, error);
}

static void test_values(void **state) {
  (void)state;
  fixture f = open_fixture();
  double values[NEURONS], worst = 0;
  pith_error error = {PITH_OK, ""};
  for (int heads = 0; heads < 2; heads++)
    for (int layer = 0; layer < LAYERS; layer++) {
      const cJSON *want = cJSON_GetArrayItem(cJSON_GetObjectItem(f.json, heads ? "heads" : "neurons"), layer);
      const int count = heads ? HEADS : NEURONS;
      if (measure_one(&f, get_name(heads, layer), heads, values, &error) != PITH_OK)
        fail_msg("%s", error.message);
      assert_int_equal(cJSON_GetArraySize(want), count);
      for (int i = 0; i < count; i++) {
        const double golden = cJSON_GetArrayItem(want, i)->valuedouble;
        worst = fmax(worst, fabs(values[i] - golden) / golden);
      }
    }
  printf("values within %.2g\n", worst);
  assert_true(worst < 1e-4);
  close_fixture(&f);
}

static void test_threads(void **state) {
  (void)state;
  fixture f = open_fixture();
  double alone[NEURONS], two[NEURONS];
  pith_error error = {PITH_OK, ""};
  assert_int_equal(measure_one(&f, get_name(false, 1), false, alone, &error), PITH_OK);
  f.options.pool = pthreadpool_create(2);
  assert_int_equal(measure_one(&f, get_name(false, 1), false, two, &error), PITH_OK);
  assert_memory_equal(alone, two, sizeof alone);
  f.options.seed = 3; /* the same rows in other batches */
  assert_int_equal(measure_one(&f, get_name(false, 1), false, two, &error), PITH_OK);
  assert_true(memcmp(alone, two, sizeof alone) != 0);
  pthreadpool_destroy(f.options.pool);
  close_fixture(&f);
}

/* ---- what leaves --------------------------------------------------------------------------------------------------- */

static pith_status prune(fixture *f, const pith_model *model, const char *pattern, pith_structured *out, pith_error *error) {
  pith_prune_options options = pith_prune_defaults;
  options.pattern = pattern;
  options.sparsity = strcmp(pattern, "head") == 0 ? 0.5 : 0.2;
  options.method = PITH_PRUNE_SENSITIVITY;
  const pith_prune_request request = {.options = &options, .measure = measure, .context = f};
  return pith_prune_structured(model, &request, out, error);
}

static void get_rows(const pith_model_data *data, const char *name, int64_t count, float *out_rows) {
  const pith_tensor *t = &data->graph->tensors[pith_graph_find_tensor(data->graph, name)];
  assert_true(t->rank == 2 && t->dims[0].constant == count && t->dims[1].constant == HIDDEN);
  assert_int_equal(pith_tensor_unpack(t, out_rows, NULL, NULL), PITH_OK);
}

static bool is_listed(const cJSON *list, int number) {
  const cJSON *item;
  cJSON_ArrayForEach(item, list) if (item->valueint == number) return true;
  return false;
}

/* Query rows of the heads that stay and first products' rows of the neurons that do are those before, in their order. */
static void expect_left(const fixture *f, const pith_model_data *after, bool heads) {
  for (int layer = 0; layer < LAYERS; layer++) {
    char name[80];
    snprintf(name, sizeof name, "bert.encoder.layer.%d.%s.weight", layer, heads ? "attention.self.query" : "intermediate.dense");
    const cJSON *gone = cJSON_GetArrayItem(cJSON_GetObjectItem(f->json, heads ? "heads_gone" : "neurons_gone"), layer);
    const int groups = heads ? HEADS : NEURONS, size = heads ? HIDDEN / HEADS : 1;
    static _Alignas(64) float before[NEURONS * HIDDEN], left[NEURONS * HIDDEN];
    get_rows(&f->import.data, name, groups * size, before);
    get_rows(after, name, (groups - cJSON_GetArraySize(gone)) * size, left);
    const float *now = left;
    for (int g = 0; g < groups; g++) {
      if (is_listed(gone, g))
        continue;
      assert_memory_equal(now, before + (size_t)(g * size * HIDDEN), (size_t)(size * HIDDEN) * sizeof *now);
      now += size * HIDDEN;
    }
  }
}

static void test_removal(void **state) {
  (void)state;
  fixture f = open_fixture();
  pith_error error = {PITH_OK, ""};
  pith_structured heads, neurons;
  if (prune(&f, &f.model, "head", &heads, &error) != PITH_OK || prune(&f, &f.model, "neuron", &neurons, &error) != PITH_OK)
    fail_msg("%s", error.message);
  expect_left(&f, &heads.data, true);
  expect_left(&f, &neurons.data, false);
  pith_structured_deinit(&neurons);
  /* One after the other: gradients are those of what is left. */
  struct pith_model smaller = f.model;
  smaller.data = heads.data;
  if (prune(&f, &smaller, "neuron", &neurons, &error) != PITH_OK)
    fail_msg("%s", error.message);
  assert_int_equal(neurons.rows[0].after + neurons.rows[1].after, 2 * NEURONS - 19);
  pith_structured_deinit(&neurons);
  pith_structured_deinit(&heads);
  close_fixture(&f);
}

static void test_refused(void **state) {
  (void)state;
  fixture f = open_fixture();
  double values[NEURONS];
  pith_error error = {PITH_OK, ""};
  pith_structured out;
  expect_refused(prune(&f, &f.model, "layer", &out, &error), PITH_INVALID_ARGUMENT, &error, "head or neuron, not layer");
  pith_structured_deinit(&out);
  expect_refused(measure_one(&f, "no.such.weight", true, values, &error), PITH_INVALID_ARGUMENT, &error, "no gradient by 'no.such.weight'");
  expect_refused(measure_one(&f, "bert.embeddings.nothing", true, values, &error), PITH_INVALID_ARGUMENT, &error, "no gradient");
  f.options.path = PITH_SOURCE_DIR "/tests/golden/train/nothing.jsonl";
  expect_refused(measure_one(&f, get_name(true, 0), true, values, &error), PITH_IO, &error, "nothing.jsonl");
  pith_prune_options options = pith_prune_defaults;
  pith_pattern pattern;
  double sparsity;
  options.pattern = "4x1";
  options.sparsity = 0.5;
  options.method = PITH_PRUNE_SENSITIVITY;
  expect_refused(pith_prune_check_options(&options, &pattern, &sparsity, &error), PITH_INVALID_ARGUMENT, &error, "not 4x1");
  close_fixture(&f);
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_values), cmocka_unit_test(test_threads), cmocka_unit_test(test_removal),
                                     cmocka_unit_test(test_refused)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
