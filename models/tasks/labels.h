/* Labels of rows among a model's. Part of libpith-compress. */
#ifndef PITH_MODELS_LABELS_H
#define PITH_MODELS_LABELS_H

#include "engine/format/model_data.h"
#include "models/tasks/dataset.h"

enum { PITH_LABEL_BYTES = 64 };

/* Each is PITH_INVALID_ARGUMENT, with the row's place in `path` and the label, where it is none of the model's. A label is
 * one of the model's by its name, else as a whole number from 0. */

/* A row's label. */
PITH_WARN_UNUSED pith_status pith_label_find(const pith_model_data *data, const char *path, const pith_dataset_row *row,
                                             int32_t *out_label, pith_error *error);
/* Of a text's words: out_labels [row->label_count]. */
PITH_WARN_UNUSED pith_status pith_labels_find(const pith_model_data *data, const char *path, const pith_dataset_row *row,
                                              int32_t *out_labels, pith_error *error);
/* All that hold for a text, listed or between commas: out_holds [data->label_count], 0 or 1. */
PITH_WARN_UNUSED pith_status pith_label_set_find(const pith_model_data *data, const char *path, const pith_dataset_row *row,
                                                 int32_t *out_holds, pith_error *error);
/* A finite number. */
PITH_WARN_UNUSED pith_status pith_label_get_number(const char *path, const pith_dataset_row *row, double *out_number,
                                                   pith_error *error);

#endif
