#include "tests/compiler/minilm_fixture.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "engine/format/format.h"

const char *data_path(const char *variable, const char *fallback, const char *name) {
  const char *folder = getenv(variable);
  return folder_path(folder != NULL ? folder : folder_path(PITH_SOURCE_DIR, fallback), name);
}

bool is_absent(const char *path) {
  if (access(path, R_OK) == 0)
    return false;
  printf("SKIPPED: %s is absent\n", path);
  return true;
}

static void expect_ok(pith_status status, const pith_error *error) {
  if (status != PITH_OK)
    fail_msg("%s: %s", pith_status_string(status), error->message);
}

ready_model ready_model_open(const char *directory) {
  ready_model ready = {.folder = folder_make()};
  pith_import import;
  pith_error error;
  expect_ok(pith_import_huggingface(directory, NULL, &import, &error), &error);
  const char *path = folder_path(ready.folder.path, "model.pith");
  expect_ok(pith_format_write(path, &import.data, &error), &error);
  pith_import_deinit(&import);
  expect_ok(pith_model_open(path, NULL, &ready.model, &error), &error);
  pith_session_options options = PITH_SESSION_OPTIONS_INIT;
  options.max_tokens = 1024;
  options.max_sequences = 16;
  expect_ok(pith_session_create(ready.model, &options, &ready.session, &error), &error);
  return ready;
}

void ready_model_close(ready_model *ready) {
  pith_session_destroy(ready->session);
  pith_model_close(ready->model);
  folder_remove(&ready->folder);
}

lines lines_read(const char *path) {
  lines lines = {.count = 0};
  size_t bytes, capacity = 0;
  lines.text = file_read(path, &bytes);
  for (size_t i = 0; i < bytes; i++)
    capacity += lines.text[i] == '\n';
  lines.lines = calloc(capacity + 1, sizeof *lines.lines);
  assert_non_null(lines.lines);
  for (char *line = lines.text, *end; (end = strchr(line, '\n')) != NULL; line = end + 1) {
    *end = '\0';
    lines.lines[lines.count++] = line;
  }
  return lines;
}

void lines_free(lines *lines) {
  free(lines->lines);
  free(lines->text);
}
