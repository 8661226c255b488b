/* 20 steps of AdamW against PyTorch's (tests/golden/train/steps.py), from the same weights over the same batches: losses within 1e-4
 * relative, weights within 1 % of their parameter's largest change in 99.9 % of the elements that are compared. Biases of keys are left
 * out: softmax does not see them, so that their gradient is 0 but for rounding, whose sign AdamW follows. A tiny classifier, and MiniLM
 * where PITH_MODELS has it. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/compiler/import_fixture.h"
#include "tests/engine/ir_fixture.h"
#include "tests/slow_build.h"
#include "train/trainer_internal.h"

enum { SAMPLES = 256, STEPS = 20, SEQUENCES = 8, MOST_TOKENS = 200, MOST_READ = STEPS * MOST_TOKENS };

typedef struct batch {
  int32_t offsets[SEQUENCES + 1], ids[MOST_TOKENS], labels[SEQUENCES];
} batch;

static void read_batch(const cJSON *json, batch *b) {
  const cJSON *sequence, *id;
  size_t i = 0, tokens = 0;
  cJSON_ArrayForEach(sequence, cJSON_GetObjectItem(json, "ids")) {
    b->offsets[i] = (int32_t)tokens;
    b->labels[i] = cJSON_GetArrayItem(cJSON_GetObjectItem(json, "labels"), (int)i)->valueint;
    cJSON_ArrayForEach(id, sequence) {
      assert_true(tokens < MOST_TOKENS);
      b->ids[tokens++] = id->valueint;
    }
    i++;
  }
  assert_int_equal(i, SEQUENCES);
  b->offsets[SEQUENCES] = (int32_t)tokens;
}

static size_t get_place(size_t i, size_t count, size_t width, const int32_t *read, size_t read_count) {
  if (read != NULL)
    return (size_t)read[i * 7 % read_count] * width + i * 37 % width;
  return count > SAMPLES ? i * count / SAMPLES : i;
}

static void compare_weights(pith_trainer *trainer, const cJSON *parameters, const float **golden, const int32_t *read,
                            size_t read_count) {
  pith_model_data model;
  const cJSON *json;
  size_t compared = 0, off = 0;
  assert_int_equal(pith_trainer_get_model(trainer, &model, NULL), PITH_OK);
  cJSON_ArrayForEach(json, parameters) {
    const char *name = cJSON_GetObjectItem(json, "name")->valuestring;
    const size_t count = (size_t)cJSON_GetObjectItem(json, "count")->valuedouble;
    const double change = cJSON_GetObjectItem(json, "change")->valuedouble;
    const bool words = strstr(name, "word_embeddings.weight") != NULL;
    const bool counts = strstr(name, "key.bias") == NULL;
    const pith_tensor_id tensor = pith_graph_find_tensor(model.graph, name);
    assert_true(tensor != PITH_NONE && change > 0);
    const pith_tensor *t = &model.graph->tensors[tensor];
    assert_int_equal(t->data_bytes, count * sizeof(float));
    const size_t width = (size_t)t->dims[t->rank - 1].constant;
    for (size_t i = 0; i < (count > SAMPLES || words ? SAMPLES : count); i++) {
      const size_t place = get_place(i, count, width, words ? read : NULL, read_count);
      const double got = (double)((const float *)t->data)[place], want = (double)*(*golden)++;
      compared += counts;
      off += counts && !(fabs(got - want) <= 0.01 * change);
    }
  }
  printf("%zu of %zu weights are off by more than 1 %% of the largest change\n", off, compared);
  assert_true(compared > 1000 && off * 1000 <= compared);
}

static void run_case(const cJSON *json, const char *folder, const float **golden) {
  static int32_t read[MOST_READ];
  pith_import import;
  pith_import_options importing = PITH_IMPORT_OPTIONS_INIT;
  pith_error error = {PITH_OK, ""};
  pith_trainer *trainer;
  importing.without_tokenizer = true;
  if (pith_import_huggingface(folder, &importing, &import, &error) != PITH_OK)
    fail_msg("%s: %s", folder, error.message);
  pith_trainer_options options = pith_trainer_defaults;
  options.max_tokens = MOST_TOKENS;
  options.max_sequences = SEQUENCES;
  options.weight_decay = 0.1;
  options.clip = options.dropout = options.attention_dropout = options.classifier_dropout = 0;
  if (pith_trainer_create(&(struct pith_model){.data = import.data}, &options, &trainer, &error) != PITH_OK)
    fail_msg("%s: %s", folder, error.message);
  size_t read_count = 0;
  double worst = 0;
  for (int step = 0; step < STEPS; step++) {
    batch b;
    double loss;
    read_batch(cJSON_GetArrayItem(cJSON_GetObjectItem(json, "batches"), step), &b);
    const size_t tokens = (size_t)b.offsets[SEQUENCES];
    memcpy(read + read_count, b.ids, tokens * sizeof *read);
    read_count += tokens;
    const pith_train_batch given = {.struct_size = sizeof given, .sequences = SEQUENCES, .offsets = b.offsets, .ids = b.ids, .labels = b.labels};
    if (pith_trainer_forward_backward(trainer, &given, 1, &loss, &error) != PITH_OK ||
        pith_trainer_apply(trainer, 1e-3, NULL, &error) != PITH_OK)
      fail_msg("%s: %s", folder, error.message);
    const double want = cJSON_GetArrayItem(cJSON_GetObjectItem(json, "losses"), step)->valuedouble;
    worst = fmax(worst, fabs(loss - want) / fabs(want));
  }
  printf("%s: losses within %.2g\n", folder, worst);
  assert_true(worst <= 1e-4);
  compare_weights(trainer, cJSON_GetObjectItem(json, "parameters"), golden, read, read_count);
  pith_trainer_destroy(trainer);
  pith_import_deinit(&import);
}

static void test_adamw_steps(void **state) {
  (void)state;
  size_t bytes;
  char *text = file_read(PITH_SOURCE_DIR "/tests/golden/train/steps.json", &bytes);
  cJSON *json = cJSON_ParseWithLength(text, bytes);
  float *values = (float *)file_read(PITH_SOURCE_DIR "/tests/golden/train/steps.f32", &bytes);
  const float *golden = values;
  const char *models = getenv("PITH_MODELS");
  char folder[1024];
  assert_non_null(json);
  run_case(cJSON_GetArrayItem(json, 0), GOLDEN_FOLDER "/bert-sequence", &golden);
  snprintf(folder, sizeof folder, "%s/minilm-sst2", models == NULL ? PITH_SOURCE_DIR "/../shared/models" : models);
  FILE *config = SLOW_BUILD ? NULL : fopen(folder_path(folder, "config.json"), "r"); /* minutes, for what the tiny one does too */
  if (config != NULL) {
    fclose(config);
    run_case(cJSON_GetArrayItem(json, 1), folder, &golden);
    assert_ptr_equal(golden, values + bytes / sizeof(float));
  } else
    printf("skipped: %s is not there, or the build is slow\n", folder);
  cJSON_Delete(json);
  free(values);
  free(text);
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_adamw_steps)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
