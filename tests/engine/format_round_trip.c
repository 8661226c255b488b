/* What is written is what is read. */
#include "tests/engine/format_fixture.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "engine/base/mapped_file.h"
#include "engine/format/format_internal.h"

static pith_model_data read_bytes(const format_bytes *file, pith_arena *arena) {
  pith_error error = {0};
  pith_model_data data;
  pith_arena_init(arena, NULL);
  if (pith_format_read(file->bytes, file->size, NULL, arena, &data, &error) != PITH_OK)
    fail_msg("%s", error.message);
  return data;
}

static void compare_dims(const pith_tensor *a, const pith_tensor *b) {
  assert_int_equal(a->rank, b->rank);
  for (uint32_t d = 0; d < a->rank; d++) {
    assert_int_equal(a->dims[d].constant, b->dims[d].constant);
    assert_int_equal(a->dims[d].term_count, b->dims[d].term_count);
    for (uint32_t t = 0; t < a->dims[d].term_count; t++) {
      assert_int_equal(a->dims[d].terms[t].symbol, b->dims[d].terms[t].symbol);
      assert_int_equal(a->dims[d].terms[t].coefficient, b->dims[d].terms[t].coefficient);
    }
  }
}

static void compare_nodes(const pith_node *a, const pith_node *b) {
  assert_string_equal(a->name, b->name);
  assert_ptr_equal(a->op, b->op);
  assert_int_equal(a->input_count, b->input_count);
  assert_int_equal(a->output_count, b->output_count);
  assert_memory_equal(a->inputs, b->inputs, a->input_count * sizeof *a->inputs);
  assert_memory_equal(a->outputs, b->outputs, a->output_count * sizeof *a->outputs);
  for (uint32_t i = 0; a->op->attributes[i].name != NULL; i++) {
    const pith_attribute *x = &a->attributes[i], *y = &b->attributes[i];
    assert_int_equal(x->type, y->type);
    if (x->type == PITH_ATTRIBUTE_FLOAT) {
      assert_memory_equal(&x->f, &y->f, sizeof x->f); /* bits: -0 stays -0 */
    } else if (x->type == PITH_ATTRIBUTE_INTS) {
      assert_int_equal(x->ints.count, y->ints.count);
      if (x->ints.count != 0)
        assert_memory_equal(x->ints.values, y->ints.values, x->ints.count * sizeof *x->ints.values);
    } else {
      assert_int_equal(x->i, y->i);
    }
  }
}

static void compare_copies(const pith_tensor *a, const pith_tensor *b, const format_bytes *file) {
  assert_int_equal(a->copy_count, b->copy_count);
  for (uint32_t i = 0; i < a->copy_count; i++) {
    const pith_tensor_copy *x = &a->copies[i], *y = &b->copies[i];
    assert_int_equal(x->layout, y->layout);
    assert_int_equal(x->transposed, y->transposed);
    assert_int_equal(x->target_count, y->target_count);
    for (uint32_t t = 0; t < x->target_count; t++)
      assert_string_equal(x->targets[t], y->targets[t]);
    assert_int_equal(x->data_bytes, y->data_bytes);
    assert_memory_equal(x->data, y->data, (size_t)x->data_bytes);
    const uint8_t *data = y->data;
    assert_true(data >= file->bytes + 4096 && data + y->data_bytes <= file->bytes + file->size);
  }
}

static void compare_graphs(const pith_graph *a, const pith_graph *b, const format_bytes *file) {
  assert_string_equal(a->name, b->name);
  assert_int_equal(a->symbol_count, b->symbol_count);
  assert_int_equal(a->tensor_count, b->tensor_count);
  assert_int_equal(a->node_count, b->node_count);
  assert_int_equal(a->input_count, b->input_count);
  assert_int_equal(a->output_count, b->output_count);
  for (uint32_t i = 0; i < a->symbol_count; i++)
    assert_string_equal(a->symbols[i], b->symbols[i]);
  assert_memory_equal(a->inputs, b->inputs, a->input_count * sizeof *a->inputs);
  assert_memory_equal(a->outputs, b->outputs, a->output_count * sizeof *a->outputs);
  for (uint32_t i = 0; i < a->tensor_count; i++) {
    const pith_tensor *x = &a->tensors[i], *y = &b->tensors[i];
    assert_string_equal(x->name, y->name);
    assert_int_equal(x->kind, y->kind);
    assert_int_equal(x->dtype, y->dtype);
    assert_int_equal(x->layout, y->layout);
    assert_int_equal(x->producer, y->producer);
    compare_dims(x, y);
    assert_int_equal(x->data_bytes, y->data_bytes);
    compare_copies(x, y, file);
    if (x->data_bytes == 0)
      continue;
    assert_memory_equal(x->data, y->data, (size_t)x->data_bytes);
    const uint8_t *data = y->data; /* lies in the file: nothing was copied */
    assert_true(data >= file->bytes + 4096 && data + y->data_bytes <= file->bytes + file->size);
    assert_int_equal((uintptr_t)data % 64, 0);
  }
  for (uint32_t i = 0; i < a->node_count; i++)
    compare_nodes(&a->nodes[i], &b->nodes[i]);
}

#define COMPARE_ARRAY(a, b, array, count)                                                                  \
  do {                                                                                                     \
    assert_int_equal((a)->count, (b)->count);                                                              \
    assert_memory_equal((a)->array, (b)->array, (size_t)(a)->count * sizeof *(a)->array);                  \
    assert_true((const uint8_t *)(b)->array > file->bytes);                                                \
    assert_true((const uint8_t *)(b)->array < file->bytes + file->size);                                   \
    assert_int_equal((uintptr_t)(b)->array % _Alignof(__typeof__(*(a)->array)), 0);                        \
  } while (0)

static void compare_tokenizers(const pith_tokenizer_data *a, const pith_tokenizer_data *b, const format_bytes *file) {
  assert_int_equal(a->kind, b->kind);
  assert_int_equal(a->flags, b->flags);
  assert_int_equal(a->normalizer, b->normalizer);
  assert_int_equal(a->pre_tokenizer, b->pre_tokenizer);
  assert_int_equal(a->unk_id, b->unk_id);
  assert_int_equal(a->cls_id, b->cls_id);
  assert_int_equal(a->sep_id, b->sep_id);
  assert_int_equal(a->pad_id, b->pad_id);
  assert_int_equal(a->mask_id, b->mask_id);
  assert_int_equal(a->max_word_chars, b->max_word_chars);
  assert_string_equal(a->continuing_prefix, b->continuing_prefix);
  COMPARE_ARRAY(a, b, token_starts, token_start_count);
  COMPARE_ARRAY(a, b, token_lengths, token_count);
  COMPARE_ARRAY(a, b, token_text, token_text_bytes);
  COMPARE_ARRAY(a, b, index, index_count);
  COMPARE_ARRAY(a, b, merges, merge_word_count);
  COMPARE_ARRAY(a, b, added, added_count);
  COMPARE_ARRAY(a, b, added_text, added_text_bytes);
  COMPARE_ARRAY(a, b, single_template, single_count);
  COMPARE_ARRAY(a, b, pair_template, pair_count);
}

static void test_everything_comes_back(void **state) {
  (void)state;
  format_model model;
  format_model_init(&model, 2, 1);
  /* A value whose sign alone differs from the field's default. */
  for (uint32_t i = 0; i < model.data.graph->node_count; i++)
    if (model.data.graph->nodes[i].op->id == PITH_OP_PACKED_ATTENTION)
      ((pith_attribute *)(uintptr_t)pith_node_get_attribute(&model.data.graph->nodes[i], "scale"))->f = -0.0;
  format_bytes file = format_write_bytes(&model);
  pith_arena arena;
  pith_model_data back = read_bytes(&file, &arena);
  const pith_model_data *a = &model.data, *b = &back;
  compare_graphs(a->graph, b->graph, &file);
  assert_string_equal(a->architecture, b->architecture);
  assert_int_equal(a->task, b->task);
  assert_int_equal(a->label_count, b->label_count);
  for (uint32_t i = 0; i < a->label_count; i++)
    assert_string_equal(a->labels[i], b->labels[i]);
  assert_int_equal(a->max_length, b->max_length);
  assert_int_equal(a->hidden_size, b->hidden_size);
  assert_string_equal(a->config_json, b->config_json);
  assert_int_equal(a->history_count, b->history_count);
  for (uint32_t i = 0; i < a->history_count; i++) {
    assert_string_equal(a->history[i].step, b->history[i].step);
    assert_string_equal(a->history[i].version, b->history[i].version);
    assert_string_equal(a->history[i].json, b->history[i].json);
  }
  assert_int_equal(a->report_count, b->report_count);
  for (uint32_t i = 0; i < a->report_count; i++) {
    assert_string_equal(a->report[i].task, b->report[i].task);
    assert_string_equal(a->report[i].metric, b->report[i].metric);
    assert_true(a->report[i].value == b->report[i].value);
    assert_int_equal(a->report[i].samples, b->report[i].samples);
  }
  assert_non_null(b->tokenizer);
  compare_tokenizers(a->tokenizer, b->tokenizer, &file);
  pith_graph_destroy(back.graph);
  pith_arena_deinit(&arena);
  free(file.bytes);
  format_model_deinit(&model);
}

/* Read, written and read again: the same bytes, since nothing but the model decides them. */
static void test_same_model_same_bytes(void **state) {
  (void)state;
  format_model model, again;
  format_model_init(&model, 3, 7);
  format_model_init(&again, 3, 7);
  format_bytes first = format_write_bytes(&model), second = format_write_bytes(&again);
  assert_int_equal(first.size, second.size);
  assert_memory_equal(first.bytes, second.bytes, first.size);
  pith_arena arena;
  format_model third = {.data = read_bytes(&first, &arena)};
  format_bytes rewritten = format_write_bytes(&third);
  assert_int_equal(first.size, rewritten.size);
  assert_memory_equal(first.bytes, rewritten.bytes, first.size);
  pith_graph_destroy(third.data.graph);
  pith_arena_deinit(&arena);
  free(first.bytes), free(second.bytes), free(rewritten.bytes);
  format_model_init(&third, 3, 8); /* and other weights give other bytes */
  rewritten = format_write_bytes(&third);
  format_bytes original = format_write_bytes(&model);
  assert_int_equal(rewritten.size, original.size);
  assert_memory_not_equal(rewritten.bytes, original.bytes, original.size);
  free(rewritten.bytes), free(original.bytes);
  format_model_deinit(&third);
  format_model_deinit(&model);
  format_model_deinit(&again);
}

static void test_shape_of_the_file(void **state) {
  (void)state;
  format_model model;
  format_model_init(&model, 1, 1);
  format_bytes file = format_write_bytes(&model);
  assert_memory_equal(file.bytes + 8, "PITH", 4);
  pith_format_metadata metadata;
  assert_int_equal(pith_format_read_metadata(file.bytes, file.size, &metadata, NULL), PITH_OK);
  uint32_t prefix;
  memcpy(&prefix, file.bytes, 4);
  assert_int_equal(metadata.bytes, prefix + 4);
  assert_int_equal(metadata.base % 4096, 0);
  assert_true(metadata.base >= metadata.bytes && metadata.base < metadata.bytes + 4096);
  assert_true(metadata.segment_count > 20);
  uint64_t end = 0;
  for (uint32_t i = 0; i < metadata.segment_count; i++) {
    pith_format_segment segment;
    pith_format_get_segment(&metadata, i, &segment);
    assert_int_equal(segment.offset, (end + 63) / 64 * 64);
    uint8_t hash[PITH_SHA256_BYTES];
    pith_sha256_digest(file.bytes + metadata.base + segment.offset, (size_t)segment.bytes, hash);
    assert_memory_equal(hash, segment.hash, sizeof hash);
    end = segment.offset + segment.bytes;
  }
  assert_int_equal(file.size, metadata.base + (end + 63) / 64 * 64);
  free(file.bytes);
  format_model_deinit(&model);
}

/* The pages of the weights cannot be read while the model is: not one byte of them is. */
static void test_no_weight_byte_is_read(void **state) {
  (void)state;
  format_model model;
  format_model_init(&model, 2, 1);
  format_bytes file = format_write_bytes(&model);
  pith_format_metadata metadata;
  assert_int_equal(pith_format_read_metadata(file.bytes, file.size, &metadata, NULL), PITH_OK);
  uint8_t *pages = mmap(NULL, file.size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  assert_true(pages != MAP_FAILED);
  memcpy(pages, file.bytes, file.size);
  assert_int_equal(mprotect(pages + metadata.base, file.size - metadata.base, PROT_NONE), 0);
  format_bytes mapped = {pages, file.size};
  pith_arena arena;
  pith_model_data back = read_bytes(&mapped, &arena);
  assert_int_equal(back.graph->node_count, model.data.graph->node_count);
  pith_graph_destroy(back.graph);
  pith_arena_deinit(&arena);
  munmap(pages, file.size);
  free(file.bytes);
  format_model_deinit(&model);
}

/* No tokenizer, labels, history, report, configuration or weights. */
static void test_a_model_of_little(void **state) {
  (void)state;
  pith_graph *graph;
  pith_builder builder;
  assert_int_equal(pith_graph_create(NULL, "little", &graph, NULL), PITH_OK);
  pith_error error = {0};
  pith_builder_init(&builder, graph, &error);
  pith_dim dim = pith_dim_of(3);
  pith_tensor_id x = pith_build_input(&builder, "x", PITH_DTYPE_F32, 1, &dim);
  pith_build_output(&builder, pith_build_node(&builder, NULL, PITH_OP_RELU, 1, &x, 0, NULL), "y");
  if (pith_builder_finish(&builder) != PITH_OK)
    fail_msg("%s", error.message);
  format_model model = {.data = {.graph = graph}};
  format_bytes file = format_write_bytes(&model);
  assert_int_equal(file.size % 4096, 0);
  pith_arena arena;
  pith_model_data back = read_bytes(&file, &arena);
  compare_graphs(graph, back.graph, &file);
  assert_null(back.tokenizer);
  assert_int_equal(back.label_count, 0);
  assert_string_equal(back.architecture, "");
  assert_string_equal(back.config_json, "");
  assert_int_equal(pith_format_check_hashes(file.bytes, file.size, NULL, NULL), PITH_OK);
  pith_graph_destroy(back.graph);
  pith_graph_destroy(graph);
  pith_arena_deinit(&arena);
  free(file.bytes);
}

static void test_a_model_without_data_is_not_written(void **state) {
  (void)state;
  format_model model;
  format_folder folder;
  pith_error error = {0};
  format_model_init(&model, 1, 1);
  format_folder_create(&folder);
  pith_tensor_id words = pith_graph_find_tensor(model.data.graph, "embeddings.words");
  model.data.graph->tensors[words].data = NULL;
  assert_int_equal(pith_format_write(folder.file, &model.data, &error), PITH_INVALID_ARGUMENT);
  assert_non_null(strstr(error.message, "embeddings.words"));
  assert_int_equal(format_folder_count(&folder), 0);
  model.data.graph->node_count--; /* an output without a producer: not a graph */
  assert_int_not_equal(pith_format_write(folder.file, &model.data, &error), PITH_OK);
  assert_int_equal(format_folder_count(&folder), 0);
  model.data.graph->node_count++;
  format_folder_remove(&folder);
  format_model_deinit(&model);
}

/* What a watcher is told of one step. */
typedef struct told {
  const char *what;
  uint64_t calls, done, total;
} told;

static void see(void *context, const char *what, uint64_t done, uint64_t total) {
  told *steps = context;
  while (steps->what != NULL && strcmp(steps->what, what) != 0)
    steps++;
  if (steps->what == NULL)
    fail_msg("the watcher is told of '%s'", what);
  assert_true(done <= total && total > 0);
  assert_true(steps->calls == 0 || (done > steps->done && total == steps->total));
  *steps = (told){steps->what, steps->calls + 1, done, total};
}

/* A watched file is the same; every segment is told once in each step. */
static void test_a_watcher_is_told(void **state) {
  (void)state;
  format_model model;
  format_folder folder;
  pith_error error = {0};
  format_model_init(&model, 1, 1);
  format_folder_create(&folder);
  format_bytes file = format_write_bytes(&model);
  told steps[] = {{.what = "hash"}, {.what = "write"}, {.what = "verify"}, {0}};
  const pith_watcher watcher = {see, steps};
  assert_int_equal(pith_format_write_watched(folder.file, &model.data, &watcher, &error), PITH_OK);
  pith_mapped_file watched;
  assert_int_equal(pith_mapped_file_open(folder.file, &watched, &error), PITH_OK);
  assert_int_equal(watched.size, file.size);
  assert_memory_equal(watched.bytes, file.bytes, file.size);
  pith_mapped_file_close(&watched);
  assert_int_equal(pith_format_check_hashes(file.bytes, file.size, &watcher, &error), PITH_OK);
  assert_true(steps[0].calls > 1);
  assert_int_equal(steps[1].calls, steps[0].calls);
  assert_int_equal(steps[2].calls, steps[0].calls);
  assert_int_equal(steps[2].total, file.size);
  free(file.bytes);
  format_folder_remove(&folder);
  format_model_deinit(&model);
}

/* Every byte of a file is covered by a check. */
static void test_every_changed_byte_is_found(void **state) {
  (void)state;
  format_model model;
  pith_error error = {0};
  format_model_init(&model, 1, 1);
  format_bytes file = format_write_bytes(&model);
  assert_int_equal(pith_format_check_hashes(file.bytes, file.size, NULL, &error), PITH_OK);
  for (size_t i = 0; i < file.size; i++) {
    file.bytes[i] ^= (uint8_t)(1 << i % 8);
    error.message[0] = '\0';
    if (pith_format_check_hashes(file.bytes, file.size, NULL, &error) == PITH_OK)
      fail_msg("byte %zu of %zu", i, file.size);
    assert_true(error.message[0] != '\0');
    file.bytes[i] ^= (uint8_t)(1 << i % 8);
  }
  file.bytes[file.size - 64] ^= 1;
  assert_int_equal(pith_format_check_hashes(file.bytes, file.size, NULL, &error), PITH_FORMAT);
  assert_non_null(strstr(error.message, "'"));
  free(file.bytes);
  format_model_deinit(&model);
}

/* The zeros after a last segment that does not fill its 64 bytes. */
static void test_the_end_is_checked(void **state) {
  (void)state;
  _Alignas(64) static const float values[3] = {1, 2, 3};
  pith_graph *graph;
  pith_builder builder;
  pith_error error = {0};
  assert_int_equal(pith_graph_create(NULL, "end", &graph, NULL), PITH_OK);
  pith_builder_init(&builder, graph, &error);
  pith_dim dim = pith_dim_of(3);
  pith_tensor_id inputs[] = {pith_build_input(&builder, "x", PITH_DTYPE_F32, 1, &dim),
                             pith_build_data(&builder, PITH_TENSOR_CONSTANT, "c", PITH_DTYPE_F32, 1, (const int64_t[]){3},
                                             PITH_LAYOUT_ROW_MAJOR, values, sizeof values)};
  pith_build_output(&builder, pith_build_node(&builder, NULL, PITH_OP_ADD, 2, inputs, 0, NULL), "y");
  if (pith_builder_finish(&builder) != PITH_OK)
    fail_msg("%s", error.message);
  format_model model = {.data = {.graph = graph}};
  format_bytes file = format_write_bytes(&model);
  assert_int_equal(file.size % 4096, 64);
  assert_int_equal(pith_format_check_hashes(file.bytes, file.size, NULL, &error), PITH_OK);
  for (size_t i = file.size - 64; i < file.size; i++) {
    file.bytes[i] ^= 1;
    assert_int_equal(pith_format_check_hashes(file.bytes, file.size, NULL, &error), PITH_FORMAT);
    file.bytes[i] ^= 1;
  }
  free(file.bytes);
  pith_graph_destroy(graph);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_everything_comes_back),
      cmocka_unit_test(test_same_model_same_bytes),
      cmocka_unit_test(test_shape_of_the_file),
      cmocka_unit_test(test_no_weight_byte_is_read),
      cmocka_unit_test(test_a_model_of_little),
      cmocka_unit_test(test_a_model_without_data_is_not_written),
      cmocka_unit_test(test_every_changed_byte_is_found),
      cmocka_unit_test(test_the_end_is_checked),
      cmocka_unit_test(test_a_watcher_is_told),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
