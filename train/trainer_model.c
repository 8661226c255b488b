#include "train/trainer_model.h"

#include <cjson/cJSON.h>

#include "compiler/history.h"
#include "compiler/rewrite/choose.h"
#include "engine/exec/model.h"
#include "engine/format/format.h"

enum { EVAL_TOKENS = 2048, EVAL_ROWS = 512 /* of hidden tokens, in one run of a fill-mask model */ };

/* ---- measuring ------------------------------------------------------------------------------------------ */

pith_status pith_trainer_measure(pith_trainer *trainer, const pith_model *source, struct pthreadpool *pool,
                                 const pith_eval_task *task, const pith_dataset *rows,
                                 void (*progress)(void *context, uint64_t done), void *context,
                                 pith_evaluation *out_evaluation, pith_error *error) {
  struct pith_model model = *source;
  pith_trainer_rest(trainer); /* the session needs about as much */
  PITH_TRY(pith_trainer_get_model(trainer, &model.data, error));
  pith_session_options options = PITH_SESSION_OPTIONS_INIT;
  options.max_tokens = model.data.max_length > EVAL_TOKENS ? model.data.max_length : EVAL_TOKENS;
  options.max_sequences = options.max_tokens;
  options.max_rows = EVAL_ROWS;
  options.threadpool = pool;
  pith_session *session;
  PITH_TRY(pith_session_create(&model, &options, &session, error));
  const pith_status status = pith_evaluate(session, task, rows, progress, context, out_evaluation, error);
  pith_session_destroy(session);
  return status;
}

/* ---- writing -------------------------------------------------------------------------------------------- */

static pith_status add_report(pith_model_data *data, const char *task, const pith_evaluation *evaluation, pith_arena *arena,
                              pith_error *error) {
  data->report = NULL; /* measured on other weights */
  data->report_count = 0;
  if (evaluation == NULL)
    return PITH_OK;
  pith_report_entry *report = PITH_ARENA_NEW(arena, pith_report_entry, evaluation->metric_count);
  if (report == NULL)
    return pith_fail(error, PITH_OUT_OF_MEMORY, "no memory for a trained model's report");
  for (size_t i = 0; i < evaluation->metric_count; i++)
    report[i] = (pith_report_entry){task, evaluation->metrics[i].name, evaluation->metrics[i].value, evaluation->n};
  data->report = report;
  data->report_count = (uint32_t)evaluation->metric_count;
  return PITH_OK;
}

/* `data->graph` becomes one of its own: the trainer's weights are row-major, products read them in blocks. */
static pith_status prepare(pith_model_data *data, const char *task, const pith_evaluation *evaluation, cJSON *history,
                           pith_graph **out_graph, pith_arena *arena, pith_error *error) {
  pith_status status = pith_graph_clone(data->graph, NULL, out_graph, error);
  if (status == PITH_OK)
    status = pith_sparse_choose_layouts(*out_graph, arena, NULL, error);
  data->graph = *out_graph;
  if (status == PITH_OK)
    status = add_report(data, task, evaluation, arena, error);
  if (status != PITH_OK) {
    cJSON_Delete(history);
    return status;
  }
  return pith_history_add(data, "train", history, arena, error);
}

pith_status pith_trainer_write(pith_trainer *trainer, const char *path, const char *task, const pith_evaluation *evaluation,
                               cJSON *history, pith_error *error) {
  pith_model_data data;
  pith_trainer_rest(trainer); /* blocks of all weights are made */
  pith_status status = pith_trainer_get_model(trainer, &data, error);
  if (status != PITH_OK) {
    cJSON_Delete(history);
    return status;
  }
  pith_arena arena;
  pith_arena_init(&arena, NULL);
  pith_graph *graph = NULL;
  status = prepare(&data, task, evaluation, history, &graph, &arena, error);
  if (status == PITH_OK)
    status = pith_format_write(path, &data, error);
  pith_graph_destroy(graph);
  pith_arena_deinit(&arena);
  return status;
}
