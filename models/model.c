/* Opening a model, and what it says of itself. */
#include "engine/base/mapped_file.h"
#include "engine/exec/exits.h"
#include "engine/exec/model.h"
#include "engine/format/format.h"
#include "models/tokenizer/index.h"

#include <stdint.h>
#include <stddef.h>
#include <string.h>

/* A field is the caller's where it lies inside the size that the caller gave. */
#define HAS_FIELD(pointer, field)                                                                          \
  ((pointer)->struct_size >= offsetof(__typeof__(*(pointer)), field) + sizeof((pointer)->field))

static pith_status read_options(const pith_model_options *options, pith_allocator *out_allocator,
                                pith_error *error) {
  *out_allocator = pith_default_allocator;
  if (options == NULL)
    return PITH_OK;
  if (options->struct_size < sizeof options->struct_size)
    return pith_fail(error, PITH_INVALID_ARGUMENT, "pith_model_options.struct_size is %zu: set it to the size "
                     "of the structure", options->struct_size);
  if (!HAS_FIELD(options, allocator) || options->allocator == NULL)
    return PITH_OK;
  if (options->allocator->allocate == NULL || options->allocator->release == NULL)
    return pith_fail(error, PITH_INVALID_ARGUMENT, "pith_model_options.allocator lacks a function");
  *out_allocator = *options->allocator;
  return PITH_OK;
}

/* Takes over a mapped file only when it succeeds. */
static pith_status open_bytes(const void *bytes, size_t size, bool mapped, const pith_allocator *allocator,
                              pith_model **out_model, pith_error *error) {
  pith_model *model = pith_allocate(allocator, sizeof *model);
  if (model == NULL)
    return pith_fail(error, PITH_OUT_OF_MEMORY, "out of memory while opening the model");
  *model = (pith_model){.allocator = *allocator, .bytes = bytes, .size = size};
  pith_arena_init(&model->arena, &model->allocator);
  pith_status status = pith_format_read(bytes, size, &model->allocator, &model->arena, &model->data, error);
  if (status == PITH_OK && model->data.tokenizer != NULL)
    status = pith_tokenizer_data_verify(model->data.tokenizer, error);
  if (status != PITH_OK) {
    pith_model_close(model);
    return status;
  }
  model->mapped = mapped;
  *out_model = model;
  return PITH_OK;
}

/* Puts the path before a message; of a long path its end. */
static pith_status name_path(const char *path, pith_status status, pith_error *error) {
  if (error == NULL)
    return status;
  enum { PATH_SHOWN = 160 };
  pith_error inner = *error;
  size_t length = strlen(path);
  bool cut = length > PATH_SHOWN;
  return pith_fail(error, status, "%s%s: %s", cut ? "..." : "", cut ? path + length - PATH_SHOWN : path,
                   inner.message);
}

pith_status pith_model_open(const char *path, const pith_model_options *options, pith_model **out_model,
                            pith_error *error) {
  if (out_model == NULL || path == NULL)
    return pith_fail(error, PITH_INVALID_ARGUMENT, "pith_model_open: %s is NULL", path == NULL ? "path" : "out_model");
  *out_model = NULL;
  pith_allocator allocator;
  PITH_TRY(read_options(options, &allocator, error));
  pith_mapped_file file;
  PITH_TRY(pith_mapped_file_open(path, &file, error));
  pith_status status = open_bytes(file.bytes, file.size, true, &allocator, out_model, error);
  if (status == PITH_OK)
    return PITH_OK;
  pith_mapped_file_close(&file);
  return name_path(path, status, error);
}

pith_status pith_model_open_memory(const void *bytes, size_t size, const pith_model_options *options,
                                   pith_model **out_model, pith_error *error) {
  if (out_model == NULL || bytes == NULL)
    return pith_fail(error, PITH_INVALID_ARGUMENT, "pith_model_open_memory: %s is NULL",
                     bytes == NULL ? "bytes" : "out_model");
  *out_model = NULL;
  if ((uintptr_t)bytes % 64 != 0)
    return pith_fail(error, PITH_INVALID_ARGUMENT, "pith_model_open_memory: bytes at %p are not aligned to 64",
                     bytes);
  pith_allocator allocator;
  PITH_TRY(read_options(options, &allocator, error));
  return open_bytes(bytes, size, false, &allocator, out_model, error);
}

void pith_model_close(pith_model *model) {
  if (model == NULL)
    return;
  pith_allocator allocator = model->allocator;
  pith_graph_destroy(model->data.graph);
  pith_arena_deinit(&model->arena);
  if (model->mapped) {
    pith_mapped_file file = {model->bytes, model->size};
    pith_mapped_file_close(&file);
  }
  pith_release(&allocator, model, sizeof *model);
}

/* Verification saw to it that no product overflows. */
static uint64_t count_parameters(const pith_graph *graph) {
  uint64_t total = 0;
  for (uint32_t i = 0; i < graph->tensor_count; i++) {
    const pith_tensor *tensor = &graph->tensors[i];
    if (tensor->kind != PITH_TENSOR_PARAMETER)
      continue;
    uint64_t count = 1;
    for (uint32_t d = 0; d < tensor->rank; d++)
      count *= (uint64_t)tensor->dims[d].constant;
    total += count;
  }
  return total;
}

static size_t embedding_size(const pith_model_data *data) {
  if (data->task != PITH_TASK_EMBEDDING || data->graph->output_count == 0)
    return 0;
  const pith_tensor *output = &data->graph->tensors[data->graph->outputs[0]];
  if (output->rank == 0 || !pith_dim_is_constant(&output->dims[output->rank - 1]))
    return 0;
  return (size_t)output->dims[output->rank - 1].constant;
}

pith_status pith_model_get_info(const pith_model *model, pith_model_info *out_info, pith_error *error) {
  if (model == NULL || out_info == NULL)
    return pith_fail(error, PITH_INVALID_ARGUMENT, "pith_model_get_info: %s is NULL",
                     model == NULL ? "model" : "out_info");
  size_t size = out_info->struct_size;
  if (size < sizeof out_info->struct_size)
    return pith_fail(error, PITH_INVALID_ARGUMENT, "pith_model_info.struct_size is %zu: set it to the size of "
                     "the structure", size);
  const pith_model_data *data = &model->data;
  pith_model_info info = {
      .struct_size = size,
      .architecture = data->architecture,
      .task = data->task,
      .label_count = data->label_count,
      .labels = data->labels,
      .embedding_size = embedding_size(data),
      .max_length = data->max_length,
      .hidden_size = data->hidden_size,
      .parameter_count = count_parameters(data->graph),
      .file_bytes = model->size,
      .has_tokenizer = data->tokenizer != NULL,
      .exit_count = pith_exits_count(data->graph),
  };
  /* A newer caller's fields, which this library does not know, read as zero. */
  if (size > sizeof info)
    memset((char *)out_info + sizeof info, 0, size - sizeof info);
  memcpy(out_info, &info, size < sizeof info ? size : sizeof info);
  return PITH_OK;
}

static pith_status check_encoding(const pith_encoding *encoding, pith_error *error) {
  if (HAS_FIELD(encoding, count))
    return PITH_OK;
  return pith_fail(error, PITH_INVALID_ARGUMENT, "pith_encoding.struct_size is %zu: at least %zu are needed",
                   encoding->struct_size, offsetof(pith_encoding, count) + sizeof encoding->count);
}

pith_status pith_encode(const pith_model *model, const char *text, size_t text_bytes, const char *pair,
                        size_t pair_bytes, size_t max_length, pith_encoding *encoding, pith_error *error) {
  if (model == NULL || text == NULL || encoding == NULL)
    return pith_fail(error, PITH_INVALID_ARGUMENT, "pith_encode: %s is NULL",
                     model == NULL ? "model" : text == NULL ? "text" : "encoding");
  PITH_TRY(check_encoding(encoding, error));
  if (model->data.tokenizer == NULL)
    return pith_fail(error, PITH_UNSUPPORTED, "the model carries no tokenizer");
  if (text_bytes == SIZE_MAX)
    text_bytes = strlen(text);
  if (pair == NULL)
    pair_bytes = 0;
  else if (pair_bytes == SIZE_MAX)
    pair_bytes = strlen(pair);
  return pith_tokenizer_encode(model->data.tokenizer, text, text_bytes, pair, pair_bytes, max_length, encoding,
                               error);
}

pith_status pith_encode_batch(const pith_model *model, struct pthreadpool *threadpool, const char *const *texts,
                              const char *const *pairs, size_t n, size_t max_length, pith_encoding *encodings,
                              pith_status *out_statuses, pith_error *error) {
  if (model == NULL || (n != 0 && (texts == NULL || encodings == NULL)))
    return pith_fail(error, PITH_INVALID_ARGUMENT, "pith_encode_batch: %s is NULL",
                     model == NULL ? "model" : texts == NULL ? "texts" : "encodings");
  if (n != 0)
    PITH_TRY(check_encoding(encodings, error));
  if (model->data.tokenizer == NULL)
    return pith_fail(error, PITH_UNSUPPORTED, "the model carries no tokenizer");
  return pith_tokenizer_encode_batch(model->data.tokenizer, threadpool, texts, pairs, n, max_length, encodings,
                                     out_statuses, error);
}

const char *pith_token_text(const pith_model *model, int32_t id, size_t *out_bytes) {
  const pith_tokenizer_data *tokenizer = model == NULL ? NULL : model->data.tokenizer;
  if (out_bytes != NULL)
    *out_bytes = 0;
  if (tokenizer == NULL || id < 0 || (uint32_t)id >= tokenizer->token_count)
    return NULL;
  uint32_t bytes;
  const char *text = pith_tokenizer_text(tokenizer, (uint32_t)id, &bytes);
  if (bytes == 0)
    return NULL;
  if (out_bytes != NULL)
    *out_bytes = bytes;
  return text;
}

size_t pith_token_decode(const pith_model *model, int32_t id, size_t capacity, char *out_text) {
  size_t bytes;
  const char *text = pith_token_text(model, id, &bytes);
  return text == NULL ? 0 : pith_tokenizer_decode(model->data.tokenizer, id, text, bytes, capacity, out_text);
}
