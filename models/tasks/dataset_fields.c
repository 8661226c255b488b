/* Rows whose parts are fields of a line: TSV, CSV, and what is published in them; and lines of words or of text. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "models/tasks/dataset_internal.h"

enum { TEXT, PAIR, LABEL };

/* Formats that are TSV or CSV with columns of their own. */
typedef struct form {
  const char *columns[PITH_DATASET_MAX_FIELDS]; /* text, pair, label */
  char delimiter;
  bool quotes, numbers;
  uint32_t exactly;         /* fields; 0: any number */
  const char *header_begin; /* a first line that begins with this field is passed over */
} form;
static const form forms[] = {
    [PITH_DATASET_TSV] = {{NULL, NULL, NULL}, '\t', false, false, 0, NULL},
    [PITH_DATASET_CSV] = {{NULL, NULL, NULL}, ',', true, false, 0, NULL},
    [PITH_DATASET_SST2] = {{"sentence", NULL, "label"}, '\t', false, true, 0, NULL},
    [PITH_DATASET_STSB] = {{"1", "2", "3"}, ',', true, true, 3, NULL},
    [PITH_DATASET_MRPC] = {{"4", "5", "1"}, '\t', false, true, 5, "Quality"}, /* Microsoft's own header */
};

/* ---- records ------------------------------------------------------------------------------------------ */

typedef struct field {
  const char *begin, *end;
  bool quoted; /* begin is behind the quote; the end may be behind the one that closes it */
} field;

/* Reads the field at *at and moves behind its delimiter; *out_more: another one follows. A record may span lines. */
static field next_field(pith_dataset_stream *stream, const char **at, bool *out_more) {
  field f = {.begin = *at, .quoted = stream->fields.quotes && *at < stream->end && **at == '"'};
  const char *stop = *at + f.quoted;
  for (bool inside = f.quoted; stop < stream->end; stop++) {
    if (inside) {
      if (*stop != '"') {
        stream->line += *stop == '\n';
        continue;
      }
      if (stop + 1 < stream->end && stop[1] == '"')
        stop++;
      else
        inside = false;
    } else if (*stop == stream->fields.delimiter || *stop == '\n') {
      break;
    }
  }
  f.begin += f.quoted;
  f.end = stop;
  *out_more = stop < stream->end && *stop == stream->fields.delimiter;
  *at = stop < stream->end ? stop + 1 : stop;
  if (!*out_more && f.end > f.begin && f.end[-1] == '\r')
    f.end--;
  return f;
}

static char *copy_field(const field *f, pith_arena *arena) {
  if (!f->quoted)
    return pith_arena_string(arena, f->begin, (size_t)(f->end - f->begin));
  char *copy = PITH_ARENA_NEW(arena, char, (size_t)(f->end - f->begin) + 1), *out = copy;
  bool inside = true;
  for (const char *in = f->begin; in < f->end && copy != NULL; in++) {
    if (inside && *in == '"') {
      if (in + 1 < f->end && in[1] == '"')
        in++;
      else {
        inside = false;
        continue;
      }
    }
    *out++ = *in;
  }
  return copy;
}

/* The wanted fields of the next record and how many it has; 0: the end. Empty lines are passed over. The stream's line becomes the
 * record's last one; *out_line is its first. */
static uint32_t next_record(pith_dataset_stream *stream, field wanted[PITH_DATASET_MAX_FIELDS], field *first,
                            uint64_t *out_line) {
  while (stream->next < stream->end) {
    const char *at = stream->next;
    uint32_t count = 0;
    *out_line = ++stream->line;
    for (bool more = true; more; count++) {
      const field f = next_field(stream, &at, &more);
      if (count == 0)
        *first = f;
      for (int i = 0; i < PITH_DATASET_MAX_FIELDS; i++)
        if (stream->fields.wanted[i] == count)
          wanted[i] = f;
    }
    stream->next = at;
    if (count > 1 || first->begin < first->end || first->quoted)
      return count;
  }
  return 0;
}

/* ---- columns ------------------------------------------------------------------------------------------ */

/* A position from 1, or 0: it is a name. */
static uint32_t get_position(const char *column) {
  char *end;
  const unsigned long position = strtoul(column, &end, 10);
  return column[0] >= '1' && column[0] <= '9' && *end == '\0' && position < 100000 ? (uint32_t)position : 0;
}

static bool is_name(const char *column) {
  return column != NULL && get_position(column) == 0;
}

static bool is_field(const field *f, const char *text) {
  const size_t bytes = strlen(text), own = (size_t)(f->end - f->begin) - (f->quoted && f->end > f->begin && f->end[-1] == '"');
  return own == bytes && memcmp(f->begin, text, bytes) == 0;
}

/* Finds names in the header, which is read. */
static pith_status read_header(pith_dataset_stream *stream, const char *const columns[PITH_DATASET_MAX_FIELDS],
                               const bool optional[PITH_DATASET_MAX_FIELDS], pith_error *error) {
  const char *at = stream->next;
  stream->line++;
  uint32_t count = 0;
  for (bool more = at < stream->end; more; count++) {
    const field f = next_field(stream, &at, &more);
    for (int i = 0; i < PITH_DATASET_MAX_FIELDS; i++)
      if (is_name(columns[i]) && stream->fields.wanted[i] == UINT32_MAX && is_field(&f, columns[i]))
        stream->fields.wanted[i] = count;
  }
  stream->next = at;
  for (int i = 0; i < PITH_DATASET_MAX_FIELDS; i++)
    if (is_name(columns[i]) && stream->fields.wanted[i] == UINT32_MAX && !optional[i])
      return pith_dataset_fail(stream, error, " has no column '%.100s'", columns[i]);
  return PITH_OK;
}

pith_status pith_dataset_fields_open(pith_dataset_stream *stream, pith_error *error) {
  static const char *const defaults[] = {"text", "pair", "label"};
  const form *f = &forms[stream->format];
  stream->fields.delimiter = f->delimiter;
  stream->fields.quotes = f->quotes;
  stream->fields.numbers = f->numbers;
  stream->fields.exactly = f->exactly;
  const char *columns[] = {stream->columns.text, stream->columns.pair, stream->columns.label};
  const bool given = columns[TEXT] != NULL || columns[PAIR] != NULL || columns[LABEL] != NULL;
  bool optional[PITH_DATASET_MAX_FIELDS] = {false}, named = false;
  for (int i = 0; i < PITH_DATASET_MAX_FIELDS; i++) {
    const bool published = f->columns[TEXT] != NULL;
    optional[i] = columns[i] == NULL && i != TEXT && !published;
    if (columns[i] == NULL && (!given || i == TEXT))
      columns[i] = published ? f->columns[i] : defaults[i];
    named |= is_name(columns[i]);
    stream->fields.wanted[i] = columns[i] == NULL || is_name(columns[i]) ? UINT32_MAX : get_position(columns[i]) - 1;
  }
  if (named || stream->columns.header)
    return read_header(stream, columns, optional, error);
  if (f->header_begin == NULL)
    return PITH_OK;
  const char *at = stream->next;
  bool more;
  const field first = next_field(stream, &at, &more);
  if (is_field(&first, f->header_begin))
    return read_header(stream, columns, optional, error);
  return PITH_OK;
}

/* ---- rows --------------------------------------------------------------------------------------------- */

static pith_status set_label(pith_dataset_stream *stream, char *text, pith_dataset_row *row, pith_error *error) {
  char *end;
  const double value = strtod(text, &end);
  if (end != text && *end == '\0' && isfinite(value))
    row->label = value;
  else if (stream->fields.numbers)
    return pith_dataset_fail(stream, error, ": label '%.40s' is no number", text);
  row->label_name = stream->fields.numbers ? NULL : text;
  return PITH_OK;
}

pith_status pith_dataset_fields_next(pith_dataset_stream *stream, pith_arena *arena, pith_dataset_row *row, bool *out_end,
                                     pith_error *error) {
  field wanted[PITH_DATASET_MAX_FIELDS], first;
  const char *record = stream->next;
  const uint32_t count = next_record(stream, wanted, &first, &row->line);
  *out_end = count == 0;
  if (*out_end)
    return PITH_OK;
  const uint64_t last_line = stream->line;
  stream->line = row->line; /* what messages name */
  const char *zero = memchr(record, '\0', (size_t)(stream->next - record));
  if (zero != NULL)
    return pith_dataset_fail(stream, error, ": a zero byte: not a text file");
  uint32_t least = 0;
  for (int i = 0; i < PITH_DATASET_MAX_FIELDS; i++)
    if (stream->fields.wanted[i] != UINT32_MAX && stream->fields.wanted[i] >= least)
      least = stream->fields.wanted[i] + 1;
  if (stream->fields.exactly != 0 ? count != stream->fields.exactly : count < least)
    return pith_dataset_fail(stream, error, " has %u fields, not %s%u", count, stream->fields.exactly != 0 ? "" : "at least ",
                             stream->fields.exactly != 0 ? stream->fields.exactly : least);
  char *copies[PITH_DATASET_MAX_FIELDS] = {NULL};
  for (int i = 0; i < PITH_DATASET_MAX_FIELDS; i++)
    if (stream->fields.wanted[i] != UINT32_MAX && (copies[i] = copy_field(&wanted[i], arena)) == NULL)
      return pith_dataset_no_memory(stream, error);
  row->text = copies[TEXT];
  row->pair = copies[PAIR];
  if (copies[LABEL] != NULL)
    PITH_TRY(set_label(stream, copies[LABEL], row, error));
  stream->line = last_line;
  return PITH_OK;
}

/* ---- words and texts ---------------------------------------------------------------------------------- */

bool pith_dataset_set_words(pith_dataset_row *row, const pith_dataset_word *words, size_t count, pith_arena *arena) {
  size_t bytes = 0;
  for (size_t i = 0; i < count; i++)
    bytes += words[i].bytes + 1;
  char *text = PITH_ARENA_NEW(arena, char, bytes + 1);
  uint32_t(*places)[2] = pith_arena_array(arena, count, sizeof *places);
  const char **labels = PITH_ARENA_NEW(arena, const char *, count);
  if (text == NULL || places == NULL || labels == NULL || bytes > UINT32_MAX)
    return false;
  size_t at = 0;
  for (size_t i = 0; i < count; i++) {
    if (i != 0)
      text[at++] = ' ';
    memcpy(text + at, words[i].text, words[i].bytes);
    places[i][0] = (uint32_t)at;
    at += words[i].bytes;
    places[i][1] = (uint32_t)at;
    labels[i] = words[i].label;
  }
  row->text = text;
  row->words = (const uint32_t(*)[2])places;
  row->labels = labels;
  row->label_count = (uint32_t)count;
  return true;
}

static bool is_blank(const char *begin, const char *end) {
  while (begin < end && (*begin == ' ' || *begin == '\t'))
    begin++;
  return begin == end;
}

/* "EU NNP B-NP B-ORG": the word first, its label last. */
static pith_status parse_word(pith_dataset_stream *stream, const char *begin, const char *end, pith_arena *arena,
                              pith_dataset_word *word, pith_error *error) {
  const char *stop = begin, *last = end;
  while (stop < end && *stop != ' ' && *stop != '\t')
    stop++;
  while (last > begin && (last[-1] == ' ' || last[-1] == '\t'))
    last--;
  const char *label = last;
  while (label > stop && label[-1] != ' ' && label[-1] != '\t')
    label--;
  if (stop == begin || label <= stop)
    return pith_dataset_fail(stream, error, ": no word and label: '%.*s'", (int)(end - begin < 60 ? end - begin : 60), begin);
  if (memchr(begin, '\0', (size_t)(end - begin)) != NULL)
    return pith_dataset_fail(stream, error, ": a zero byte: not a text file");
  *word = (pith_dataset_word){begin, (size_t)(stop - begin), pith_arena_string(arena, label, (size_t)(last - label))};
  return word->label == NULL ? pith_dataset_no_memory(stream, error) : PITH_OK;
}

pith_status pith_dataset_conll_next(pith_dataset_stream *stream, pith_arena *arena, pith_dataset_row *row, bool *out_end,
                                    pith_error *error) {
  static const char document[] = "-DOCSTART-";
  const char *begin, *end;
  pith_dataset_word *words = NULL;
  size_t count = 0, capacity = 0;
  while (pith_dataset_next_line(stream, &begin, &end)) {
    if (is_blank(begin, end) || ((size_t)(end - begin) >= strlen(document) && memcmp(begin, document, strlen(document)) == 0)) {
      if (count != 0)
        break;
      continue;
    }
    if (count == capacity) {
      capacity = capacity == 0 ? 64 : 2 * capacity;
      pith_dataset_word *more = PITH_ARENA_NEW(arena, pith_dataset_word, capacity);
      if (more == NULL)
        return pith_dataset_no_memory(stream, error);
      if (count != 0)
        memcpy(more, words, count * sizeof *more);
      words = more;
    }
    row->line = count == 0 ? stream->line : row->line;
    PITH_TRY(parse_word(stream, begin, end, arena, &words[count], error));
    count++;
  }
  *out_end = count == 0;
  if (!*out_end && !pith_dataset_set_words(row, words, count, arena))
    return pith_dataset_no_memory(stream, error);
  return PITH_OK;
}

pith_status pith_dataset_text_next(pith_dataset_stream *stream, pith_arena *arena, pith_dataset_row *row, bool *out_end,
                                   pith_error *error) {
  const char *begin, *end;
  do {
    *out_end = !pith_dataset_next_line(stream, &begin, &end);
    if (*out_end)
      return PITH_OK;
  } while (is_blank(begin, end));
  if (memchr(begin, '\0', (size_t)(end - begin)) != NULL)
    return pith_dataset_fail(stream, error, ": a zero byte: not a text file");
  row->line = stream->line;
  row->text = pith_arena_string(arena, begin, (size_t)(end - begin));
  return row->text == NULL ? pith_dataset_no_memory(stream, error) : PITH_OK;
}
