/* How samples lie in the file of words: what writes and what gathers them share this.
 *
 *     length of each sequence     1 or 2 words
 *     labels                      pith_sample_count_labels words
 *     tokens of each sequence     id | type id << 24 */
#ifndef PITH_TRAIN_DATA_INTERNAL_H
#define PITH_TRAIN_DATA_INTERNAL_H

#include "train/data.h"

enum { PITH_TYPE_SHIFT = 24, PITH_MAX_TYPE = 127 };

/* Of a class or a target 1, of an answer 2 (first and last token), of words one a token (-100: none), of a set one a label. */
static inline size_t pith_sample_count_labels(const pith_train_data *data, size_t length) {
  switch (data->kind) {
  case PITH_EVAL_CLASSES:
  case PITH_EVAL_VALUES:
    return 1;
  case PITH_EVAL_SPANS:
    return 2;
  case PITH_EVAL_TAGS:
    return length;
  case PITH_EVAL_SETS:
    return data->label_count;
  case PITH_EVAL_MASKED:
  case PITH_EVAL_PAIRS:
    break;
  }
  return 0;
}

#endif
