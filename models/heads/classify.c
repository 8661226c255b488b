/* Labels, values and vectors: one row of the output for each sequence. */
#include "engine/base/error.h"
#include "engine/exec/model.h"
#include "engine/exec/session_access.h"
#include "models/heads/heads.h"
#include "engine/base/probability.h"

pith_status pith_heads_check_arguments(const char *function, const pith_session *session,
                                       const pith_head_argument *arguments, size_t count, pith_error *error) {
  if (session == NULL)
    return pith_fail(error, PITH_INVALID_ARGUMENT, "%s: session is NULL", function);
  for (size_t i = 0; i < count; i++)
    if (arguments[i].value == NULL && !arguments[i].unused)
      return pith_fail(error, PITH_INVALID_ARGUMENT, "%s: %s is NULL", function, arguments[i].name);
  return PITH_OK;
}

pith_status pith_heads_check_task(const pith_model *model, uint32_t tasks, const char *what,
                                  pith_error *error) {
  if (tasks & PITH_TASK_BIT(model->data.task))
    return PITH_OK;
  return pith_fail(error, PITH_INVALID_ARGUMENT, "the model's task is %s: it cannot %s",
                   pith_task_name(model->data.task), what);
}

pith_status pith_heads_find_output(const pith_result *result, const char *name, size_t rows, size_t columns,
                                   const float **out_data, pith_error *error) {
  for (size_t i = 0; i < result->count; i++) {
    const pith_output *output = &result->outputs[i];
    if (strcmp(output->name, name) != 0)
      continue;
    if (output->rows != rows || output->columns != columns)
      return pith_fail(error, PITH_FORMAT, "output %s is [%zu, %zu], the head reads [%zu, %zu]", name,
                       output->rows, output->columns, rows, columns);
    *out_data = output->data;
    return PITH_OK;
  }
  return pith_fail(error, PITH_FORMAT, "the model has no output %s", name);
}

/* ---- classification, regression, reranking ------------------------------------------------------------ */

typedef struct classify_context {
  pith_task task;
  size_t label_count;
  pith_label *labels; /* [n] */
  float *logits;      /* [n, label_count], or NULL */
} classify_context;

/* Softmax for one label of several; a sigmoid where labels are independent, and for a lone reranking logit, as
 * sentence-transformers' CrossEncoder has it; a regression's value as it is. */
static pith_label choose_label(pith_task task, const float *logits, size_t label_count) {
  if (task == PITH_TASK_REGRESSION)
    return (pith_label){0, logits[0]};
  size_t best = pith_argmax(logits, label_count);
  if (task == PITH_TASK_MULTI_LABEL || label_count == 1)
    return (pith_label){(int32_t)best, (float)pith_sigmoid((double)logits[best])};
  float max;
  return (pith_label){(int32_t)best, (float)(1 / pith_softmax_sum(logits, label_count, &max))};
}

static pith_status consume_logits(void *context, const uint32_t *order, const int32_t *offsets, size_t count,
                                  const pith_result *result, pith_error *error) {
  (void)offsets;
  const classify_context *c = context;
  const float *logits;
  PITH_TRY(pith_heads_find_output(result, "logits", count, c->label_count, &logits, error));
  for (size_t i = 0; i < count; i++) {
    const float *row = logits + i * c->label_count;
    c->labels[order[i]] = choose_label(c->task, row, c->label_count);
    if (c->logits != NULL)
      memcpy(c->logits + order[i] * c->label_count, row, c->label_count * sizeof *row);
  }
  return PITH_OK;
}

enum {
  CLASSIFY_TASKS = PITH_TASK_BIT(PITH_TASK_CLASSIFICATION) | PITH_TASK_BIT(PITH_TASK_MULTI_LABEL) |
                   PITH_TASK_BIT(PITH_TASK_REGRESSION) | PITH_TASK_BIT(PITH_TASK_RERANK),
};

pith_status pith_heads_classify(pith_session *session, const pith_sequence *sequences, size_t n,
                                pith_arena *arena, pith_label *out_labels, float *out_logits,
                                pith_error *error) {
  const pith_model *model = pith_session_get_model(session);
  PITH_TRY(pith_heads_check_task(model, CLASSIFY_TASKS, "classify texts", error));
  if (model->data.label_count == 0)
    return pith_fail(error, PITH_FORMAT, "the model has no labels");
  classify_context context = {model->data.task, model->data.label_count, out_labels, out_logits};
  return pith_feed_run(session, sequences, n, arena, consume_logits, &context, error);
}

pith_status pith_classify(pith_session *session, const char *const *texts, const char *const *pairs, size_t n,
                          pith_label *out_labels, float *out_logits, pith_error *error) {
  const pith_head_argument arguments[] = {{"texts", texts, n == 0}, {"out_labels", out_labels, n == 0}};
  PITH_TRY(pith_heads_check_arguments("pith_classify", session, arguments, 2, error));
  pith_arena arena;
  pith_arena_init(&arena, pith_session_get_allocator(session));
  pith_sequence *sequences = PITH_ARENA_NEW(&arena, pith_sequence, n);
  pith_status status = sequences == NULL ? pith_fail(error, PITH_OUT_OF_MEMORY, "no memory for %zu texts", n)
                                         : pith_feed_encode(session, texts, pairs, n, &arena, sequences, error);
  if (status == PITH_OK)
    status = pith_heads_classify(session, sequences, n, &arena, out_labels, out_logits, error);
  pith_arena_deinit(&arena);
  return status;
}

/* ---- embedding ---------------------------------------------------------------------------------------- */

typedef struct embed_context {
  size_t size;
  float *vectors; /* [n, size] */
} embed_context;

static pith_status consume_vectors(void *context, const uint32_t *order, const int32_t *offsets, size_t count,
                                   const pith_result *result, pith_error *error) {
  (void)offsets;
  const embed_context *c = context;
  const float *vectors;
  PITH_TRY(pith_heads_find_output(result, "embedding", count, c->size, &vectors, error));
  for (size_t i = 0; i < count; i++)
    memcpy(c->vectors + order[i] * c->size, vectors + i * c->size, c->size * sizeof *vectors);
  return PITH_OK;
}

pith_status pith_heads_embed(pith_session *session, const pith_sequence *sequences, size_t n, pith_arena *arena,
                             float *out_vectors, pith_error *error) {
  const pith_model *model = pith_session_get_model(session);
  PITH_TRY(pith_heads_check_task(model, PITH_TASK_BIT(PITH_TASK_EMBEDDING), "embed texts", error));
  pith_model_info info = {.struct_size = sizeof info};
  PITH_TRY(pith_model_get_info(model, &info, error));
  embed_context context = {info.embedding_size, out_vectors};
  return pith_feed_run(session, sequences, n, arena, consume_vectors, &context, error);
}

pith_status pith_embed(pith_session *session, const char *const *texts, size_t n, float *out_vectors,
                       pith_error *error) {
  const pith_head_argument arguments[] = {{"texts", texts, n == 0}, {"out_vectors", out_vectors, n == 0}};
  PITH_TRY(pith_heads_check_arguments("pith_embed", session, arguments, 2, error));
  pith_arena arena;
  pith_arena_init(&arena, pith_session_get_allocator(session));
  pith_sequence *sequences = PITH_ARENA_NEW(&arena, pith_sequence, n);
  pith_status status = sequences == NULL ? pith_fail(error, PITH_OUT_OF_MEMORY, "no memory for %zu texts", n)
                                         : pith_feed_encode(session, texts, NULL, n, &arena, sequences, error);
  if (status == PITH_OK)
    status = pith_heads_embed(session, sequences, n, &arena, out_vectors, error);
  pith_arena_deinit(&arena);
  return status;
}
