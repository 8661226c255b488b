/* sentence-transformers directories: what is refused, and the length limit. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "tests/compiler/import_fixture.h"

static const char pooling_of_two[] = "{\"pooling_mode_cls_token\":true,\"pooling_mode_mean_"
                                     "tokens\":true,\"pooling_mode_max_tokens\":false}";

static const struct {
  const char *what, *file, *text;
  pith_status status;
  const char *message;
} sentence_files[] = {
    {"unknown module", "modules.json",
     "[{\"type\":\"x.Transformer\",\"path\":\"\"},{\"type\":\"x.Pooling\",\"path\":\"1_Pooling\"},"
     "{\"type\":\"x.LSTM\",\"path\":\"2\"}]",
     PITH_UNSUPPORTED, "module 'LSTM'"},
    {"unknown first module", "modules.json", "[{\"type\":\"x.CLIPModel\",\"path\":\"\"}]",
     PITH_UNSUPPORTED, "'CLIPModel'"},
    {"no modules", "modules.json", "[]", PITH_FORMAT, "no modules"},
    {"modules that are an object", "modules.json", "{}", PITH_FORMAT, "not a list"},
    {"module without a type", "modules.json", "[{\"path\":\"\"}]", PITH_FORMAT, "without a type"},
    {"module outside the folder", "modules.json",
     "[{\"type\":\"x.Transformer\",\"path\":\"../..\"}]", PITH_FORMAT,
     "without a type, or whose path"},
    {"no pooling", "modules.json",
     "[{\"type\":\"x.Transformer\",\"path\":\"\"},{\"type\":\"x.Normalize\",\"path\":\"2_"
     "Normalize\"}]",
     PITH_UNSUPPORTED, "stands before Pooling"},
    {"two poolings", "modules.json",
     "[{\"type\":\"x.Transformer\",\"path\":\"\"},{\"type\":\"x.Pooling\",\"path\":\"1_Pooling\"},"
     "{\"type\":\"x.Pooling\",\"path\":\"1_Pooling\"}]",
     PITH_UNSUPPORTED, "a second Pooling"},
    {"two pooling modes", "1_Pooling/config.json", pooling_of_two, PITH_UNSUPPORTED,
     "'cls' and 'mean'"},
    {"weighted pooling", "1_Pooling/config.json", "{\"pooling_mode\":\"weightedmean\"}",
     PITH_UNSUPPORTED, "'weightedmean'"},
    {"old weighted pooling", "1_Pooling/config.json",
     "{\"pooling_mode_mean_sqrt_len_tokens\":true}", PITH_UNSUPPORTED, "'mean_sqrt_len_tokens'"},
    {"list of pooling modes", "1_Pooling/config.json", "{\"pooling_mode\":[\"cls\",\"mean\"]}",
     PITH_UNSUPPORTED, "several pooling modes"},
    {"limit over the positions", "sentence_bert_config.json", "{\"max_seq_length\":25}",
     PITH_FORMAT, "max_seq_length"},
    {"limit of 0", "sentence_bert_config.json", "{\"max_seq_length\":0}", PITH_FORMAT,
     "max_seq_length"},
    {"a prompt", "config_sentence_transformers.json", "{\"default_prompt_name\":\"query\"}",
     PITH_UNSUPPORTED, "default_prompt_name 'query'"},
};

static void test_sentence_transformers(void **state) {
  (void)state;
  for (size_t i = 0; i < sizeof sentence_files / sizeof *sentence_files; i++) {
    folder folder = folder_make();
    folder_copy_tree(GOLDEN_FOLDER "/sentence-mean-normalize", folder.path);
    file_write(folder_path(folder.path, sentence_files[i].file), sentence_files[i].text,
               strlen(sentence_files[i].text));
    expect_import_failure(sentence_files[i].what, folder.path, NULL, sentence_files[i].status,
                          sentence_files[i].message);
    folder_remove(&folder);
  }
}

/* sentence_bert_config.json's limit, else tokenizer_config.json's where it is at most the positions
 * (24), else those. */
static void test_length_limit(void **state) {
  (void)state;
  static const struct {
    const char *sentence_bert, *tokenizer_config; /* whole files */
    uint32_t limit;
  } cases[] = {
      {"{\"max_seq_length\":20}", "{\"model_max_length\":22}", 20},
      {"{\"max_seq_length\":null}", "{\"model_max_length\":22}", 22},
      {"{}", "{\"model_max_length\":24}", 24},
      {"{}", "{\"model_max_length\":23}", 23},
      {"{}", "{\"model_max_length\":25}", 24},
      {"{}", "{\"model_max_length\":1000000000000000019884624838656}", 24},
      {"{}", "{\"model_max_length\":0}", 24},
      {"{}", "{}", 24},
  };
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    folder folder = folder_make();
    folder_copy_tree(GOLDEN_FOLDER "/sentence-mean-normalize", folder.path);
    file_write(folder_path(folder.path, "sentence_bert_config.json"), cases[i].sentence_bert,
               strlen(cases[i].sentence_bert));
    file_write(folder_path(folder.path, "tokenizer_config.json"), cases[i].tokenizer_config,
               strlen(cases[i].tokenizer_config));
    pith_import import;
    pith_error error;
    if (pith_import_huggingface(folder.path, NULL, &import, &error) != PITH_OK)
      fail_msg("%s", error.message);
    assert_int_equal(import.data.max_length, cases[i].limit);
    pith_import_deinit(&import);
    folder_remove(&folder);
  }
}

/* Lower-casing before the tokenizer is fine where the tokenizer does it too, and refused where it
 * does not. */
static void test_lower_casing(void **state) {
  (void)state;
  folder folder = folder_make();
  folder_copy_tree(GOLDEN_FOLDER "/sentence-mean-normalize", folder.path);
  json_set_key(folder.path, "sentence_bert_config.json", "do_lower_case", "true");
  expect_import_success("do_lower_case with an uncased tokenizer", folder.path);
  file_replace_text(folder_path(folder.path, "tokenizer.json"), "\"lowercase\": true",
                    "\"lowercase\":false");
  expect_import_failure("do_lower_case with a cased tokenizer", folder.path, NULL, PITH_UNSUPPORTED,
                        "do_lower_case");
  folder_remove(&folder);
}

static void test_dense(void **state) {
  (void)state;
  static const struct {
    const char *key, *value;
    pith_status status;
    const char *message;
  } changes[] = {
      {"activation_function", "\"torch.nn.modules.activation.GELU\"", PITH_UNSUPPORTED,
       "activation.GELU"},
      {"in_features", "31", PITH_FORMAT, "in_features 31, where 32 features come in"},
      {"out_features", "21", PITH_FORMAT, "'linear.weight' has shape [20, 32]"},
      {"out_features", "-1", PITH_FORMAT, "out_features"},
      {"bias", "false", PITH_FORMAT, "'linear.bias' has no place"},
  };
  for (size_t i = 0; i < sizeof changes / sizeof *changes; i++) {
    folder folder = folder_make();
    folder_copy_tree(GOLDEN_FOLDER "/sentence-cls-dense-normalize", folder.path);
    json_set_key(folder.path, "2_Dense/config.json", changes[i].key, changes[i].value);
    expect_import_failure(changes[i].key, folder.path, NULL, changes[i].status, changes[i].message);
    folder_remove(&folder);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_sentence_transformers),
      cmocka_unit_test(test_length_limit),
      cmocka_unit_test(test_lower_casing),
      cmocka_unit_test(test_dense),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
