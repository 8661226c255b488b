/* What the tests with real models share: they are not part of the project, and a test whose model
 * is absent is skipped. */
#ifndef PITH_TESTS_MINILM_FIXTURE_H
#define PITH_TESTS_MINILM_FIXTURE_H

#include "tests/compiler/import_fixture.h"

enum { SKIPPED = 77 }; /* the exit status that ctest counts as skipped */

/* The folder that the environment names, else `fallback` below the source folder, and `name` in it.
 */
const char *data_path(const char *variable, const char *fallback, const char *name);
/* Says what is absent; false where it is there. */
bool is_absent(const char *path);

/* A Hugging Face directory imported, written, opened, and a session on it. */
typedef struct ready_model {
  folder folder;
  pith_model *model;
  pith_session *session;
} ready_model;
ready_model ready_model_open(const char *directory);
void ready_model_close(ready_model *ready);

/* Lines of a text file, without their ends; the caller frees both. */
typedef struct lines {
  char *text;
  char **lines;
  size_t count;
} lines;
lines lines_read(const char *path);
void lines_free(lines *lines);

#endif
