#include "models/tasks/predict.h"

#include <stdio.h>

#include "engine/base/error.h"
#include "engine/exec/model.h"
#include "engine/exec/session_access.h"
#include "models/heads/heads.h"
#include "models/heads/metrics.h"
#include "engine/base/probability.h"
#include "models/tasks/labels.h"
#include "models/tasks/hiding.h"

static pith_status predict_classes(pith_session *session, const pith_dataset *dataset, size_t begin, size_t n,
                                   pith_arena *arena, pith_gathered *out, pith_error *error) {
  const pith_model *model = pith_session_get_model(session);
  const pith_dataset_row *rows = dataset->rows + begin;
  pith_sequence *sequences = PITH_ARENA_NEW(arena, pith_sequence, n);
  pith_label *labels = PITH_ARENA_NEW(arena, pith_label, n);
  if (sequences == NULL || labels == NULL)
    return pith_fail(error, PITH_OUT_OF_MEMORY, "no memory for %zu rows", n);
  for (size_t i = 0; i < n; i++)
    PITH_TRY(pith_label_find(&model->data, dataset->path, &rows[i], &out->classes[begin + i], error));
  PITH_TRY(pith_rows_encode(session, rows, n, arena, sequences, error));
  PITH_TRY(pith_heads_classify(session, sequences, n, arena, labels, NULL, error));
  for (size_t i = 0; i < n; i++)
    out->predicted_class[begin + i] = labels[i].index;
  return PITH_OK;
}

static pith_status predict_cosines(pith_session *session, const pith_dataset *dataset, size_t begin, size_t n,
                                   pith_arena *arena, double *out_cosines, pith_error *error) {
  const pith_dataset_row *rows = dataset->rows + begin;
  char where[PITH_DATASET_WHERE_BYTES];
  pith_model_info info = {.struct_size = sizeof info};
  PITH_TRY(pith_model_get_info(pith_session_get_model(session), &info, error));
  const char **texts = PITH_ARENA_NEW(arena, const char *, 2 * n);
  float *vectors = pith_arena_array(arena, 2 * n, info.embedding_size * sizeof(float));
  pith_sequence *sequences = PITH_ARENA_NEW(arena, pith_sequence, 2 * n);
  if (texts == NULL || vectors == NULL || sequences == NULL)
    return pith_fail(error, PITH_OUT_OF_MEMORY, "no memory for %zu rows", n);
  for (size_t i = 0; i < n; i++) {
    if (rows[i].text == NULL || rows[i].pair == NULL)
      return pith_fail(error, PITH_INVALID_ARGUMENT, "%s: not two texts to compare",
                       pith_dataset_describe_row(dataset->path, &rows[i], where));
    texts[2 * i] = rows[i].text;
    texts[2 * i + 1] = rows[i].pair;
  }
  PITH_TRY(pith_feed_encode(session, texts, NULL, 2 * n, arena, sequences, error));
  PITH_TRY(pith_heads_embed(session, sequences, 2 * n, arena, vectors, error));
  for (size_t i = 0; i < n; i++) {
    const float *first = vectors + 2 * i * info.embedding_size;
    out_cosines[i] = pith_metric_cosine(first, first + info.embedding_size, info.embedding_size);
  }
  return PITH_OK;
}

static pith_status predict_values(pith_session *session, const pith_dataset *dataset, size_t begin, size_t n,
                                  pith_arena *arena, pith_gathered *out, pith_error *error) {
  const pith_dataset_row *rows = dataset->rows + begin;
  for (size_t i = 0; i < n; i++)
    PITH_TRY(pith_label_get_number(dataset->path, &rows[i], &out->wanted[begin + i], error));
  const pith_model *model = pith_session_get_model(session);
  if (model->data.task == PITH_TASK_EMBEDDING)
    return predict_cosines(session, dataset, begin, n, arena, out->predicted + begin, error);
  PITH_TRY(pith_heads_check_task(model, PITH_TASK_BIT(PITH_TASK_REGRESSION) | PITH_TASK_BIT(PITH_TASK_RERANK),
                                 "give a number for two texts", error));
  pith_sequence *sequences = PITH_ARENA_NEW(arena, pith_sequence, n);
  pith_label *labels = PITH_ARENA_NEW(arena, pith_label, n);
  if (sequences == NULL || labels == NULL)
    return pith_fail(error, PITH_OUT_OF_MEMORY, "no memory for %zu rows", n);
  PITH_TRY(pith_rows_encode(session, rows, n, arena, sequences, error));
  PITH_TRY(pith_heads_classify(session, sequences, n, arena, labels, NULL, error));
  for (size_t i = 0; i < n; i++)
    out->predicted[begin + i] = (double)labels[i].score;
  return PITH_OK;
}

static pith_status predict_spans(pith_session *session, const pith_dataset *dataset, size_t begin, size_t n,
                                 pith_arena *arena, pith_gathered *out, pith_error *error) {
  const pith_dataset_row *rows = dataset->rows + begin;
  char where[PITH_DATASET_WHERE_BYTES];
  const char **questions = PITH_ARENA_NEW(arena, const char *, n), **contexts = PITH_ARENA_NEW(arena, const char *, n);
  pith_answer *answers = PITH_ARENA_NEW(arena, pith_answer, n);
  if (questions == NULL || contexts == NULL || answers == NULL)
    return pith_fail(error, PITH_OUT_OF_MEMORY, "no memory for %zu rows", n);
  for (size_t i = 0; i < n; i++) {
    if (rows[i].text == NULL || rows[i].pair == NULL || rows[i].reference_count == 0)
      return pith_fail(error, PITH_INVALID_ARGUMENT, "%s: no question, context and answer",
                       pith_dataset_describe_row(dataset->path, &rows[i], where));
    questions[i] = rows[i].text;
    contexts[i] = rows[i].pair;
  }
  PITH_TRY(pith_answer_questions(session, questions, contexts, n, answers, error));
  for (size_t i = 0; i < n; i++) {
    pith_squad_score score;
    PITH_TRY(pith_metric_squad(contexts[i] + answers[i].begin, answers[i].end - answers[i].begin,
                               rows[i].references, rows[i].reference_count, arena->allocator, &score, error));
    out->exact += score.exact;
    out->f1 += score.f1;
  }
  return PITH_OK;
}

static pith_status predict_sets(pith_session *session, const pith_dataset *dataset, size_t begin, size_t n,
                                pith_arena *arena, pith_gathered *out, pith_error *error) {
  const pith_model *model = pith_session_get_model(session);
  PITH_TRY(pith_heads_check_task(model, PITH_TASK_BIT(PITH_TASK_MULTI_LABEL), "give several labels a text", error));
  const size_t label_count = model->data.label_count;
  pith_sequence *sequences = PITH_ARENA_NEW(arena, pith_sequence, n);
  pith_label *best = PITH_ARENA_NEW(arena, pith_label, n);
  float *logits = pith_arena_array(arena, n, label_count * sizeof *logits);
  if (sequences == NULL || best == NULL || logits == NULL)
    return pith_fail(error, PITH_OUT_OF_MEMORY, "no memory for %zu rows", n);
  for (size_t i = 0; i < n; i++)
    PITH_TRY(pith_label_set_find(&model->data, dataset->path, &dataset->rows[begin + i],
                                 out->classes + (begin + i) * label_count, error));
  PITH_TRY(pith_rows_encode(session, dataset->rows + begin, n, arena, sequences, error));
  PITH_TRY(pith_heads_classify(session, sequences, n, arena, best, logits, error));
  for (size_t i = 0; i < n * label_count; i++)
    out->predicted_class[begin * label_count + i] = logits[i] > 0; /* a probability over one half */
  return PITH_OK;
}

/* The label of each word, by its first token; words that become no token count on neither side. */
static void gather_words(const pith_dataset_row *row, const pith_labelled_text *text, const char *const *labels,
                         int32_t *wanted, int32_t *predicted, pith_gathered *out) {
  uint32_t count = 0;
  size_t t = text->begin;
  for (uint32_t w = 0; w < row->label_count; w++) {
    while (t < text->end && text->encoded.offsets[t][0] < row->words[w][0])
      t++;
    if (t == text->end || text->encoded.offsets[t][0] >= row->words[w][1])
      continue;
    wanted[count] = wanted[w];
    predicted[count] = text->labels[t].index;
    out->right += wanted[count] == predicted[count];
    count++;
  }
  out->tokens += count;
  pith_entity_counts_add(&out->entities, PITH_ENTITY_DEFAULT, labels, predicted, wanted, count);
  pith_entity_counts_add(&out->strict_entities, PITH_ENTITY_STRICT, labels, predicted, wanted, count);
}

static pith_status predict_tags(pith_session *session, const pith_dataset *dataset, size_t begin, size_t n,
                                pith_arena *arena, pith_gathered *out, pith_error *error) {
  const pith_model_data *data = &pith_session_get_model(session)->data;
  const char **texts = PITH_ARENA_NEW(arena, const char *, n);
  int32_t **wanted = PITH_ARENA_NEW(arena, int32_t *, n);
  pith_labelled_text *labelled = PITH_ARENA_NEW(arena, pith_labelled_text, n);
  if (texts == NULL || wanted == NULL || labelled == NULL)
    return pith_fail(error, PITH_OUT_OF_MEMORY, "no memory for %zu rows", n);
  for (size_t i = 0; i < n; i++) {
    const pith_dataset_row *row = &dataset->rows[begin + i];
    texts[i] = row->text;
    wanted[i] = PITH_ARENA_NEW(arena, int32_t, 2 * (size_t)row->label_count);
    if (wanted[i] == NULL)
      return pith_fail(error, PITH_OUT_OF_MEMORY, "no memory for %u labels", row->label_count);
    PITH_TRY(pith_labels_find(data, dataset->path, row, wanted[i], error));
  }
  PITH_TRY(pith_heads_label_tokens(session, texts, n, arena, labelled, error));
  for (size_t i = 0; i < n; i++) {
    const pith_dataset_row *row = &dataset->rows[begin + i];
    gather_words(row, &labelled[i], data->labels, wanted[i], wanted[i] + row->label_count, out);
  }
  return PITH_OK;
}

typedef struct masked_context {
  pith_gathered *out;
  const pith_sequence_rows *rows;
  int32_t *const *labels;
} masked_context;

static pith_status consume_masked(void *context, const uint32_t *order, const int32_t *offsets, size_t count,
                                  const pith_result *result, pith_error *error) {
  (void)offsets;
  const masked_context *c = context;
  size_t row = 0;
  for (size_t i = 0; i < count; i++)
    row += c->rows[order[i]].count;
  const float *logits;
  const size_t columns = result->count == 0 ? 0 : result->outputs[0].columns;
  PITH_TRY(pith_heads_find_output(result, "logits", row, columns, &logits, error));
  for (size_t i = 0; i < count; i++)
    for (uint32_t r = 0; r < c->rows[order[i]].count; r++, logits += columns) {
      const size_t label = (size_t)c->labels[order[i]][r];
      if (label >= columns)
        return pith_fail(error, PITH_INVALID_ARGUMENT, "token %zu is none of the %zu that the model tells apart", label, columns);
      c->out->log_loss += pith_metric_log_loss(logits, columns, label);
      c->out->right += pith_argmax(logits, columns) == label;
      c->out->tokens++;
    }
  return PITH_OK;
}

/* The choice of tokens is the same in every evaluation. */
static pith_status predict_masked(pith_session *session, const pith_dataset *dataset, size_t begin, size_t n,
                                  pith_arena *arena, pith_gathered *out, pith_error *error) {
  const pith_model *model = pith_session_get_model(session);
  PITH_TRY(pith_heads_check_task(model, PITH_TASK_BIT(PITH_TASK_FILL_MASK), "fill masks", error));
  if (model->data.tokenizer == NULL)
    return pith_fail(error, PITH_UNSUPPORTED, "the model carries no tokenizer");
  pith_sequence *sequences = PITH_ARENA_NEW(arena, pith_sequence, n);
  pith_sequence_rows *rows = PITH_ARENA_NEW(arena, pith_sequence_rows, n);
  int32_t **labels = PITH_ARENA_NEW(arena, int32_t *, n);
  if (sequences == NULL || rows == NULL || labels == NULL)
    return pith_fail(error, PITH_OUT_OF_MEMORY, "no memory for %zu rows", n);
  PITH_TRY(pith_rows_encode(session, dataset->rows + begin, n, arena, sequences, error));
  for (size_t i = 0; i < n; i++) {
    const size_t length = sequences[i].length;
    const size_t most = pith_hiding_most(length);
    int32_t *ids = PITH_ARENA_NEW(arena, int32_t, length + 2 * most);
    if (ids == NULL)
      return pith_fail(error, PITH_OUT_OF_MEMORY, "no memory for %zu tokens", length);
    memcpy(ids, sequences[i].ids, length * sizeof *ids);
    const pith_hiding hiding = {.tokenizer = model->data.tokenizer, .sample = begin + i};
    labels[i] = ids + length + most;
    rows[i] = (pith_sequence_rows){ids + length, (uint32_t)pith_hiding_apply(&hiding, length, ids, ids + length, labels[i])};
    sequences[i].ids = ids;
  }
  masked_context context = {out, rows, labels};
  return pith_feed_run_rows(session, sequences, rows, n, arena, consume_masked, &context, error);
}

static pith_status (*const predictors[])(pith_session *session, const pith_dataset *dataset, size_t begin,
                                         size_t n, pith_arena *arena, pith_gathered *out, pith_error *error) = {
    [PITH_EVAL_CLASSES] = predict_classes,
    [PITH_EVAL_VALUES] = predict_values,
    [PITH_EVAL_SPANS] = predict_spans,
    [PITH_EVAL_TAGS] = predict_tags,
    [PITH_EVAL_SETS] = predict_sets,
    [PITH_EVAL_MASKED] = predict_masked,
};

pith_status pith_predict(pith_session *session, pith_eval_kind kind, const pith_dataset *dataset, size_t begin, size_t n,
                         pith_arena *arena, pith_gathered *out, pith_error *error) {
  return predictors[kind](session, dataset, begin, n, arena, out, error);
}
