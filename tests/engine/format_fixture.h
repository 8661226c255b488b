/* A small model with everything that a file can hold, and files to put it in. */
#ifndef PITH_TESTS_FORMAT_FIXTURE_H
#define PITH_TESTS_FORMAT_FIXTURE_H

#include "engine/format/format.h"
#include "tests/engine/ir_fixture.h"

typedef struct format_model {
  pith_arena arena; /* of the weights */
  pith_model_data data;
} format_model;

/* The small BERT of ir_fixture.h with weights made from `seed`, packed copies of one, a tokenizer, labels, history and
 * report. */
void format_model_init(format_model *model, int layers, uint32_t seed);
/* One matrix of `rows` x 256 floats and nothing else: a file of any size. */
void format_model_init_large(format_model *model, int64_t rows);
void format_model_deinit(format_model *model);

/* A fresh empty folder and names in it; the folder and what the test left there go with format_folder_remove. */
typedef struct format_folder {
  char path[64];
  char file[96]; /* "<path>/model.pith" */
} format_folder;
void format_folder_create(format_folder *folder);
void format_folder_remove(format_folder *folder);
/* Entries of the folder, not counting "." and "..". */
int format_folder_count(const format_folder *folder);

/* A whole file in memory aligned to 64 bytes, exactly `size` long; the caller frees it. */
typedef struct format_bytes {
  uint8_t *bytes;
  size_t size;
} format_bytes;
format_bytes format_read_file(const char *path);
format_bytes format_copy(const void *bytes, size_t size);
/* The model's file, in memory. */
format_bytes format_write_bytes(const format_model *model);
void format_write_raw(const char *path, const void *bytes, size_t size);

#endif
