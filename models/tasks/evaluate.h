/* A model's metrics on a task's data. Part of libpith-compress. */
#ifndef PITH_MODELS_EVALUATE_H
#define PITH_MODELS_EVALUATE_H

#include "models/heads/feed.h"
#include "models/tasks/dataset.h"

typedef enum pith_eval_metric {
  PITH_EVAL_ACCURACY,
  PITH_EVAL_F1,  /* of class 1; of more than two classes: the mean over classes (macro) */
  PITH_EVAL_MCC, /* of more than two classes: of all of them */
  PITH_EVAL_PEARSON,
  PITH_EVAL_SPEARMAN,
  PITH_EVAL_EXACT_MATCH,
  PITH_EVAL_SPAN_F1,
  PITH_EVAL_ENTITY_F1, /* this and the next two: seqeval's default mode (models/tasks/entities.h) */
  PITH_EVAL_ENTITY_PRECISION,
  PITH_EVAL_ENTITY_RECALL,
  PITH_EVAL_ENTITY_F1_STRICT,
  PITH_EVAL_PERPLEXITY, /* of masked tokens: less is better */
} pith_eval_metric;

typedef enum pith_eval_kind {
  PITH_EVAL_CLASSES, /* a label for each row */
  PITH_EVAL_VALUES,  /* a number for each row: a regression, or the cosine of two embeddings */
  PITH_EVAL_SPANS,   /* an answer for each row */
  PITH_EVAL_TAGS,    /* a label for each word */
  PITH_EVAL_SETS,    /* labels of which several may hold for each row */
  PITH_EVAL_MASKED,  /* tokens that are hidden */
  PITH_EVAL_PAIRS,   /* pairs of texts that belong together: to train on */
} pith_eval_kind;

enum { PITH_EVAL_MAX_METRICS = 5 };

typedef struct pith_eval_task {
  const char *name;
  pith_dataset_format format;
  pith_eval_kind kind;
  size_t metric_count;
  pith_eval_metric metrics[PITH_EVAL_MAX_METRICS]; /* the first is what the best model is found by */
  double range; /* VALUES: the label that a cosine or a score of 1 stands for; 0: 1 */
  const char *doc;
} pith_eval_task;

extern const pith_eval_task pith_eval_tasks[]; /* ends with a NULL name */
const pith_eval_task *pith_eval_task_find(const char *name);
const char *pith_eval_metric_name(pith_eval_metric metric);
/* Whether a larger value is a better one. */
bool pith_eval_metric_rises(pith_eval_metric metric);

typedef struct pith_evaluation {
  size_t n;
  size_t metric_count;
  struct {
    const char *name;
    double value;
  } metrics[PITH_EVAL_MAX_METRICS];
} pith_evaluation;

/* Runs all rows and scores them. PITH_INVALID_ARGUMENT for a task without metrics. `progress`, unless NULL, is called with the rows done so far. */
PITH_WARN_UNUSED pith_status pith_evaluate(pith_session *session, const pith_eval_task *task,
                                           const pith_dataset *dataset,
                                           void (*progress)(void *context, uint64_t done), void *context,
                                           pith_evaluation *out_evaluation, pith_error *error);

/* Sequences for rows: their ids as they are, their texts encoded (pith_feed_encode). */
PITH_WARN_UNUSED pith_status pith_rows_encode(pith_session *session, const pith_dataset_row *rows, size_t n,
                                              pith_arena *arena, pith_sequence *out_sequences,
                                              pith_error *error);

#endif
