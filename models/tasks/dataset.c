#include "models/tasks/dataset.h"

#include <cjson/cJSON.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "engine/base/error.h"
#include "engine/base/mapped_file.h"

enum { FIELDS_MAX = 64 };

/* What the readers of one file share. */
typedef struct reader {
  const char *path;
  pith_dataset *dataset;
  pith_error *error;
} reader;

static pith_status out_of_memory(const reader *r) {
  return pith_fail(r->error, PITH_OUT_OF_MEMORY, "%s: no memory for its rows", r->path);
}

static pith_dataset_row *add_row(pith_dataset *dataset) {
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
  pith_dataset_row *row = &dataset->rows[dataset->count++];
  *row = (pith_dataset_row){.label = NAN};
  return row;
}

/* ---- JSON lines --------------------------------------------------------------------------------------- */

static const char *copy_text(pith_arena *arena, const cJSON *item) {
  return pith_arena_string(arena, item->valuestring, strlen(item->valuestring));
}

static pith_status parse_ids(const cJSON *object, const char *key, const char *where, pith_arena *arena,
                             const int32_t **out_ids, uint32_t *out_count, pith_error *error) {
  const cJSON *item = cJSON_GetObjectItemCaseSensitive(object, key);
  *out_ids = NULL;
  *out_count = 0;
  if (item == NULL || cJSON_IsNull(item))
    return PITH_OK;
  if (!cJSON_IsArray(item))
    return pith_fail(error, PITH_FORMAT, "%s: \"%s\" is not an array", where, key);
  int count = cJSON_GetArraySize(item);
  if (count == 0)
    return pith_fail(error, PITH_FORMAT, "%s: \"%s\" is empty", where, key);
  int32_t *ids = PITH_ARENA_NEW(arena, int32_t, (size_t)count);
  if (ids == NULL)
    return pith_fail(error, PITH_OUT_OF_MEMORY, "%s: no memory for %d ids", where, count);
  size_t i = 0;
  for (const cJSON *id = item->child; id != NULL; id = id->next, i++) {
    if (!cJSON_IsNumber(id) || !(id->valuedouble >= 0 && id->valuedouble <= INT32_MAX) ||
        id->valuedouble != floor(id->valuedouble))
      return pith_fail(error, PITH_FORMAT, "%s: %s[%zu] is no token id", where, key, i);
    ids[i] = (int32_t)id->valuedouble;
  }
  *out_ids = ids;
  *out_count = (uint32_t)count;
  return PITH_OK;
}

static pith_status parse_object(const cJSON *object, const char *where, pith_arena *arena,
                                pith_dataset_row *row, pith_error *error) {
  /* Two spellings of each text: question and context are what a QA line has. */
  static const struct {
    const char *key;
    bool is_pair;
  } texts[] = {{"text", false}, {"pair", true}, {"question", false}, {"context", true}};
  for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
    const cJSON *item = cJSON_GetObjectItemCaseSensitive(object, texts[i].key);
    if (item == NULL || cJSON_IsNull(item))
      continue;
    if (!cJSON_IsString(item))
      return pith_fail(error, PITH_FORMAT, "%s: \"%s\" is not a string", where, texts[i].key);
    const char *copy = copy_text(arena, item);
    if (copy == NULL)
      return pith_fail(error, PITH_OUT_OF_MEMORY, "%s: no memory for its text", where);
    *(texts[i].is_pair ? &row->pair : &row->text) = copy;
  }
  uint32_t type_count;
  PITH_TRY(parse_ids(object, "ids", where, arena, &row->ids, &row->id_count, error));
  PITH_TRY(parse_ids(object, "type_ids", where, arena, &row->type_ids, &type_count, error));
  if (row->type_ids != NULL && type_count != row->id_count)
    return pith_fail(error, PITH_FORMAT, "%s: %u \"type_ids\" for %u \"ids\"", where, type_count, row->id_count);
  if (row->text == NULL && row->ids == NULL)
    return pith_fail(error, PITH_FORMAT, "%s: neither \"text\" nor \"ids\"", where);
  const cJSON *label = cJSON_GetObjectItemCaseSensitive(object, "label");
  if (cJSON_IsNumber(label))
    row->label = label->valuedouble;
  else if (cJSON_IsBool(label))
    row->label = cJSON_IsTrue(label) ? 1 : 0;
  else if (cJSON_IsString(label)) {
    row->label_name = copy_text(arena, label);
    if (row->label_name == NULL)
      return pith_fail(error, PITH_OUT_OF_MEMORY, "%s: no memory for its label", where);
  }
  return PITH_OK;
}

/* cJSON ends strings at \u0000 and reads past it in silence: such a text is refused here, by its escape. */
static bool has_escaped_zero(const char *line, size_t bytes) {
  for (size_t i = 0; i + 1 < bytes; i++) {
    if (line[i] != '\\')
      continue;
    if (bytes - i >= 6 && memcmp(line + i, "\\u0000", 6) == 0)
      return true;
    i++; /* what is escaped is no escape itself */
  }
  return false;
}

pith_status pith_dataset_parse_line(const char *line, size_t bytes, const char *where, pith_arena *arena,
                                    pith_dataset_row *out_row, pith_error *error) {
  *out_row = (pith_dataset_row){.label = NAN};
  if (has_escaped_zero(line, bytes))
    return pith_fail(error, PITH_FORMAT, "%s: a text holds a zero character", where);
  const char *end = NULL;
  cJSON *object = cJSON_ParseWithLengthOpts(line, bytes, &end, 0);
  if (object == NULL)
    return pith_fail(error, PITH_FORMAT, "%s: not JSON, from byte %zu on", where,
                     end == NULL ? 0 : (size_t)(end - line));
  pith_status status = PITH_OK;
  for (const char *rest = end; rest < line + bytes && status == PITH_OK; rest++)
    if (*rest != ' ' && *rest != '\t' && *rest != '\r' && *rest != '\n' && *rest != '\0')
      status = pith_fail(error, PITH_FORMAT, "%s: text after the JSON object", where);
  if (status == PITH_OK && !cJSON_IsObject(object))
    status = pith_fail(error, PITH_FORMAT, "%s: not a JSON object", where);
  if (status == PITH_OK)
    status = parse_object(object, where, arena, out_row, error);
  cJSON_Delete(object);
  return status;
}

/* ---- lines of fields ---------------------------------------------------------------------------------- */

/* One line [begin, end), its line end left out; the next begins at *next. */
static bool next_line(const char **next, const char *end, const char **out_begin, const char **out_end) {
  if (*next == end)
    return false;
  const char *newline = memchr(*next, '\n', (size_t)(end - *next));
  *out_begin = *next;
  *out_end = newline == NULL ? end : newline;
  *next = newline == NULL ? end : newline + 1;
  if (*out_end > *out_begin && (*out_end)[-1] == '\r')
    --*out_end;
  return true;
}

/* Copies the tab-separated fields of a line, no quoting; the number of fields, 0 when memory is out. */
static size_t split_tabs(pith_arena *arena, const char *begin, const char *end, char **fields) {
  size_t count = 0;
  while (count < FIELDS_MAX) {
    const char *tab = memchr(begin, '\t', (size_t)(end - begin));
    const char *stop = tab == NULL ? end : tab;
    fields[count] = pith_arena_string(arena, begin, (size_t)(stop - begin));
    if (fields[count] == NULL)
      return 0;
    count++;
    if (tab == NULL)
      break;
    begin = tab + 1;
  }
  return count;
}

/* Copies the fields of one CSV record, which may span lines; *next moves past it. */
static size_t split_csv(pith_arena *arena, const char **next, const char *end, char **fields) {
  size_t count = 0;
  const char *c = *next;
  bool more = true;
  while (more && count < FIELDS_MAX) {
    const char *begin = c;
    bool quoted = c < end && *c == '"';
    /* Where the field ends, so that its copy has room. */
    const char *stop = c + (quoted ? 1 : 0);
    for (bool inside = quoted; stop < end; stop++) {
      if (inside && *stop == '"') {
        if (stop + 1 < end && stop[1] == '"')
          stop++;
        else
          inside = false;
      } else if (!inside && (*stop == ',' || *stop == '\n')) {
        break;
      }
    }
    char *field = pith_arena_array(arena, (size_t)(stop - begin) + 1, 1), *out = field;
    if (field == NULL)
      return 0;
    bool inside = quoted;
    for (const char *in = begin + (quoted ? 1 : 0); in < stop; in++) {
      if (inside && *in == '"') {
        if (in + 1 < stop && in[1] == '"')
          in++;
        else {
          inside = false;
          continue;
        }
      }
      *out++ = *in;
    }
    if (!inside && out > field && out[-1] == '\r' && (stop == end || *stop == '\n'))
      *--out = '\0';
    fields[count++] = field;
    more = stop < end && *stop == ',';
    c = stop < end ? stop + 1 : end;
  }
  *next = c;
  return count;
}

static pith_status parse_label(const reader *r, size_t line, const char *text, double *out_label) {
  char *end;
  double value = strtod(text, &end);
  if (end == text || *end != '\0' || !isfinite(value))
    return pith_fail(r->error, PITH_FORMAT, "%s: line %zu: label '%.40s' is no number", r->path, line, text);
  *out_label = value;
  return PITH_OK;
}

static pith_status add_pair(const reader *r, size_t line, const char *text, const char *pair,
                            const char *label) {
  pith_dataset_row *row = add_row(r->dataset);
  if (row == NULL)
    return out_of_memory(r);
  row->text = text;
  row->pair = pair;
  row->line = line;
  return parse_label(r, line, label, &row->label);
}

static pith_status read_sst2(const reader *r, const char *text, const char *end) {
  const char *next = text, *begin, *stop;
  char *fields[FIELDS_MAX];
  size_t text_field = FIELDS_MAX, label_field = FIELDS_MAX;
  for (size_t line = 1; next_line(&next, end, &begin, &stop); line++) {
    if (begin == stop)
      continue;
    size_t count = split_tabs(&r->dataset->arena, begin, stop, fields);
    if (count == 0)
      return out_of_memory(r);
    if (line == 1) {
      for (size_t i = 0; i < count; i++) {
        text_field = strcmp(fields[i], "sentence") == 0 ? i : text_field;
        label_field = strcmp(fields[i], "label") == 0 ? i : label_field;
      }
      if (text_field == FIELDS_MAX || label_field == FIELDS_MAX)
        return pith_fail(r->error, PITH_FORMAT, "%s: line 1 has no columns sentence and label", r->path);
      continue;
    }
    if (count <= text_field || count <= label_field)
      return pith_fail(r->error, PITH_FORMAT, "%s: line %zu has %zu columns, fewer than its header", r->path,
                       line, count);
    PITH_TRY(add_pair(r, line, fields[text_field], NULL, fields[label_field]));
  }
  return PITH_OK;
}

static pith_status read_stsb(const reader *r, const char *text, const char *end) {
  char *fields[FIELDS_MAX];
  for (size_t record = 1; text < end; record++) {
    size_t count = split_csv(&r->dataset->arena, &text, end, fields);
    if (count == 0)
      return out_of_memory(r);
    if (count == 1 && fields[0][0] == '\0')
      continue;
    if (count != 3)
      return pith_fail(r->error, PITH_FORMAT, "%s: record %zu has %zu fields, not 3", r->path, record, count);
    PITH_TRY(add_pair(r, record, fields[0], fields[1], fields[2]));
  }
  return PITH_OK;
}

static pith_status read_mrpc(const reader *r, const char *text, const char *end) {
  const char *next = text, *begin, *stop;
  char *fields[FIELDS_MAX];
  for (size_t line = 1; next_line(&next, end, &begin, &stop); line++) {
    if (begin == stop)
      continue;
    size_t count = split_tabs(&r->dataset->arena, begin, stop, fields);
    if (count == 0)
      return out_of_memory(r);
    if (count != 5)
      return pith_fail(r->error, PITH_FORMAT, "%s: line %zu has %zu fields, not 5", r->path, line, count);
    if (line == 1 && strcmp(fields[0], "Quality") == 0)
      continue; /* Microsoft's own header */
    PITH_TRY(add_pair(r, line, fields[3], fields[4], fields[0]));
  }
  return PITH_OK;
}

static pith_status read_jsonl(const reader *r, const char *text, const char *end) {
  const char *next = text, *begin, *stop;
  for (size_t line = 1; next_line(&next, end, &begin, &stop); line++) {
    if (begin == stop)
      continue;
    pith_dataset_row *row = add_row(r->dataset);
    if (row == NULL)
      return out_of_memory(r);
    char where[300];
    snprintf(where, sizeof where, "%.250s: line %zu", r->path, line);
    PITH_TRY(pith_dataset_parse_line(begin, (size_t)(stop - begin), where, &r->dataset->arena, row, r->error));
    row->line = line;
  }
  return PITH_OK;
}

/* ---- SQuAD -------------------------------------------------------------------------------------------- */

static pith_status add_question(const reader *r, const cJSON *qa, const char *context) {
  pith_arena *arena = &r->dataset->arena;
  const cJSON *question = cJSON_GetObjectItemCaseSensitive(qa, "question");
  const cJSON *answers = cJSON_GetObjectItemCaseSensitive(qa, "answers");
  if (!cJSON_IsString(question) || !cJSON_IsArray(answers))
    return pith_fail(r->error, PITH_FORMAT, "%s: question %zu lacks \"question\" or \"answers\"", r->path,
                     r->dataset->count);
  size_t count = (size_t)cJSON_GetArraySize(answers), i = 0;
  const char **references = PITH_ARENA_NEW(arena, const char *, count);
  pith_dataset_row *row = add_row(r->dataset);
  if (references == NULL || row == NULL)
    return out_of_memory(r);
  row->text = copy_text(arena, question);
  row->pair = context;
  row->references = references;
  row->reference_count = (uint32_t)count;
  for (const cJSON *answer = answers->child; answer != NULL; answer = answer->next, i++) {
    const cJSON *text = cJSON_GetObjectItemCaseSensitive(answer, "text");
    if (!cJSON_IsString(text))
      return pith_fail(r->error, PITH_FORMAT, "%s: an answer to question %zu has no \"text\"", r->path,
                       r->dataset->count - 1);
    references[i] = copy_text(arena, text);
    if (references[i] == NULL)
      return out_of_memory(r);
  }
  return row->text == NULL ? out_of_memory(r) : PITH_OK;
}

static pith_status read_squad_root(const reader *r, const cJSON *root) {
  const cJSON *articles = cJSON_GetObjectItemCaseSensitive(root, "data");
  if (!cJSON_IsArray(articles))
    return pith_fail(r->error, PITH_FORMAT, "%s: no \"data\" array", r->path);
  const cJSON *article, *paragraph, *qa;
  cJSON_ArrayForEach(article, articles) {
    cJSON_ArrayForEach(paragraph, cJSON_GetObjectItemCaseSensitive(article, "paragraphs")) {
      const cJSON *context = cJSON_GetObjectItemCaseSensitive(paragraph, "context");
      if (!cJSON_IsString(context))
        return pith_fail(r->error, PITH_FORMAT, "%s: a paragraph has no \"context\"", r->path);
      const char *copy = copy_text(&r->dataset->arena, context);
      if (copy == NULL)
        return out_of_memory(r);
      cJSON_ArrayForEach(qa, cJSON_GetObjectItemCaseSensitive(paragraph, "qas"))
          PITH_TRY(add_question(r, qa, copy));
    }
  }
  return PITH_OK;
}

static pith_status read_squad(const reader *r, const char *text, const char *end) {
  cJSON *root = cJSON_ParseWithLength(text, (size_t)(end - text));
  if (root == NULL)
    return pith_fail(r->error, PITH_FORMAT, "%s: not JSON", r->path);
  pith_status status = read_squad_root(r, root);
  cJSON_Delete(root);
  return status;
}

/* ---- files -------------------------------------------------------------------------------------------- */

static pith_status (*const readers[])(const reader *r, const char *text, const char *end) = {
    [PITH_DATASET_JSONL] = read_jsonl, [PITH_DATASET_SST2] = read_sst2,   [PITH_DATASET_STSB] = read_stsb,
    [PITH_DATASET_MRPC] = read_mrpc,   [PITH_DATASET_SQUAD] = read_squad,
};

pith_status pith_dataset_read(const char *path, pith_dataset_format format, const pith_allocator *allocator,
                              pith_dataset *out_dataset, pith_error *error) {
  pith_mapped_file file;
  PITH_TRY(pith_mapped_file_open(path, &file, error));
  *out_dataset = (pith_dataset){0};
  pith_arena_init(&out_dataset->arena, allocator);
  out_dataset->path = path;
  size_t path_bytes = strlen(path);
  if (path_bytes >= 6 && strcmp(path + path_bytes - 6, ".jsonl") == 0)
    format = PITH_DATASET_JSONL;
  reader r = {path, out_dataset, error};
  const char *text = file.bytes, *end = text + file.size;
  pith_status status = PITH_OK;
  if (file.size != 0 && memchr(text, '\0', file.size) != NULL)
    status = pith_fail(error, PITH_FORMAT, "%s: a zero byte at %zu: not a text file", path,
                       (size_t)((const char *)memchr(text, '\0', file.size) - text));
  if (status == PITH_OK && file.size != 0) {
    if (file.size >= 3 && memcmp(text, "\xef\xbb\xbf", 3) == 0)
      text += 3;
    status = readers[format](&r, text, end);
  }
  if (status == PITH_OK && out_dataset->count == 0)
    status = pith_fail(error, PITH_FORMAT, "%s: no rows", path);
  pith_mapped_file_close(&file);
  if (status != PITH_OK)
    pith_dataset_deinit(out_dataset);
  return status;
}

void pith_dataset_deinit(pith_dataset *dataset) {
  pith_arena_deinit(&dataset->arena);
  *dataset = (pith_dataset){0};
}
