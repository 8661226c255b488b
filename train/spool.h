/* Data that may be larger than memory: written once to a file without a name, then mapped. A process that ends in any way leaves
 * nothing behind. */
#ifndef PITH_TRAIN_SPOOL_H
#define PITH_TRAIN_SPOOL_H

#include <stdio.h>

#include "engine/base/arena.h"
#include "engine/base/error.h"

typedef struct pith_spool {
  FILE *file; /* NULL: closed */
  const char *folder;
  uint64_t size;
  const void *bytes; /* once it is mapped; NULL where there are none */
} pith_spool;

/* The folder that an output file stands in, which has room for temporary files where it has room for the output; in `arena` or static.
 * NULL: no memory. */
const char *pith_spool_get_folder(const char *output, pith_arena *arena);
/* In `folder`, which the caller keeps. PITH_IO. */
PITH_WARN_UNUSED pith_status pith_spool_open(pith_spool *spool, const char *folder, pith_error *error);
PITH_WARN_UNUSED pith_status pith_spool_write(pith_spool *spool, const void *bytes, size_t size, pith_error *error);
/* No more is written; `bytes` are there. */
PITH_WARN_UNUSED pith_status pith_spool_map(pith_spool *spool, pith_error *error);
/* In place of writing: `bytes` zeros, mapped, to be written to; the file system has room for all of them. PITH_IO. */
PITH_WARN_UNUSED pith_status pith_spool_reserve(pith_spool *spool, uint64_t bytes, void **out_bytes, pith_error *error);
void pith_spool_close(pith_spool *spool); /* one that was never opened (all zero) is accepted */

#endif
