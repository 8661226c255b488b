/* What the tests of the import share: temporary folders, files, and golden outputs. */
#ifndef PITH_TESTS_IMPORT_FIXTURE_H
#define PITH_TESTS_IMPORT_FIXTURE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <cjson/cJSON.h>

#include "compiler/import/import.h"

/* The checked-in checkpoints. */
#define GOLDEN_FOLDER PITH_SOURCE_DIR "/tests/golden/models"

/* A new folder below TMPDIR, removed with all it holds by folder_remove. */
typedef struct folder {
  char path[512];
} folder;
folder folder_make(void);
void folder_remove(const folder *folder);
/* "FOLDER/name", good until the next but three calls. */
const char *folder_path(const char *folder, const char *name);

/* The whole file; the caller frees it. */
char *file_read(const char *path, size_t *out_bytes);
void file_write(const char *path, const void *bytes, size_t size);
void file_copy(const char *from, const char *to);
/* Copies a folder's files, not its folders. */
void folder_copy(const char *from, const char *to);

/* The same with the folders in it, one level deep. */
void folder_copy_tree(const char *from, const char *to);
/* The first occurrence of a text in a file is replaced by one of the same length. */
void file_replace_text(const char *path, const char *from, const char *to);
/* Sets one key of a JSON file in a folder to a JSON text; NULL deletes the key. */
void json_set_key(const char *directory, const char *file, const char *key, const char *value);

/* Imports a directory; fails the test, naming `what`, where the import ends in any other way.
 * `message` is a part of the error's message. */
void expect_import_failure(const char *what, const char *directory,
                           const pith_import_options *options, pith_status status,
                           const char *message);
void expect_import_success(const char *what, const char *directory);

/* golden.json: sequences, and what one run over them gives. */
typedef struct golden {
  cJSON *json;
  size_t sequences, tokens, row_count, rows, columns;
  int32_t *offsets, *ids, *type_ids;
  int32_t *wanted; /* [row_count] the token positions that a masked model is asked for, or NULL */
  float *values;   /* [rows, columns] */
  const char *output;
  double largest; /* largest magnitude of values */
} golden;
golden golden_open(const char *directory);
void golden_close(golden *golden);

/* Writes the import to FOLDER/model.pith, opens it and runs the golden's sequences in one batch.
 * Returns the largest difference from the golden values, over their largest magnitude; fails the
 * test where a step fails or the output's name or shape is another. With `alone`, every sequence is
 * also run by itself and must give the same bits. Without `types` the type ids are left out. */
double golden_compare(const golden *golden, const pith_import *import, const folder *folder,
                      bool alone, bool types);

#endif
