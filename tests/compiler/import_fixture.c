#include "tests/compiler/import_fixture.h"

#include <dirent.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "engine/format/format.h"

folder folder_make(void) {
  folder folder;
  const char *parent = getenv("TMPDIR");
  snprintf(folder.path, sizeof folder.path, "%s/pith-XXXXXX", parent == NULL ? "/tmp" : parent);
  assert_non_null(mkdtemp(folder.path));
  return folder;
}

static void remove_tree(const char *path) {
  DIR *directory = opendir(path);
  if (directory != NULL) {
    for (struct dirent *entry; (entry = readdir(directory)) != NULL;)
      if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0) {
        char child[1024];
        snprintf(child, sizeof child, "%s/%s", path, entry->d_name);
        remove_tree(child);
      }
    closedir(directory);
  }
  assert_int_equal(remove(path), 0);
}

void folder_remove(const folder *folder) {
  remove_tree(folder->path);
}

const char *folder_path(const char *folder, const char *name) {
  static char paths[4][1024];
  static unsigned next;
  char *path = paths[next++ % 4];
  snprintf(path, sizeof paths[0], "%s/%s", folder, name);
  return path;
}

char *file_read(const char *path, size_t *out_bytes) {
  FILE *file = fopen(path, "rb");
  assert_non_null(file);
  assert_int_equal(fseek(file, 0, SEEK_END), 0);
  long size = ftell(file);
  rewind(file);
  char *bytes = malloc((size_t)size + 1);
  assert_non_null(bytes);
  assert_int_equal(fread(bytes, 1, (size_t)size, file), size);
  bytes[size] = '\0';
  fclose(file);
  *out_bytes = (size_t)size;
  return bytes;
}

void file_write(const char *path, const void *bytes, size_t size) {
  FILE *file = fopen(path, "wb");
  assert_non_null(file);
  assert_int_equal(size == 0 ? 0 : fwrite(bytes, 1, size, file), size);
  assert_int_equal(fclose(file), 0);
}

void file_copy(const char *from, const char *to) {
  size_t bytes;
  char *text = file_read(from, &bytes);
  file_write(to, text, bytes);
  free(text);
}

void folder_copy(const char *from, const char *to) {
  char source[512],
      target[512]; /* the arguments may be folder_path's, which soon gives them to others */
  snprintf(source, sizeof source, "%s", from);
  snprintf(target, sizeof target, "%s", to);
  DIR *directory = opendir(source);
  assert_non_null(directory);
  for (struct dirent *entry; (entry = readdir(directory)) != NULL;) {
    struct stat status;
    if (stat(folder_path(source, entry->d_name), &status) == 0 && S_ISREG(status.st_mode))
      file_copy(folder_path(source, entry->d_name), folder_path(target, entry->d_name));
  }
  closedir(directory);
}

void folder_copy_tree(const char *from, const char *to) {
  folder_copy(from, to);
  DIR *directory = opendir(from);
  assert_non_null(directory);
  for (struct dirent *entry; (entry = readdir(directory)) != NULL;) {
    char source[512], target[512];
    struct stat status;
    snprintf(source, sizeof source, "%.200s/%.200s", from, entry->d_name);
    snprintf(target, sizeof target, "%.200s/%.200s", to, entry->d_name);
    if (entry->d_name[0] == '.' || stat(source, &status) != 0 || !S_ISDIR(status.st_mode))
      continue;
    assert_int_equal(mkdir(target, 0755), 0);
    folder_copy(source, target);
  }
  closedir(directory);
}

void file_replace_text(const char *path, const char *from, const char *to) {
  size_t size;
  char *bytes = file_read(path, &size), *found = memmem(bytes, size, from, strlen(from));
  assert_non_null(found);
  assert_int_equal(strlen(from), strlen(to));
  memcpy(found, to, strlen(to));
  file_write(path, bytes, size);
  free(bytes);
}

void json_set_key(const char *directory, const char *file, const char *key, const char *value) {
  size_t bytes;
  char *text = file_read(folder_path(directory, file), &bytes);
  cJSON *json = cJSON_Parse(text);
  free(text);
  assert_non_null(json);
  cJSON_DeleteItemFromObjectCaseSensitive(json, key);
  if (value != NULL) {
    cJSON *item = cJSON_Parse(value);
    assert_non_null(item);
    cJSON_AddItemToObject(json, key, item);
  }
  text = cJSON_Print(json);
  file_write(folder_path(directory, file), text, strlen(text));
  cJSON_free(text);
  cJSON_Delete(json);
}

void expect_import_failure(const char *what, const char *directory,
                           const pith_import_options *options, pith_status status,
                           const char *message) {
  pith_import import;
  pith_error error = {PITH_OK, ""};
  pith_status got = pith_import_huggingface(directory, options, &import, &error);
  if (got == PITH_OK)
    pith_import_deinit(&import);
  if (got != status || strstr(error.message, message) == NULL)
    fail_msg("%s: %s, '%s'; expected %s, '%s'", what, pith_status_string(got), error.message,
             pith_status_string(status), message);
  assert_null(strchr(error.message, '\n'));
}

void expect_import_success(const char *what, const char *directory) {
  pith_import import;
  pith_error error;
  if (pith_import_huggingface(directory, NULL, &import, &error) != PITH_OK)
    fail_msg("%s: %s", what, error.message);
  pith_import_deinit(&import);
}

static const cJSON *get(const cJSON *json, const char *key) {
  const cJSON *item = cJSON_GetObjectItemCaseSensitive(json, key);
  assert_non_null(item);
  return item;
}

golden golden_open(const char *directory) {
  golden golden = {.json = NULL};
  size_t bytes;
  char *text = file_read(folder_path(directory, "golden.json"), &bytes);
  golden.json = cJSON_Parse(text);
  free(text);
  assert_non_null(golden.json);
  const cJSON *ids = get(golden.json, "ids"), *type_ids = get(golden.json, "type_ids");
  const cJSON *values = get(golden.json, "values"),
              *rows = cJSON_GetObjectItem(golden.json, "rows");
  const cJSON *sequence, *item;
  golden.sequences = (size_t)cJSON_GetArraySize(ids);
  golden.offsets = calloc(golden.sequences + 1, sizeof *golden.offsets);
  size_t at = 0;
  cJSON_ArrayForEach(sequence, ids) {
    golden.tokens += (size_t)cJSON_GetArraySize(sequence);
    golden.offsets[++at] = (int32_t)golden.tokens;
  }
  golden.ids = calloc(golden.tokens, sizeof *golden.ids);
  golden.type_ids = calloc(golden.tokens, sizeof *golden.type_ids);
  at = 0;
  cJSON_ArrayForEach(sequence, ids) {
    cJSON_ArrayForEach(item, sequence) golden.ids[at++] = item->valueint;
  }
  at = 0;
  cJSON_ArrayForEach(sequence, type_ids) {
    cJSON_ArrayForEach(item, sequence) golden.type_ids[at++] = item->valueint;
  }
  assert_int_equal(at, golden.tokens);
  if (rows != NULL) {
    golden.wanted = calloc((size_t)cJSON_GetArraySize(rows), sizeof *golden.wanted);
    cJSON_ArrayForEach(item, rows) golden.wanted[golden.row_count++] = item->valueint;
  }
  golden.rows = (size_t)cJSON_GetArraySize(values);
  golden.columns = (size_t)cJSON_GetArraySize(values->child);
  golden.values = calloc(golden.rows * golden.columns, sizeof *golden.values);
  at = 0;
  cJSON_ArrayForEach(sequence, values) {
    cJSON_ArrayForEach(item, sequence) {
      golden.largest = fmax(golden.largest, fabs(item->valuedouble));
      golden.values[at++] = (float)item->valuedouble;
    }
  }
  assert_int_equal(at, golden.rows * golden.columns);
  golden.output = get(golden.json, "output")->valuestring;
  return golden;
}

void golden_close(golden *golden) {
  cJSON_Delete(golden->json);
  free(golden->offsets);
  free(golden->ids);
  free(golden->type_ids);
  free(golden->wanted);
  free(golden->values);
}

static void expect_ok(pith_status status, const pith_error *error) {
  if (status != PITH_OK)
    fail_msg("%s: %s", pith_status_string(status), error->message);
}

/* Runs each sequence by itself; its rows must have the bits that the batch gave. Only for outputs
 * of one row a sequence or one row a token. */
static void compare_alone(pith_session *session, const golden *golden, const float *batch_values,
                          bool types) {
  for (size_t s = 0; s < golden->sequences; s++) {
    int32_t begin = golden->offsets[s], length = golden->offsets[s + 1] - begin,
            offsets[2] = {0, length};
    pith_batch batch = PITH_BATCH_INIT;
    batch.sequences = 1;
    batch.offsets = offsets;
    batch.ids = golden->ids + begin;
    batch.type_ids = types ? golden->type_ids + begin : NULL;
    pith_result result = {.struct_size = sizeof result};
    pith_error error;
    expect_ok(pith_session_run(session, &batch, &result, &error), &error);
    bool per_token = golden->rows == golden->tokens;
    assert_int_equal(result.outputs[0].rows, per_token ? length : 1);
    const float *expected = batch_values + (per_token ? (size_t)begin : s) * golden->columns;
    assert_memory_equal(result.outputs[0].data, expected,
                        result.outputs[0].rows * golden->columns * sizeof(float));
  }
}

double golden_compare(const golden *golden, const pith_import *import, const folder *folder,
                      bool alone, bool types) {
  pith_error error;
  const char *path = folder_path(folder->path, "model.pith");
  expect_ok(pith_format_write(path, &import->data, &error), &error);
  pith_model *model;
  expect_ok(pith_model_open(path, NULL, &model, &error), &error);
  pith_session_options options = PITH_SESSION_OPTIONS_INIT;
  options.max_tokens = golden->tokens;
  options.max_sequences = golden->sequences;
  pith_session *session;
  expect_ok(pith_session_create(model, &options, &session, &error), &error);

  pith_batch batch = PITH_BATCH_INIT;
  batch.sequences = golden->sequences;
  batch.offsets = golden->offsets;
  batch.ids = golden->ids;
  batch.type_ids = types ? golden->type_ids : NULL;
  batch.rows = golden->wanted;
  batch.row_count = golden->row_count;
  pith_result result = {.struct_size = sizeof result};
  expect_ok(pith_session_run(session, &batch, &result, &error), &error);
  assert_int_equal(result.count, 1);
  assert_string_equal(result.outputs[0].name, golden->output);
  assert_int_equal(result.outputs[0].rows, golden->rows);
  assert_int_equal(result.outputs[0].columns, golden->columns);

  double worst = 0;
  for (size_t i = 0; i < golden->rows * golden->columns; i++) {
    double difference = fabs((double)result.outputs[0].data[i] - (double)golden->values[i]);
    if (!(difference <= worst)) /* a NaN is the worst of all, and stays */
      worst = isnan(difference) ? INFINITY : difference;
  }
  if (alone && golden->wanted == NULL) {
    size_t bytes = golden->rows * golden->columns * sizeof(float);
    float *copy = malloc(bytes);
    assert_non_null(copy);
    memcpy(copy, result.outputs[0].data, bytes);
    compare_alone(session, golden, copy, types);
    free(copy);
  }
  pith_session_destroy(session);
  pith_model_close(model);
  return worst / golden->largest;
}
