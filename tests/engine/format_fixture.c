#include "tests/engine/format_fixture.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* ---- models ------------------------------------------------------------------------------------------- */

static const char *const labels[] = {"NEGATIVE", "neutral \xE2\x9C\x93", ""};
static const uint32_t token_starts[] = {0};
static const uint8_t token_lengths[PITH_TOKEN_BLOCK] = {5, 0, 4, 5};
static const char token_text[] = "[CLS]word##ing";
static const uint32_t index_words[] = {7, 0xFFFFFFFF, 3};
static const uint32_t merge_words[] = {1, 2, 3, 4};
static const pith_added_token added[] = {{0, 0, 5, PITH_ADDED_SPECIAL}, {3, 5, 2, PITH_ADDED_LSTRIP}};
static const char added_text[] = "[CLS]??";
static const pith_template_piece single_template[] = {{0, 0}, {PITH_TEMPLATE_A, 0}};
static const pith_template_piece pair_template[] = {{0, 0}, {PITH_TEMPLATE_A, 0}, {PITH_TEMPLATE_B, 1}};
static const pith_tokenizer_data tokenizer = {
    .kind = PITH_TOKENIZER_WORDPIECE,
    .flags = PITH_TOKENIZER_TRIM_OFFSETS,
    .normalizer = PITH_NORMALIZE_CLEAN | PITH_NORMALIZE_NFD << 4 | PITH_NORMALIZE_LOWERCASE << 8,
    .pre_tokenizer = PITH_PRE_TOKENIZE_BERT,
    .unk_id = 1,
    .cls_id = 0,
    .sep_id = -1,
    .pad_id = 2,
    .mask_id = 3,
    .max_word_chars = 100,
    .continuing_prefix = "##",
    .token_count = 4,
    .token_start_count = 1,
    .token_starts = token_starts,
    .token_lengths = token_lengths,
    .token_text = token_text,
    .token_text_bytes = sizeof token_text - 1,
    .index_count = 3,
    .index = index_words,
    .merge_word_count = 4,
    .merges = merge_words,
    .added_count = 2,
    .added = added,
    .added_text = added_text,
    .added_text_bytes = sizeof added_text - 1,
    .single_count = 2,
    .pair_count = 3,
    .single_template = single_template,
    .pair_template = pair_template,
};
static const pith_history_entry history[] = {{"import", "0.1.0", "{\"source\":\"x\"}"}, {"prune", "0.1.0", "{}"}};
static const pith_report_entry report[] = {{"sst2", "accuracy", 0.891, 872}, {"stsb", "spearman", -0.0, 0}};

static void fill(format_model *model, uint32_t seed) {
  pith_graph *graph = model->data.graph;
  for (uint32_t i = 0; i < graph->tensor_count; i++) {
    pith_tensor *tensor = &graph->tensors[i];
    if (!pith_tensor_is_data(tensor))
      continue;
    size_t bytes = (size_t)tensor->data_bytes;
    uint8_t *data = pith_arena_array(&model->arena, bytes + 64, 1); /* at least 64: aligned to 64 */
    assert_non_null(data);
    for (size_t b = 0; b < bytes; b++) {
      seed = seed * 1664525 + 1013904223;
      data[b] = (uint8_t)(seed >> 24);
    }
    pith_graph_set_data(graph, i, data, bytes);
  }
}

/* Two packed copies of the first row-major matrix. */
static void add_copies(format_model *model) {
  static const char *const both[] = {"avx2", "a target of later days"}, *const any[] = {PITH_TARGET_ANY};
  pith_graph *graph = model->data.graph;
  uint32_t i = 0;
  while (graph->tensors[i].data_bytes == 0 || graph->tensors[i].rank != 2 ||
         graph->tensors[i].layout != PITH_LAYOUT_ROW_MAJOR)
    assert_true(++i < graph->tensor_count);
  pith_tensor *tensor = &graph->tensors[i];
  pith_tensor_copy *copies = PITH_ARENA_NEW(&model->arena, pith_tensor_copy, 2);
  assert_non_null(copies);
  for (int c = 0; c < 2; c++) {
    const pith_dim dims[2] = {tensor->dims[c], tensor->dims[1 - c]};
    uint64_t bytes;
    assert_int_equal(pith_layout_get_bytes(PITH_LAYOUT_N64_F32, tensor->dtype, 2, dims, &bytes, NULL), PITH_OK);
    uint8_t *data = pith_arena_array(&model->arena, (size_t)bytes + 64, 1);
    assert_non_null(data);
    memset(data, 0x3C + c, (size_t)bytes);
    copies[c] = (pith_tensor_copy){.layout = PITH_LAYOUT_N64_F32,
                                   .transposed = c == 1,
                                   .target_count = c == 0 ? 2 : 1,
                                   .targets = c == 0 ? both : any,
                                   .data = data,
                                   .data_bytes = bytes};
  }
  tensor->copies = copies;
  tensor->copy_count = 2;
}

void format_model_init(format_model *model, int layers, uint32_t seed) {
  pith_error error = {0};
  *model = (format_model){0};
  pith_arena_init(&model->arena, NULL);
  model->data = (pith_model_data){
      .graph = fixture_build_bert(NULL, layers, &error),
      .architecture = "bert",
      .task = PITH_TASK_CLASSIFICATION,
      .label_count = sizeof labels / sizeof *labels,
      .labels = labels,
      .max_length = 20,
      .hidden_size = 8,
      .tokenizer = &tokenizer,
      .config_json = "{\"model_type\": \"bert\"}",
      .history_count = 2,
      .report_count = 2,
      .history = history,
      .report = report,
  };
  if (model->data.graph == NULL)
    fail_msg("%s", error.message);
  fill(model, seed);
  add_copies(model);
}

void format_model_init_large(format_model *model, int64_t rows) {
  pith_error error = {0};
  *model = (format_model){0};
  pith_arena_init(&model->arena, NULL);
  pith_graph *graph;
  assert_int_equal(pith_graph_create(NULL, "large", &graph, &error), PITH_OK);
  pith_builder builder;
  pith_builder_init(&builder, graph, &error);
  pith_dim tokens = pith_build_dim(&builder, "tokens", 1, 0);
  pith_tensor_id inputs[] = {
      pith_build_data(&builder, PITH_TENSOR_PARAMETER, "table", PITH_DTYPE_F32, 2, (const int64_t[]){rows, 256},
                      PITH_LAYOUT_ROW_MAJOR, NULL, 0),
      pith_build_input(&builder, "ids", PITH_DTYPE_S32, 1, &tokens),
  };
  pith_build_output(&builder, pith_build_node(&builder, "gather", PITH_OP_GATHER, 2, inputs, 0, NULL), "rows");
  if (pith_builder_finish(&builder) != PITH_OK)
    fail_msg("%s", error.message);
  model->data = (pith_model_data){.graph = graph, .architecture = "", .task = PITH_TASK_EMBEDDING, .config_json = ""};
  fill(model, 1);
}

void format_model_deinit(format_model *model) {
  pith_graph_destroy(model->data.graph);
  pith_arena_deinit(&model->arena);
}

/* ---- folders and files -------------------------------------------------------------------------------- */

void format_folder_create(format_folder *folder) {
  const char *base = getenv("TMPDIR");
  snprintf(folder->path, sizeof folder->path, "%.40s/pith-format-XXXXXX", base == NULL ? "/tmp" : base);
  assert_non_null(mkdtemp(folder->path));
  snprintf(folder->file, sizeof folder->file, "%s/model.pith", folder->path);
}

static int each_entry(const format_folder *folder, bool remove) {
  DIR *directory = opendir(folder->path);
  assert_non_null(directory);
  int count = 0;
  for (struct dirent *entry; (entry = readdir(directory)) != NULL;) {
    if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
      continue;
    count++;
    if (remove)
      unlinkat(dirfd(directory), entry->d_name, 0);
  }
  closedir(directory);
  return count;
}

int format_folder_count(const format_folder *folder) {
  return each_entry(folder, false);
}

void format_folder_remove(format_folder *folder) {
  each_entry(folder, true);
  assert_int_equal(rmdir(folder->path), 0);
}

format_bytes format_copy(const void *bytes, size_t size) {
  format_bytes copy = {NULL, size};
  void *memory = NULL;
  assert_int_equal(posix_memalign(&memory, 64, size == 0 ? 1 : size), 0);
  copy.bytes = memory;
  if (bytes != NULL)
    memcpy(copy.bytes, bytes, size);
  return copy;
}

format_bytes format_read_file(const char *path) {
  FILE *file = fopen(path, "rb");
  assert_non_null(file);
  assert_int_equal(fseek(file, 0, SEEK_END), 0);
  format_bytes result = format_copy(NULL, (size_t)ftell(file));
  rewind(file);
  assert_int_equal(fread(result.bytes, 1, result.size, file), result.size);
  fclose(file);
  return result;
}

format_bytes format_write_bytes(const format_model *model) {
  format_folder folder;
  pith_error error = {0};
  format_folder_create(&folder);
  if (pith_format_write(folder.file, &model->data, &error) != PITH_OK)
    fail_msg("%s", error.message);
  format_bytes result = format_read_file(folder.file);
  format_folder_remove(&folder);
  return result;
}

void format_write_raw(const char *path, const void *bytes, size_t size) {
  FILE *file = fopen(path, "wb");
  assert_non_null(file);
  assert_int_equal(fwrite(bytes, 1, size, file), size);
  assert_int_equal(fclose(file), 0);
}
