/* Encodes records with the tokenizer of a Hugging Face directory, for
 * tests/golden/tokenizer/compare.py and bench.py.
 *
 *   tokenize_driver [--cased] [--pairs] [--max-length N] [--repeat N] DIRECTORY <records >encodings
 *
 * A record is a 32-bit length (little-endian, as all numbers here) and that many bytes. An encoding
 * is the number of tokens, then ids, type ids, offsets (begin, end) as 32-bit numbers, then a byte
 * of sequence for each token. With --repeat the records are encoded N times without output, each
 * pass timed: one line "seconds" a pass. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "engine/base/arena.h"
#include "models/tokenizer/tokenizer.h"

typedef struct records {
  char *bytes;
  size_t size;
} records;

static records read_all(FILE *file) {
  records all = {NULL, 0};
  size_t capacity = 1 << 20, got;
  all.bytes = malloc(capacity);
  while (all.bytes != NULL &&
         (got = fread(all.bytes + all.size, 1, capacity - all.size, file)) > 0) {
    all.size += got;
    if (all.size == capacity)
      all.bytes = realloc(all.bytes, capacity *= 2);
  }
  return all;
}

/* The next record; false at the end. */
static bool next_record(const records *all, size_t *at, const char **text, size_t *bytes) {
  uint32_t length;
  if (all->size - *at < sizeof length)
    return false;
  memcpy(&length, all->bytes + *at, sizeof length);
  *text = all->bytes + *at + sizeof length;
  *bytes = length;
  *at += sizeof length + length;
  return *at <= all->size;
}

static int fail(const char *what) {
  fprintf(stderr, "tokenize_driver: %s\n", what);
  return 1;
}

int main(int count, char **arguments) {
  pith_tokenizer_source source = {NULL, -1};
  bool pairs = false;
  size_t max_length = 0;
  long repeat = 0;
  for (int i = 1; i < count; i++) {
    if (strcmp(arguments[i], "--cased") == 0)
      source.cased = 1;
    else if (strcmp(arguments[i], "--pairs") == 0)
      pairs = true;
    else if (strcmp(arguments[i], "--max-length") == 0 && i + 1 < count)
      max_length = strtoul(arguments[++i], NULL, 10);
    else if (strcmp(arguments[i], "--repeat") == 0 && i + 1 < count)
      repeat = strtol(arguments[++i], NULL, 10);
    else
      source.directory = arguments[i];
  }
  if (source.directory == NULL)
    return fail("no directory");
  pith_arena arena;
  pith_arena_init(&arena, NULL);
  pith_tokenizer_data data;
  pith_error error;
  if (pith_tokenizer_compile(&source, &arena, &data, &error) != PITH_OK)
    return fail(error.message);
  records all = read_all(stdin);
  if (all.bytes == NULL)
    return fail("out of memory");

  pith_encoding encoding = {.struct_size = sizeof encoding, .capacity = all.size + 64};
  encoding.ids = malloc(encoding.capacity * sizeof *encoding.ids);
  encoding.type_ids = malloc(encoding.capacity * sizeof *encoding.type_ids);
  encoding.offsets = malloc(encoding.capacity * sizeof *encoding.offsets);
  encoding.sequence = malloc(encoding.capacity);
  if (encoding.ids == NULL || encoding.type_ids == NULL || encoding.offsets == NULL ||
      encoding.sequence == NULL)
    return fail("out of memory");
  for (long pass = 0; pass < (repeat > 0 ? repeat : 1); pass++) {
    struct timespec begin, end;
    clock_gettime(CLOCK_MONOTONIC, &begin);
    const char *text, *pair = NULL;
    size_t bytes, pair_bytes = 0;
    for (size_t at = 0; next_record(&all, &at, &text, &bytes);) {
      if (pairs && !next_record(&all, &at, &pair, &pair_bytes))
        return fail("a text without its pair");
      if (pith_tokenizer_encode(&data, text, bytes, pair, pair_bytes, max_length, &encoding,
                                &error) != PITH_OK)
        return fail(error.message);
      if (repeat > 0)
        continue;
      uint32_t tokens = (uint32_t)encoding.count;
      fwrite(&tokens, sizeof tokens, 1, stdout);
      fwrite(encoding.ids, sizeof *encoding.ids, tokens, stdout);
      fwrite(encoding.type_ids, sizeof *encoding.type_ids, tokens, stdout);
      fwrite(encoding.offsets, sizeof *encoding.offsets, tokens, stdout);
      fwrite(encoding.sequence, 1, tokens, stdout);
    }
    clock_gettime(CLOCK_MONOTONIC, &end);
    if (repeat > 0)
      printf("%.6f\n",
             (double)(end.tv_sec - begin.tv_sec) + 1e-9 * (double)(end.tv_nsec - begin.tv_nsec));
  }
  free(encoding.ids);
  free(encoding.type_ids);
  free(encoding.offsets);
  free(encoding.sequence);
  free(all.bytes);
  pith_arena_deinit(&arena);
  return fflush(stdout) == 0 ? 0 : fail("cannot write");
}
