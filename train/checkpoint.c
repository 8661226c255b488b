#include "train/checkpoint.h"

#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "engine/base/file_writer.h"
#include "engine/base/mapped_file.h"

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "numbers are written as they lie in memory");

enum { GENERATIONS = 2, PATH_BYTES = 4200 };

static const char magic[8] = "PITHRUN1";

typedef struct head {
  char magic[8];
  uint64_t generation;
  pith_checkpoint_key key;
  uint64_t count;
} head;
_Static_assert(sizeof(head) == 120, "the layout above");

static pith_status make_path(const char *base, uint64_t generation, char path[PATH_BYTES], pith_error *error) {
  const int bytes = snprintf(path, PATH_BYTES, "%s.%d", base, (int)(generation % GENERATIONS));
  return bytes < PATH_BYTES ? PITH_OK : pith_fail(error, PITH_IO, "%.200s..: the name is too long", base);
}

/* ---- writing ---------------------------------------------------------------------------------------------- */

typedef struct hashed_writer {
  pith_file_writer file;
  pith_sha256 hash;
} hashed_writer;

static pith_status put(hashed_writer *writer, const void *bytes, size_t size, pith_error *error) {
  pith_sha256_update(&writer->hash, bytes, size);
  return pith_file_writer_write(&writer->file, bytes, size, error);
}

static pith_status write_all(hashed_writer *writer, const head *h, const pith_checkpoint_piece *pieces, pith_error *error) {
  PITH_TRY(put(writer, h, sizeof *h, error));
  for (size_t i = 0; i < h->count; i++) {
    const uint64_t bytes = pieces[i].bytes;
    PITH_TRY(put(writer, &bytes, sizeof bytes, error));
  }
  for (size_t i = 0; i < h->count; i++)
    PITH_TRY(put(writer, pieces[i].data, pieces[i].bytes, error));
  uint8_t digest[PITH_SHA256_BYTES];
  pith_sha256_finish(&writer->hash, digest);
  PITH_TRY(pith_file_writer_write(&writer->file, digest, sizeof digest, error));
  return pith_file_writer_commit(&writer->file, error);
}

pith_status pith_checkpoint_write(const char *base, uint64_t generation, const pith_checkpoint_key *key,
                                  const pith_checkpoint_piece *pieces, size_t count, pith_error *error) {
  char path[PATH_BYTES];
  PITH_TRY(make_path(base, generation, path, error));
  head h = {.generation = generation, .key = *key, .count = count};
  memcpy(h.magic, magic, sizeof magic);
  hashed_writer writer;
  pith_sha256_init(&writer.hash);
  PITH_TRY(pith_file_writer_open(&writer.file, path, error));
  const pith_status status = write_all(&writer, &h, pieces, error);
  pith_file_writer_discard(&writer.file);
  return status;
}

/* ---- reading ---------------------------------------------------------------------------------------------- */

/* One of the two files, mapped; its head says which generation it is. */
typedef struct candidate {
  char path[PATH_BYTES];
  pith_mapped_file file;
  const head *head; /* NULL: there is no such file, or it is too short to have one */
} candidate;

static uint64_t get_size(const candidate *c, uint64_t i) {
  return ((const uint64_t *)(c->head + 1))[i];
}

static pith_status check_key(const candidate *c, const pith_checkpoint_key *key, pith_error *error) {
  const pith_checkpoint_key *own = &c->head->key;
  const char *other = memcmp(own->model, key->model, sizeof key->model) != 0  ? "model"
                      : memcmp(own->data, key->data, sizeof key->data) != 0 ? "data"
                      : memcmp(own->options, key->options, sizeof key->options) != 0
                          ? "options"
                          : NULL;
  return other == NULL ? PITH_OK
                       : pith_fail(error, PITH_INVALID_ARGUMENT, "%s is of another run: its %s differ%s from this one's",
                                   c->path, other, other[0] == 'm' ? "s" : "");
}

/* Bytes that a file with these sizes has; 0: more than there can be. */
static uint64_t count_bytes(const candidate *c) {
  const uint64_t most = c->file.size / sizeof(uint64_t);
  if (c->head->count > most)
    return 0;
  uint64_t bytes = sizeof(head) + c->head->count * sizeof(uint64_t) + PITH_SHA256_BYTES;
  if (bytes > c->file.size)
    return bytes;
  for (uint64_t i = 0; i < c->head->count; i++)
    if (__builtin_add_overflow(bytes, get_size(c, i), &bytes))
      return 0;
  return bytes;
}

static pith_status check_whole(const candidate *c, pith_error *error) {
  const size_t bytes = c->file.size;
  if (c->head == NULL)
    return pith_fail(error, PITH_FORMAT, "%s is cut off: it has %zu bytes", c->path, bytes);
  if (memcmp(c->head->magic, magic, sizeof magic) != 0)
    return pith_fail(error, PITH_FORMAT, "%s is no checkpoint", c->path);
  const uint64_t wanted = count_bytes(c);
  if (wanted > bytes)
    return pith_fail(error, PITH_FORMAT, "%s is cut off: it has %zu bytes of %llu", c->path, bytes,
                     (unsigned long long)wanted);
  uint8_t digest[PITH_SHA256_BYTES];
  if (wanted == bytes)
    pith_sha256_digest(c->file.bytes, bytes - PITH_SHA256_BYTES, digest);
  if (wanted != bytes || memcmp(digest, (const uint8_t *)c->file.bytes + bytes - PITH_SHA256_BYTES, sizeof digest) != 0)
    return pith_fail(error, PITH_FORMAT, "%s is damaged: its hash is not that of its bytes", c->path);
  return PITH_OK;
}

static bool has_sizes(const candidate *c, const pith_checkpoint_piece *pieces, size_t count) {
  bool same = c->head->count == count;
  for (size_t i = 0; i < count && same; i++)
    same = get_size(c, i) == pieces[i].bytes;
  return same;
}

static void take_pieces(const candidate *c, const pith_checkpoint_piece *pieces, size_t count) {
  const uint8_t *at = (const uint8_t *)c->file.bytes + sizeof(head) + count * sizeof(uint64_t);
  for (size_t i = 0; i < count; i++) {
    if (pieces[i].bytes != 0)
      memcpy(pieces[i].data, at, pieces[i].bytes);
    at += pieces[i].bytes;
  }
}

static pith_status open_candidate(const char *base, int which, candidate *c, pith_error *error) {
  *c = (candidate){.head = NULL};
  PITH_TRY(make_path(base, (uint64_t)which, c->path, error));
  struct stat info;
  if (stat(c->path, &info) != 0)
    return PITH_OK;
  PITH_TRY(pith_mapped_file_open(c->path, &c->file, error));
  if (c->file.size >= sizeof(head))
    c->head = c->file.bytes;
  return PITH_OK;
}

/* The newer one first; a file without a head last. */
static bool is_newer(const candidate *a, const candidate *b) {
  return a->head != NULL && (b->head == NULL || a->head->generation > b->head->generation);
}

static pith_status read_newest(candidate candidates[GENERATIONS], const pith_checkpoint_key *key,
                               const pith_checkpoint_piece *pieces, size_t count, uint64_t *out_generation,
                               pith_error *error) {
  const int newer = is_newer(&candidates[1], &candidates[0]) ? 1 : 0;
  pith_status status = PITH_OK;
  for (int i = 0; i < GENERATIONS; i++) {
    const candidate *c = &candidates[i == 0 ? newer : 1 - newer];
    if (c->head == NULL && c->file.size == 0)
      continue; /* not there, or empty: what a full disk leaves of a copy */
    pith_error own = {0};
    pith_status found = check_whole(c, &own);
    if (found == PITH_OK)
      found = check_key(c, key, &own);
    if (found == PITH_OK && !has_sizes(c, pieces, count))
      found = pith_fail(&own, PITH_INVALID_ARGUMENT, "%s is of another run: its state has other sizes", c->path);
    if (found == PITH_OK) {
      take_pieces(c, pieces, count);
      *out_generation = c->head->generation;
      return PITH_OK;
    }
    if (status == PITH_OK) /* the newest one's reason is the one to tell */
      status = pith_fail(error, found, "%s", own.message);
    if (found == PITH_INVALID_ARGUMENT)
      break;
  }
  return status;
}

pith_status pith_checkpoint_read(const char *base, const pith_checkpoint_key *key, const pith_checkpoint_piece *pieces,
                                 size_t count, uint64_t *out_generation, pith_error *error) {
  candidate candidates[GENERATIONS] = {0};
  *out_generation = 0;
  pith_status status = PITH_OK;
  for (int i = 0; i < GENERATIONS && status == PITH_OK; i++)
    status = open_candidate(base, i, &candidates[i], error);
  if (status == PITH_OK)
    status = read_newest(candidates, key, pieces, count, out_generation, error);
  for (int i = 0; i < GENERATIONS; i++)
    pith_mapped_file_close(&candidates[i].file);
  return status;
}

void pith_checkpoint_remove(const char *base) {
  char path[PATH_BYTES];
  for (uint64_t i = 0; i < GENERATIONS; i++)
    if (make_path(base, i, path, NULL) == PITH_OK)
      (void)unlink(path);
}
