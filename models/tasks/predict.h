/* What a model says of a task's rows, gathered for the metrics. */
#ifndef PITH_MODELS_PREDICT_H
#define PITH_MODELS_PREDICT_H

#include "models/tasks/entities.h"
#include "models/tasks/evaluate.h"

/* What a whole evaluation gathers, row by row. */
typedef struct pith_gathered {
  double *predicted, *wanted;         /* VALUES: [rows] */
  int32_t *predicted_class, *classes; /* CLASSES: [rows]; SETS: [rows, labels] */
  double exact, f1;                   /* SPANS: sums */
  pith_entity_counts entities, strict_entities; /* TAGS */
  uint64_t tokens, right;             /* TAGS: words; MASKED: hidden tokens */
  double log_loss;                    /* MASKED: sum */
} pith_gathered;

/* Adds `n` rows from `begin` on; scratch comes from `arena`. */
PITH_WARN_UNUSED pith_status pith_predict(pith_session *session, pith_eval_kind kind, const pith_dataset *dataset,
                                          size_t begin, size_t n, pith_arena *arena, pith_gathered *out, pith_error *error);

#endif
