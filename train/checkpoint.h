/* A run's state on disk, so that it goes on after it was killed at any moment.
 *
 *     OFFSET  SIZE
 *          0     8  "PITHRUN1"
 *          8     8  generation, from 1
 *         16    96  SHA-256 of the model, of the data and of the options of the run that it belongs to
 *        112     8  number of pieces
 *        120   8 n  bytes of each
 *                   the pieces
 *                32 SHA-256 of all before
 *
 * Numbers are little-endian. Generations take turns in two files, BASE.0 and BASE.1, each written whole under a temporary
 * name, synced and renamed: a write that is cut off leaves the other generation and the one that it would have replaced. */
#ifndef PITH_TRAIN_CHECKPOINT_H
#define PITH_TRAIN_CHECKPOINT_H

#include <stdbool.h>

#include "engine/base/error.h"
#include "engine/base/hash.h"

typedef struct pith_checkpoint_key {
  uint8_t model[PITH_SHA256_BYTES], data[PITH_SHA256_BYTES], options[PITH_SHA256_BYTES];
} pith_checkpoint_key;

typedef struct pith_checkpoint_piece {
  void *data; /* only read by pith_checkpoint_write */
  size_t bytes;
} pith_checkpoint_piece;

/* PITH_IO; the generations before are as they were then. */
PITH_WARN_UNUSED pith_status pith_checkpoint_write(const char *base, uint64_t generation, const pith_checkpoint_key *key,
                                                   const pith_checkpoint_piece *pieces, size_t count, pith_error *error);
/* Fills the pieces from the newest generation that is whole. *out_generation 0: there is no file of either name, and the
 * pieces are as they were. PITH_INVALID_ARGUMENT where the newest belongs to another run, and says in what they differ;
 * PITH_FORMAT where neither file is whole. The pieces may have been written to by then. */
PITH_WARN_UNUSED pith_status pith_checkpoint_read(const char *base, const pith_checkpoint_key *key,
                                                  const pith_checkpoint_piece *pieces, size_t count,
                                                  uint64_t *out_generation, pith_error *error);
/* Removes both files; none there is no failure. */
void pith_checkpoint_remove(const char *base);

#endif
