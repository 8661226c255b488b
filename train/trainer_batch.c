/* A batch through the training graph: what it feeds, and the gradients that it adds. */
#include <string.h>

#include "ops/embedding/gather_grad_f32.h"
#include "train/trainer_internal.h"
#include "train/trainer_prune.h"

static pith_status check_batch(const pith_trainer *t, const pith_train_batch *batch, double share, pith_error *error) {
  if (batch->offsets == NULL || batch->ids == NULL)
    return pith_fail(error, PITH_INVALID_ARGUMENT, "a batch without %s", batch->ids == NULL ? "ids" : "offsets");
  if (t->training->inputs[PITH_TRAINING_INPUT_TEACHER] != PITH_NONE && batch->teacher == NULL)
    return pith_fail(error, PITH_INVALID_ARGUMENT, "a batch without a teacher's answers");
  for (uint32_t i = 0; i < PITH_TEACHER_VALUES_MOST; i++)
    if (t->training->teacher_values[i] != PITH_NONE && (batch->teacher_values == NULL || batch->teacher_values[i] == NULL))
      return pith_fail(error, PITH_INVALID_ARGUMENT, "a batch without what its layers are compared with");
  if (batch->sequences == 0 || batch->sequences > t->options.max_sequences)
    return pith_fail(error, PITH_LIMIT, "%zu sequences in a batch: from 1 to %zu", batch->sequences,
                     t->options.max_sequences);
  const int32_t tokens = batch->offsets[batch->sequences];
  if (tokens <= 0 || (size_t)tokens > t->options.max_tokens)
    return pith_fail(error, PITH_LIMIT, "%d tokens in a batch: from 1 to %zu", tokens, t->options.max_tokens);
  if (batch->first_sample > INT32_MAX - batch->sequences || t->step >= INT32_MAX)
    return pith_fail(error, PITH_LIMIT, "sample %llu of step %llu: at most %d", (unsigned long long)batch->first_sample,
                     (unsigned long long)t->step, INT32_MAX);
  if (!(share > 0 && share <= 1))
    return pith_fail(error, PITH_INVALID_ARGUMENT, "a share of %g: above 0 to 1", share);
  return PITH_OK;
}

static const int32_t *get_ids(const pith_trainer *t, const pith_train_batch *batch, pith_training_input input) {
  switch (input) {
  case PITH_TRAINING_INPUT_IDS:
    return batch->ids;
  case PITH_TRAINING_INPUT_TYPE_IDS:
    return batch->type_ids != NULL ? batch->type_ids : t->zeros;
  default:
    return NULL;
  }
}

/* Brings the rows that the batch will read up to date. */
static pith_status prepare_rows(pith_trainer *t, const pith_train_batch *batch, pith_error *error) {
  const size_t tokens = (size_t)batch->offsets[batch->sequences];
  t->read_stamp++;
  for (uint32_t i = 0; i < t->table_count; i++) {
    pith_trainer_table *table = &t->tables[i];
    const int32_t *ids = get_ids(t, batch, table->input);
    if (ids == NULL) {
      pith_trainer_catch_up(t, table, NULL, table->rows);
      continue;
    }
    size_t count = 0;
    for (size_t j = 0; j < tokens; j++) {
      if (ids[j] < 0 || (size_t)ids[j] >= table->rows)
        return pith_fail(error, PITH_LIMIT, "id %d of token %zu: '%s' has %zu rows", ids[j], j,
                         t->training->graph->tensors[table->parameter->tensor].name, table->rows);
      if (table->read_stamps[ids[j]] == t->read_stamp)
        continue;
      table->read_stamps[ids[j]] = t->read_stamp;
      table->read[count++] = ids[j];
    }
    pith_trainer_catch_up(t, table, table->read, count);
  }
  return PITH_OK;
}

static pith_status fill_feeds(pith_trainer *t, const pith_train_batch *batch, pith_feed *feeds, pith_error *error) {
  const pith_training_graph *g = t->training;
  const size_t tokens = (size_t)batch->offsets[batch->sequences], pairs = batch->sequences / 2;
  const bool embeds = g->inputs[PITH_TRAINING_INPUT_FIRSTS] != PITH_NONE;
  if (embeds && batch->sequences % 2 != 0)
    return pith_fail(error, PITH_INVALID_ARGUMENT, "%zu sequences are no pairs", batch->sequences);
  t->key[0] = (int32_t)(uint32_t)t->options.seed;
  t->key[1] = (int32_t)(uint32_t)(t->options.seed >> 32);
  t->key[2] = (int32_t)t->step;
  t->key[3] = (int32_t)batch->first_sample;
  const bool by_token = t->model.task == PITH_TASK_TOKEN_CLASSIFICATION, by_row = t->model.task == PITH_TASK_FILL_MASK;
  const bool answers = t->model.task == PITH_TASK_QUESTION_ANSWERING;
  const pith_feed all[PITH_TRAINING_INPUT_COUNT] = {
      [PITH_TRAINING_INPUT_IDS] = {batch->ids, {tokens}},
      [PITH_TRAINING_INPUT_TYPE_IDS] = {batch->type_ids != NULL ? batch->type_ids : t->zeros, {tokens}},
      [PITH_TRAINING_INPUT_OFFSETS] = {batch->offsets, {batch->sequences + 1}},
      [PITH_TRAINING_INPUT_ROWS] = {batch->rows, {batch->row_count}},
      [PITH_TRAINING_INPUT_LABELS] = {embeds ? t->counting : batch->labels,
                                      {by_token ? tokens : by_row ? batch->row_count : embeds ? pairs : batch->sequences}},
      [PITH_TRAINING_INPUT_TARGETS] = {batch->targets, {embeds ? pairs : batch->sequences}},
      [PITH_TRAINING_INPUT_FIRSTS] = {t->firsts, {pairs}},
      [PITH_TRAINING_INPUT_SECONDS] = {t->seconds, {pairs}},
      [PITH_TRAINING_INPUT_SINGLES] = {t->counting, {batch->sequences + 1}},
      [PITH_TRAINING_INPUT_TEACHER] = {batch->teacher, {by_token || answers ? tokens : by_row ? batch->row_count : batch->sequences}},
      [PITH_TRAINING_INPUT_RANDOM_KEY] = {t->key, {4}},
  };
  for (pith_training_input i = 0; i < PITH_TRAINING_INPUT_COUNT; i++) {
    if (g->inputs[i] == PITH_NONE)
      continue;
    feeds[g->inputs[i]] = all[i];
    const pith_tensor *tensor = &g->graph->tensors[g->graph->inputs[g->inputs[i]]];
    if (tensor->rank == 2) /* as many labels, or both ends of an answer */
      feeds[g->inputs[i]].dims[1] = (size_t)tensor->dims[1].constant;
  }
  for (uint32_t i = 0; i < PITH_TEACHER_VALUES_MOST; i++)
    if (g->teacher_values[i] != PITH_NONE)
      feeds[g->teacher_values[i]] =
          (pith_feed){batch->teacher_values[i], {tokens, (size_t)t->options.comparisons->values[i].width}};
  return PITH_OK;
}

/* Adds a batch's rows to the gradients of their tables, and to the rows that the step touches. */
static void add_rows(pith_trainer *t, double share) {
  for (uint32_t i = 0; i < t->table_count; i++) {
    pith_trainer_table *table = &t->tables[i];
    const pith_view *dy = pith_executor_get_output(t->executor, table->parameter->gradient);
    const pith_view *ids = pith_executor_get_output(t->executor, table->parameter->ids);
    const int32_t *rows = ids->data;
    const size_t count = pith_view_count(ids);
    for (size_t j = 0; j < count; j++) {
      if (table->stamps[rows[j]] == t->stamp)
        continue;
      table->stamps[rows[j]] = t->stamp;
      table->touched[table->touched_count++] = rows[j];
    }
    const pith_axpy_f32_args scale = {.y = dy->data, .count = pith_view_count(dy), .a = (float)share};
    const pith_gather_grad_f32_args add = {
        .dy = dy->data,
        .indices = rows,
        .dx = t->gradients + table->parameter->offset,
        .outer = 1,
        .axis = table->rows,
        .inner = table->features,
        .count = count,
        .index_bytes = 4,
        .add = true,
    };
    bool scaled = share == 1;
    for (uint32_t j = 0; j < i; j++) /* tables that are summed have one gradient */
      scaled |= pith_executor_get_output(t->executor, t->tables[j].parameter->gradient)->data == dy->data;
    if (!scaled)
      pith_trainer_run_calls(t, &(pith_trainer_call){pith_trainer_select(pith_axpy_f32_kernels), &scale}, 1);
    pith_trainer_run_calls(t, &(pith_trainer_call){pith_trainer_select(pith_gather_grad_f32_kernels), &add}, 1);
  }
}

/* Where the batch's dense gradients go: straight to their place, or beside it where a batch of this step is there. */
static pith_status bind_gradients(pith_trainer *t, pith_error *error) {
  if (t->begun && t->spare == NULL)
    PITH_TRY(pith_trainer_allocate(t, t->training->dense_values, sizeof(float), &t->spare, error));
  float *to = t->begun ? t->spare : t->gradients;
  for (uint32_t i = 0; i < t->training->dense_count; i++) {
    const pith_training_parameter *parameter = &t->training->parameters[i];
    PITH_TRY(pith_executor_bind_output(t->executor, parameter->gradient, to + parameter->offset, error));
  }
  return PITH_OK;
}

pith_status pith_trainer_forward_backward(pith_trainer *t, const pith_train_batch *given, double share,
                                          double *out_loss, pith_error *error) {
  pith_feed feeds[PITH_TRAINING_INPUT_COUNT + PITH_TEACHER_VALUES_MOST];
  pith_train_batch copy;
  const pith_train_batch *batch = &copy;
  PITH_TRY(pith_read_struct(given, &copy, sizeof copy, "pith_train_batch", error));
  PITH_TRY(check_batch(t, batch, share, error));
  PITH_TRY(fill_feeds(t, batch, feeds, error));
  pith_trainer_use_weights(t);
  if (!t->begun && t->pruning != NULL)
    pith_trainer_prune_draw(t);
  uint64_t begin = pith_trainer_begin(t);
  PITH_TRY(prepare_rows(t, batch, error));
  pith_trainer_end(t, PITH_TRAINER_CATCHING_UP, begin);
  PITH_TRY(bind_gradients(t, error));
  PITH_TRY(pith_executor_run(t->executor, feeds, NULL, 0, error));
  pith_trainer_quantized_observe(t);
  begin = pith_trainer_begin(t);
  if (!t->begun)
    t->stamp++;
  const pith_axpy_f32_args gather = {.x = t->begun ? t->spare : NULL,
                                     .y = t->gradients,
                                     .count = t->training->dense_values,
                                     .a = (float)share};
  if (t->begun || share != 1)
    pith_trainer_run_calls(t, &(pith_trainer_call){pith_trainer_select(pith_axpy_f32_kernels), &gather}, 1);
  add_rows(t, share);
  pith_trainer_end(t, PITH_TRAINER_ADDING_ROWS, begin);
  t->begun = true;
  *out_loss = *(const float *)pith_executor_get_output(t->executor, 0)->data;
  return PITH_OK;
}
