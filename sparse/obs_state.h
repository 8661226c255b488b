/* What a long pruning has finished, in a file, so that a run that was killed goes on where it was.
 *
 *     32 bytes   SHA-256 of what is pruned, how, and on which data: another run's file is begun again
 *     records    u32 step, target, count of biases, 0; f32 weights [n, k]; f32 biases; 32 bytes SHA-256 of all that
 *
 * Records are appended and synced one by one; one that a kill cut off does not hash right and is dropped. */
#ifndef PITH_SPARSE_OBS_STATE_H
#define PITH_SPARSE_OBS_STATE_H

#include <stdio.h>

#include "engine/base/hash.h"
#include "sparse/weights.h"

typedef struct pith_obs_state {
  FILE *file; /* NULL: nothing is kept */
  const char *path;
  bool opened;
  long end;   /* of the records that hold */
} pith_obs_state;

/* Opens the file at `path`, or makes it; NULL: nothing is kept. PITH_IO. pith_obs_state_close follows, whether this fails or not. */
PITH_WARN_UNUSED pith_status pith_obs_state_open(pith_obs_state *state, const char *path, const uint8_t key[PITH_SHA256_BYTES],
                                                 pith_error *error);
void pith_obs_state_close(pith_obs_state *state);

/* The next record, if it is `target` of `step`, to `weights` and `biases`; else *out_found is false and what is there is of no
 * meaning. */
PITH_WARN_UNUSED pith_status pith_obs_state_read(pith_obs_state *state, uint32_t step, uint32_t target, float *weights,
                                                 size_t weight_count, float *biases, size_t bias_count, bool *out_found,
                                                 pith_error *error);
/* Appends one. PITH_IO. */
PITH_WARN_UNUSED pith_status pith_obs_state_write(pith_obs_state *state, uint32_t step, uint32_t target, const float *weights,
                                                  size_t weight_count, const float *biases, size_t bias_count,
                                                  pith_error *error);

#endif
