/* Random numbers, and models made of them. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "engine/base/random.h"
#include "engine/base/hash.h"
#include "engine/format/format.h"
#include "models/architectures/architecture.h"
#include "tests/compiler/import_fixture.h"

/* Known answers of the Random123 library (kat_vectors, philox4x32 with 10 rounds). */
static void test_philox_known_answers(void **state) {
  (void)state;
  static const struct {
    uint32_t counter[4], key[2], out[4];
  } answers[] = {
      {{0, 0, 0, 0}, {0, 0}, {0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}},
      {{~0u, ~0u, ~0u, ~0u}, {~0u, ~0u}, {0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}},
      {{0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344},
       {0xa4093822, 0x299f31d0},
       {0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}},
  };
  for (size_t i = 0; i < sizeof answers / sizeof *answers; i++) {
    uint32_t out[4];
    pith_random_philox(answers[i].counter, answers[i].key, out);
    assert_memory_equal(out, answers[i].out, sizeof out);
  }
}

/* Against the C library's functions on the same Philox words. */
static void test_normal_formula(void **state) {
  (void)state;
  enum { COUNT = 40000 };
  float *values = malloc(COUNT * sizeof *values);
  assert_non_null(values);
  uint64_t seed = 0x123456789abcdef0u, stream = pith_random_stream("encoder.weight");
  pith_random_normal(seed, stream, 1.0, COUNT, values);
  double sums[5] = {0, 0, 0, 0, 0};
  for (uint32_t i = 0; i < COUNT; i++) {
    uint32_t counter[4] = {i / 4, 0, (uint32_t)stream, (uint32_t)(stream >> 32)};
    uint32_t key[2] = {(uint32_t)seed, (uint32_t)(seed >> 32)}, bits[4];
    pith_random_philox(counter, key, bits);
    const uint32_t *pair = bits + (i & 2);
    double radius = sqrt(-2.0 * log((pair[0] + 0.5) / 4294967296.0));
    double angle = 2.0 * acos(-1.0) * (pair[1] / 4294967296.0);
    double expected = radius * (i & 1 ? sin(angle) : cos(angle));
    assert_true(fabs((double)values[i] - expected) <= 1e-7 * fmax(1.0, fabs(expected)));
    for (int power = 0; power < 5; power++)
      sums[power] += pow((double)values[i], power);
  }
  /* Moments of a normal variable: 0, 1, 0, 3; four standard errors at this count. */
  assert_true(fabs(sums[1] / COUNT) < 4 * sqrt(1.0 / COUNT));
  assert_true(fabs(sums[2] / COUNT - 1) < 4 * sqrt(2.0 / COUNT));
  assert_true(fabs(sums[3] / COUNT) < 4 * sqrt(15.0 / COUNT));
  assert_true(fabs(sums[4] / COUNT - 3) < 4 * sqrt(96.0 / COUNT));
  free(values);
}

/* The bits themselves, so that a compiler or a machine that gives others is found. */
static void test_normal_bits(void **state) {
  (void)state;
  enum { COUNT = 1 << 16 };
  float *values = malloc(COUNT * sizeof *values);
  assert_non_null(values);
  pith_random_normal(1, pith_random_stream("w"), 0.02, COUNT, values);
  uint8_t digest[PITH_SHA256_BYTES];
  pith_sha256_digest(values, COUNT * sizeof *values, digest);
  char text[17];
  pith_sha256_format(digest, 8, text);
  assert_string_equal(text, "cf39e51e26eb8117");
  /* Any part of the stream alone gives the same values: a shorter call is a prefix. */
  float prefix[7];
  pith_random_normal(1, pith_random_stream("w"), 0.02, 7, prefix);
  assert_memory_equal(prefix, values, sizeof prefix);
  free(values);
}

static const char sizes[] =
    "\"vocab_size\":50,\"hidden_size\":32,\"num_hidden_layers\":2,\"num_attention_heads\":4,"
    "\"intermediate_size\":48,\"hidden_dim\":48,\"max_position_embeddings\":20,"
    "\"embedding_size\":24,\"initializer_range\":0.5";

static void make_new(const char *path, uint64_t seed, pith_import *out_import) {
  pith_new_options options = PITH_NEW_OPTIONS_INIT;
  options.seed = seed;
  pith_error error;
  if (pith_new_model(path, &options, out_import, &error) != PITH_OK)
    fail_msg("%s", error.message);
}

static size_t count_values(const pith_tensor *tensor) {
  return tensor->data_bytes / sizeof(float);
}

static void check_values(const pith_graph *graph) {
  size_t scales = 0, biases = 0, matrices = 0;
  for (uint32_t i = 0; i < graph->tensor_count; i++) {
    const pith_tensor *tensor = &graph->tensors[i];
    if (tensor->kind != PITH_TENSOR_PARAMETER)
      continue;
    const float *values = tensor->data;
    assert_non_null(values);
    assert_int_equal((uintptr_t)values % 64, 0);
    bool is_norm =
        strstr(tensor->name, "norm.weight") != NULL || strstr(tensor->name, "Norm.weight") != NULL;
    double sum = 0;
    for (size_t k = 0; k < count_values(tensor); k++) {
      if (tensor->rank == 1)
        assert_true(values[k] == (is_norm ? 1.0f : 0.0f));
      sum += (double)values[k] * (double)values[k];
    }
    if (tensor->rank == 2) {
      /* Stored padding is 0; the deviation is 0.5, within five standard errors. */
      double count = (double)(tensor->dims[0].constant * tensor->dims[1].constant);
      assert_true(fabs(sum / count / 0.25 - 1) < 5 * sqrt(2 / count));
      matrices++;
    } else {
      *(is_norm ? &scales : &biases) += 1;
    }
  }
  assert_true(scales >= 5 && biases >= 17 && matrices >= 14);
}

static void test_every_row_and_head(void **state) {
  (void)state;
  folder folder = folder_make();
  char config[2048], path[600];
  snprintf(path, sizeof path, "%s/config.json", folder.path);
  size_t count = 0;
  for (size_t row = 0; pith_architectures[row] != NULL; row++)
    for (const pith_architecture_head *head = pith_architectures[row]->heads;
         head->class_suffix != NULL; head++) {
      snprintf(config, sizeof config, "{\"model_type\":\"%s\",\"architectures\":[\"%s%s\"],%s}",
               pith_architectures[row]->model_type, pith_architectures[row]->class_prefix,
               head->class_suffix, sizes);
      file_write(path, config, strlen(config));
      pith_import import;
      make_new(path, 7, &import);
      check_values(import.data.graph);
      assert_string_equal(import.data.config_json, config);
      assert_int_equal(import.data.hidden_size, 32);
      assert_string_equal(import.data.history->json, "{\"seed\":\"7\"}");
      pith_error error;
      const char *file = folder_path(folder.path, "model.pith");
      assert_int_equal(pith_format_write(file, &import.data, &error), PITH_OK);
      pith_model *model;
      assert_int_equal(pith_model_open(file, NULL, &model, &error), PITH_OK);
      pith_model_close(model);
      pith_import_deinit(&import);
      count++;
    }
  assert_true(count >= 30);
  folder_remove(&folder);
}

static void test_seeds(void **state) {
  (void)state;
  folder folder = folder_make();
  char config[2048], path[600];
  snprintf(path, sizeof path, "%s/config.json", folder.path);
  snprintf(config, sizeof config, "{\"model_type\":\"bert\",%s}", sizes);
  file_write(path, config, strlen(config));
  pith_import imports[3];
  const uint64_t seeds[3] = {3, 3, 4};
  for (int i = 0; i < 3; i++)
    make_new(path, seeds[i], &imports[i]);
  size_t different = 0;
  for (uint32_t i = 0; i < imports[0].data.graph->tensor_count; i++) {
    const pith_tensor *a = &imports[0].data.graph->tensors[i],
                      *b = &imports[1].data.graph->tensors[i],
                      *c = &imports[2].data.graph->tensors[i];
    if (a->kind != PITH_TENSOR_PARAMETER)
      continue;
    assert_memory_equal(a->data, b->data, a->data_bytes);
    different += memcmp(a->data, c->data, a->data_bytes) != 0;
    if (a->rank == 2)
      assert_memory_not_equal(a->data, c->data, a->data_bytes);
  }
  assert_true(different >= 14);
  for (int i = 0; i < 3; i++)
    pith_import_deinit(&imports[i]);
  folder_remove(&folder);
}

static void test_tokenizer(void **state) {
  (void)state;
  folder folder = folder_make();
  char config[2048], path[600];
  snprintf(path, sizeof path, "%s/config.json", folder.path);
  snprintf(config, sizeof config, "{\"model_type\":\"bert\",%s}", sizes);
  file_write(path, config, strlen(config));
  pith_new_options options = PITH_NEW_OPTIONS_INIT;
  options.tokenizer_directory = GOLDEN_FOLDER "/cross-encoder";
  pith_import import;
  pith_error error;
  assert_int_equal(pith_new_model(path, &options, &import, &error), PITH_OK);
  assert_non_null(import.data.tokenizer);
  uint32_t tokens = import.data.tokenizer->token_count;
  pith_import_deinit(&import);
  /* One id too many for the config. */
  snprintf(config, sizeof config, "{\"model_type\":\"bert\",\"hidden_size\":24,\"vocab_size\":%u}",
           tokens - 1);
  file_write(path, config, strlen(config));
  assert_int_equal(pith_new_model(path, &options, &import, &error), PITH_FORMAT);
  assert_non_null(strstr(error.message, "the tokenizer has ids up to"));
  options.tokenizer_directory = folder.path; /* no tokenizer there */
  assert_int_not_equal(pith_new_model(path, &options, &import, &error), PITH_OK);
  assert_int_equal(pith_new_model(folder_path(folder.path, "absent.json"), NULL, &import, &error),
                   PITH_IO);
  folder_remove(&folder);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_philox_known_answers),
      cmocka_unit_test(test_normal_formula),
      cmocka_unit_test(test_normal_bits),
      cmocka_unit_test(test_every_row_and_head),
      cmocka_unit_test(test_seeds),
      cmocka_unit_test(test_tokenizer),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
