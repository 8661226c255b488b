#include "models/tasks/evaluate.h"

#include <math.h>
#include <stdio.h>

#include "engine/base/error.h"
#include "engine/exec/model.h"
#include "engine/exec/session_access.h"
#include "models/heads/heads.h"
#include "models/heads/metrics.h"

const pith_eval_task pith_eval_tasks[] = {
    {"sst2", PITH_DATASET_SST2, PITH_EVAL_CLASSES, 1, {PITH_EVAL_ACCURACY}, "SST-2: the sentiment of a sentence"},
    {"mrpc", PITH_DATASET_MRPC, PITH_EVAL_CLASSES, 2, {PITH_EVAL_ACCURACY, PITH_EVAL_F1}, "MRPC: paraphrase or not"},
    {"stsb", PITH_DATASET_STSB, PITH_EVAL_VALUES, 2, {PITH_EVAL_SPEARMAN, PITH_EVAL_PEARSON},
     "STS benchmark: how alike two sentences are"},
    {"squad", PITH_DATASET_SQUAD, PITH_EVAL_SPANS, 2, {PITH_EVAL_EXACT_MATCH, PITH_EVAL_SPAN_F1},
     "SQuAD 1.1: answers in a context"},
    {"classification", PITH_DATASET_ROWS, PITH_EVAL_CLASSES, 3,
     {PITH_EVAL_ACCURACY, PITH_EVAL_F1, PITH_EVAL_MCC}, "any labels, as JSON lines"},
    {"regression", PITH_DATASET_ROWS, PITH_EVAL_VALUES, 2, {PITH_EVAL_SPEARMAN, PITH_EVAL_PEARSON},
     "any numbers, as JSON lines"},
    {0},
};

const pith_eval_task *pith_eval_task_find(const char *name) {
  for (const pith_eval_task *task = pith_eval_tasks; task->name != NULL; task++)
    if (strcmp(task->name, name) == 0)
      return task;
  return NULL;
}

const char *pith_eval_metric_name(pith_eval_metric metric) {
  static const char *const names[] = {
      [PITH_EVAL_ACCURACY] = "accuracy",       [PITH_EVAL_F1] = "f1",           [PITH_EVAL_MCC] = "mcc",
      [PITH_EVAL_PEARSON] = "pearson",         [PITH_EVAL_SPEARMAN] = "spearman",
      [PITH_EVAL_EXACT_MATCH] = "exact_match", [PITH_EVAL_SPAN_F1] = "f1",
  };
  return names[metric];
}

pith_status pith_rows_encode(pith_session *session, const pith_dataset_row *rows, size_t n, pith_arena *arena,
                             pith_sequence *out_sequences, pith_error *error) {
  const char **texts = PITH_ARENA_NEW(arena, const char *, n), **pairs = PITH_ARENA_NEW(arena, const char *, n);
  pith_sequence *encoded = PITH_ARENA_NEW(arena, pith_sequence, n);
  if (texts == NULL || pairs == NULL || encoded == NULL)
    return pith_fail(error, PITH_OUT_OF_MEMORY, "no memory for %zu rows", n);
  size_t text_count = 0;
  for (size_t i = 0; i < n; i++)
    if (rows[i].ids == NULL) {
      texts[text_count] = rows[i].text;
      pairs[text_count++] = rows[i].pair;
    }
  if (text_count != 0)
    PITH_TRY(pith_feed_encode(session, texts, pairs, text_count, arena, encoded, error));
  for (size_t i = 0, t = 0; i < n; i++)
    out_sequences[i] = rows[i].ids == NULL
                           ? encoded[t++]
                           : (pith_sequence){rows[i].ids, rows[i].type_ids, rows[i].id_count};
  return PITH_OK;
}

/* ---- answers ------------------------------------------------------------------------------------------ */

/* What a whole evaluation gathers, row by row. */
typedef struct gathered {
  double *predicted, *wanted;         /* VALUES */
  int32_t *predicted_class, *classes; /* CLASSES */
  double exact, f1;                   /* SPANS: sums */
} gathered;

static pith_status find_class(const pith_model *model, const pith_dataset *dataset, const pith_dataset_row *row,
                              int32_t *out_class, pith_error *error) {
  char where[PITH_DATASET_WHERE_BYTES];
  if (row->label_name != NULL) {
    for (uint32_t i = 0; i < model->data.label_count; i++)
      if (strcmp(model->data.labels[i], row->label_name) == 0) {
        *out_class = (int32_t)i;
        return PITH_OK;
      }
    return pith_fail(error, PITH_INVALID_ARGUMENT, "%s: label '%.60s' is none of the model's",
                     pith_dataset_describe_row(dataset->path, row, where), row->label_name);
  }
  if (!(row->label >= 0 && row->label < model->data.label_count) || row->label != floor(row->label))
    return pith_fail(error, PITH_INVALID_ARGUMENT, "%s: label %g is none of the model's %u classes",
                     pith_dataset_describe_row(dataset->path, row, where), row->label, model->data.label_count);
  *out_class = (int32_t)row->label;
  return PITH_OK;
}

static pith_status predict_classes(pith_session *session, const pith_dataset *dataset, size_t begin, size_t n,
                                   pith_arena *arena, gathered *out, pith_error *error) {
  const pith_model *model = pith_session_get_model(session);
  const pith_dataset_row *rows = dataset->rows + begin;
  pith_sequence *sequences = PITH_ARENA_NEW(arena, pith_sequence, n);
  pith_label *labels = PITH_ARENA_NEW(arena, pith_label, n);
  if (sequences == NULL || labels == NULL)
    return pith_fail(error, PITH_OUT_OF_MEMORY, "no memory for %zu rows", n);
  for (size_t i = 0; i < n; i++)
    PITH_TRY(find_class(model, dataset, &rows[i], &out->classes[begin + i], error));
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
                                  pith_arena *arena, gathered *out, pith_error *error) {
  const pith_dataset_row *rows = dataset->rows + begin;
  char where[PITH_DATASET_WHERE_BYTES];
  for (size_t i = 0; i < n; i++) {
    if (!isfinite(rows[i].label))
      return pith_fail(error, PITH_INVALID_ARGUMENT, "%s: no number as its label",
                       pith_dataset_describe_row(dataset->path, &rows[i], where));
    out->wanted[begin + i] = rows[i].label;
  }
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
                                 pith_arena *arena, gathered *out, pith_error *error) {
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

static pith_status (*const predictors[])(pith_session *session, const pith_dataset *dataset, size_t begin,
                                         size_t n, pith_arena *arena, gathered *out, pith_error *error) = {
    [PITH_EVAL_CLASSES] = predict_classes,
    [PITH_EVAL_VALUES] = predict_values,
    [PITH_EVAL_SPANS] = predict_spans,
};

/* ---- scores ------------------------------------------------------------------------------------------- */

static pith_status compute_metric(pith_eval_metric metric, const gathered *g, size_t n, size_t class_count,
                                  const pith_allocator *allocator, double *out, pith_error *error) {
  switch (metric) {
  case PITH_EVAL_ACCURACY:
    *out = pith_metric_accuracy(g->predicted_class, g->classes, n);
    return PITH_OK;
  case PITH_EVAL_F1:
    if (class_count > 2)
      return pith_metric_macro_f1(g->predicted_class, g->classes, n, class_count, allocator, out, error);
    *out = pith_metric_f1(g->predicted_class, g->classes, n, 1);
    return PITH_OK;
  case PITH_EVAL_MCC:
    if (class_count > 2)
      return pith_metric_multiclass_mcc(g->predicted_class, g->classes, n, class_count, allocator, out, error);
    *out = pith_metric_mcc(g->predicted_class, g->classes, n, 1);
    return PITH_OK;
  case PITH_EVAL_PEARSON:
    *out = pith_metric_pearson(g->predicted, g->wanted, n);
    return PITH_OK;
  case PITH_EVAL_SPEARMAN:
    return pith_metric_spearman(g->predicted, g->wanted, n, allocator, out, error);
  case PITH_EVAL_EXACT_MATCH:
    *out = g->exact / (double)n;
    return PITH_OK;
  case PITH_EVAL_SPAN_F1:
    *out = g->f1 / (double)n;
    return PITH_OK;
  }
  return pith_fail(error, PITH_INVALID_ARGUMENT, "unknown metric");
}

/* Rows in one call of a head: enough to fill batches, few enough that progress shows. */
enum { CHUNK_ROWS = 512 };

pith_status pith_evaluate(pith_session *session, const pith_eval_task *task, const pith_dataset *dataset,
                          void (*progress)(void *context, uint64_t done), void *context,
                          pith_evaluation *out_evaluation, pith_error *error) {
  const pith_allocator *allocator = pith_session_get_allocator(session);
  pith_arena arena;
  pith_arena_init(&arena, allocator);
  gathered g = {.predicted = PITH_ARENA_NEW(&arena, double, dataset->count),
                .wanted = PITH_ARENA_NEW(&arena, double, dataset->count),
                .predicted_class = PITH_ARENA_NEW(&arena, int32_t, dataset->count),
                .classes = PITH_ARENA_NEW(&arena, int32_t, dataset->count)};
  pith_status status = PITH_OK;
  if (g.predicted == NULL || g.wanted == NULL || g.predicted_class == NULL || g.classes == NULL)
    status = pith_fail(error, PITH_OUT_OF_MEMORY, "no memory for %zu rows", dataset->count);
  for (size_t begin = 0; begin < dataset->count && status == PITH_OK; begin += CHUNK_ROWS) {
    size_t n = dataset->count - begin < CHUNK_ROWS ? dataset->count - begin : CHUNK_ROWS;
    pith_arena chunk;
    pith_arena_init(&chunk, allocator);
    status = predictors[task->kind](session, dataset, begin, n, &chunk, &g, error);
    pith_arena_deinit(&chunk);
    if (progress != NULL)
      progress(context, begin + n);
  }
  *out_evaluation = (pith_evaluation){.n = dataset->count, .metric_count = task->metric_count};
  for (size_t i = 0; i < task->metric_count && status == PITH_OK; i++) {
    out_evaluation->metrics[i].name = pith_eval_metric_name(task->metrics[i]);
    status = compute_metric(task->metrics[i], &g, dataset->count,
                            pith_session_get_model(session)->data.label_count, allocator,
                            &out_evaluation->metrics[i].value, error);
  }
  pith_arena_deinit(&arena);
  return status;
}
