/* Depths, weight decay and freezing, found by structure, against what the names of the Hugging Face classes say. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "compiler/import/import.h"
#include "engine/ir/operator.h"
#include "train/groups.h"

#define MODELS PITH_SOURCE_DIR "/tests/golden/models/"

enum { LAYERS = 2 };

/* What a name says: "layer.1." is the second layer; tied decoders are tables of embeddings, which their name says too. */
static uint32_t depth_of_name(const char *name) {
  const char *layer = strstr(name, "layer.");
  if (layer != NULL)
    return (uint32_t)atoi(layer + strlen("layer.")) + 1;
  return strstr(name, "embeddings") != NULL ? 0 : LAYERS + 1;
}

static bool decays_by_name(const char *name) {
  return strstr(name, "bias") == NULL && strstr(name, "LayerNorm") == NULL && strstr(name, "layer_norm") == NULL;
}

static void open_config(const char *name, pith_import *model) {
  char path[500];
  pith_error error = {0};
  snprintf(path, sizeof path, MODELS "%s/config.json", name);
  if (pith_new_model(path, NULL, model, &error) != PITH_OK)
    fail_msg("%s: %s", name, error.message);
}

static void test_names(void **state) {
  (void)state;
  static const char *const models[] = {
      "bert-sequence",     "bert-token",       "bert-question",    "bert-masked",       "bert-masked-untied", "bert-model",
      "bert-gelu-new",     "roberta-sequence", "roberta-masked",   "distilbert-sequence", "distilbert-masked", "electra-sequence",
      "electra-same-size", "electra-masked",   "camembert-token", "xlm-roberta-sequence"};
  for (size_t i = 0; i < sizeof models / sizeof *models; i++) {
    pith_import model;
    open_config(models[i], &model);
    const pith_graph *graph = model.data.graph;
    pith_arena arena;
    pith_arena_init(&arena, NULL);
    pith_parameter_groups groups;
    pith_error error = {0};
    if (pith_parameter_groups_find(graph, 0.5, NULL, 0, &arena, &groups, &error) != PITH_OK)
      fail_msg("%s: %s", models[i], error.message);
    assert_int_equal(groups.layers, LAYERS);
    uint32_t seen = 0;
    for (pith_tensor_id t = 0; t < graph->tensor_count; t++) {
      const pith_tensor *tensor = &graph->tensors[t];
      if (tensor->kind != PITH_TENSOR_PARAMETER)
        continue;
      const pith_parameter_group *group = &groups.list[t];
      static const double rates[] = {0.125, 0.25, 0.5, 1};
      if (group->depth != depth_of_name(tensor->name) || group->decays != decays_by_name(tensor->name) ||
          group->rate != rates[group->depth] || group->frozen)
        fail_msg("%s: '%s' has depth %u, rate %g, decay %d, frozen %d", models[i], tensor->name, group->depth, group->rate,
                 group->decays, group->frozen);
      seen |= 1u << group->depth;
    }
    assert_int_equal(seen, strstr(models[i], "model") != NULL ? 7 : 15);
    pith_arena_deinit(&arena);
    pith_import_deinit(&model);
  }
}

static void test_freeze(void **state) {
  (void)state;
  pith_import model;
  open_config("bert-sequence", &model);
  pith_arena arena;
  pith_arena_init(&arena, NULL);
  pith_parameter_groups groups;
  pith_error error = {0};
  static const char *const freeze[] = {"bert.embeddings.*", "*.layer.0.*", "*.wrong"};
  assert_int_equal(pith_parameter_groups_find(model.data.graph, 1, freeze, 2, &arena, &groups, &error), PITH_OK);
  uint32_t frozen = 0, parameters = 0;
  for (pith_tensor_id t = 0; t < model.data.graph->tensor_count; t++) {
    if (model.data.graph->tensors[t].kind != PITH_TENSOR_PARAMETER)
      continue;
    parameters++;
    frozen += groups.list[t].frozen;
    assert_true(groups.list[t].frozen == (groups.list[t].depth <= 1));
    assert_true(groups.list[t].rate == (groups.list[t].frozen ? 0 : 1));
  }
  assert_int_equal(frozen, 5 + 16);
  assert_true(parameters > frozen);
  assert_int_equal(pith_parameter_groups_find(model.data.graph, 1, freeze, 3, &arena, &groups, &error), PITH_INVALID_ARGUMENT);
  assert_non_null(strstr(error.message, "'*.wrong'"));
  pith_arena_deinit(&arena);
  pith_import_deinit(&model);
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_names), cmocka_unit_test(test_freeze)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
