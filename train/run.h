/* A whole training run: data, steps, measurements, checkpoints. What `pith train` does.
 *
 *     model ─► head, layers ─► trainer ◄── batches ◄── order ◄── data
 *                                 │ steps: rate, log
 *                                 ├─► measurements: the best model so far is OUTPUT.best
 *                                 └─► checkpoints: OUTPUT.state.0 and .1
 *     at the end: the best model, or where nothing is measured the last one, becomes OUTPUT; the other files go */
#ifndef PITH_TRAIN_RUN_H
#define PITH_TRAIN_RUN_H

#include "engine/base/watcher.h"
#include "train/options.h"
#include "train/run_log.h"

/* What a run tells of itself. */
typedef struct pith_run_news {
  uint64_t step, steps;      /* applied so far, of all */
  double epoch;              /* 1.5: in the middle of the second */
  double loss;               /* mean over the steps since the last line of the log; of a measurement, since the one before */
  const pith_evaluation *evaluation; /* NULL: a step, not a measurement */
  bool best;                 /* it is the best so far */
} pith_run_news;

typedef struct pith_run_request {
  const pith_train_options *options;
  const pith_model *model;        /* to begin with; borrowed */
  const char *output;             /* file of the result */
  struct pthreadpool *pool;       /* NULL: the calling thread */
  bool resume;                    /* go on from OUTPUT.state.*, if there are any */
  const volatile int *stop;       /* NULL, or not 0 from when on the run shall save and end */
  const pith_watcher *watcher;    /* NULL, or told what is done before and between steps: "tokenize", "eval" */
  void (*tell)(void *context, const pith_run_news *news); /* NULL, or called after each step and each measurement */
  void (*tell_profile)(void *context, const pith_profile_entry *entries, size_t count); /* NULL, or called at the end with the time of
                                     each operator in this process's steps (pith_trainer_get_profile) */
  void *context;
} pith_run_request;

typedef struct pith_run_summary {
  uint64_t steps, best_step;      /* applied; the one whose weights are written, 0: the last */
  double steps_per_s, tokens_per_s, loss; /* of this process, measurements not counted; the last loss that was told */
  bool measured, stopped_early;   /* patience ran out */
  pith_evaluation evaluation;     /* of the weights that are written */
} pith_run_summary;

/* PITH_CANCELLED where `stop` ended it: what is done is saved, and a run with `resume` goes on with the same bits. PITH_FORMAT where a
 * loss or a gradient is not finite: names step, batch and tensor. Errors of reading, of options that do not go together, of writing;
 * the checkpoints before stay. Two runs of the same model, data and options give the same weights, whatever the threads, and however
 * often they were killed and resumed. */
PITH_WARN_UNUSED pith_status pith_train_run(const pith_run_request *request, pith_run_summary *out_summary, pith_error *error);

#endif
