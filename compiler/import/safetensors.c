#include "compiler/import/safetensors.h"

#include <limits.h>
#include <stdlib.h>

#include "compiler/import/json.h"

enum { MAX_HEADER_BYTES = 100000000, MAX_SHARDS = 4096 };

/* The format's dtypes that Pith knows. */
static const struct {
  const char *name;
  pith_dtype dtype;
} dtypes[] = {
    {"F64", PITH_DTYPE_F64},   {"F32", PITH_DTYPE_F32}, {"F16", PITH_DTYPE_F16},
    {"BF16", PITH_DTYPE_BF16}, {"I64", PITH_DTYPE_S64}, {"I32", PITH_DTYPE_S32},
    {"I8", PITH_DTYPE_S8},     {"U8", PITH_DTYPE_U8},   {"BOOL", PITH_DTYPE_BOOL},
};

static uint64_t read_u64(const unsigned char *bytes) {
  uint64_t value = 0;
  for (int i = 7; i >= 0; i--)
    value = value << 8 | bytes[i];
  return value;
}

static pith_status parse_dtype(const cJSON *item, pith_safetensor *tensor, pith_error *error) {
  if (!cJSON_IsString(item))
    return pith_fail(error, PITH_FORMAT, "%s: tensor '%s': no dtype", tensor->file, tensor->name);
  for (size_t i = 0; i < sizeof dtypes / sizeof *dtypes; i++)
    if (strcmp(dtypes[i].name, item->valuestring) == 0) {
      tensor->dtype = dtypes[i].dtype;
      return PITH_OK;
    }
  return pith_fail(error, PITH_UNSUPPORTED, "%s: tensor '%s': dtype '%.40s' is not supported",
                   tensor->file, tensor->name, item->valuestring);
}

static pith_status parse_shape(const cJSON *shape, pith_safetensor *tensor, pith_error *error) {
  if (!cJSON_IsArray(shape))
    return pith_fail(error, PITH_FORMAT, "%s: tensor '%s': no shape", tensor->file, tensor->name);
  tensor->count = 1;
  const cJSON *item;
  cJSON_ArrayForEach(item, shape) {
    if (tensor->rank == PITH_MAX_RANK)
      return pith_fail(error, PITH_LIMIT, "%s: tensor '%s': rank over %d", tensor->file,
                       tensor->name, PITH_MAX_RANK);
    int64_t dim;
    if (!pith_json_get_int(item, 0, INT64_MAX, &dim) ||
        __builtin_mul_overflow(tensor->count, (uint64_t)dim, &tensor->count))
      return pith_fail(
          error, PITH_FORMAT,
          "%s: tensor '%s': dimension %u of its shape is no integer, negative or too large",
          tensor->file, tensor->name, tensor->rank);
    tensor->dims[tensor->rank++] = dim;
  }
  return PITH_OK;
}

static pith_status parse_offsets(const cJSON *offsets, const unsigned char *data,
                                 uint64_t data_bytes, pith_safetensor *tensor, pith_error *error) {
  int64_t begin, end;
  if (!cJSON_IsArray(offsets) || cJSON_GetArraySize(offsets) != 2 ||
      !pith_json_get_int(offsets->child, 0, INT64_MAX, &begin) ||
      !pith_json_get_int(offsets->child->next, 0, INT64_MAX, &end))
    return pith_fail(error, PITH_FORMAT, "%s: tensor '%s': data_offsets are not two offsets",
                     tensor->file, tensor->name);
  if (begin > end || (uint64_t)end > data_bytes)
    return pith_fail(
        error, PITH_FORMAT,
        "%s: tensor '%s': data_offsets [%lld, %lld] do not lie in the %llu bytes of data",
        tensor->file, tensor->name, (long long)begin, (long long)end,
        (unsigned long long)data_bytes);
  tensor->begin = (uint64_t)begin;
  tensor->data_bytes = (uint64_t)(end - begin);
  tensor->data = data + begin;
  uint64_t bytes;
  if (__builtin_mul_overflow(tensor->count, (uint64_t)pith_dtype_get_info(tensor->dtype)->bits / 8,
                             &bytes) ||
      bytes != tensor->data_bytes)
    return pith_fail(error, PITH_FORMAT,
                     "%s: tensor '%s': %llu bytes of data for %llu elements of dtype %s",
                     tensor->file, tensor->name, (unsigned long long)tensor->data_bytes,
                     (unsigned long long)tensor->count, pith_dtype_get_info(tensor->dtype)->name);
  return PITH_OK;
}

static pith_status parse_tensor(const cJSON *item, const unsigned char *data, uint64_t data_bytes,
                                pith_safetensor *tensor, pith_error *error) {
  const cJSON *dtype = NULL, *shape = NULL, *offsets = NULL, *field;
  if (!cJSON_IsObject(item))
    return pith_fail(error, PITH_FORMAT, "%s: tensor '%s' is not described by an object",
                     tensor->file, tensor->name);
  cJSON_ArrayForEach(field, item) {
    const cJSON **slot = strcmp(field->string, "dtype") == 0          ? &dtype
                         : strcmp(field->string, "shape") == 0        ? &shape
                         : strcmp(field->string, "data_offsets") == 0 ? &offsets
                                                                      : NULL;
    if (slot == NULL || *slot != NULL)
      return pith_fail(error, PITH_FORMAT,
                       "%s: tensor '%s': key '%.40s' is unknown or stands twice", tensor->file,
                       tensor->name, field->string);
    *slot = field;
  }
  PITH_TRY(parse_dtype(dtype, tensor, error));
  PITH_TRY(parse_shape(shape, tensor, error));
  return parse_offsets(offsets, data, data_bytes, tensor, error);
}

static int compare_names(const void *a, const void *b) {
  return strcmp(((const pith_safetensor *)a)->name, ((const pith_safetensor *)b)->name);
}

static int compare_begins(const void *a, const void *b) {
  const pith_safetensor *x = a, *y = b;
  if (x->begin != y->begin)
    return x->begin < y->begin ? -1 : 1;
  /* Tensors of no bytes come before the one that begins where they do. */
  return (x->data_bytes > y->data_bytes) - (x->data_bytes < y->data_bytes);
}

/* Tensors fill the data: each begins where the one before it ends. */
static pith_status check_coverage(pith_safetensor *tensors, size_t count, uint64_t data_bytes,
                                  const char *file, pith_error *error) {
  qsort(tensors, count, sizeof *tensors, compare_begins);
  uint64_t end = 0;
  for (size_t i = 0; i < count; i++) {
    if (tensors[i].begin != end)
      return pith_fail(
          error, PITH_FORMAT, "%s: tensor '%s' begins at byte %llu of the data, %s byte %llu", file,
          tensors[i].name, (unsigned long long)tensors[i].begin,
          tensors[i].begin < end ? "overlapping another that ends at" : "leaving a gap from",
          (unsigned long long)end);
    end = tensors[i].begin + tensors[i].data_bytes;
  }
  if (end != data_bytes)
    return pith_fail(error, PITH_FORMAT, "%s: tensors end at byte %llu of %llu bytes of data", file,
                     (unsigned long long)end, (unsigned long long)data_bytes);
  return PITH_OK;
}

static pith_status sort_by_name(pith_safetensor *tensors, size_t count, pith_error *error) {
  qsort(tensors, count, sizeof *tensors, compare_names);
  for (size_t i = 1; i < count; i++)
    if (strcmp(tensors[i - 1].name, tensors[i].name) == 0)
      return pith_fail(error, PITH_FORMAT, "%s: tensor '%s' stands twice", tensors[i].file,
                       tensors[i].name);
  return PITH_OK;
}

/* The tensors that a header describes, in `arena`. */
static pith_status parse_header(const cJSON *header, const unsigned char *data, uint64_t data_bytes,
                                const char *file, pith_arena *arena, pith_safetensor **out_tensors,
                                size_t *out_count, pith_error *error) {
  if (!cJSON_IsObject(header))
    return pith_fail(error, PITH_FORMAT, "%s: the header is not an object", file);
  size_t capacity = (size_t)cJSON_GetArraySize(header), count = 0;
  pith_safetensor *tensors = PITH_ARENA_NEW(arena, pith_safetensor, capacity);
  if (tensors == NULL)
    return pith_fail(error, PITH_OUT_OF_MEMORY, "%s: no memory for %zu tensors", file, capacity);
  const cJSON *item;
  cJSON_ArrayForEach(item, header) {
    if (strcmp(item->string, "__metadata__") == 0) {
      if (!cJSON_IsObject(item))
        return pith_fail(error, PITH_FORMAT, "%s: __metadata__ is not an object", file);
      continue;
    }
    pith_safetensor *tensor = &tensors[count++];
    tensor->file = file;
    tensor->name = pith_arena_string(arena, item->string, strlen(item->string));
    if (tensor->name == NULL)
      return pith_fail(error, PITH_OUT_OF_MEMORY, "%s: no memory for a name", file);
    PITH_TRY(parse_tensor(item, data, data_bytes, tensor, error));
  }
  PITH_TRY(check_coverage(tensors, count, data_bytes, file, error));
  *out_tensors = tensors;
  *out_count = count;
  return PITH_OK;
}

static pith_status parse_bytes(const void *bytes, size_t size, const char *file, pith_arena *arena,
                               pith_safetensor **out_tensors, size_t *out_count,
                               pith_error *error) {
  const unsigned char *begin = bytes;
  if (size < 8)
    return pith_fail(error, PITH_FORMAT, "%s: %zu bytes, a safetensors file has at least 8", file,
                     size);
  uint64_t header_bytes = read_u64(begin);
  if (header_bytes > MAX_HEADER_BYTES || header_bytes > size - 8)
    return pith_fail(error, PITH_FORMAT, "%s: a header of %llu bytes in a file of %zu (at most %d)",
                     file, (unsigned long long)header_bytes, size, MAX_HEADER_BYTES);
  cJSON *header;
  PITH_TRY(pith_json_parse(begin + 8, (size_t)header_bytes, file, &header, error));
  uint64_t data_bytes = size - 8 - header_bytes;
  pith_status status = parse_header(header, begin + 8 + header_bytes, data_bytes, file, arena,
                                    out_tensors, out_count, error);
  cJSON_Delete(header);
  return status;
}

pith_status pith_safetensors_parse(const void *bytes, size_t size, const char *file,
                                   const pith_allocator *allocator, pith_safetensors *out_tensors,
                                   pith_error *error) {
  pith_safetensors tensors = {.file_count = 0};
  pith_arena_init(&tensors.arena, allocator);
  pith_status status =
      parse_bytes(bytes, size, file, &tensors.arena, &tensors.tensors, &tensors.count, error);
  if (status == PITH_OK)
    status = sort_by_name(tensors.tensors, tensors.count, error);
  if (status != PITH_OK) {
    pith_safetensors_close(&tensors);
    return status;
  }
  *out_tensors = tensors;
  return PITH_OK;
}

void pith_safetensors_close(pith_safetensors *tensors) {
  for (size_t i = 0; i < tensors->file_count; i++)
    pith_mapped_file_close(&tensors->files[i]);
  pith_arena_deinit(&tensors->arena);
  *tensors = (pith_safetensors){.file_count = 0};
}

/* Maps `count` files and joins their tensors. */
static pith_status open_files(pith_safetensors *tensors, const char *directory,
                              const char *const *names, size_t count, pith_error *error) {
  pith_arena *arena = &tensors->arena;
  tensors->files = PITH_ARENA_NEW(arena, pith_mapped_file, count);
  pith_safetensor **parts = PITH_ARENA_NEW(arena, pith_safetensor *, count);
  size_t *counts = PITH_ARENA_NEW(arena, size_t, count);
  if (tensors->files == NULL || parts == NULL || counts == NULL)
    return pith_fail(error, PITH_OUT_OF_MEMORY, "%s: no memory for %zu files", directory, count);
  tensors->file_count = count; /* those that are not open yet are all zero, which closing accepts */
  for (size_t i = 0; i < count; i++) {
    char path[PATH_MAX];
    if (!pith_path_join(directory, names[i], sizeof path, path))
      return pith_fail(error, PITH_IO, "%s/%s: missing", directory, names[i]);
    PITH_TRY(pith_mapped_file_open(path, &tensors->files[i], error));
    PITH_TRY(parse_bytes(tensors->files[i].bytes, tensors->files[i].size, names[i], arena,
                         &parts[i], &counts[i], error));
    tensors->count += counts[i];
  }
  tensors->tensors = PITH_ARENA_NEW(arena, pith_safetensor, tensors->count);
  if (tensors->tensors == NULL)
    return pith_fail(error, PITH_OUT_OF_MEMORY, "%s: no memory for %zu tensors", directory,
                     tensors->count);
  for (size_t i = 0, at = 0; i < count; at += counts[i++])
    memcpy(tensors->tensors + at, parts[i], counts[i] * sizeof **parts);
  return sort_by_name(tensors->tensors, tensors->count, error);
}

static int compare_strings(const void *a, const void *b) {
  return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* The distinct files of an index's weight_map, in ascending order; each a plain name. */
static pith_status list_shards(const cJSON *map, pith_arena *arena, const char ***out_names,
                               size_t *out_count, pith_error *error) {
  if (!cJSON_IsObject(map) || map->child == NULL)
    return pith_fail(error, PITH_FORMAT, "model.safetensors.index.json: no weight_map");
  size_t count = 0, distinct = 0;
  const char **names = PITH_ARENA_NEW(arena, const char *, (size_t)cJSON_GetArraySize(map));
  if (names == NULL)
    return pith_fail(error, PITH_OUT_OF_MEMORY,
                     "model.safetensors.index.json: no memory for its names");
  const cJSON *item;
  cJSON_ArrayForEach(item, map) {
    if (!cJSON_IsString(item) || item->valuestring[0] == '\0' || item->valuestring[0] == '.' ||
        strchr(item->valuestring, '/') != NULL)
      return pith_fail(
          error, PITH_FORMAT,
          "model.safetensors.index.json: tensor '%.100s' is not in a file of this directory",
          item->string);
    names[count++] = item->valuestring;
  }
  qsort(names, count, sizeof *names, compare_strings);
  for (size_t i = 0; i < count; i++) {
    if (distinct != 0 && strcmp(names[distinct - 1], names[i]) == 0)
      continue;
    names[distinct] = pith_arena_string(arena, names[i], strlen(names[i]));
    if (names[distinct++] == NULL)
      return pith_fail(error, PITH_OUT_OF_MEMORY,
                       "model.safetensors.index.json: no memory for its names");
  }
  if (distinct > MAX_SHARDS)
    return pith_fail(error, PITH_LIMIT, "model.safetensors.index.json: %zu files, over %d",
                     distinct, MAX_SHARDS);
  *out_names = names;
  *out_count = distinct;
  return PITH_OK;
}

static pith_status open_shards(pith_safetensors *tensors, const char *directory, const cJSON *index,
                               pith_error *error) {
  const cJSON *map = cJSON_GetObjectItemCaseSensitive(index, "weight_map");
  const char **names = NULL;
  size_t count = 0;
  PITH_TRY(list_shards(map, &tensors->arena, &names, &count, error));
  PITH_TRY(open_files(tensors, directory, names, count, error));
  const cJSON *item;
  cJSON_ArrayForEach(item, map) {
    const pith_safetensor *tensor = pith_safetensors_find(tensors, item->string);
    if (tensor == NULL || strcmp(tensor->file, item->valuestring) != 0)
      return pith_fail(error, PITH_FORMAT,
                       "%s: tensor '%.100s' of model.safetensors.index.json is not in it",
                       item->valuestring, item->string);
  }
  return PITH_OK;
}

pith_status pith_safetensors_open(const char *directory, const pith_allocator *allocator,
                                  pith_safetensors *out_tensors, pith_error *error) {
  static const char *const single[1] = {"model.safetensors"};
  char path[PATH_MAX];
  pith_safetensors tensors = {.file_count = 0};
  pith_arena_init(&tensors.arena, allocator);
  pith_status status;
  if (pith_path_join(directory, single[0], sizeof path, path)) {
    status = open_files(&tensors, directory, single, 1, error);
  } else if (pith_path_join(directory, "model.safetensors.index.json", sizeof path, path)) {
    cJSON *index;
    status = pith_json_open(path, &index, error);
    if (status == PITH_OK) {
      status = open_shards(&tensors, directory, index, error);
      cJSON_Delete(index);
    }
  } else {
    status = pith_fail(error, PITH_IO,
                       "%s: neither model.safetensors nor model.safetensors.index.json", directory);
  }
  if (status != PITH_OK) {
    pith_safetensors_close(&tensors);
    return status;
  }
  *out_tensors = tensors;
  return PITH_OK;
}

const pith_safetensor *pith_safetensors_find(const pith_safetensors *tensors, const char *name) {
  pith_safetensor key = {.name = name};
  return tensors->count == 0
             ? NULL
             : bsearch(&key, tensors->tensors, tensors->count, sizeof key, compare_names);
}
