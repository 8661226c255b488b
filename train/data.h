/* What a model is trained on: a file of labelled texts, read row by row, tokenized on several threads, and kept as token ids in
 * a mapped file, so that it may be larger than memory. Every row is read before training starts, and one that cannot be used is
 * an error that names file and line.
 *
 *     file ──► rows ──► held out, by seed
 *                └────► texts ──► sequences of ids (long ones in windows) ──► samples ──► batches without padding
 *
 * A sample is one sequence, or for embeddings the two of a pair. */
#ifndef PITH_TRAIN_DATA_H
#define PITH_TRAIN_DATA_H

#include "engine/base/hash.h"
#include "engine/base/watcher.h"
#include "models/tasks/evaluate.h"
#include "train/order.h"
#include "train/spool.h"
#include "train/trainer.h"

typedef struct pith_train_data_options {
  const pith_eval_task *task;
  const char *path;
  const pith_dataset_columns *columns; /* NULL: as the format has it */
  const pith_model *model;             /* tokenizer, head and labels; borrowed */
  struct pthreadpool *pool;            /* to tokenize with; NULL: the calling thread */
  size_t max_length;                   /* tokens of a sequence; 0, or more than the model's: the model's */
  const char *folder;                  /* for the temporary files; the caller keeps it */
  bool labels_optional;                /* classes, values and sets: a row may have no label (a teacher says what it shall be) */
  double held_out;                     /* share of the rows; 0: none */
  uint64_t seed;                       /* which rows are held out */
  const pith_watcher *watcher;         /* NULL, or told the bytes of the file that are read */
} pith_train_data_options;

typedef struct pith_train_data {
  const char *path;
  pith_eval_kind kind;
  pith_task task;                /* of the model */
  const pith_tokenizer_data *tokenizer;
  uint32_t label_count;
  uint32_t sequences;            /* of a sample: 1 or 2 */
  pith_spool word_spool, sample_spool;
  const uint32_t *words;         /* what samples hold, data_internal.h */
  const pith_sample *samples;    /* [count]; `row` is the line of the file */
  uint64_t count, tokens;        /* samples; of all of them together */
  uint64_t rows, full;           /* read and not held out; texts that were cut to max_length or are just as long */
  uint8_t digest[PITH_SHA256_BYTES]; /* of all samples */
  pith_dataset held_out;         /* rows; empty where none are wanted */
} pith_train_data;

/* PITH_INVALID_ARGUMENT where the task is not one of the model's head, or a label none of the model's; errors of reading;
 * PITH_FORMAT where no row is left. pith_train_data_deinit follows, whether this fails or not. */
PITH_WARN_UNUSED pith_status pith_train_data_read(pith_train_data *data, const pith_train_data_options *options,
                                                  pith_error *error);
void pith_train_data_deinit(pith_train_data *data);

/* Memory for one batch. */
typedef struct pith_batch_room {
  int32_t *offsets, *ids, *type_ids, *labels, *rows;
  float *targets;
} pith_batch_room;
/* Room for so many tokens and samples, in `arena`. */
PITH_WARN_UNUSED pith_status pith_batch_room_init(pith_batch_room *room, const pith_train_data *data, size_t tokens,
                                                  size_t samples, pith_arena *arena, pith_error *error);
/* Most sequences and rows (fill-mask) of a batch of so many tokens and samples. */
size_t pith_train_data_count_sequences(const pith_train_data *data, size_t samples);
size_t pith_train_data_count_rows(const pith_train_data *data, size_t tokens, size_t samples);

/* Gathers samples; *out_batch points into `room`. Which tokens a fill-mask model has to find is a function of seed, epoch and
 * sample. first_sample is 0. */
void pith_train_data_gather(const pith_train_data *data, const pith_order_batch *samples, uint64_t seed, uint64_t epoch,
                            pith_batch_room *room, pith_train_batch *out_batch);

#endif
