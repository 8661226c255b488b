/* Labelled texts from the files in which tasks are published, or from columns of the reader's choice. A file is read row by
 * row, so that one larger than memory can be. Part of libpith-compress. */
#ifndef PITH_MODELS_DATASET_H
#define PITH_MODELS_DATASET_H

#include "engine/base/arena.h"
#include "engine/base/mapped_file.h"

/* How a file's lines become rows. A path that ends in .jsonl is read as JSON lines whatever the format; with columns, one that
 * ends in .csv as CSV and any other as TSV. */
#define PITH_DATASET_FORMAT_LIST(X)                                                                        \
  X(JSONL, "JSON lines, the keys below")                                                                   \
  X(ROWS, "JSON lines; TSV or CSV by the path's ending, whose header names text, pair and label")          \
  X(TSV, "fields between tabs, no quoting")                                                                \
  X(CSV, "fields between commas, quoted where they hold one")                                              \
  X(SST2, "TSV with a header that names the columns sentence and label")                                   \
  X(STSB, "CSV without header: sentence, sentence, score 0 to 5")                                          \
  X(MRPC, "TSV without quoting: label, id, id, sentence, sentence")                                        \
  X(SQUAD, "SQuAD JSON")                                                                                   \
  X(CONLL, "a word a line, its label last; an empty line between texts")                                   \
  X(TEXT, "a text a line")
typedef enum pith_dataset_format {
#define PITH_DATASET_FORMAT_ENUM(name, text) PITH_DATASET_##name,
  PITH_DATASET_FORMAT_LIST(PITH_DATASET_FORMAT_ENUM)
#undef PITH_DATASET_FORMAT_ENUM
} pith_dataset_format;

/* Where a row's parts stand: names of a header's columns (JSON lines: keys), or positions from 1. NULL: as the format has it;
 * TSV and CSV: the columns text, pair and label, of which the last two may be absent. */
typedef struct pith_dataset_columns {
  const char *text, *pair, *label;
  bool header; /* the first line is one though all columns are positions: it is passed over */
} pith_dataset_columns;

/* JSON lines have "text" or "question" or, as words, "tokens"; "pair" or "context"; or "ids" and "type_ids" in place of texts;
 * "label", or for several "labels" or "tags"; "answers": [{"text":..,"answer_start":..}, ..] or
 * {"text":[..],"answer_start":[..]}. Labels may be numbers or names. */
typedef struct pith_dataset_row {
  const char *text;     /* SQuAD: the question; NULL where ids are given */
  const char *pair;     /* SQuAD: the context; or NULL */
  const int32_t *ids;   /* token ids in place of text, or NULL */
  const int32_t *type_ids; /* [id_count], or NULL: all 0 */
  uint32_t id_count;
  double label;         /* number; NaN where there is none or it is a name alone */
  const char *label_name; /* a label written as text, or NULL */
  const char *const *labels; /* [label_count] several labels: of each word, or all that hold; numbers as text. NULL: none */
  uint32_t label_count;
  const uint32_t (*words)[2]; /* [label_count] bytes of the text that each label is of; NULL: the labels are of the whole text */
  const char *const *references; /* SQuAD: answers that count as right */
  const uint32_t *reference_begins; /* [reference_count] bytes of the context; UINT32_MAX: not said, or another text is there */
  uint32_t reference_count;
  uint64_t line; /* of its file, from 1, where the row begins; SQuAD: question, from 0 */
  bool is_question; /* what `line` counts */
} pith_dataset_row;

enum { PITH_DATASET_WHERE_BYTES = 300 };
/* "data.jsonl: line 3", how messages on a row begin. */
const char *pith_dataset_describe_row(const char *path, const pith_dataset_row *row, char text[PITH_DATASET_WHERE_BYTES]);

/* ---- row by row --------------------------------------------------------------------------------------- */

enum { PITH_DATASET_MAX_FIELDS = 3 }; /* of a row that are kept: text, pair, label */

typedef struct pith_dataset_stream {
  const char *path; /* the caller's */
  pith_dataset_format format;
  pith_dataset_columns columns; /* JSON lines */
  pith_mapped_file file;
  const char *next, *end; /* what is not read yet */
  uint64_t line;          /* lines read */
  struct {                /* TSV, CSV */
    char delimiter;
    bool quotes, numbers; /* labels must be numbers */
    uint32_t wanted[PITH_DATASET_MAX_FIELDS]; /* places from 0; UINT32_MAX: absent */
    uint32_t exactly;     /* fields that a row has; 0: at least those wanted */
  } fields;
  struct {                /* SQuAD */
    struct cJSON *root;
    const struct cJSON *article, *paragraph, *question; /* the last one read */
    uint64_t count;
  } squad;
} pith_dataset_stream;

/* `columns` may be NULL. PITH_IO, or PITH_FORMAT where there are no such columns. pith_dataset_stream_close follows, whether
 * this fails or not. */
PITH_WARN_UNUSED pith_status pith_dataset_stream_open(pith_dataset_stream *stream, const char *path,
                                                      pith_dataset_format format, const pith_dataset_columns *columns,
                                                      pith_error *error);
/* The next row, or *out_end. Its texts lie in `arena`, a SQuAD file's in the stream. PITH_FORMAT with path, line and reason. */
PITH_WARN_UNUSED pith_status pith_dataset_stream_next(pith_dataset_stream *stream, pith_arena *arena,
                                                      pith_dataset_row *out_row, bool *out_end, pith_error *error);
void pith_dataset_stream_close(pith_dataset_stream *stream);

/* ---- a whole file ------------------------------------------------------------------------------------- */

typedef struct pith_dataset {
  const char *path; /* as it was given to pith_dataset_read: the caller's */
  size_t count;
  pith_dataset_row *rows;
  size_t capacity;
  pith_arena arena; /* holds rows' texts */
  pith_dataset_stream stream; /* open as long as its texts are needed */
} pith_dataset;

/* PITH_IO or PITH_FORMAT with path, line and reason; an empty file is PITH_FORMAT. `columns` may be NULL. */
PITH_WARN_UNUSED pith_status pith_dataset_read(const char *path, pith_dataset_format format,
                                               const pith_dataset_columns *columns, const pith_allocator *allocator,
                                               pith_dataset *out_dataset, pith_error *error);
void pith_dataset_deinit(pith_dataset *dataset); /* one that was never read (all zero) is accepted */
/* For whoever gathers rows himself: an empty one, and one more row of it, NULL where memory is out. */
void pith_dataset_init(pith_dataset *dataset, const char *path, const pith_allocator *allocator);
pith_dataset_row *pith_dataset_add_row(pith_dataset *dataset);

/* One JSON line, into `arena`; shared with whoever reads lines one by one. Unknown keys are ignored. `where` begins the
 * message ("data.jsonl: line 3"). `columns` may be NULL. */
PITH_WARN_UNUSED pith_status pith_dataset_parse_line(const char *line, size_t bytes, const char *where,
                                                     const pith_dataset_columns *columns, pith_arena *arena,
                                                     pith_dataset_row *out_row, pith_error *error);

#endif
