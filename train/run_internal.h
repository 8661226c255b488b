/* What the files of a training run share with each other only. */
#ifndef PITH_TRAIN_RUN_INTERNAL_H
#define PITH_TRAIN_RUN_INTERNAL_H

#include "compiler/import/import.h"
#include "engine/exec/model.h"
#include "sparse/structured.h"
#include "train/checkpoint.h"
#include "train/data.h"
#include "train/run.h"
#include "train/teacher.h"
#include "train/trainer.h"

/* What a checkpoint has beside the trainer's state: where the run stands. Eight bytes each, so that it may be written as it is. */
typedef struct pith_run_state {
  uint64_t step, epoch, batch; /* steps applied; the order's next batch */
  uint64_t samples;            /* of this epoch so far */
  uint64_t log_bytes;
  uint64_t since_log, since_eval; /* steps of the two sums */
  double loss_since_log, loss_since_eval;
  uint64_t measurements, without_gain, best_step;
  double best;                 /* of the metric that says so */
  uint64_t metric_count, rows; /* of the best measurement */
  double metrics[PITH_EVAL_MAX_METRICS];
} pith_run_state;

/* One run. */
typedef struct pith_run {
  const pith_run_request *request;
  const pith_train_options *options;
  pith_arena arena;
  pith_structured kept;       /* chosen layers, where some are */
  pith_import made;           /* with a new head, where there is one */
  bool has_kept, has_made;
  pith_graph *with_exits;     /* with more heads, where they are asked for */
  struct pith_model model;    /* what is trained: data changes with the trainer's weights, tokenizer and labels stay */
  const pith_eval_task *task, *eval_task;
  size_t metric;              /* of eval_task: the one that says which is better */
  pith_train_data data;
  pith_dataset eval_data;     /* empty where nothing is measured or rows are held out */
  const pith_dataset *eval_rows; /* NULL: nothing is measured */
  pith_order order;
  pith_order_survey survey;
  pith_rate rate;
  pith_batch_room room;
  uint64_t *samples;          /* of the batches of one step */
  uint64_t *batch_ends;       /* [accumulate] where each ends among them */
  pith_teacher teacher;       /* where the options say one */
  pith_train_prune prune;
  bool prunes;
  pith_trainer *trainer;
  pith_checkpoint_piece *pieces; /* of the state, then the trainer's */
  pith_checkpoint_key key;
  uint64_t generation;
  const char *state_base, *best_path;
  pith_run_log log;
  pith_run_state state;
  /* Of this process. */
  uint64_t steps_made, tokens, log_steps_made, log_tokens;
  double seconds, log_seconds; /* of making them */
  double loss;                 /* the last mean that was told */
  double norm;                 /* of the last step's gradients */
  bool stopped_early;
} pith_run;

/* Everything but the checkpoints: model, data, order, trainer. pith_run_close follows, whether this fails or not. */
PITH_WARN_UNUSED pith_status pith_run_open(pith_run *run, const pith_run_request *request, pith_error *error);
void pith_run_close(pith_run *run);

/* Begins where the newest checkpoint was written, or anew; opens the log there. */
PITH_WARN_UNUSED pith_status pith_run_resume(pith_run *run, pith_error *error);
PITH_WARN_UNUSED pith_status pith_run_save(pith_run *run, pith_error *error);
/* The model of now is measured; where it is the best so far it is written to best_path. */
PITH_WARN_UNUSED pith_status pith_run_measure(pith_run *run, pith_error *error);
/* The result takes its place, and the files of the run go. */
PITH_WARN_UNUSED pith_status pith_run_finish(pith_run *run, pith_error *error);

double pith_run_get_epoch(const pith_run *run);
pith_evaluation pith_run_get_best(const pith_run *run);

#endif
