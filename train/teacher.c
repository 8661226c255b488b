#include "train/teacher.h"

#include <string.h>

#include "compiler/rewrite/structure.h"
#include "engine/exec/executor.h"
#include "engine/exec/session_access.h"
#include "train/data_internal.h"
#include "train/training_graph_internal.h"

/* ---- whether it fits -------------------------------------------------------------------------------------------------- */

static bool same_bytes(const void *a, const void *b, uint64_t bytes) {
  return bytes == 0 || memcmp(a, b, (size_t)bytes) == 0;
}

/* What tokens there are, and how texts become them. */
static bool same_tokenizer(const pith_tokenizer_data *a, const pith_tokenizer_data *b) {
  return a->kind == b->kind && a->flags == b->flags && a->normalizer == b->normalizer && a->pre_tokenizer == b->pre_tokenizer &&
         a->unk_id == b->unk_id && a->cls_id == b->cls_id && a->sep_id == b->sep_id && a->mask_id == b->mask_id &&
         a->max_word_chars == b->max_word_chars && strcmp(a->continuing_prefix, b->continuing_prefix) == 0 &&
         a->token_count == b->token_count && a->token_text_bytes == b->token_text_bytes &&
         same_bytes(a->token_lengths, b->token_lengths, a->token_count) &&
         same_bytes(a->token_text, b->token_text, a->token_text_bytes) && a->merge_word_count == b->merge_word_count &&
         same_bytes(a->merges, b->merges, (uint64_t)a->merge_word_count * sizeof *a->merges) && a->added_count == b->added_count &&
         a->added_text_bytes == b->added_text_bytes && same_bytes(a->added_text, b->added_text, a->added_text_bytes) &&
         a->single_count == b->single_count && a->pair_count == b->pair_count &&
         same_bytes(a->single_template, b->single_template, a->single_count * sizeof *a->single_template) &&
         same_bytes(a->pair_template, b->pair_template, a->pair_count * sizeof *a->pair_template);
}

static pith_status check_words(const pith_model_data *teacher, const pith_model_data *student, const char *path, pith_error *error) {
  if ((teacher->tokenizer == NULL) != (student->tokenizer == NULL))
    return pith_fail(error, PITH_INVALID_ARGUMENT, "teacher %s: %s carries no tokenizer", path,
                     teacher->tokenizer == NULL ? "it" : "the student");
  if (teacher->tokenizer != NULL && !same_tokenizer(teacher->tokenizer, student->tokenizer))
    return pith_fail(error, PITH_INVALID_ARGUMENT, "teacher %s: its tokenizer (%u tokens) is not the student's (%u tokens)", path,
                     teacher->tokenizer->token_count, student->tokenizer->token_count);
  const int64_t own = pith_lookup_find_rows(teacher->graph, "input_ids"), other = pith_lookup_find_rows(student->graph, "input_ids");
  return teacher->tokenizer != NULL || own == other
             ? PITH_OK
             : pith_fail(error, PITH_INVALID_ARGUMENT, "teacher %s: its vocabulary has %lld ids, the student's %lld", path,
                         (long long)own, (long long)other);
}

static pith_status check_answers(const pith_model_data *teacher, const pith_model_data *student, const char *path,
                                 pith_teacher *out, pith_error *error) {
  pith_tensor_id own, other;
  if (teacher->task != student->task)
    return pith_fail(error, PITH_INVALID_ARGUMENT, "teacher %s: its head is for %s, the student's for %s", path,
                     pith_task_name(teacher->task), pith_task_name(student->task));
  PITH_TRY(pith_training_find_output(teacher, teacher->graph, &own, error));
  PITH_TRY(pith_training_find_output(student, student->graph, &other, error));
  const int64_t columns = teacher->graph->tensors[own].dims[1].constant, others = student->graph->tensors[other].dims[1].constant;
  if (columns != others)
    return pith_fail(error, PITH_INVALID_ARGUMENT, "teacher %s: its answers have %lld numbers, the student's %lld", path,
                     (long long)columns, (long long)others);
  for (uint32_t i = 0; i < teacher->label_count && i < student->label_count; i++)
    if (strcmp(teacher->labels[i], student->labels[i]) != 0)
      return pith_fail(error, PITH_INVALID_ARGUMENT, "teacher %s: its label %u is '%.60s', the student's '%.60s'", path, i,
                       teacher->labels[i], student->labels[i]);
  out->columns = (size_t)columns;
  return PITH_OK;
}

static pith_status plan_comparisons(pith_teacher *t, const pith_teacher_options *options, pith_error *error) {
  pith_layers own, student;
  PITH_TRY(pith_layers_find(t->graph, &t->arena, &own, error));
  PITH_TRY(pith_layers_find(options->student->data.graph, &t->arena, &student, error));
  return pith_comparisons_make(&options->compare, &student, &own, options->path, &t->arena, &t->comparisons, error);
}

/* The answers are the first output, values of layers those behind it. */
static pith_status choose_outputs(pith_teacher *t, const pith_teacher_options *options, pith_error *error) {
  pith_tensor_id output;
  PITH_TRY(pith_graph_clone(t->model->data.graph, NULL, &t->graph, error));
  t->view = *t->model;
  t->view.data.graph = t->graph;
  PITH_TRY(pith_training_find_output(&t->view.data, t->graph, &output, error));
  PITH_TRY(plan_comparisons(t, options, error));
  t->graph->output_count = 0;
  PITH_TRY(pith_graph_add_output(t->graph, output, error));
  for (uint32_t i = 0; i < t->comparisons.value_count; i++)
    PITH_TRY(pith_graph_add_output(t->graph, t->comparisons.values[i].tensor, error));
  return pith_graph_verify(t->graph, error);
}

/* The sequences of a pair are not told apart here: the session says where one is too long. */
static pith_status check_lengths(const pith_teacher *t, const char *path, pith_error *error) {
  const pith_train_data *data = t->data;
  for (uint64_t i = 0; i < data->count && data->sequences == 1; i++)
    if (data->samples[i].tokens > t->model->data.max_length)
      return pith_fail(error, PITH_INVALID_ARGUMENT, "teacher %s: it reads %u tokens, but line %u has %u: max-length has to say no more",
                       path, t->model->data.max_length, data->samples[i].row, data->samples[i].tokens);
  return PITH_OK;
}

/* ---- where answers are kept ------------------------------------------------------------------------------------------------ */

static bool has_row_a_token(const pith_train_data *data) {
  return data->kind == PITH_EVAL_TAGS || data->kind == PITH_EVAL_SPANS;
}

static size_t count_rows(const pith_train_data *data, uint64_t sample) {
  return has_row_a_token(data) ? data->samples[sample].tokens : data->sequences;
}

/* Rows of the samples before. In words (data_internal.h) a sample takes 1 + 2 * tokens with a label each, or 1 + 2 + tokens with an
 * answer's two. */
static uint64_t find_row(const pith_train_data *data, uint64_t sample) {
  const uint64_t words = data->samples[sample].offset;
  return data->kind == PITH_EVAL_TAGS    ? (words - sample) / 2
         : data->kind == PITH_EVAL_SPANS ? words - 3 * sample
                                         : sample * data->sequences;
}

static pith_status make_room(pith_teacher *t, const pith_teacher_options *options, pith_error *error) {
  const pith_train_data *data = t->data;
  const uint64_t rows = find_row(data, data->count - 1) + count_rows(data, data->count - 1);
  uint64_t numbers, bytes;
  void *kept;
  if (__builtin_mul_overflow(rows, (uint64_t)t->columns, &numbers) || __builtin_mul_overflow(numbers, sizeof(float), &bytes))
    return pith_fail(error, PITH_LIMIT, "a teacher's answers of %llu rows overflow", (unsigned long long)rows);
  PITH_TRY(pith_spool_open(&t->spool, options->folder, error));
  PITH_TRY(pith_spool_reserve(&t->spool, bytes, &kept, error));
  t->kept = kept;
  const size_t most = has_row_a_token(data) ? options->most_tokens : options->most_sequences;
  size_t count;
  t->known = PITH_ARENA_NEW(&t->arena, uint8_t, data->count / 8 + 1);
  t->answers = pith_size_multiply(most, t->columns, &count) ? PITH_ARENA_NEW(&t->arena, float, count) : NULL;
  return t->known != NULL && t->answers != NULL ? PITH_OK : pith_fail(error, PITH_OUT_OF_MEMORY, "no memory for a teacher's answers");
}

/* ---- opening ----------------------------------------------------------------------------------------------------------------- */

pith_status pith_teacher_open(pith_teacher *t, const pith_teacher_options *options, pith_error *error) {
  *t = (pith_teacher){.data = options->data};
  pith_arena_init(&t->arena, NULL);
  PITH_TRY(pith_model_open(options->path, NULL, &t->model, error));
  PITH_TRY(check_words(&t->model->data, &options->student->data, options->path, error));
  PITH_TRY(check_answers(&t->model->data, &options->student->data, options->path, t, error));
  PITH_TRY(check_lengths(t, options->path, error));
  PITH_TRY(choose_outputs(t, options, error));
  pith_session_options session = PITH_SESSION_OPTIONS_INIT;
  session.max_tokens = options->most_tokens;
  session.max_sequences = options->most_sequences;
  session.max_rows = options->most_rows;
  session.threadpool = options->pool;
  PITH_TRY(pith_session_create(&t->view, &session, &t->session, error));
  return t->data->kind == PITH_EVAL_MASKED || t->comparisons.count != 0 ? PITH_OK : make_room(t, options, error);
}

void pith_teacher_close(pith_teacher *t) {
  pith_session_destroy(t->session);
  pith_graph_destroy(t->graph);
  pith_model_close(t->model);
  pith_spool_close(&t->spool);
  pith_arena_deinit(&t->arena);
  *t = (pith_teacher){.model = NULL};
}

/* ---- answers ------------------------------------------------------------------------------------------------------------------- */

static bool is_known(const pith_teacher *t, uint64_t sample) {
  return (t->known[sample / 8] >> sample % 8 & 1) != 0;
}

static size_t count_batch_rows(const pith_train_data *data, const pith_train_batch *batch) {
  return data->kind == PITH_EVAL_MASKED ? batch->row_count
         : has_row_a_token(data)        ? (size_t)batch->offsets[batch->sequences]
                                        : batch->sequences;
}

/* A session's result has the first outputs only. */
static const pith_view *get_output(const pith_teacher *t, uint32_t index) {
  return pith_executor_get_output(pith_session_get_executor(t->session), index);
}

/* A file may hold a graph that gives something else under the task's name. */
static pith_status check_rows(const pith_teacher *t, uint32_t index, size_t rows, size_t columns, pith_error *error) {
  const pith_view *view = get_output(t, index);
  return view->rows == rows && view->columns == columns
             ? PITH_OK
             : pith_fail(error, PITH_UNSUPPORTED, "teacher: its output '%s' has %zu x %zu numbers for a batch that takes %zu rows",
                         t->graph->tensors[t->graph->outputs[index]].name, view->rows, view->columns, rows);
}

static pith_status run(pith_teacher *t, pith_train_batch *batch, pith_error *error) {
  pith_batch in = PITH_BATCH_INIT;
  in.sequences = batch->sequences;
  in.offsets = batch->offsets;
  in.ids = batch->ids;
  in.type_ids = batch->type_ids;
  in.rows = batch->rows;
  in.row_count = batch->row_count;
  pith_result result = {.struct_size = sizeof result};
  pith_error reason = {0};
  const pith_status status = pith_session_run(t->session, &in, &result, &reason);
  if (status != PITH_OK)
    return pith_fail(error, status, "teacher: %s", reason.message);
  t->runs++;
  PITH_TRY(check_rows(t, 0, count_batch_rows(t->data, batch), t->columns, error));
  batch->teacher = result.outputs[0].data;
  for (uint32_t i = 0; i < t->comparisons.value_count; i++) {
    PITH_TRY(check_rows(t, i + 1, (size_t)batch->offsets[batch->sequences], (size_t)t->comparisons.values[i].width, error));
    t->values[i] = get_output(t, i + 1)->data;
  }
  batch->teacher_values = t->values;
  return PITH_OK;
}

pith_status pith_teacher_answer(pith_teacher *t, const pith_order_batch *samples, pith_train_batch *batch, pith_error *error) {
  bool known = t->kept != NULL;
  for (size_t i = 0; i < samples->count && known; i++)
    known = is_known(t, samples->samples[i]);
  if (!known)
    PITH_TRY(run(t, batch, error));
  if (t->kept == NULL)
    return PITH_OK;
  const float *given = known ? NULL : batch->teacher;
  float *to = t->answers;
  for (size_t i = 0; i < samples->count; i++) {
    const uint64_t sample = samples->samples[i];
    const size_t numbers = count_rows(t->data, sample) * t->columns;
    float *place = t->kept + find_row(t->data, sample) * t->columns;
    if (given != NULL) {
      memcpy(place, given, numbers * sizeof *place);
      given += numbers;
      t->known[sample / 8] = (uint8_t)(t->known[sample / 8] | 1u << sample % 8);
    }
    memcpy(to, place, numbers * sizeof *to);
    to += numbers;
  }
  batch->teacher = t->answers;
  return PITH_OK;
}
