#include "models/tasks/dataset.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>

#include "models/tasks/dataset_internal.h"

/* ---- what readers share ------------------------------------------------------------------------------- */

bool pith_dataset_next_line(pith_dataset_stream *stream, const char **out_begin, const char **out_end) {
  if (stream->next == stream->end)
    return false;
  const char *newline = memchr(stream->next, '\n', (size_t)(stream->end - stream->next));
  *out_begin = stream->next;
  *out_end = newline == NULL ? stream->end : newline;
  stream->next = newline == NULL ? stream->end : newline + 1;
  if (*out_end > *out_begin && (*out_end)[-1] == '\r')
    --*out_end;
  stream->line++;
  return true;
}

pith_status pith_dataset_fail(const pith_dataset_stream *stream, pith_error *error, const char *format, ...) {
  char reason[300];
  va_list arguments;
  va_start(arguments, format);
  vsnprintf(reason, sizeof reason, format, arguments);
  va_end(arguments);
  return pith_fail(error, PITH_FORMAT, "%s: line %llu%s", stream->path, (unsigned long long)stream->line, reason);
}

pith_status pith_dataset_no_memory(const pith_dataset_stream *stream, pith_error *error) {
  return pith_fail(error, PITH_OUT_OF_MEMORY, "%s: no memory for its rows", stream->path);
}

const char *pith_dataset_describe_row(const char *path, const pith_dataset_row *row, char text[PITH_DATASET_WHERE_BYTES]) {
  snprintf(text, PITH_DATASET_WHERE_BYTES, "%.250s: %s %llu", path, row->is_question ? "question" : "line",
           (unsigned long long)row->line);
  return text;
}

/* ---- streams ------------------------------------------------------------------------------------------ */

static bool ends_with(const char *path, const char *ending) {
  const size_t bytes = strlen(path), ending_bytes = strlen(ending);
  return bytes >= ending_bytes && strcmp(path + bytes - ending_bytes, ending) == 0;
}

static pith_dataset_format resolve(const char *path, pith_dataset_format format, const pith_dataset_columns *columns) {
  if (ends_with(path, ".jsonl"))
    return PITH_DATASET_JSONL;
  if (columns->text != NULL || columns->pair != NULL || columns->label != NULL)
    return ends_with(path, ".csv") ? PITH_DATASET_CSV : PITH_DATASET_TSV;
  if (format != PITH_DATASET_ROWS)
    return format;
  return ends_with(path, ".csv") ? PITH_DATASET_CSV : ends_with(path, ".tsv") ? PITH_DATASET_TSV : PITH_DATASET_JSONL;
}

/* The first row is at hand, or the end. */
static pith_status begin(pith_dataset_stream *stream, pith_error *error) {
  switch (stream->format) {
  case PITH_DATASET_TSV:
  case PITH_DATASET_CSV:
  case PITH_DATASET_SST2:
  case PITH_DATASET_STSB:
  case PITH_DATASET_MRPC:
    return pith_dataset_fields_open(stream, error);
  case PITH_DATASET_SQUAD:
    return pith_dataset_squad_open(stream, error);
  case PITH_DATASET_JSONL:
  case PITH_DATASET_ROWS:
  case PITH_DATASET_CONLL:
  case PITH_DATASET_TEXT:
    break;
  }
  return PITH_OK;
}

pith_status pith_dataset_stream_open(pith_dataset_stream *stream, const char *path, pith_dataset_format format,
                                     const pith_dataset_columns *columns, pith_error *error) {
  static const pith_dataset_columns none = {0};
  *stream = (pith_dataset_stream){.path = path, .columns = columns == NULL ? none : *columns};
  stream->format = resolve(path, format, &stream->columns);
  PITH_TRY(pith_mapped_file_open(path, &stream->file, error));
  if (stream->file.size == 0)
    return PITH_OK;
  stream->next = stream->file.bytes;
  stream->end = stream->next + stream->file.size;
  if (stream->file.size >= 3 && memcmp(stream->next, "\xef\xbb\xbf", 3) == 0)
    stream->next += 3;
  return begin(stream, error);
}

pith_status pith_dataset_stream_next(pith_dataset_stream *stream, pith_arena *arena, pith_dataset_row *out_row,
                                     bool *out_end, pith_error *error) {
  *out_row = (pith_dataset_row){.label = NAN};
  *out_end = false;
  switch (stream->format) {
  case PITH_DATASET_TSV:
  case PITH_DATASET_CSV:
  case PITH_DATASET_SST2:
  case PITH_DATASET_STSB:
  case PITH_DATASET_MRPC:
    return pith_dataset_fields_next(stream, arena, out_row, out_end, error);
  case PITH_DATASET_SQUAD:
    return pith_dataset_squad_next(stream, arena, out_row, out_end, error);
  case PITH_DATASET_CONLL:
    return pith_dataset_conll_next(stream, arena, out_row, out_end, error);
  case PITH_DATASET_TEXT:
    return pith_dataset_text_next(stream, arena, out_row, out_end, error);
  case PITH_DATASET_JSONL:
  case PITH_DATASET_ROWS:
    break;
  }
  return pith_dataset_json_next(stream, arena, out_row, out_end, error);
}

/* ---- whole files -------------------------------------------------------------------------------------- */

void pith_dataset_init(pith_dataset *dataset, const char *path, const pith_allocator *allocator) {
  *dataset = (pith_dataset){.path = path};
  pith_arena_init(&dataset->arena, allocator);
}

pith_dataset_row *pith_dataset_add_row(pith_dataset *dataset) {
  if (dataset->count == dataset->capacity) {
    size_t capacity = dataset->capacity == 0 ? 1024 : dataset->capacity * 2;
    pith_dataset_row *rows = PITH_ARENA_NEW(&dataset->arena, pith_dataset_row, capacity);
    if (rows == NULL)
      return NULL;
    if (dataset->count != 0)
      memcpy(rows, dataset->rows, dataset->count * sizeof *rows);
    dataset->rows = rows;
    dataset->capacity = capacity;
  }
  return &dataset->rows[dataset->count++];
}

static pith_status read_rows(pith_dataset *dataset, pith_error *error) {
  for (bool end = false; !end;) {
    pith_dataset_row row, *place;
    PITH_TRY(pith_dataset_stream_next(&dataset->stream, &dataset->arena, &row, &end, error));
    if (end)
      break;
    if ((place = pith_dataset_add_row(dataset)) == NULL)
      return pith_dataset_no_memory(&dataset->stream, error);
    *place = row;
  }
  return dataset->count != 0 ? PITH_OK : pith_fail(error, PITH_FORMAT, "%s: no rows", dataset->path);
}

pith_status pith_dataset_read(const char *path, pith_dataset_format format, const pith_dataset_columns *columns,
                              const pith_allocator *allocator, pith_dataset *out_dataset, pith_error *error) {
  pith_dataset_init(out_dataset, path, allocator);
  pith_status status = pith_dataset_stream_open(&out_dataset->stream, path, format, columns, error);
  if (status == PITH_OK)
    status = read_rows(out_dataset, error);
  if (status != PITH_OK)
    pith_dataset_deinit(out_dataset);
  else if (out_dataset->stream.format != PITH_DATASET_SQUAD)
    pith_dataset_stream_close(&out_dataset->stream);
  return status;
}

void pith_dataset_deinit(pith_dataset *dataset) {
  pith_dataset_stream_close(&dataset->stream);
  pith_arena_deinit(&dataset->arena);
  *dataset = (pith_dataset){0};
}
