/* What heads and neurons are worth by the gradients of a loss, without training: batches of labelled texts go forward and back through
 * the model as it is (no dropout, no step). Part of libpith-compress. */
#ifndef PITH_TRAIN_SENSITIVITY_H
#define PITH_TRAIN_SENSITIVITY_H

#include "engine/base/watcher.h"
#include "models/tasks/evaluate.h"
#include "sparse/prune_model.h"

typedef struct pith_sensitivity_options {
  const pith_eval_task *task;
  const char *path;            /* labelled data in that task's form */
  const pith_model *model;     /* float, with the task's head; borrowed */
  struct pthreadpool *pool;    /* NULL: the calling thread */
  const char *folder;          /* for temporary files */
  uint64_t samples, seed;      /* the first ones, or by `seed` drawn at random; 0: all */
  uint64_t batch;              /* samples of one gradient; the last may have fewer */
  const pith_watcher *watcher; /* NULL, or told of samples that are done */
} pith_sensitivity_options;

/* Fills the values of each entry (see pith_sensitivity) in double, in the order of the samples and of the weight: the same bits with any
 * number of threads. PITH_INVALID_ARGUMENT where a weight has no gradient, PITH_FORMAT where a loss or gradient is not finite; errors of reading. */
PITH_WARN_UNUSED pith_status pith_sensitivity_measure(const pith_sensitivity_options *options, pith_sensitivity *list, uint32_t count,
                                                      pith_error *error);

#endif
