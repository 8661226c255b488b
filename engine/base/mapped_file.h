/* A whole regular file, mapped read-only.
 *
 * The pages are the page cache's own: nothing is copied, and processes that map the same file share them. A file that is
 * shortened while it is mapped makes later reads of the lost pages fatal (SIGBUS), and one that is rewritten in place
 * changes under its reader: replace files by rename, as pith_file_writer does, and a reader keeps what it opened. */
#ifndef PITH_BASE_MAPPED_FILE_H
#define PITH_BASE_MAPPED_FILE_H

#include "engine/base/error.h"

typedef struct pith_mapped_file {
  const void *bytes; /* page-aligned; NULL where the file has no bytes */
  size_t size;
} pith_mapped_file;

/* PITH_IO, naming the path and the reason, where it cannot be read or is not a regular file. Thread-safe. */
PITH_WARN_UNUSED pith_status pith_mapped_file_open(const char *path, pith_mapped_file *out_file,
                                                   pith_error *error);
/* Its pages leave this process until they are read again: they count as its memory once they were. */
void pith_mapped_file_leave(const pith_mapped_file *file);
/* A file that was never opened (all zero) is accepted. */
void pith_mapped_file_close(pith_mapped_file *file);

#endif
