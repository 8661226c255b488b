/* JSON lines and SQuAD files. */
#include <cjson/cJSON.h>
#include <math.h>
#include <stdio.h>

#include "models/tasks/dataset_internal.h"

static const char *copy_text(pith_arena *arena, const cJSON *item) {
  return pith_arena_string(arena, item->valuestring, strlen(item->valuestring));
}

static const cJSON *find_key(const cJSON *object, const char *key) {
  const cJSON *item = cJSON_GetObjectItemCaseSensitive(object, key);
  return cJSON_IsNull(item) ? NULL : item;
}

/* The item of the column that was asked for, else of the first of the keys (NULL ends them) that is there. */
static const cJSON *find_part(const cJSON *object, const char *column, const char *const *keys) {
  if (column != NULL)
    return find_key(object, column);
  const cJSON *item = NULL;
  for (; *keys != NULL && item == NULL; keys++)
    item = find_key(object, *keys);
  return item;
}

/* ---- parts of a line ---------------------------------------------------------------------------------- */

static pith_status parse_ids(const cJSON *object, const char *key, const char *where, pith_arena *arena,
                             const int32_t **out_ids, uint32_t *out_count, pith_error *error) {
  const cJSON *item = find_key(object, key);
  *out_ids = NULL;
  *out_count = 0;
  if (item == NULL)
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

/* A label of several as text; NULL: it is neither a name nor a number, or memory is out. */
static const char *parse_label_of_several(const cJSON *item, pith_arena *arena) {
  return cJSON_IsString(item)   ? copy_text(arena, item)
         : cJSON_IsNumber(item) ? pith_arena_format(arena, "%.17g", item->valuedouble)
                                : NULL;
}

static pith_status parse_labels(const cJSON *list, const char *where, pith_arena *arena, pith_dataset_row *row,
                                pith_error *error) {
  const size_t count = (size_t)cJSON_GetArraySize(list);
  const char **labels = PITH_ARENA_NEW(arena, const char *, count);
  if (labels == NULL)
    return pith_fail(error, PITH_OUT_OF_MEMORY, "%s: no memory for its labels", where);
  size_t i = 0;
  for (const cJSON *item = list->child; item != NULL; item = item->next, i++)
    if ((labels[i] = parse_label_of_several(item, arena)) == NULL)
      return pith_fail(error, PITH_FORMAT, "%s: label %zu is neither a name nor a number", where, i);
  row->labels = labels;
  row->label_count = (uint32_t)count;
  return PITH_OK;
}

static pith_status parse_label(const cJSON *label, const char *where, pith_arena *arena, pith_dataset_row *row,
                               pith_error *error) {
  if (cJSON_IsArray(label))
    return parse_labels(label, where, arena, row, error);
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

/* A text that is given as words, each with a label. */
static pith_status parse_words(const cJSON *list, const char *where, pith_arena *arena, pith_dataset_row *row,
                               pith_error *error) {
  const size_t count = (size_t)cJSON_GetArraySize(list);
  pith_dataset_word *words = PITH_ARENA_NEW(arena, pith_dataset_word, count);
  if (words == NULL)
    return pith_fail(error, PITH_OUT_OF_MEMORY, "%s: no memory for %zu words", where, count);
  if (row->labels == NULL || row->label_count != count)
    return pith_fail(error, PITH_FORMAT, "%s: %u labels for %zu words", where, row->label_count, count);
  size_t i = 0;
  for (const cJSON *item = list->child; item != NULL; item = item->next, i++) {
    if (!cJSON_IsString(item) || item->valuestring[0] == '\0')
      return pith_fail(error, PITH_FORMAT, "%s: word %zu is no text", where, i);
    words[i] = (pith_dataset_word){item->valuestring, strlen(item->valuestring), row->labels[i]};
  }
  return pith_dataset_set_words(row, words, count, arena)
             ? PITH_OK
             : pith_fail(error, PITH_OUT_OF_MEMORY, "%s: no memory for %zu words", where, count);
}

static pith_status parse_text(const cJSON *item, const char *where, pith_arena *arena, const char **out_text,
                              pith_error *error) {
  if (item == NULL)
    return PITH_OK;
  if (!cJSON_IsString(item))
    return pith_fail(error, PITH_FORMAT, "%s: \"%s\" is not a string", where, item->string);
  *out_text = copy_text(arena, item);
  return *out_text == NULL ? pith_fail(error, PITH_OUT_OF_MEMORY, "%s: no memory for its text", where) : PITH_OK;
}

/* ---- answers ------------------------------------------------------------------------------------------ */

/* The byte where code point `index` of `context` begins, if `answer` stands there; else UINT32_MAX. */
static uint32_t find_answer(const char *context, const cJSON *index, const char *answer) {
  if (!cJSON_IsNumber(index) || context == NULL)
    return UINT32_MAX;
  const char *at = context;
  for (double left = index->valuedouble; *at != '\0'; at++) {
    if (((unsigned char)*at & 0xc0) == 0x80)
      continue;
    if (left-- <= 0)
      break;
  }
  const size_t begin = (size_t)(at - context);
  return begin < UINT32_MAX && strncmp(at, answer, strlen(answer)) == 0 ? (uint32_t)begin : UINT32_MAX;
}

/* Answer `i` of either form; NULL: there is no text. */
static const cJSON *get_answer(const cJSON *answers, int i, const cJSON **out_begin) {
  if (cJSON_IsArray(answers)) {
    const cJSON *answer = cJSON_GetArrayItem(answers, i);
    *out_begin = cJSON_GetObjectItemCaseSensitive(answer, "answer_start");
    return cJSON_GetObjectItemCaseSensitive(answer, "text");
  }
  *out_begin = cJSON_GetArrayItem(cJSON_GetObjectItemCaseSensitive(answers, "answer_start"), i);
  return cJSON_GetArrayItem(cJSON_GetObjectItemCaseSensitive(answers, "text"), i);
}

pith_status pith_dataset_set_answers(pith_dataset_row *row, const cJSON *answers, const char *where, pith_arena *arena,
                                     pith_error *error) {
  const cJSON *list = cJSON_IsArray(answers) ? answers : cJSON_GetObjectItemCaseSensitive(answers, "text");
  const size_t count = (size_t)cJSON_GetArraySize(list);
  const char **references = PITH_ARENA_NEW(arena, const char *, count);
  uint32_t *begins = PITH_ARENA_NEW(arena, uint32_t, count);
  if (references == NULL || begins == NULL)
    return pith_fail(error, PITH_OUT_OF_MEMORY, "%s: no memory for its answers", where);
  for (size_t i = 0; i < count; i++) {
    const cJSON *begin, *text = get_answer(answers, (int)i, &begin);
    if (!cJSON_IsString(text))
      return pith_fail(error, PITH_FORMAT, "%s: answer %zu has no \"text\"", where, i);
    references[i] = copy_text(arena, text);
    if (references[i] == NULL)
      return pith_fail(error, PITH_OUT_OF_MEMORY, "%s: no memory for its answers", where);
    begins[i] = find_answer(row->pair, begin, references[i]);
  }
  row->references = references;
  row->reference_begins = begins;
  row->reference_count = (uint32_t)count;
  return PITH_OK;
}

/* ---- lines -------------------------------------------------------------------------------------------- */

static pith_status parse_object(const cJSON *object, const char *where, const pith_dataset_columns *columns,
                                pith_arena *arena, pith_dataset_row *row, pith_error *error) {
  /* Two spellings of each text: question and context are what a QA line has. */
  static const char *const texts[] = {"text", "question", "tokens", NULL}, *const pairs[] = {"pair", "context", NULL},
                           *const labels[] = {"label", "labels", "tags", NULL};
  const cJSON *text = find_part(object, columns->text, texts);
  PITH_TRY(parse_label(find_part(object, columns->label, labels), where, arena, row, error));
  if (cJSON_IsArray(text))
    PITH_TRY(parse_words(text, where, arena, row, error));
  else
    PITH_TRY(parse_text(text, where, arena, &row->text, error));
  PITH_TRY(parse_text(find_part(object, columns->pair, pairs), where, arena, &row->pair, error));
  uint32_t type_count;
  PITH_TRY(parse_ids(object, "ids", where, arena, &row->ids, &row->id_count, error));
  PITH_TRY(parse_ids(object, "type_ids", where, arena, &row->type_ids, &type_count, error));
  if (row->type_ids != NULL && type_count != row->id_count)
    return pith_fail(error, PITH_FORMAT, "%s: %u \"type_ids\" for %u \"ids\"", where, type_count, row->id_count);
  if (row->text == NULL && row->ids == NULL)
    return pith_fail(error, PITH_FORMAT, "%s: neither \"%s\" nor \"ids\"", where, columns->text == NULL ? "text" : columns->text);
  const cJSON *answers = find_key(object, "answers");
  return answers == NULL ? PITH_OK : pith_dataset_set_answers(row, answers, where, arena, error);
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

pith_status pith_dataset_parse_line(const char *line, size_t bytes, const char *where, const pith_dataset_columns *columns,
                                    pith_arena *arena, pith_dataset_row *out_row, pith_error *error) {
  static const pith_dataset_columns none = {0};
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
    status = parse_object(object, where, columns == NULL ? &none : columns, arena, out_row, error);
  cJSON_Delete(object);
  return status;
}

pith_status pith_dataset_json_next(pith_dataset_stream *stream, pith_arena *arena, pith_dataset_row *row, bool *out_end,
                                   pith_error *error) {
  const char *begin, *end;
  do {
    *out_end = !pith_dataset_next_line(stream, &begin, &end);
    if (*out_end)
      return PITH_OK;
  } while (begin == end);
  if (memchr(begin, '\0', (size_t)(end - begin)) != NULL)
    return pith_dataset_fail(stream, error, ": a zero byte: not a text file");
  char where[PITH_DATASET_WHERE_BYTES];
  pith_dataset_describe_row(stream->path, &(pith_dataset_row){.line = stream->line}, where);
  PITH_TRY(pith_dataset_parse_line(begin, (size_t)(end - begin), where, &stream->columns, arena, row, error));
  row->line = stream->line;
  return PITH_OK;
}

/* ---- SQuAD -------------------------------------------------------------------------------------------- */

pith_status pith_dataset_squad_open(pith_dataset_stream *stream, pith_error *error) {
  if (memchr(stream->next, '\0', (size_t)(stream->end - stream->next)) != NULL)
    return pith_fail(error, PITH_FORMAT, "%s: a zero byte: not a text file", stream->path);
  stream->squad.root = cJSON_ParseWithLength(stream->next, (size_t)(stream->end - stream->next));
  if (stream->squad.root == NULL)
    return pith_fail(error, PITH_FORMAT, "%s: not JSON", stream->path);
  if (!cJSON_IsArray(cJSON_GetObjectItemCaseSensitive(stream->squad.root, "data")))
    return pith_fail(error, PITH_FORMAT, "%s: no \"data\" array", stream->path);
  return PITH_OK;
}

static const cJSON *first_of(const cJSON *object, const char *key) {
  const cJSON *list = cJSON_GetObjectItemCaseSensitive(object, key);
  return list == NULL ? NULL : list->child;
}

/* The next question, wherever it stands; false at the end. */
static bool find_question(pith_dataset_stream *stream) {
  const cJSON *article = stream->squad.article, *paragraph = stream->squad.paragraph, *question = stream->squad.question;
  question = question == NULL ? NULL : question->next;
  while (question == NULL) {
    paragraph = paragraph == NULL ? NULL : paragraph->next;
    while (paragraph == NULL) {
      article = article == NULL ? first_of(stream->squad.root, "data") : article->next;
      if (article == NULL)
        return false;
      paragraph = first_of(article, "paragraphs");
    }
    question = first_of(paragraph, "qas");
    if (!cJSON_IsString(cJSON_GetObjectItemCaseSensitive(paragraph, "context")))
      break; /* what its reader reports */
  }
  stream->squad.article = article;
  stream->squad.paragraph = paragraph;
  stream->squad.question = question;
  return true;
}

pith_status pith_dataset_squad_next(pith_dataset_stream *stream, pith_arena *arena, pith_dataset_row *row, bool *out_end,
                                    pith_error *error) {
  *out_end = stream->squad.root == NULL || !find_question(stream);
  if (*out_end)
    return PITH_OK;
  const cJSON *context = cJSON_GetObjectItemCaseSensitive(stream->squad.paragraph, "context");
  if (!cJSON_IsString(context))
    return pith_fail(error, PITH_FORMAT, "%s: a paragraph has no \"context\"", stream->path);
  const cJSON *question = cJSON_GetObjectItemCaseSensitive(stream->squad.question, "question");
  const cJSON *answers = cJSON_GetObjectItemCaseSensitive(stream->squad.question, "answers");
  row->line = stream->squad.count;
  row->is_question = true;
  if (!cJSON_IsString(question) || !cJSON_IsArray(answers))
    return pith_fail(error, PITH_FORMAT, "%s: question %llu lacks \"question\" or \"answers\"", stream->path,
                     (unsigned long long)row->line);
  row->text = question->valuestring;
  row->pair = context->valuestring;
  stream->squad.count++;
  char where[PITH_DATASET_WHERE_BYTES];
  return pith_dataset_set_answers(row, answers, pith_dataset_describe_row(stream->path, row, where), arena, error);
}

void pith_dataset_stream_close(pith_dataset_stream *stream) {
  cJSON_Delete(stream->squad.root);
  pith_mapped_file_close(&stream->file);
  *stream = (pith_dataset_stream){0};
}
