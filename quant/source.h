/* Calibration data from memory: rows of a file that were chosen, or ids at random. A source of more than memory holds is
 * written by who has it (cli/quantize.c reads a file of texts again for each pass). */
#ifndef PITH_QUANT_SOURCE_H
#define PITH_QUANT_SOURCE_H

#include "engine/format/model_data.h"
#include "models/tasks/dataset.h"
#include "quant/calibrate.h"

/* Sequences that every source gives at a time, so that what is calibrated on is the same wherever it comes from. */
enum { PITH_SOURCE_CHUNK = 32 };

typedef struct pith_row_source {
  const pith_dataset_row *rows; /* [count] borrowed */
  size_t count, done;
} pith_row_source;
pith_calibration_source pith_row_source_get(pith_row_source *source);

/* Sequences of 8 to 128 tokens, no longer than the model takes, ids uniform over the vocabulary: for models without texts. */
typedef struct pith_random_source {
  uint64_t count, done, seed;
  uint32_t vocabulary, max_length;
} pith_random_source;
/* PITH_INVALID_ARGUMENT where the graph looks no token ids up. */
PITH_WARN_UNUSED pith_status pith_random_source_init(pith_random_source *source, const pith_model_data *data,
                                                     uint64_t count, uint64_t seed, pith_error *error);
pith_calibration_source pith_random_source_get(pith_random_source *source);

/* The first `count` of a stream, or each subset of that size as likely as the others, by seed (reservoir sampling, Vitter's
 * algorithm R): the place in the sample where item `index` (0, 1, ..) goes, or `count`: it is left out. */
uint64_t pith_sample_place(uint64_t index, uint64_t count, uint64_t seed);

#endif
