#include "train/sensitivity.h"

#include <math.h>

#include "engine/exec/model.h"
#include "train/data.h"

typedef struct work {
  const pith_sensitivity_options *options;
  pith_train_data data;
  uint64_t *order; /* [count] samples that are looked at */
  uint64_t count;
  pith_batch_room room;
  pith_trainer *trainer;
  pith_arena arena;
} work;

static pith_status no_memory(pith_error *error) {
  return pith_fail(error, PITH_OUT_OF_MEMORY, "no memory to measure sensitivity");
}

/* ---- before the first batch --------------------------------------------------------------------------------------- */

static pith_status choose_samples(work *w, pith_error *error) {
  const pith_sensitivity_options *o = w->options;
  const uint64_t all = w->data.count;
  w->count = o->samples == 0 || o->samples > all ? all : o->samples;
  w->order = PITH_ARENA_NEW(&w->arena, uint64_t, w->count);
  if (w->order == NULL)
    return no_memory(error);
  for (uint64_t i = 0; i < w->count; i++)
    w->order[i] = o->seed == 0 ? i : pith_order_shuffle(o->seed, 0, all, i);
  return PITH_OK;
}

/* Samples from place `begin` on; tokens are those of all of them. */
static pith_order_batch get_batch(const work *w, uint64_t begin) {
  const uint64_t left = w->count - begin;
  pith_order_batch batch = {.samples = w->order + begin, .count = left < w->options->batch ? left : w->options->batch};
  for (size_t i = 0; i < batch.count; i++)
    batch.tokens += w->data.samples[batch.samples[i]].tokens;
  return batch;
}

static pith_status make_trainer(work *w, pith_error *error) {
  const size_t samples = w->count < w->options->batch ? w->count : w->options->batch;
  uint64_t most = 0;
  for (uint64_t begin = 0; begin < w->count; begin += w->options->batch) {
    const uint64_t tokens = get_batch(w, begin).tokens;
    most = tokens > most ? tokens : most;
  }
  if (most > INT32_MAX)
    return pith_fail(error, PITH_LIMIT, "a batch has %llu tokens, over the limit of %d", (unsigned long long)most, INT32_MAX);
  PITH_TRY(pith_batch_room_init(&w->room, &w->data, most, samples, &w->arena, error));
  pith_trainer_options t = pith_trainer_defaults;
  t.optimizer = PITH_OPTIMIZER_SGD; /* which without momentum keeps nothing beside the gradients */
  t.momentum = 0;
  t.dropout = t.attention_dropout = t.classifier_dropout = 0;
  t.contrastive = w->data.kind == PITH_EVAL_PAIRS;
  t.max_tokens = most;
  t.max_sequences = pith_train_data_count_sequences(&w->data, samples);
  t.max_rows = pith_train_data_count_rows(&w->data, most, samples);
  t.threadpool = w->options->pool;
  return pith_trainer_create(w->options->model, &t, &w->trainer, error);
}

static pith_status prepare(work *w, pith_error *error) {
  const pith_sensitivity_options *o = w->options;
  const pith_train_data_options reading = {.task = o->task,
                                           .path = o->path,
                                           .model = o->model,
                                           .pool = o->pool,
                                           .folder = o->folder,
                                           .watcher = o->watcher};
  PITH_TRY(pith_train_data_read(&w->data, &reading, error));
  PITH_TRY(choose_samples(w, error));
  return make_trainer(w, error);
}

/* ---- batches -------------------------------------------------------------------------------------------------------- */

static pith_status add_batch(const work *w, pith_sensitivity *s, pith_error *error) {
  const pith_graph *graph = w->options->model->data.graph;
  const pith_tensor_id id = pith_graph_find_tensor(graph, s->weight);
  const float *values, *gradient = id == PITH_NONE ? NULL : pith_trainer_find_gradient(w->trainer, s->weight, &values);
  if (gradient == NULL)
    return pith_fail(error, PITH_INVALID_ARGUMENT, "the loss of task %s has no gradient by '%s'", w->options->task->name, s->weight);
  const size_t n = (size_t)graph->tensors[id].dims[0].constant, k = (size_t)graph->tensors[id].dims[1].constant;
  const size_t rows = s->by_input ? n : n / s->groups, columns = s->by_input ? k / s->groups : k; /* of a part */
  for (size_t p = 0; p < s->groups; p++) {
    const size_t begin = s->by_input ? p * columns : p * rows * k;
    double sum = 0;
    for (size_t i = 0; i < rows; i++)
      for (size_t j = 0; j < columns; j++)
        sum += (double)gradient[begin + i * k + j] * (double)values[begin + i * k + j];
    if (!isfinite(sum))
      return pith_fail(error, PITH_FORMAT, "the gradient by '%s' is not finite: nothing can be chosen by it", s->weight);
    s->values[p] += fabs(sum);
  }
  return PITH_OK;
}

static pith_status run_batches(work *w, pith_sensitivity *list, uint32_t count, pith_error *error) {
  for (uint64_t begin = 0; begin < w->count; begin += w->options->batch) {
    const pith_order_batch samples = get_batch(w, begin);
    pith_train_batch batch;
    double loss;
    pith_train_data_gather(&w->data, &samples, w->options->seed, 0, &w->room, &batch);
    PITH_TRY(pith_trainer_forward_backward(w->trainer, &batch, 1, &loss, error));
    if (!isfinite(loss))
      return pith_fail(error, PITH_FORMAT, "the loss of samples %llu to %llu of %.200s is %g: it has no gradient to go by",
                       (unsigned long long)begin + 1, (unsigned long long)(begin + samples.count), w->options->path, loss);
    for (uint32_t i = 0; i < count; i++)
      PITH_TRY(add_batch(w, &list[i], error));
    pith_trainer_discard(w->trainer);
    pith_watcher_tell(w->options->watcher, "gradients", begin + samples.count, w->count);
  }
  return PITH_OK;
}

pith_status pith_sensitivity_measure(const pith_sensitivity_options *options, pith_sensitivity *list, uint32_t count,
                                     pith_error *error) {
  work w = {.options = options};
  pith_arena_init(&w.arena, NULL);
  for (uint32_t i = 0; i < count; i++)
    memset(list[i].values, 0, list[i].groups * sizeof *list[i].values);
  pith_status status = prepare(&w, error);
  if (status == PITH_OK)
    status = run_batches(&w, list, count, error);
  pith_trainer_destroy(w.trainer);
  pith_train_data_deinit(&w.data);
  pith_arena_deinit(&w.arena);
  return status;
}
