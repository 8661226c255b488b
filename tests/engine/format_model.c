/* The public functions on models: opening from a file and from memory, options, information, encoding. */
#include "tests/engine/format_fixture.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine/exec/model.h"
#include "models/tokenizer/tokenizer.h"

static const char vocabulary[] = "[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\nhello\nworld\n##ly\n";

/* A model with a tokenizer that encodes. */
typedef struct compiled {
  format_model model;
  pith_arena arena;
  pith_tokenizer_data tokenizer;
} compiled;

static void compiled_init(compiled *c) {
  format_folder folder;
  char path[100];
  pith_error error = {0};
  format_folder_create(&folder);
  snprintf(path, sizeof path, "%s/vocab.txt", folder.path);
  format_write_raw(path, vocabulary, sizeof vocabulary - 1);
  pith_arena_init(&c->arena, NULL);
  const pith_tokenizer_source source = {folder.path, -1};
  if (pith_tokenizer_compile(&source, &c->arena, &c->tokenizer, &error) != PITH_OK)
    fail_msg("%s", error.message);
  format_folder_remove(&folder);
  format_model_init(&c->model, 1, 1);
  c->model.data.tokenizer = &c->tokenizer;
}

static void compiled_deinit(compiled *c) {
  format_model_deinit(&c->model);
  pith_arena_deinit(&c->arena);
}

static format_bytes compiled_file(void) {
  compiled c;
  compiled_init(&c);
  format_bytes file = format_write_bytes(&c.model);
  compiled_deinit(&c);
  return file;
}

static void check_encoding(const pith_model *model) {
  int32_t ids[16], type_ids[16];
  uint32_t offsets[16][2];
  uint8_t sequence[16];
  pith_error error = {0};
  pith_encoding encoding = {sizeof encoding, 16, ids, type_ids, offsets, sequence, 0};
  if (pith_encode(model, "Hello worldly", SIZE_MAX, "hello?", 5, 0, &encoding, &error) != PITH_OK)
    fail_msg("%s", error.message);
  static const int32_t expected[] = {2, 5, 6, 7, 3, 5, 3};
  static const uint8_t expected_sequence[] = {255, 0, 0, 0, 255, 1, 255};
  assert_int_equal(encoding.count, 7);
  assert_memory_equal(ids, expected, sizeof expected);
  assert_memory_equal(sequence, expected_sequence, sizeof expected_sequence);
  assert_int_equal(offsets[3][0], 11);
  assert_int_equal(offsets[3][1], 13);
  size_t bytes;
  const char *text = pith_token_text(model, 7, &bytes);
  assert_int_equal(bytes, 4);
  assert_memory_equal(text, "##ly", 4);
  assert_null(pith_token_text(model, -1, &bytes));
  assert_int_equal(bytes, 0);
  assert_null(pith_token_text(model, 8, NULL));
  encoding.struct_size = sizeof encoding - 1;
  assert_int_equal(pith_encode(model, "x", 1, NULL, 0, 0, &encoding, &error), PITH_INVALID_ARGUMENT);
  assert_int_equal(pith_encode(model, NULL, 1, NULL, 0, 0, &encoding, &error), PITH_INVALID_ARGUMENT);
}

static void check_info(const pith_model *model, size_t file_bytes) {
  pith_model_info info = {.struct_size = sizeof info};
  assert_int_equal(pith_model_get_info(model, &info, NULL), PITH_OK);
  assert_int_equal(info.struct_size, sizeof info);
  assert_string_equal(info.architecture, "bert");
  assert_int_equal(info.task, PITH_TASK_CLASSIFICATION);
  assert_int_equal(info.label_count, 3);
  assert_string_equal(info.labels[0], "NEGATIVE");
  assert_int_equal(info.embedding_size, 0);
  assert_int_equal(info.max_length, 20);
  assert_int_equal(info.hidden_size, 8);
  assert_int_equal(info.file_bytes, file_bytes);
  assert_int_equal(info.has_tokenizer, 1);
  /* Embeddings 72 x 8; norms 3 x 16; layer 4 x (64 + 8), 96 + 12, 96 + 8; pooler 72, classifier 27; scalar 1, rotation 64;
   * the quantized product 64 + 8, its output's scale and zero point. */
  assert_int_equal(info.parameter_count, 576 + 48 + 288 + 108 + 104 + 72 + 27 + 1 + 64 + 74);
}

static void test_open_file(void **state) {
  (void)state;
  format_folder folder;
  compiled c;
  pith_model *model;
  pith_error error = {0};
  compiled_init(&c);
  format_folder_create(&folder);
  assert_int_equal(pith_format_write(folder.file, &c.model.data, &error), PITH_OK);
  if (pith_model_open(folder.file, NULL, &model, &error) != PITH_OK)
    fail_msg("%s", error.message);
  format_bytes file = format_read_file(folder.file);
  check_info(model, file.size);
  check_encoding(model);
  /* Replaced by rename while it is open: the model keeps what it opened. */
  c.model.data.max_length = 7;
  assert_int_equal(pith_format_write(folder.file, &c.model.data, &error), PITH_OK);
  check_info(model, file.size);
  pith_model_close(model);
  pith_model_close(NULL);
  format_write_raw(folder.file, file.bytes, file.size - 1);
  assert_int_equal(pith_model_open(folder.file, NULL, &model, &error), PITH_FORMAT);
  assert_null(model);
  assert_non_null(strstr(error.message, folder.file));
  assert_non_null(strstr(error.message, "truncated"));
  format_write_raw(folder.file, "", 0);
  assert_int_equal(pith_model_open(folder.file, NULL, &model, &error), PITH_FORMAT);
  assert_int_equal(pith_model_open(folder.path, NULL, &model, &error), PITH_IO);
  assert_int_equal(pith_model_open("/dev/zero", NULL, &model, NULL), PITH_IO);
  assert_int_equal(pith_model_open(NULL, NULL, &model, &error), PITH_INVALID_ARGUMENT);
  assert_int_equal(pith_model_open(folder.file, NULL, NULL, &error), PITH_INVALID_ARGUMENT);
  free(file.bytes);
  format_folder_remove(&folder);
  compiled_deinit(&c);
}

static void test_open_memory(void **state) {
  (void)state;
  format_bytes file = compiled_file();
  pith_model *model;
  pith_error error = {0};
  assert_int_equal(pith_model_open_memory(file.bytes, file.size, NULL, &model, &error), PITH_OK);
  check_info(model, file.size);
  check_encoding(model);
  pith_model_close(model);
  assert_int_equal(pith_model_open_memory(file.bytes + 4, file.size - 4, NULL, &model, &error), PITH_INVALID_ARGUMENT);
  assert_non_null(strstr(error.message, "not aligned to 64"));
  assert_null(model);
  assert_int_equal(pith_model_open_memory(NULL, 0, NULL, &model, &error), PITH_INVALID_ARGUMENT);
  assert_int_equal(pith_model_open_memory(file.bytes, file.size, NULL, NULL, &error), PITH_INVALID_ARGUMENT);
  assert_int_equal(pith_model_open_memory(file.bytes, 0, NULL, &model, &error), PITH_FORMAT);
  free(file.bytes);
}

static void test_struct_sizes(void **state) {
  (void)state;
  format_bytes file = compiled_file();
  pith_model *model;
  pith_error error = {0};
  fixture_allocator allocator;
  fixture_allocator_init(&allocator, 0); /* refuses everything */
  pith_model_options options = {sizeof options, &allocator.allocator};
  assert_int_equal(pith_model_open_memory(file.bytes, file.size, &options, &model, &error), PITH_OUT_OF_MEMORY);
  options.struct_size = sizeof options.struct_size; /* an older caller's: has no allocator */
  assert_int_equal(pith_model_open_memory(file.bytes, file.size, &options, &model, &error), PITH_OK);
  options.struct_size = 0;
  pith_model *none;
  assert_int_equal(pith_model_open_memory(file.bytes, file.size, &options, &none, &error), PITH_INVALID_ARGUMENT);
  union { /* callers that are older and newer than this library */
    pith_model_info info;
    uint8_t bytes[sizeof(pith_model_info) + 32];
  } u;
  for (size_t size = sizeof(size_t); size <= sizeof u; size++) {
    memset(&u, 0xA5, sizeof u);
    u.info.struct_size = size;
    assert_int_equal(pith_model_get_info(model, &u.info, &error), PITH_OK);
    assert_int_equal(u.info.struct_size, size);
    for (size_t i = sizeof(pith_model_info); i < size; i++)
      assert_int_equal(u.bytes[i], 0);
    for (size_t i = size; i < sizeof u; i++)
      assert_int_equal(u.bytes[i], 0xA5);
  }
  u.info.struct_size = 0;
  assert_int_equal(pith_model_get_info(model, &u.info, &error), PITH_INVALID_ARGUMENT);
  assert_int_equal(pith_model_get_info(NULL, &u.info, &error), PITH_INVALID_ARGUMENT);
  pith_model_close(model);
  free(file.bytes);
}

/* Each allocation of an open fails once: an error each time, and nothing is held after it. */
static void test_failing_allocations(void **state) {
  (void)state;
  format_bytes file = compiled_file();
  pith_error error;
  for (long budget = 0;; budget++) {
    fixture_allocator allocator;
    fixture_allocator_init(&allocator, budget);
    const pith_model_options options = {sizeof options, &allocator.allocator};
    pith_model *model;
    error = (pith_error){0};
    pith_status status = pith_model_open_memory(file.bytes, file.size, &options, &model, &error);
    if (status == PITH_OK) {
      assert_true(budget >= 4); /* the model, its arena, the graph, its arena */
      assert_true(allocator.held_bytes > 0);
      pith_model_close(model);
      assert_int_equal(allocator.held_bytes, 0);
      break;
    }
    assert_int_equal(status, PITH_OUT_OF_MEMORY);
    assert_true(error.message[0] != '\0');
    assert_null(model);
    assert_int_equal(allocator.held_bytes, 0);
  }
  free(file.bytes);
}

static void test_without_tokenizer(void **state) {
  (void)state;
  format_model small;
  pith_model *model;
  pith_error error = {0};
  format_model_init_large(&small, 5);
  format_bytes file = format_write_bytes(&small);
  assert_int_equal(pith_model_open_memory(file.bytes, file.size, NULL, &model, &error), PITH_OK);
  pith_model_info info = {.struct_size = sizeof info};
  assert_int_equal(pith_model_get_info(model, &info, &error), PITH_OK);
  assert_int_equal(info.has_tokenizer, 0);
  assert_int_equal(info.embedding_size, 256);
  assert_int_equal(info.parameter_count, 5 * 256);
  pith_encoding encoding = {.struct_size = sizeof encoding};
  assert_int_equal(pith_encode(model, "x", 1, NULL, 0, 0, &encoding, &error), PITH_UNSUPPORTED);
  assert_null(pith_token_text(model, 0, NULL));
  pith_model_close(model);
  free(file.bytes);
  format_model_deinit(&small);
}

/* Arrays that are in bounds but mean nothing are refused by the tokenizer's own check. */
static void test_meaningless_tokenizer(void **state) {
  (void)state;
  format_model small;
  pith_model *model;
  pith_error error = {0};
  format_model_init(&small, 1, 1); /* its tokenizer's index points nowhere */
  format_bytes file = format_write_bytes(&small);
  assert_int_not_equal(pith_model_open_memory(file.bytes, file.size, NULL, &model, &error), PITH_OK);
  assert_true(error.message[0] != '\0');
  assert_null(model);
  free(file.bytes);
  format_model_deinit(&small);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_open_file),           cmocka_unit_test(test_open_memory),
      cmocka_unit_test(test_struct_sizes),        cmocka_unit_test(test_failing_allocations),
      cmocka_unit_test(test_without_tokenizer),   cmocka_unit_test(test_meaningless_tokenizer),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
