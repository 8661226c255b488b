#include "train/data.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>

#include "compiler/rewrite/structure.h"
#include "engine/base/random.h"
#include "engine/exec/model.h"
#include "models/heads/heads.h"
#include "models/tasks/labels.h"
#include "train/data_internal.h"

enum { CHUNK_ROWS = 1024, CHUNK_BYTES = 1 << 20, NO_LABEL = -100 };

/* What reading one file needs. */
typedef struct reader {
  pith_train_data *data;
  const pith_train_data_options *options;
  const pith_model_data *model;
  size_t max_length;
  int64_t vocabulary, types; /* ids and type ids that the model looks up; 0: any */
  uint64_t row;              /* rows read so far */
  pith_sha256 hash;
  pith_arena arena;          /* of one chunk */
  pith_dataset_row *rows;    /* [count] */
  size_t count;
} reader;

static pith_status no_memory(const reader *r, pith_error *error) {
  return pith_fail(error, PITH_OUT_OF_MEMORY, "%s: no memory for its rows", r->options->path);
}

__attribute__((format(printf, 4, 5))) static pith_status fail_row(const reader *r, const pith_dataset_row *row,
                                                                 pith_error *error, const char *format, ...) {
  char where[PITH_DATASET_WHERE_BYTES], reason[200];
  va_list arguments;
  va_start(arguments, format);
  vsnprintf(reason, sizeof reason, format, arguments);
  va_end(arguments);
  return pith_fail(error, PITH_INVALID_ARGUMENT, "%s: %s", pith_dataset_describe_row(r->options->path, row, where), reason);
}

/* ---- samples ------------------------------------------------------------------------------------------------- */

static pith_status put(reader *r, const void *words, size_t count, pith_error *error) {
  pith_sha256_update(&r->hash, words, count * sizeof(uint32_t));
  return pith_spool_write(&r->data->word_spool, words, count * sizeof(uint32_t), error);
}

static pith_status put_tokens(reader *r, const pith_dataset_row *row, const pith_sequence *sequence, pith_error *error) {
  uint32_t words[256];
  for (uint32_t begin = 0; begin < sequence->length; begin += 256) {
    const uint32_t n = sequence->length - begin < 256 ? sequence->length - begin : 256;
    for (uint32_t i = 0; i < n; i++) {
      const int32_t id = sequence->ids[begin + i], type = sequence->type_ids == NULL ? 0 : sequence->type_ids[begin + i];
      if (id < 0 || id >> PITH_TYPE_SHIFT != 0 || (r->vocabulary != 0 && id >= r->vocabulary))
        return fail_row(r, row, error, "id %d is outside the model's vocabulary of %lld", id, (long long)r->vocabulary);
      if (type < 0 || type > PITH_MAX_TYPE || (r->types != 0 && type >= r->types))
        return fail_row(r, row, error, "type id %d is outside the model's %lld", type, (long long)r->types);
      words[i] = (uint32_t)id | (uint32_t)type << PITH_TYPE_SHIFT;
    }
    PITH_TRY(put(r, words, n, error));
  }
  return PITH_OK;
}

/* `sequences`: [data->sequences]. `labels`: pith_sample_count_labels. */
static pith_status add_sample(reader *r, const pith_dataset_row *row, const pith_sequence *sequences, const void *labels,
                              pith_error *error) {
  pith_train_data *data = r->data;
  pith_sample sample = {.offset = data->word_spool.size / sizeof(uint32_t),
                        .row = row->line < UINT32_MAX ? (uint32_t)row->line : UINT32_MAX};
  for (uint32_t s = 0; s < data->sequences; s++) {
    if (sequences[s].length > r->max_length)
      return fail_row(r, row, error, "%u ids are over the limit of %zu", sequences[s].length, r->max_length);
    sample.tokens += sequences[s].length;
    PITH_TRY(put(r, &sequences[s].length, 1, error));
  }
  PITH_TRY(put(r, labels, pith_sample_count_labels(data, sequences[0].length), error));
  for (uint32_t s = 0; s < data->sequences; s++)
    PITH_TRY(put_tokens(r, row, &sequences[s], error));
  data->count++;
  data->tokens += sample.tokens;
  return pith_spool_write(&data->sample_spool, &sample, sizeof sample, error);
}

/* ---- labels -------------------------------------------------------------------------------------------------- */

static pith_status get_target(const reader *r, const pith_dataset_row *row, float *out_target, pith_error *error) {
  double target;
  PITH_TRY(pith_label_get_number(r->options->path, row, &target, error));
  if (r->data->task != PITH_TASK_REGRESSION) {
    const double range = r->options->task->range == 0 ? 1 : r->options->task->range;
    const double low = r->data->task == PITH_TASK_EMBEDDING ? -1 : 0;
    target /= range;
    if (!(target >= low && target <= 1))
      return fail_row(r, row, error, "label %g is outside %g to %g, which %s can be", row->label, low * range, range,
                      r->data->task == PITH_TASK_EMBEDDING ? "a cosine" : "a score");
  }
  *out_target = (float)target;
  return PITH_OK;
}

static pith_status make_labels(reader *r, const pith_dataset_row *row, void **out_labels, pith_error *error) {
  int32_t *labels = PITH_ARENA_NEW(&r->arena, int32_t, pith_sample_count_labels(r->data, 0));
  *out_labels = labels;
  if (labels == NULL)
    return no_memory(r, error);
  if (r->options->labels_optional && row->label_name == NULL && isnan(row->label) && row->label_count == 0) {
    for (size_t i = 0; i < pith_sample_count_labels(r->data, 0); i++)
      labels[i] = r->data->kind == PITH_EVAL_CLASSES ? NO_LABEL : 0;
    return PITH_OK;
  }
  switch (r->data->kind) {
  case PITH_EVAL_CLASSES:
    return pith_label_find(r->model, r->options->path, row, labels, error);
  case PITH_EVAL_VALUES: {
    float target = 0;
    PITH_TRY(get_target(r, row, &target, error));
    memcpy(labels, &target, sizeof target);
    return PITH_OK;
  }
  case PITH_EVAL_SETS:
    PITH_TRY(pith_label_set_find(r->model, r->options->path, row, labels, error));
    for (uint32_t i = 0; i < r->data->label_count; i++) {
      const float holds = (float)labels[i];
      memcpy(&labels[i], &holds, sizeof holds);
    }
    return PITH_OK;
  case PITH_EVAL_SPANS:
  case PITH_EVAL_TAGS:
  case PITH_EVAL_MASKED:
  case PITH_EVAL_PAIRS:
    break;
  }
  return PITH_OK;
}

/* ---- one or two sequences a row ------------------------------------------------------------------------------ */

/* Texts of the chunk's rows, whole or cut; what has ids has none. */
static pith_status encode(reader *r, const char *const *texts, const char *const *pairs, size_t n, bool whole,
                          pith_encoded_text **out_texts, pith_error *error) {
  *out_texts = PITH_ARENA_NEW(&r->arena, pith_encoded_text, n);
  if (*out_texts == NULL)
    return no_memory(r, error);
  return n == 0 ? PITH_OK
                : pith_texts_encode(r->options->model, r->options->pool, texts, pairs, n, whole ? 0 : r->max_length, whole,
                                    &r->arena, *out_texts, error);
}

static pith_sequence get_sequence(reader *r, const pith_encoded_text *text) {
  r->data->full += text->count == r->max_length;
  return (pith_sequence){text->ids, text->type_ids, (uint32_t)text->count};
}

static pith_status add_plain_rows(reader *r, pith_error *error) {
  const char **texts = PITH_ARENA_NEW(&r->arena, const char *, r->count);
  const char **pairs = PITH_ARENA_NEW(&r->arena, const char *, r->count);
  if (texts == NULL || pairs == NULL)
    return no_memory(r, error);
  size_t n = 0;
  for (size_t i = 0; i < r->count; i++)
    if (r->rows[i].ids == NULL) {
      texts[n] = r->rows[i].text;
      pairs[n++] = r->rows[i].pair;
    }
  pith_encoded_text *encoded;
  PITH_TRY(encode(r, texts, pairs, n, false, &encoded, error));
  for (size_t i = 0, t = 0; i < r->count; i++) {
    const pith_dataset_row *row = &r->rows[i];
    const pith_sequence sequence =
        row->ids == NULL ? get_sequence(r, &encoded[t++]) : (pith_sequence){row->ids, row->type_ids, row->id_count};
    void *labels;
    PITH_TRY(make_labels(r, row, &labels, error));
    PITH_TRY(add_sample(r, row, &sequence, labels, error));
  }
  return PITH_OK;
}

static pith_status add_pairs(reader *r, pith_error *error) {
  const char **texts = PITH_ARENA_NEW(&r->arena, const char *, 2 * r->count);
  if (texts == NULL)
    return no_memory(r, error);
  for (size_t i = 0; i < r->count; i++) {
    if (r->rows[i].text == NULL || r->rows[i].pair == NULL)
      return fail_row(r, &r->rows[i], error, "not two texts");
    texts[2 * i] = r->rows[i].text;
    texts[2 * i + 1] = r->rows[i].pair;
  }
  pith_encoded_text *encoded;
  PITH_TRY(encode(r, texts, NULL, 2 * r->count, false, &encoded, error));
  for (size_t i = 0; i < r->count; i++) {
    const pith_sequence both[2] = {get_sequence(r, &encoded[2 * i]), get_sequence(r, &encoded[2 * i + 1])};
    void *labels;
    PITH_TRY(make_labels(r, &r->rows[i], &labels, error));
    PITH_TRY(add_sample(r, &r->rows[i], both, labels, error));
  }
  return PITH_OK;
}

/* ---- windows --------------------------------------------------------------------------------------------------- */

/* What one kind of text makes of window `w`, whose tokens are those of `sequence`. */
typedef pith_status (*add_window)(reader *r, const pith_dataset_row *row, const pith_encoded_text *text,
                                  const pith_windows *windows, size_t w, const pith_sequence *sequence, pith_error *error);

static pith_status add_windows(reader *r, bool with_pairs,
                               pith_status (*plan)(const pith_encoded_text *text, size_t max_tokens, pith_windows *out_windows,
                                                   pith_error *error),
                               add_window add, pith_error *error) {
  const char **texts = PITH_ARENA_NEW(&r->arena, const char *, r->count);
  const char **pairs = PITH_ARENA_NEW(&r->arena, const char *, r->count);
  if (texts == NULL || pairs == NULL)
    return no_memory(r, error);
  for (size_t i = 0; i < r->count; i++) {
    texts[i] = r->rows[i].text;
    pairs[i] = r->rows[i].pair;
    if (texts[i] == NULL || (with_pairs && pairs[i] == NULL))
      return fail_row(r, &r->rows[i], error, "%s", with_pairs ? "no question and context" : "no text");
  }
  pith_encoded_text *encoded;
  PITH_TRY(encode(r, texts, with_pairs ? pairs : NULL, r->count, true, &encoded, error));
  for (size_t i = 0; i < r->count; i++) {
    pith_windows windows;
    pith_error reason = {0};
    const pith_status status = plan(&encoded[i], r->max_length, &windows, &reason);
    if (status != PITH_OK)
      return fail_row(r, &r->rows[i], error, "%s", reason.message);
    for (size_t w = 0; w < windows.count; w++) {
      pith_sequence sequence;
      PITH_TRY(pith_windows_build(&encoded[i], &windows, w, &r->arena, &sequence, error));
      PITH_TRY(add(r, &r->rows[i], &encoded[i], &windows, w, &sequence, error));
    }
  }
  return PITH_OK;
}

/* The first token of each word has its label; a token counts in the window where it stands further from an edge. */
static pith_status add_tags(reader *r, const pith_dataset_row *row, const pith_encoded_text *text, const pith_windows *windows,
                            size_t w, const pith_sequence *sequence, pith_error *error) {
  int32_t *words = PITH_ARENA_NEW(&r->arena, int32_t, row->label_count);
  int32_t *labels = PITH_ARENA_NEW(&r->arena, int32_t, sequence->length);
  if (words == NULL || labels == NULL)
    return no_memory(r, error);
  PITH_TRY(pith_labels_find(r->model, r->options->path, row, words, error));
  for (uint32_t t = 0; t < sequence->length; t++)
    labels[t] = NO_LABEL;
  size_t begin, end, first, last;
  pith_windows_get(windows, w, &begin, &end);
  pith_windows_get_own(windows, w, &first, &last);
  uint32_t word = 0;
  for (size_t t = windows->content_begin; t < last; t++) {
    while (word < row->label_count && row->words[word][1] <= text->offsets[t][0])
      word++;
    if (word == row->label_count || text->offsets[t][0] < row->words[word][0])
      continue;
    if (t >= first)
      labels[windows->content_begin + (t - begin)] = words[word];
    word++; /* what follows of it has none */
  }
  return add_sample(r, row, sequence, labels, error);
}

/* First and last token of the answer in this window; where it is not whole in it, the classifier's token stands for none. */
static pith_status add_answer(reader *r, const pith_dataset_row *row, const pith_encoded_text *text, const pith_windows *windows,
                              size_t w, const pith_sequence *sequence, pith_error *error) {
  if (row->reference_count == 0)
    return fail_row(r, row, error, "no answer");
  if (row->reference_begins[0] == UINT32_MAX)
    return fail_row(r, row, error, "answer '%.60s' does not stand where answer_start says", row->references[0]);
  const uint32_t from = row->reference_begins[0], to = from + (uint32_t)strlen(row->references[0]);
  size_t begin, end, first = SIZE_MAX, last = SIZE_MAX;
  pith_windows_get(windows, w, &begin, &end);
  for (size_t t = begin; t < end; t++) {
    if (text->offsets[t][0] <= from && from < text->offsets[t][1])
      first = t;
    if (text->offsets[t][0] < to && to <= text->offsets[t][1])
      last = t;
  }
  uint32_t none = 0;
  while (none < sequence->length && sequence->ids[none] != r->data->tokenizer->cls_id)
    none++;
  int32_t labels[2] = {(int32_t)(none % sequence->length), (int32_t)(none % sequence->length)};
  if (first != SIZE_MAX && last != SIZE_MAX && first <= last) {
    labels[0] = (int32_t)(windows->content_begin + (first - begin));
    labels[1] = (int32_t)(windows->content_begin + (last - begin));
  }
  return add_sample(r, row, sequence, labels, error);
}

static pith_status add_text(reader *r, const pith_dataset_row *row, const pith_encoded_text *text, const pith_windows *windows,
                            size_t w, const pith_sequence *sequence, pith_error *error) {
  (void)text;
  (void)windows;
  (void)w;
  return add_sample(r, row, sequence, NULL, error);
}

static pith_status plan_texts(const pith_encoded_text *text, size_t max_tokens, pith_windows *out_windows, pith_error *error) {
  return pith_windows_plan(text, 0, max_tokens, 0, out_windows, error);
}

/* ---- the file --------------------------------------------------------------------------------------------------- */

static pith_status add_rows(reader *r, pith_error *error) {
  switch (r->data->kind) {
  case PITH_EVAL_TAGS:
    return add_windows(r, false, pith_heads_plan_tags, add_tags, error);
  case PITH_EVAL_SPANS:
    return add_windows(r, true, pith_heads_plan_answers, add_answer, error);
  case PITH_EVAL_MASKED:
    return add_windows(r, false, plan_texts, add_text, error);
  case PITH_EVAL_CLASSES:
  case PITH_EVAL_VALUES:
  case PITH_EVAL_SETS:
  case PITH_EVAL_PAIRS:
    break;
  }
  return (r->data->sequences == 2 ? add_pairs : add_plain_rows)(r, error);
}

/* Whether row `row` is held out: a function of seed and row. */
static bool is_held_out(const reader *r) {
  const uint64_t seed = r->options->seed ^ pith_random_stream("held out");
  const uint32_t key[2] = {(uint32_t)seed, (uint32_t)(seed >> 32)};
  const uint32_t counter[4] = {(uint32_t)r->row, (uint32_t)(r->row >> 32), 0, 0};
  uint32_t out[4];
  pith_random_philox(counter, key, out);
  return (double)out[0] < r->options->held_out * 0x1p32;
}

/* The next rows, as many as a chunk has. */
static pith_status read_chunk(reader *r, pith_dataset_stream *stream, bool *out_end, pith_error *error) {
  r->rows = PITH_ARENA_NEW(&r->arena, pith_dataset_row, CHUNK_ROWS);
  r->count = 0;
  if (r->rows == NULL)
    return no_memory(r, error);
  while (!*out_end && r->count < CHUNK_ROWS && r->arena.reserved_bytes < CHUNK_BYTES) {
    const bool out = is_held_out(r);
    pith_dataset_row row;
    PITH_TRY(pith_dataset_stream_next(stream, out ? &r->data->held_out.arena : &r->arena, &row, out_end, error));
    if (*out_end)
      break;
    pith_dataset_row *place = out ? pith_dataset_add_row(&r->data->held_out) : &r->rows[r->count++];
    if (place == NULL)
      return no_memory(r, error);
    *place = row;
    r->row++;
  }
  r->data->rows += r->count;
  return PITH_OK;
}

static pith_status read_file(reader *r, pith_dataset_stream *stream, pith_error *error) {
  for (bool end = false; !end;) {
    pith_arena_init(&r->arena, NULL);
    pith_status status = read_chunk(r, stream, &end, error);
    if (status == PITH_OK && r->count != 0)
      status = add_rows(r, error);
    pith_arena_deinit(&r->arena);
    if (status != PITH_OK)
      return status;
    pith_watcher_tell(r->options->watcher, "tokenize", stream->file.size - (uint64_t)(stream->end - stream->next),
                      stream->file.size);
  }
  if (r->data->count == 0)
    return pith_fail(error, PITH_FORMAT, "%s: no rows%s", r->options->path, r->row == 0 ? "" : " but those held out");
  if (r->options->held_out > 0 && r->data->held_out.count == 0)
    return pith_fail(error, PITH_INVALID_ARGUMENT, "%s: none of its %llu rows is held out at a share of %g", r->options->path,
                     (unsigned long long)r->row, r->options->held_out);
  return PITH_OK;
}

/* ---- opening ---------------------------------------------------------------------------------------------------- */

static pith_status check_task(reader *r, pith_error *error) {
  static const uint32_t tasks[] = {
      [PITH_EVAL_CLASSES] = PITH_TASK_BIT(PITH_TASK_CLASSIFICATION),
      [PITH_EVAL_VALUES] = PITH_TASK_BIT(PITH_TASK_REGRESSION) | PITH_TASK_BIT(PITH_TASK_RERANK) | PITH_TASK_BIT(PITH_TASK_EMBEDDING),
      [PITH_EVAL_SPANS] = PITH_TASK_BIT(PITH_TASK_QUESTION_ANSWERING),
      [PITH_EVAL_TAGS] = PITH_TASK_BIT(PITH_TASK_TOKEN_CLASSIFICATION),
      [PITH_EVAL_SETS] = PITH_TASK_BIT(PITH_TASK_MULTI_LABEL),
      [PITH_EVAL_MASKED] = PITH_TASK_BIT(PITH_TASK_FILL_MASK),
      [PITH_EVAL_PAIRS] = PITH_TASK_BIT(PITH_TASK_EMBEDDING),
  };
  if ((tasks[r->data->kind] & PITH_TASK_BIT(r->model->task)) == 0)
    return pith_fail(error, PITH_INVALID_ARGUMENT, "the model's head is for %s: it cannot learn task %s",
                     pith_task_name(r->model->task), r->options->task->name);
  if (r->model->tokenizer == NULL && r->data->kind != PITH_EVAL_CLASSES && r->data->kind != PITH_EVAL_VALUES &&
      r->data->kind != PITH_EVAL_SETS)
    return pith_fail(error, PITH_UNSUPPORTED, "the model carries no tokenizer");
  if (r->data->kind == PITH_EVAL_MASKED && r->model->tokenizer->mask_id < 0)
    return pith_fail(error, PITH_UNSUPPORTED, "the model's tokenizer has no mask token");
  return PITH_OK;
}

static pith_status read_all(reader *r, pith_error *error) {
  PITH_TRY(check_task(r, error));
  PITH_TRY(pith_spool_open(&r->data->word_spool, r->options->folder, error));
  PITH_TRY(pith_spool_open(&r->data->sample_spool, r->options->folder, error));
  pith_sha256_init(&r->hash);
  const uint32_t form[3] = {(uint32_t)r->data->kind, r->data->sequences, r->data->label_count};
  pith_sha256_update(&r->hash, form, sizeof form);
  pith_dataset_stream stream;
  pith_status status = pith_dataset_stream_open(&stream, r->options->path, r->options->task->format, r->options->columns, error);
  if (status == PITH_OK)
    status = read_file(r, &stream, error);
  if (status == PITH_OK) /* a SQuAD file's rows lie in the stream, which stays open with those held out */
    r->data->held_out.stream = stream;
  else
    pith_dataset_stream_close(&stream);
  PITH_TRY(status);
  pith_sha256_finish(&r->hash, r->data->digest);
  PITH_TRY(pith_spool_map(&r->data->word_spool, error));
  PITH_TRY(pith_spool_map(&r->data->sample_spool, error));
  r->data->words = r->data->word_spool.bytes;
  r->data->samples = r->data->sample_spool.bytes;
  return PITH_OK;
}

pith_status pith_train_data_read(pith_train_data *data, const pith_train_data_options *options, pith_error *error) {
  const pith_model_data *model = &options->model->data;
  *data = (pith_train_data){.path = options->path,
                            .kind = options->task->kind,
                            .task = model->task,
                            .tokenizer = model->tokenizer,
                            .label_count = model->label_count,
                            .sequences = model->task == PITH_TASK_EMBEDDING ? 2 : 1};
  pith_dataset_init(&data->held_out, options->path, NULL);
  reader r = {.data = data,
              .options = options,
              .model = model,
              .max_length = options->max_length == 0 || options->max_length > model->max_length ? model->max_length
                                                                                                : options->max_length,
              .vocabulary = pith_lookup_find_rows(model->graph, "input_ids"),
              .types = pith_lookup_find_rows(model->graph, "token_type_ids")};
  return read_all(&r, error);
}

void pith_train_data_deinit(pith_train_data *data) {
  pith_spool_close(&data->word_spool);
  pith_spool_close(&data->sample_spool);
  pith_dataset_deinit(&data->held_out);
  *data = (pith_train_data){.path = NULL};
}
