/* Writes a file whole or not at all: without a name in the same folder (with a temporary one where the file system has no
 * such files), synced, given a temporary name, then renamed over the path. A signal that ends the process leaves nothing.
 *
 *     pith_file_writer writer;
 *     PITH_TRY(pith_file_writer_open(&writer, path, error));
 *     pith_status status = pith_file_writer_write(&writer, bytes, size, error);   ... any number of times
 *     if (status == PITH_OK)
 *       status = pith_file_writer_commit(&writer, error);
 *     pith_file_writer_discard(&writer);                                          always
 *
 * A path that is a symbolic link stays one: what it points to is replaced. A path that is a device or a FIFO is written
 * to as it is. Permissions are 0666 less the umask. */
#ifndef PITH_BASE_FILE_WRITER_H
#define PITH_BASE_FILE_WRITER_H

#include <stdint.h>

#include "engine/base/arena.h"
#include "engine/base/error.h"

typedef struct pith_file_writer {
  int fd;            /* -1: closed */
  bool in_place;     /* a device: nothing to rename */
  char *path;        /* where it goes */
  char *temporary;   /* the name it has until commit; NULL: none */
  uint8_t *buffer;   /* small writes gather here */
  size_t buffered;
  uint64_t position; /* bytes written so far, buffered ones included */
  pith_arena arena;
} pith_file_writer;

/* PITH_IO with the path and the reason; nothing to discard then (discarding is allowed). */
PITH_WARN_UNUSED pith_status pith_file_writer_open(pith_file_writer *writer, const char *path,
                                                   pith_error *error);
PITH_WARN_UNUSED pith_status pith_file_writer_write(pith_file_writer *writer, const void *bytes, size_t size,
                                                    pith_error *error);
/* Zeros up to a position that is a multiple of `alignment` (a power of two, at most 4096). */
PITH_WARN_UNUSED pith_status pith_file_writer_align(pith_file_writer *writer, size_t alignment,
                                                    pith_error *error);
/* Syncs, renames and syncs the folder. The file exists, complete, once this returns PITH_OK. */
PITH_WARN_UNUSED pith_status pith_file_writer_commit(pith_file_writer *writer, pith_error *error);
/* Releases everything; removes the temporary file unless it was committed. */
void pith_file_writer_discard(pith_file_writer *writer);

#endif
