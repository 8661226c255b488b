/* Metrics of the tasks, in double precision, over answers in the order of the data. Where a metric is undefined (no
 * positive at all, no variance) it is 0, as scikit-learn's default gives. */
#ifndef PITH_MODELS_METRICS_H
#define PITH_MODELS_METRICS_H

#include "engine/base/arena.h"

/* Share of predictions that equal the label; 0 for n = 0. */
double pith_metric_accuracy(const int32_t *predicted, const int32_t *labels, size_t n);
/* F1 of the class `positive` against all others. */
double pith_metric_f1(const int32_t *predicted, const int32_t *labels, size_t n, int32_t positive);
/* Matthews correlation of two classes: `positive` against all others. */
double pith_metric_mcc(const int32_t *predicted, const int32_t *labels, size_t n, int32_t positive);
/* Over classes 0..class_count-1, which all predictions and labels must be. F1: the mean over the classes that occur among
 * predictions or labels (scikit-learn's f1_score, average="macro"). Matthews: Gorodkin's correlation of all classes
 * (matthews_corrcoef). PITH_OUT_OF_MEMORY where scratch is out. */
PITH_WARN_UNUSED pith_status pith_metric_macro_f1(const int32_t *predicted, const int32_t *labels, size_t n,
                                                  size_t class_count, const pith_allocator *allocator,
                                                  double *out_value, pith_error *error);
PITH_WARN_UNUSED pith_status pith_metric_multiclass_mcc(const int32_t *predicted, const int32_t *labels, size_t n,
                                                        size_t class_count, const pith_allocator *allocator,
                                                        double *out_value, pith_error *error);
/* Labels of which several may hold: [n, label_count], 0 or 1. The share of rows whose labels are all right; F1 of all labels
 * together is pith_metric_f1 over n * label_count. */
double pith_metric_set_accuracy(const int32_t *predicted, const int32_t *labels, size_t n, size_t label_count);
/* -ln of the softmax of logits[class_count] at `label`. Perplexity is e to the power of its mean. */
double pith_metric_log_loss(const float *logits, size_t class_count, size_t label);
/* Product-moment correlation of n pairs. */
double pith_metric_pearson(const double *x, const double *y, size_t n);
/* Rank correlation; equal values share the mean of their ranks. PITH_OUT_OF_MEMORY where scratch is out. */
PITH_WARN_UNUSED pith_status pith_metric_spearman(const double *x, const double *y, size_t n,
                                                  const pith_allocator *allocator, double *out_value,
                                                  pith_error *error);
double pith_metric_cosine(const float *x, const float *y, size_t n);

/* SQuAD v1.1: answers are lower-cased, ASCII punctuation and the words a, an and the dropped, white space squeezed. */
typedef struct pith_squad_score {
  double exact, f1; /* of one answer against the best of its references, each 0 to 1 */
} pith_squad_score;
PITH_WARN_UNUSED pith_status pith_metric_squad(const char *answer, size_t answer_bytes,
                                               const char *const *references, size_t reference_count,
                                               const pith_allocator *allocator, pith_squad_score *out_score,
                                               pith_error *error);

#endif
