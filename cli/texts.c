#include "cli/texts.h"

#include <string.h>

#include "models/tasks/evaluate.h"

enum { MIN_TEXTS = 2 };

/* ---- choosing ----------------------------------------------------------------------------------------------------------- */

static bool is_empty(const pith_dataset_row *row) {
  return row->ids != NULL ? row->id_count == 0 : row->text == NULL || row->text[strspn(row->text, " \t\r\f\v")] == '\0';
}

/* The row's texts, one or two of them; returns how many. */
static size_t split_row(const pith_texts *texts, const pith_dataset_row *row, pith_dataset_row out[2]) {
  out[0] = *row;
  if (!texts->split_pairs || row->pair == NULL)
    return is_empty(row) ? 0 : 1;
  out[1] = *row;
  out[1].text = row->pair;
  out[0].pair = out[1].pair = NULL;
  const size_t first = is_empty(&out[0]) ? 0 : 1;
  out[first] = out[1];
  return first + (is_empty(&out[1]) ? 0 : 1);
}

static pith_status choose_from_dataset(pith_texts *texts, pith_error *error) {
  const size_t room = 2 * texts->dataset.count;
  texts->chosen = PITH_ARENA_NEW(&texts->arena, pith_dataset_row, room + 1);
  if (texts->chosen == NULL)
    return pith_fail(error, PITH_OUT_OF_MEMORY, "%s: no memory for %zu texts", texts->path, room);
  const uint64_t limit = texts->samples == 0 ? room : texts->samples;
  uint64_t seen = 0;
  for (size_t i = 0; i < texts->dataset.count; i++) {
    pith_dataset_row parts[2];
    const size_t n = split_row(texts, &texts->dataset.rows[i], parts);
    for (size_t p = 0; p < n; p++) {
      const uint64_t place = pith_sample_place(seen++, limit, texts->seed);
      if (place < limit)
        texts->chosen[place] = parts[p];
    }
  }
  texts->count = seen < limit ? seen : limit;
  return PITH_OK;
}

/* A row whose strings are copied, so that those of rows left out need not be kept. */
static pith_status keep_row(pith_texts *texts, const pith_dataset_row *row, uint64_t place, pith_error *error) {
  pith_dataset_row *kept = &texts->chosen[place];
  *kept = *row;
  if (row->text != NULL)
    kept->text = pith_arena_string(&texts->arena, row->text, strlen(row->text));
  if (row->pair != NULL)
    kept->pair = pith_arena_string(&texts->arena, row->pair, strlen(row->pair));
  const size_t bytes = row->id_count * sizeof *row->ids;
  int32_t *ids = NULL, *type_ids = NULL;
  if (row->ids != NULL && (ids = pith_arena_array(&texts->arena, bytes, 1)) != NULL)
    kept->ids = memcpy(ids, row->ids, bytes);
  if (row->type_ids != NULL && (type_ids = pith_arena_array(&texts->arena, bytes, 1)) != NULL)
    kept->type_ids = memcpy(type_ids, row->type_ids, bytes);
  if ((row->text != NULL && kept->text == NULL) || (row->pair != NULL && kept->pair == NULL) ||
      (row->ids != NULL && ids == NULL) || (row->type_ids != NULL && type_ids == NULL))
    return pith_fail(error, PITH_OUT_OF_MEMORY, "%s: no memory for %llu texts", texts->path,
                     (unsigned long long)texts->samples);
  return PITH_OK;
}

static pith_status choose_from_line(pith_texts *texts, uint64_t *seen, bool *out_end, pith_error *error) {
  pith_arena scratch;
  pith_arena_init(&scratch, NULL);
  pith_dataset_row row, parts[2];
  pith_status status = pith_input_next(&texts->input, &scratch, &row, out_end, error);
  const size_t n = status == PITH_OK && !*out_end ? split_row(texts, &row, parts) : 0;
  for (size_t p = 0; p < n && status == PITH_OK; p++) {
    const uint64_t place = pith_sample_place((*seen)++, texts->samples, texts->seed);
    if (place < texts->samples)
      status = keep_row(texts, &parts[p], place, error);
  }
  pith_arena_deinit(&scratch);
  return status;
}

static pith_status choose_from_lines(pith_texts *texts, pith_error *error) {
  texts->chosen = PITH_ARENA_NEW(&texts->arena, pith_dataset_row, texts->samples);
  if (texts->chosen == NULL)
    return pith_fail(error, PITH_OUT_OF_MEMORY, "%s: no memory for %llu texts", texts->path,
                     (unsigned long long)texts->samples);
  uint64_t seen = 0;
  for (bool end = false; !end && (texts->seed != 0 || seen < texts->samples);)
    PITH_TRY(choose_from_line(texts, &seen, &end, error));
  texts->count = seen < texts->samples ? seen : texts->samples;
  return PITH_OK;
}

/* ---- streaming -------------------------------------------------------------------------------------------------------------- */

static pith_status next_lines(void *context, pith_session *session, pith_arena *arena,
                              const pith_sequence **out_sequences, size_t *out_count, pith_error *error) {
  pith_texts *texts = context;
  /* The last line may be a pair that is split: then there is one more than a chunk. */
  pith_dataset_row rows[PITH_SOURCE_CHUNK + 1];
  size_t n = 0;
  while (n < PITH_SOURCE_CHUNK && !texts->ended) {
    pith_dataset_row row;
    PITH_TRY(pith_input_next(&texts->input, arena, &row, &texts->ended, error));
    if (!texts->ended)
      n += split_row(texts, &row, rows + n);
  }
  pith_sequence *sequences = PITH_ARENA_NEW(arena, pith_sequence, n);
  if (sequences == NULL)
    return pith_fail(error, PITH_OUT_OF_MEMORY, "%s: no memory for %zu texts", texts->path, n);
  if (n != 0)
    PITH_TRY(pith_rows_encode(session, rows, n, arena, sequences, error));
  *out_sequences = sequences;
  *out_count = n;
  return PITH_OK;
}

static pith_status rewind_lines(void *context, pith_error *error) {
  pith_texts *texts = context;
  if (texts->input.bytes == 0 && !texts->ended)
    return PITH_OK;
  if (strcmp(texts->path, "-") == 0)
    return pith_fail(error, PITH_INVALID_ARGUMENT, "standard input cannot be read twice: give a file, or --samples");
  pith_input_close(&texts->input);
  texts->ended = false;
  return pith_input_open(&texts->input, texts->path, false, error);
}

/* Whether there are MIN_TEXTS, without keeping them. */
static pith_status count_lines(pith_texts *texts, uint64_t *out_count, pith_error *error) {
  *out_count = MIN_TEXTS;
  if (strcmp(texts->path, "-") == 0) /* calibration itself tells where there is none */
    return PITH_OK;
  uint64_t seen = 0;
  pith_arena scratch;
  pith_arena_init(&scratch, NULL);
  pith_status status = PITH_OK;
  for (bool end = false; status == PITH_OK && !end && seen < MIN_TEXTS;) {
    pith_dataset_row row, parts[2];
    status = pith_input_next(&texts->input, &scratch, &row, &end, error);
    if (status == PITH_OK && !end)
      seen += split_row(texts, &row, parts);
  }
  pith_arena_deinit(&scratch);
  *out_count = seen;
  return status;
}

/* ---- opening ------------------------------------------------------------------------------------------------------------------ */

static const char *guess_task(const char *path) {
  static const char *const tasks[][2] = {{".tsv", "sst2"}, {".csv", "stsb"}, {".json", "squad"}};
  for (size_t i = 0; i < sizeof tasks / sizeof *tasks; i++) {
    const size_t bytes = strlen(path), ending = strlen(tasks[i][0]);
    if (bytes > ending && strcmp(path + bytes - ending, tasks[i][0]) == 0)
      return tasks[i][1];
  }
  return NULL;
}

/* NULL: the file is lines. */
static pith_status find_task(const char *path, const char *task_name, const pith_eval_task **out_task, pith_error *error) {
  const char *name = task_name != NULL ? task_name : guess_task(path);
  const pith_eval_task *task = name == NULL ? NULL : pith_eval_task_find(name);
  if (name != NULL && task == NULL)
    return pith_fail(error, PITH_INVALID_ARGUMENT, "no task '%s'", name);
  *out_task = task != NULL && task->format != PITH_DATASET_ROWS ? task : NULL;
  return PITH_OK;
}

static pith_status open_texts(pith_texts *texts, const char *task_name, uint64_t *out_count, pith_error *error) {
  const pith_eval_task *task;
  PITH_TRY(find_task(texts->path, task_name, &task, error));
  if (task != NULL) {
    PITH_TRY(pith_dataset_read(texts->path, task->format, NULL, NULL, &texts->dataset, error));
    PITH_TRY(choose_from_dataset(texts, error));
    *out_count = texts->count;
    return PITH_OK;
  }
  PITH_TRY(pith_input_open(&texts->input, texts->path, false, error));
  texts->opened = true;
  if (texts->samples == 0)
    return count_lines(texts, out_count, error);
  PITH_TRY(choose_from_lines(texts, error));
  *out_count = texts->count;
  return PITH_OK;
}

pith_status pith_texts_open(pith_texts *texts, const char *path, const char *task, uint64_t samples, uint64_t seed,
                            bool split_pairs, pith_error *error) {
  *texts = (pith_texts){.path = path, .samples = samples, .seed = seed, .split_pairs = split_pairs};
  pith_arena_init(&texts->arena, NULL);
  uint64_t count = 0;
  PITH_TRY(open_texts(texts, task, &count, error));
  if (count < MIN_TEXTS && !(samples == 1 && count == 1))
    return pith_fail(error, PITH_FORMAT, "%s: %s: ranges need at least %d texts, a line each", path,
                     count == 0 ? "has no text" : "has one text", MIN_TEXTS);
  texts->rows = (pith_row_source){.rows = texts->chosen, .count = texts->count};
  texts->source = texts->chosen != NULL ? pith_row_source_get(&texts->rows)
                                        : (pith_calibration_source){texts, next_lines, rewind_lines};
  return PITH_OK;
}

void pith_texts_close(pith_texts *texts) {
  if (texts->opened)
    pith_input_close(&texts->input);
  pith_dataset_deinit(&texts->dataset);
  pith_arena_deinit(&texts->arena);
}

/* ---- all of them ---------------------------------------------------------------------------------------------------------------- */

static pith_status visit_dataset(const char *path, pith_dataset_format format,
                                 pith_status (*visit)(void *context, const pith_dataset_row *row, pith_error *error),
                                 void *context, pith_error *error) {
  pith_dataset dataset;
  PITH_TRY(pith_dataset_read(path, format, NULL, NULL, &dataset, error));
  pith_status status = PITH_OK;
  for (size_t i = 0; i < dataset.count && status == PITH_OK; i++)
    status = visit(context, &dataset.rows[i], error);
  pith_dataset_deinit(&dataset);
  return status;
}

pith_status pith_texts_visit(const char *path, const char *task_name,
                             pith_status (*visit)(void *context, const pith_dataset_row *row, pith_error *error),
                             void *context, pith_error *error) {
  const pith_eval_task *task;
  PITH_TRY(find_task(path, task_name, &task, error));
  if (task != NULL)
    return visit_dataset(path, task->format, visit, context, error);
  pith_input input;
  PITH_TRY(pith_input_open(&input, path, false, error));
  pith_status status = PITH_OK;
  for (bool end = false; status == PITH_OK && !end;) {
    pith_arena arena;
    pith_arena_init(&arena, NULL);
    pith_dataset_row row;
    status = pith_input_next(&input, &arena, &row, &end, error);
    if (status == PITH_OK && !end)
      status = visit(context, &row, error);
    pith_arena_deinit(&arena);
  }
  pith_input_close(&input);
  return status;
}
