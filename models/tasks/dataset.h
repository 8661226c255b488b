/* Labelled texts from the files in which tasks are published. Part of libpith-compress. */
#ifndef PITH_MODELS_DATASET_H
#define PITH_MODELS_DATASET_H

#include "engine/base/arena.h"

/* How a file's lines become rows; a path that ends in .jsonl is read as JSON lines whatever the format. */
#define PITH_DATASET_FORMAT_LIST(X)                                                                        \
  X(JSONL, "JSON lines {\"text\":..,\"pair\":..,\"label\":..} or {\"ids\":[..],\"type_ids\":[..],\"label\":..}") \
  X(SST2, "TSV with a header that names the columns sentence and label")                                   \
  X(STSB, "CSV without header: sentence, sentence, score 0 to 5")                                          \
  X(MRPC, "TSV without quoting: label, id, id, sentence, sentence")                                        \
  X(SQUAD, "SQuAD JSON")
typedef enum pith_dataset_format {
#define PITH_DATASET_FORMAT_ENUM(name, text) PITH_DATASET_##name,
  PITH_DATASET_FORMAT_LIST(PITH_DATASET_FORMAT_ENUM)
#undef PITH_DATASET_FORMAT_ENUM
} pith_dataset_format;

typedef struct pith_dataset_row {
  const char *text;     /* SQuAD: the question; NULL where ids are given */
  const char *pair;     /* SQuAD: the context; or NULL */
  const int32_t *ids;   /* token ids in place of text, or NULL */
  const int32_t *type_ids; /* [id_count], or NULL: all 0 */
  uint32_t id_count;
  double label;         /* number; NaN where there is none or it is a name */
  const char *label_name; /* a label written as text, or NULL */
  const char *const *references; /* SQuAD: answers that count as right */
  uint32_t reference_count;
  uint64_t line; /* of its file, from 1 (CSV: its record); 0: not known */
} pith_dataset_row;

typedef struct pith_dataset {
  const char *path; /* as it was given to pith_dataset_read: the caller's */
  size_t count;
  pith_dataset_row *rows;
  size_t capacity;
  pith_arena arena; /* holds rows' texts */
} pith_dataset;

/* Reads a whole file. PITH_IO or PITH_FORMAT with path, line and reason; an empty file is PITH_FORMAT. */
PITH_WARN_UNUSED pith_status pith_dataset_read(const char *path, pith_dataset_format format,
                                               const pith_allocator *allocator, pith_dataset *out_dataset,
                                               pith_error *error);
void pith_dataset_deinit(pith_dataset *dataset);

/* One JSON line, into `arena`; shared with whoever reads lines one by one. Unknown keys are ignored. `where` begins the
 * message ("data.jsonl: line 3"). */
PITH_WARN_UNUSED pith_status pith_dataset_parse_line(const char *line, size_t bytes, const char *where,
                                                     pith_arena *arena, pith_dataset_row *out_row,
                                                     pith_error *error);

#endif
