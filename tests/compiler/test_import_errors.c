/* Directories that do not fit together: each failure is one line that names what is wrong, and
 * nothing leaks. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "compiler/import/safetensors.h"
#include "tests/compiler/import_fixture.h"

static const struct {
  const char *name, *key, *value;
  pith_status status; /* PITH_OK: must be accepted */
  const char *message;
} keys[] = {
    {"bert-sequence", "model_type", "\"gpt2\"", PITH_UNSUPPORTED, "model_type 'gpt2'"},
    {"bert-sequence", "model_type", NULL, PITH_FORMAT, "no model_type"},
    {"bert-sequence", "model_type", "7", PITH_FORMAT, "no model_type"},
    {"bert-sequence", "architectures", "[\"BertForNextSentencePrediction\"]", PITH_UNSUPPORTED,
     "'BertForNextSentencePrediction'"},
    {"bert-sequence", "architectures", "[\"RobertaForMaskedLM\"]", PITH_UNSUPPORTED,
     "'RobertaForMaskedLM'"},
    {"bert-sequence", "architectures", "[\"Bert\"]", PITH_UNSUPPORTED, "'Bert'"},
    {"bert-sequence", "architectures", "[1]", PITH_FORMAT, "architectures"},
    {"bert-sequence", "architectures", "{\"a\":\"BertModel\"}", PITH_FORMAT, "architectures"},
    {"bert-sequence", "architectures", "[\"BertModel\"]", PITH_OK, ""},
    {"bert-sequence", "architectures", "[]", PITH_OK, ""},
    {"bert-sequence", "position_embedding_type", "\"relative_key\"", PITH_UNSUPPORTED,
     "position_embedding_type \"relative_key\""},
    {"bert-sequence", "position_embedding_type", "\"absolute\"", PITH_OK, ""},
    {"bert-sequence", "is_decoder", "true", PITH_UNSUPPORTED, "is_decoder true"},
    {"bert-sequence", "add_cross_attention", "true", PITH_UNSUPPORTED, "add_cross_attention true"},
    {"bert-sequence", "hidden_act", "\"gelu_10\"", PITH_UNSUPPORTED, "hidden_act \"gelu_10\""},
    {"bert-sequence", "hidden_act", "{\"a\":1}", PITH_UNSUPPORTED, "hidden_act an object"},
    {"bert-sequence", "quantization_config", "{\"bits\":4}", PITH_UNSUPPORTED,
     "quantization_config"},
    {"bert-sequence", "pruned_heads", "{\"0\":[1]}", PITH_FORMAT, "the config asks for [24, 32]"},
    {"bert-sequence", "pruned_heads", "{}", PITH_OK, ""},
    {"bert-sequence", "some_new_key", "[1,2]", PITH_OK, ""},
    {"bert-sequence", "problem_type", "\"ranking\"", PITH_UNSUPPORTED, "problem_type \"ranking\""},
    {"bert-sequence", "hidden_size", "-32", PITH_FORMAT, "hidden_size is -32"},
    {"bert-sequence", "hidden_size", "32.5", PITH_FORMAT, "hidden_size is 32.5"},
    {"bert-sequence", "hidden_size", "1e30", PITH_FORMAT, "hidden_size is 1"},
    {"bert-sequence", "hidden_size", "\"32\"", PITH_FORMAT, "hidden_size is \"32\""},
    {"bert-sequence", "hidden_size", "36", PITH_FORMAT,
     "'bert.embeddings.word_embeddings.weight' has shape "
     "[41, 32], the config asks for [41, 36]"},
    {"bert-sequence", "vocab_size", "42", PITH_FORMAT, "the config asks for [42, 32]"},
    {"bert-sequence", "num_attention_heads", "5", PITH_FORMAT, "no multiple of 5 attention heads"},
    {"bert-sequence", "num_attention_heads", "0", PITH_FORMAT, "num_attention_heads is 0"},
    {"bert-sequence", "num_hidden_layers", "1", PITH_FORMAT, "'bert.encoder.layer.1."},
    {"bert-sequence", "num_hidden_layers", "3", PITH_FORMAT,
     "'bert.encoder.layer.2.attention.self.query.weight' "
     "is missing"},
    {"bert-sequence", "num_hidden_layers", "1000000000", PITH_FORMAT, "num_hidden_layers"},
    {"bert-sequence", "intermediate_size", "47", PITH_FORMAT, "intermediate.dense.weight"},
    {"bert-sequence", "max_position_embeddings", "25", PITH_FORMAT, "position_embeddings.weight"},
    {"bert-sequence", "pad_token_id", "41", PITH_FORMAT, "pad_token_id 41"},
    {"bert-sequence", "pad_token_id", "null", PITH_OK, ""},
    {"bert-sequence", "layer_norm_eps", "0", PITH_FORMAT, "layer_norm_eps is 0"},
    {"bert-sequence", "layer_norm_eps", "\"x\"", PITH_FORMAT, "layer_norm_eps"},
    {"bert-sequence", "tie_word_embeddings", "3", PITH_FORMAT, "tie_word_embeddings is 3"},
    {"bert-sequence", "id2label", "{\"0\":\"a\"}", PITH_FORMAT,
     "'classifier.weight' has shape [3, 32]"},
    {"bert-sequence", "id2label", "{\"0\":\"a\",\"1\":\"b\",\"3\":\"c\"}", PITH_FORMAT,
     "id2label[\"3\"]"},
    {"bert-sequence", "id2label", "{\"0\":\"a\",\"1\":\"b\",\"01\":\"c\"}", PITH_FORMAT,
     "id2label[\"01\"]"},
    {"bert-sequence", "id2label", "{\"0\":\"a\",\"1\":\"b\",\"-2\":\"c\"}", PITH_FORMAT,
     "id2label[\"-2\"]"},
    {"bert-sequence", "id2label", "{\"2\":\"c\",\"0\":\"a\",\"1\":\"b\"}", PITH_OK, ""},
    {"bert-sequence", "id2label", "{}", PITH_FORMAT, "id2label has 0 labels"},
    {"bert-sequence", "id2label", "[\"a\"]", PITH_FORMAT, "id2label is not an object"},
    {"bert-question", "id2label", "{\"0\":\"a\",\"1\":\"b\",\"2\":\"c\"}", PITH_UNSUPPORTED,
     "question answering with 3 labels"},
    {"roberta-sequence", "pad_token_id", "null", PITH_UNSUPPORTED, "pad_token_id is null"},
    {"roberta-sequence", "pad_token_id", "30", PITH_FORMAT, "leaves no position"},
    {"distilbert-sequence", "activation", "\"mish\"", PITH_UNSUPPORTED, "activation \"mish\""},
    {"electra-sequence", "embedding_size", "23", PITH_FORMAT, "the config asks for [41, 23]"},
    {"electra-sequence", "architectures", "[\"ElectraForPreTraining\"]", PITH_UNSUPPORTED,
     "'ElectraForPreTraining'"},
    {"cross-encoder-4", "sentence_transformers",
     "{\"activation_fn\":\"torch.nn.modules.activation.Tanh\"}", PITH_UNSUPPORTED,
     "activation.Tanh"},
};

static void test_config_keys(void **state) {
  (void)state;
  for (size_t i = 0; i < sizeof keys / sizeof *keys; i++) {
    folder folder = folder_make();
    char what[256];
    folder_copy(folder_path(GOLDEN_FOLDER, keys[i].name), folder.path);
    json_set_key(folder.path, "config.json", keys[i].key, keys[i].value);
    snprintf(what, sizeof what, "%s with %s = %s", keys[i].name, keys[i].key,
             keys[i].value == NULL ? "(none)" : keys[i].value);
    if (keys[i].status == PITH_OK)
      expect_import_success(what, folder.path);
    else
      expect_import_failure(what, folder.path, NULL, keys[i].status, keys[i].message);
    folder_remove(&folder);
  }
}

/* A value of a tensor in the file is replaced. */
static void plant_value(const char *path, const char *tensor, size_t element, float value) {
  size_t size;
  char *bytes = file_read(path, &size);
  pith_safetensors tensors;
  pith_error error;
  assert_int_equal(pith_safetensors_parse(bytes, size, path, NULL, &tensors, &error), PITH_OK);
  const pith_safetensor *found = pith_safetensors_find(&tensors, tensor);
  assert_non_null(found);
  assert_int_equal(found->dtype, PITH_DTYPE_F32);
  memcpy(bytes + ((const char *)found->data - bytes) + 4 * element, &value, 4);
  pith_safetensors_close(&tensors);
  file_write(path, bytes, size);
  free(bytes);
}

static void test_weights(void **state) {
  (void)state;
  folder folder = folder_make();
  const char *directory = folder.path;
  char path[1024];
  snprintf(path, sizeof path, "%s/model.safetensors", directory);
#define FRESH() folder_copy(folder_path(GOLDEN_FOLDER, "bert-sequence"), directory)
  FRESH();
  plant_value(path, "bert.encoder.layer.1.output.dense.weight", 77, NAN);
  expect_import_failure("NaN weight", directory, NULL, PITH_FORMAT,
                        "'bert.encoder.layer.1.output.dense.weight': element 77 of 1536 is NaN");
  FRESH();
  plant_value(path, "classifier.bias", 2, INFINITY);
  expect_import_failure("infinite weight", directory, NULL, PITH_FORMAT,
                        "'classifier.bias': element 2 of 3 is infinite");
  FRESH();
  file_replace_text(path, "\"classifier.bias\"", "\"classifier.bia_\"");
  expect_import_failure("missing tensor", directory, NULL, PITH_FORMAT,
                        "'classifier.bias' is missing");
  FRESH();
  file_replace_text(path, "\"bert.pooler.dense.bias\"", "\"bert.poole_.dense.bias\"");
  expect_import_failure("misnamed tensor", directory, NULL, PITH_FORMAT,
                        "'bert.pooler.dense.bias' is missing");
  FRESH();
  file_replace_text(path, "\"bert.embeddings.LayerNorm.bias\"",
                    "\"bert.embeddings.LayerNorm.biaz\"");
  expect_import_failure("missing LayerNorm", directory, NULL, PITH_FORMAT,
                        "'bert.embeddings.LayerNorm.bias' is missing");
  FRESH();
  assert_int_equal(truncate(path, 5000), 0);
  expect_import_failure("cut weights", directory, NULL, PITH_FORMAT, "model.safetensors");
  assert_int_equal(truncate(path, 0), 0);
  expect_import_failure("empty weights", directory, NULL, PITH_FORMAT, "model.safetensors");
  assert_int_equal(remove(path), 0);
  expect_import_failure("no weights", directory, NULL, PITH_IO, "neither model.safetensors nor");
  assert_int_equal(symlink(directory, path), 0);
  expect_import_failure("weights are a folder", directory, NULL, PITH_IO, "model.safetensors");
  assert_int_equal(remove(path), 0);
#undef FRESH
  folder_remove(&folder);
}

static void test_shards(void **state) {
  (void)state;
  static const struct {
    const char *what, *from, *to;
    pith_status status;
    const char *message;
  } changes[] = {
      {"shard outside the folder", "model-00002-of-00004", "../../../../../tmp/x", PITH_FORMAT,
       "not in a file of"},
      {"shard that is missing", "model-00002-of-00004", "model-00009-of-00004", PITH_IO,
       "model-00009-of-00004"},
      {"tensor in another shard", "\"model-00001-of-00004.safetensors\"",
       "\"model-00003-of-00004.safetensors\"", PITH_FORMAT,
       "of model.safetensors.index.json is not in it"},
      {"tensor that no shard has", "\"classifier.bias\"", "\"classifier.bia_\"", PITH_FORMAT,
       "'classifier.bia_'"},
      {"no map", "\"weight_map\"", "\"weight_mop\"", PITH_FORMAT, "no weight_map"},
  };
  for (size_t i = 0; i < sizeof changes / sizeof *changes; i++) {
    folder folder = folder_make();
    folder_copy(folder_path(GOLDEN_FOLDER, "bert-sharded"), folder.path);
    file_replace_text(folder_path(folder.path, "model.safetensors.index.json"), changes[i].from,
                      changes[i].to);
    expect_import_failure(changes[i].what, folder.path, NULL, changes[i].status,
                          changes[i].message);
    folder_remove(&folder);
  }
  /* The same tensors in a second file. */
  folder folder = folder_make();
  folder_copy(folder_path(GOLDEN_FOLDER, "bert-sharded"), folder.path);
  file_copy(folder_path(folder.path, "model-00001-of-00004.safetensors"),
            folder_path(folder.path, "copy.safetensors"));
  size_t bytes;
  char *text = file_read(folder_path(folder.path, "model.safetensors.index.json"), &bytes);
  cJSON *json = cJSON_Parse(text);
  free(text);
  cJSON_AddStringToObject(cJSON_GetObjectItem(json, "weight_map"), "extra", "copy.safetensors");
  text = cJSON_Print(json);
  file_write(folder_path(folder.path, "model.safetensors.index.json"), text, strlen(text));
  cJSON_free(text);
  cJSON_Delete(json);
  expect_import_failure("tensor in two shards", folder.path, NULL, PITH_FORMAT, "stands twice");
  folder_remove(&folder);
}

static void test_hostile_json(void **state) {
  (void)state;
  static const char *const files[] = {"config.json", "modules.json", "tokenizer_config.json",
                                      "sentence_bert_config.json",
                                      "config_sentence_transformers.json"};
  enum { DEPTH = 1000000 };
  char *deep = malloc(DEPTH);
  assert_non_null(deep);
  memset(deep, '[', DEPTH);
  for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
    folder folder = folder_make();
    folder_copy_tree(GOLDEN_FOLDER "/sentence-mean-normalize", folder.path);
    const char *path = folder_path(folder.path, files[i]);
    file_write(path, deep, DEPTH);
    expect_import_failure(files[i], folder.path, NULL, PITH_FORMAT, "nested over");
    file_write(path, "", 0);
    expect_import_failure(files[i], folder.path, NULL, PITH_FORMAT, files[i]);
    file_write(path, "\"text\"", 6);
    expect_import_failure(files[i], folder.path, NULL, PITH_FORMAT, "not a");
    file_write(path, "{} x", 4);
    expect_import_failure(files[i], folder.path, NULL, PITH_FORMAT, "follows the end");
    folder_remove(&folder);
  }
  free(deep);
}

static void test_no_directory(void **state) {
  (void)state;
  expect_import_failure("no directory", "/nonexistent/model", NULL, PITH_IO, "/nonexistent/model");
  folder folder = folder_make();
  expect_import_failure("empty directory", folder.path, NULL, PITH_IO, "no config.json");
  pith_import_options options = PITH_IMPORT_OPTIONS_INIT;
  options.class_name = "BertForEverything";
  expect_import_failure("class of no row", folder_path(GOLDEN_FOLDER, "bert-model"), &options,
                        PITH_UNSUPPORTED, "'BertForEverything'");
  folder_remove(&folder);
}

/* ---- memory that runs out
 * ------------------------------------------------------------------------------- */

typedef struct sparing {
  size_t calls, fail_at; /* fail_at 0: never */
  size_t live;
} sparing;

static void *sparing_allocate(void *context, size_t bytes, size_t alignment) {
  sparing *sparing = context;
  if (++sparing->calls == sparing->fail_at)
    return NULL;
  sparing->live++;
  return pith_default_allocator.allocate(NULL, bytes, alignment);
}
static void sparing_release(void *context, void *memory, size_t bytes) {
  ((sparing *)context)->live--;
  pith_default_allocator.release(NULL, memory, bytes);
}

static void test_every_allocation_fails_once(void **state) {
  (void)state;
  static const char *const names[] = {"bert-sharded", "sentence-cls-dense-normalize"};
  for (size_t i = 0; i < 2; i++) {
    char directory[1024];
    snprintf(directory, sizeof directory, "%s/%s", GOLDEN_FOLDER, names[i]);
    sparing sparing = {.calls = 0};
    pith_allocator allocator = {sparing_allocate, sparing_release, &sparing};
    pith_import_options options = PITH_IMPORT_OPTIONS_INIT;
    options.allocator = &allocator;
    pith_import import;
    pith_error error;
    assert_int_equal(pith_import_huggingface(directory, &options, &import, &error), PITH_OK);
    pith_import_deinit(&import);
    assert_int_equal(sparing.live, 0);
    size_t calls = sparing.calls;
    assert_true(calls > 10);
    for (size_t k = 1; k <= calls; k++) {
      sparing.calls = 0;
      sparing.fail_at = k;
      pith_status status = pith_import_huggingface(directory, &options, &import, &error);
      if (status != PITH_OUT_OF_MEMORY)
        fail_msg("%s: allocation %zu of %zu fails: %s", names[i], k, calls,
                 pith_status_string(status));
      assert_int_equal(sparing.live, 0);
    }
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_config_keys),  cmocka_unit_test(test_weights),
      cmocka_unit_test(test_shards),       cmocka_unit_test(test_hostile_json),
      cmocka_unit_test(test_no_directory), cmocka_unit_test(test_every_allocation_fails_once),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
