/* Texts to calibrate on or to watch ranges with, from any file that the command reads: a text a line, JSON lines, or a
 * task's file. Lines stream from the file where all of them are wanted. */
#ifndef PITH_CLI_TEXTS_H
#define PITH_CLI_TEXTS_H

#include "cli/input.h"
#include "quant/source.h"

typedef struct pith_texts {
  const char *path;
  uint64_t samples, seed;
  bool split_pairs;  /* a pair is two texts: the model embeds */
  pith_calibration_source source;
  uint64_t count;    /* of texts in memory; 0: they stream */
  pith_row_source rows;
  pith_dataset_row *chosen;
  pith_dataset dataset;
  pith_input input;  /* while streaming */
  bool opened, ended;
  pith_arena arena;
} pith_texts;

/* `task` NULL: .tsv is read as sst2, .csv as stsb, .json as squad, all else as lines. `samples` 0: all, else the first ones, or by
 * `seed`. Empty texts are passed over. PITH_FORMAT where there are fewer than two texts. pith_texts_close follows, whether this
 * fails or not. */
PITH_WARN_UNUSED pith_status pith_texts_open(pith_texts *texts, const char *path, const char *task, uint64_t samples,
                                             uint64_t seed, bool split_pairs, pith_error *error);
void pith_texts_close(pith_texts *texts);

/* Every row of such a file, one after the other, empty ones too; what `visit` gets lives until it returns. Stops at the first
 * failure. */
PITH_WARN_UNUSED pith_status pith_texts_visit(const char *path, const char *task,
                                              pith_status (*visit)(void *context, const pith_dataset_row *row,
                                                                   pith_error *error),
                                              void *context, pith_error *error);

#endif
