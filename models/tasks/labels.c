#include "models/tasks/labels.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

/* PITH_NONE: none of the model's. */
static uint32_t find_number(const pith_model_data *data, double number) {
  return number >= 0 && number < data->label_count && number == floor(number) ? (uint32_t)number : PITH_NONE;
}

static uint32_t find_name(const pith_model_data *data, const char *name, size_t bytes) {
  for (uint32_t i = 0; i < data->label_count; i++)
    if (strlen(data->labels[i]) == bytes && memcmp(data->labels[i], name, bytes) == 0)
      return i;
  char *end;
  const double number = strtod(name, &end);
  return bytes != 0 && end == name + bytes ? find_number(data, number) : PITH_NONE;
}

static pith_status fail(const pith_model_data *data, const char *path, const pith_dataset_row *row, const char *name,
                        size_t bytes, pith_error *error) {
  char where[PITH_DATASET_WHERE_BYTES];
  return pith_fail(error, PITH_INVALID_ARGUMENT, "%s: label '%.*s' is none of the model's %u",
                   pith_dataset_describe_row(path, row, where), (int)(bytes < PITH_LABEL_BYTES ? bytes : PITH_LABEL_BYTES),
                   name, data->label_count);
}

static pith_status fail_missing(const char *path, const pith_dataset_row *row, const char *what, pith_error *error) {
  char where[PITH_DATASET_WHERE_BYTES];
  return pith_fail(error, PITH_INVALID_ARGUMENT, "%s: no %s", pith_dataset_describe_row(path, row, where), what);
}

pith_status pith_label_find(const pith_model_data *data, const char *path, const pith_dataset_row *row, int32_t *out_label,
                            pith_error *error) {
  if (row->label_name == NULL && isnan(row->label))
    return fail_missing(path, row, "label", error);
  const uint32_t found = row->label_name != NULL ? find_name(data, row->label_name, strlen(row->label_name))
                                                 : find_number(data, row->label);
  if (found == PITH_NONE) {
    char number[PITH_LABEL_BYTES];
    snprintf(number, sizeof number, "%g", row->label);
    const char *name = row->label_name != NULL ? row->label_name : number;
    return fail(data, path, row, name, strlen(name), error);
  }
  *out_label = (int32_t)found;
  return PITH_OK;
}

pith_status pith_labels_find(const pith_model_data *data, const char *path, const pith_dataset_row *row, int32_t *out_labels,
                             pith_error *error) {
  if (row->words == NULL)
    return fail_missing(path, row, "words with labels", error);
  for (uint32_t i = 0; i < row->label_count; i++) {
    const uint32_t found = find_name(data, row->labels[i], strlen(row->labels[i]));
    if (found == PITH_NONE)
      return fail(data, path, row, row->labels[i], strlen(row->labels[i]), error);
    out_labels[i] = (int32_t)found;
  }
  return PITH_OK;
}

static pith_status add_to_set(const pith_model_data *data, const char *path, const pith_dataset_row *row, const char *name,
                              size_t bytes, int32_t *holds, pith_error *error) {
  const uint32_t found = find_name(data, name, bytes);
  if (found == PITH_NONE)
    return fail(data, path, row, name, bytes, error);
  holds[found] = 1;
  return PITH_OK;
}

pith_status pith_label_set_find(const pith_model_data *data, const char *path, const pith_dataset_row *row,
                                int32_t *out_holds, pith_error *error) {
  memset(out_holds, 0, data->label_count * sizeof *out_holds);
  if (row->labels != NULL && row->words == NULL) {
    for (uint32_t i = 0; i < row->label_count; i++)
      PITH_TRY(add_to_set(data, path, row, row->labels[i], strlen(row->labels[i]), out_holds, error));
    return PITH_OK;
  }
  if (row->label_name == NULL) {
    int32_t label;
    PITH_TRY(pith_label_find(data, path, row, &label, error));
    out_holds[label] = 1;
    return PITH_OK;
  }
  for (const char *name = row->label_name; *name != '\0';) {
    const size_t bytes = strcspn(name, ",");
    PITH_TRY(add_to_set(data, path, row, name, bytes, out_holds, error));
    name += bytes + (name[bytes] == ',');
  }
  return PITH_OK;
}

pith_status pith_label_get_number(const char *path, const pith_dataset_row *row, double *out_number, pith_error *error) {
  if (!isfinite(row->label))
    return fail_missing(path, row, "number as its label", error);
  *out_number = row->label;
  return PITH_OK;
}
