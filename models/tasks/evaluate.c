#include "models/tasks/evaluate.h"

#include "engine/base/error.h"
#include "engine/exec/model.h"
#include "engine/exec/session_access.h"
#include "models/heads/metrics.h"
#include "engine/base/probability.h"
#include "models/tasks/predict.h"

const pith_eval_task pith_eval_tasks[] = {
    {"sst2", PITH_DATASET_SST2, PITH_EVAL_CLASSES, 1, {PITH_EVAL_ACCURACY}, 0, "SST-2: the sentiment of a sentence"},
    {"mrpc", PITH_DATASET_MRPC, PITH_EVAL_CLASSES, 2, {PITH_EVAL_ACCURACY, PITH_EVAL_F1}, 0, "MRPC: paraphrase or not"},
    {"stsb", PITH_DATASET_STSB, PITH_EVAL_VALUES, 2, {PITH_EVAL_SPEARMAN, PITH_EVAL_PEARSON}, 5,
     "STS benchmark: how alike two sentences are"},
    {"squad", PITH_DATASET_SQUAD, PITH_EVAL_SPANS, 2, {PITH_EVAL_EXACT_MATCH, PITH_EVAL_SPAN_F1}, 0,
     "SQuAD 1.1: answers in a context"},
    {"classification", PITH_DATASET_ROWS, PITH_EVAL_CLASSES, 3,
     {PITH_EVAL_ACCURACY, PITH_EVAL_F1, PITH_EVAL_MCC}, 0, "any labels, one a text"},
    {"multi-label", PITH_DATASET_ROWS, PITH_EVAL_SETS, 2, {PITH_EVAL_F1, PITH_EVAL_ACCURACY}, 0, "any labels, several a text"},
    {"regression", PITH_DATASET_ROWS, PITH_EVAL_VALUES, 2, {PITH_EVAL_SPEARMAN, PITH_EVAL_PEARSON}, 0, "any numbers"},
    {"entities", PITH_DATASET_CONLL, PITH_EVAL_TAGS, 5,
     {PITH_EVAL_ENTITY_F1, PITH_EVAL_ENTITY_PRECISION, PITH_EVAL_ENTITY_RECALL, PITH_EVAL_ENTITY_F1_STRICT, PITH_EVAL_ACCURACY}, 0,
     "a label a word"},
    {"fill-mask", PITH_DATASET_TEXT, PITH_EVAL_MASKED, 2, {PITH_EVAL_PERPLEXITY, PITH_EVAL_ACCURACY}, 0,
     "texts of which 15 % of the tokens are hidden"},
    {"pairs", PITH_DATASET_ROWS, PITH_EVAL_PAIRS, 0, {0}, 0, "pairs of texts that belong together, to train embeddings on"},
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
      [PITH_EVAL_ENTITY_F1] = "f1",            [PITH_EVAL_ENTITY_PRECISION] = "precision",
      [PITH_EVAL_ENTITY_RECALL] = "recall",    [PITH_EVAL_ENTITY_F1_STRICT] = "f1_strict",
      [PITH_EVAL_PERPLEXITY] = "perplexity",
  };
  return names[metric];
}

bool pith_eval_metric_rises(pith_eval_metric metric) {
  return metric != PITH_EVAL_PERPLEXITY;
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

/* ---- scores ------------------------------------------------------------------------------------------- */

static double divide(double a, uint64_t b) {
  return b == 0 ? 0 : a / (double)b;
}

static double compute_accuracy(pith_eval_kind kind, const pith_gathered *g, size_t n, size_t class_count) {
  if (kind == PITH_EVAL_TAGS || kind == PITH_EVAL_MASKED)
    return divide((double)g->right, g->tokens);
  return kind == PITH_EVAL_SETS ? pith_metric_set_accuracy(g->predicted_class, g->classes, n, class_count)
                                : pith_metric_accuracy(g->predicted_class, g->classes, n);
}

static pith_status compute_metric(const pith_eval_task *task, size_t metric, const pith_gathered *g, size_t n,
                                  size_t class_count, const pith_allocator *allocator, double *out, pith_error *error) {
  const bool sets = task->kind == PITH_EVAL_SETS;
  switch (task->metrics[metric]) {
  case PITH_EVAL_ACCURACY:
    *out = compute_accuracy(task->kind, g, n, class_count);
    return PITH_OK;
  case PITH_EVAL_F1:
    if (sets)
      n *= class_count;
    else if (class_count > 2)
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
  case PITH_EVAL_ENTITY_F1:
    *out = pith_entity_f1(&g->entities);
    return PITH_OK;
  case PITH_EVAL_ENTITY_PRECISION:
    *out = pith_entity_precision(&g->entities);
    return PITH_OK;
  case PITH_EVAL_ENTITY_RECALL:
    *out = pith_entity_recall(&g->entities);
    return PITH_OK;
  case PITH_EVAL_ENTITY_F1_STRICT:
    *out = pith_entity_f1(&g->strict_entities);
    return PITH_OK;
  case PITH_EVAL_PERPLEXITY:
    *out = pith_exponential(divide(g->log_loss, g->tokens));
    return PITH_OK;
  }
  return pith_fail(error, PITH_INVALID_ARGUMENT, "unknown metric");
}

/* Rows in one call of a head: enough to fill batches, few enough that progress shows. */
enum { CHUNK_ROWS = 512 };

static pith_status make_room(pith_gathered *g, const pith_eval_task *task, size_t n, size_t label_count, pith_arena *arena,
                             pith_error *error) {
  const size_t values = task->kind == PITH_EVAL_VALUES ? n : 0;
  size_t classes = task->kind == PITH_EVAL_CLASSES ? n : 0;
  if (task->kind == PITH_EVAL_SETS && !pith_size_multiply(n, label_count, &classes))
    classes = SIZE_MAX;
  *g = (pith_gathered){.predicted = PITH_ARENA_NEW(arena, double, values),
                       .wanted = PITH_ARENA_NEW(arena, double, values),
                       .predicted_class = PITH_ARENA_NEW(arena, int32_t, classes),
                       .classes = PITH_ARENA_NEW(arena, int32_t, classes)};
  if (g->predicted == NULL || g->wanted == NULL || g->predicted_class == NULL || g->classes == NULL)
    return pith_fail(error, PITH_OUT_OF_MEMORY, "no memory for %zu rows", n);
  return PITH_OK;
}

pith_status pith_evaluate(pith_session *session, const pith_eval_task *task, const pith_dataset *dataset,
                          void (*progress)(void *context, uint64_t done), void *context,
                          pith_evaluation *out_evaluation, pith_error *error) {
  if (task->metric_count == 0)
    return pith_fail(error, PITH_INVALID_ARGUMENT, "task %s is to train on and has no metric", task->name);
  const pith_allocator *allocator = pith_session_get_allocator(session);
  const size_t label_count = pith_session_get_model(session)->data.label_count;
  pith_arena arena;
  pith_arena_init(&arena, allocator);
  pith_gathered g;
  pith_status status = make_room(&g, task, dataset->count, label_count, &arena, error);
  for (size_t begin = 0; begin < dataset->count && status == PITH_OK; begin += CHUNK_ROWS) {
    size_t n = dataset->count - begin < CHUNK_ROWS ? dataset->count - begin : CHUNK_ROWS;
    pith_arena chunk;
    pith_arena_init(&chunk, allocator);
    status = pith_predict(session, task->kind, dataset, begin, n, &chunk, &g, error);
    pith_arena_deinit(&chunk);
    if (progress != NULL)
      progress(context, begin + n);
  }
  *out_evaluation = (pith_evaluation){.n = dataset->count, .metric_count = task->metric_count};
  for (size_t i = 0; i < task->metric_count && status == PITH_OK; i++) {
    out_evaluation->metrics[i].name = pith_eval_metric_name(task->metrics[i]);
    status = compute_metric(task, i, &g, dataset->count, label_count, allocator, &out_evaluation->metrics[i].value, error);
  }
  pith_arena_deinit(&arena);
  return status;
}
