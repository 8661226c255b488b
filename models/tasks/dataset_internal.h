/* What the readers of the formats share with each other only. */
#ifndef PITH_MODELS_DATASET_INTERNAL_H
#define PITH_MODELS_DATASET_INTERNAL_H

#include "engine/base/error.h"
#include "models/tasks/dataset.h"

/* The next line [begin, end), its line end left out; false at the end. */
bool pith_dataset_next_line(pith_dataset_stream *stream, const char **out_begin, const char **out_end);
/* A failure at the line that was read last. */
__attribute__((format(printf, 3, 4))) pith_status pith_dataset_fail(const pith_dataset_stream *stream, pith_error *error,
                                                                    const char *format, ...);
pith_status pith_dataset_no_memory(const pith_dataset_stream *stream, pith_error *error);

/* TSV, CSV and what is one of them: finds the columns, reading the header where there is one. */
PITH_WARN_UNUSED pith_status pith_dataset_fields_open(pith_dataset_stream *stream, pith_error *error);
PITH_WARN_UNUSED pith_status pith_dataset_fields_next(pith_dataset_stream *stream, pith_arena *arena,
                                                      pith_dataset_row *row, bool *out_end, pith_error *error);
PITH_WARN_UNUSED pith_status pith_dataset_json_next(pith_dataset_stream *stream, pith_arena *arena,
                                                    pith_dataset_row *row, bool *out_end, pith_error *error);
PITH_WARN_UNUSED pith_status pith_dataset_squad_open(pith_dataset_stream *stream, pith_error *error);
PITH_WARN_UNUSED pith_status pith_dataset_squad_next(pith_dataset_stream *stream, pith_arena *arena,
                                                     pith_dataset_row *row, bool *out_end, pith_error *error);
PITH_WARN_UNUSED pith_status pith_dataset_conll_next(pith_dataset_stream *stream, pith_arena *arena,
                                                     pith_dataset_row *row, bool *out_end, pith_error *error);
PITH_WARN_UNUSED pith_status pith_dataset_text_next(pith_dataset_stream *stream, pith_arena *arena,
                                                    pith_dataset_row *row, bool *out_end, pith_error *error);

/* Words joined by single spaces, into row->text and row->words; `labels` are theirs. */
typedef struct pith_dataset_word {
  const char *text;
  size_t bytes;
  const char *label; /* zero-terminated */
} pith_dataset_word;
PITH_WARN_UNUSED bool pith_dataset_set_words(pith_dataset_row *row, const pith_dataset_word *words, size_t count,
                                             pith_arena *arena);

/* The answers of a question, of SQuAD or a JSON line: two forms (dataset.h). */
struct cJSON;
PITH_WARN_UNUSED pith_status pith_dataset_set_answers(pith_dataset_row *row, const struct cJSON *answers, const char *where,
                                                      pith_arena *arena, pith_error *error);

#endif
