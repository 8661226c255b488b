/* A teacher: any model of the student's task, float or INT8, whose answers to the training data are learned from. It runs by a
 * session of its own on the same token ids; each sample's answer is computed when it is first needed and kept in a mapped file
 * without a name, so that later epochs cost nothing. The same sample gives the same bits in any batch, so that a run which goes
 * on after a kill, with an empty file, learns from the same answers. */
#ifndef PITH_TRAIN_TEACHER_H
#define PITH_TRAIN_TEACHER_H

#include "engine/exec/model.h"
#include "train/compare.h"
#include "train/data.h"

typedef struct pith_teacher_options {
  const char *path;
  const pith_model *student;
  const pith_train_data *data;                      /* borrowed */
  size_t most_tokens, most_sequences, most_rows;    /* of a batch */
  pith_compare_options compare;                     /* of layers; all 0: nothing */
  const char *folder;                               /* for the temporary file; the caller keeps it */
  struct pthreadpool *pool;
} pith_teacher_options;

typedef struct pith_teacher {
  pith_model *model;
  struct pith_model view; /* the same, its outputs those that are wanted */
  pith_graph *graph;      /* of it */
  pith_session *session;
  const pith_train_data *data;
  size_t columns;
  pith_comparisons comparisons;
  const float *values[PITH_TEACHER_VALUES_MOST]; /* of the last batch: comparisons' */
  pith_spool spool;
  float *kept;            /* [rows of all samples, columns]; NULL: nothing is kept, for hidden tokens are others in each epoch, and values
                             of layers too many */
  uint8_t *known;         /* a bit for each sample */
  float *answers;         /* of one batch */
  uint64_t runs;          /* of the model */
  pith_arena arena;
} pith_teacher;

/* PITH_INVALID_ARGUMENT where teacher and student differ in task, labels, tokenizer or width of the answer, or a sample is too long for
 * the teacher; and as pith_comparisons_make. pith_teacher_close follows, whether this fails or not. */
PITH_WARN_UNUSED pith_status pith_teacher_open(pith_teacher *teacher, const pith_teacher_options *options, pith_error *error);
void pith_teacher_close(pith_teacher *teacher); /* one that was never opened (all zero) is accepted */

/* Sets the batch's answers, [rows of the task's output, columns], and values of layers where they are compared; `batch` is of these samples.
 * They live until the next call. */
PITH_WARN_UNUSED pith_status pith_teacher_answer(pith_teacher *teacher, const pith_order_batch *samples, pith_train_batch *batch,
                                                 pith_error *error);

#endif
