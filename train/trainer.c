#include "train/trainer_prune.h"

#include <string.h>

#include "engine/exec/parallel.h"
#include "engine/ir/operator.h"
#include "ops/embedding/gather_grad_f32.h"

const pith_trainer_options pith_trainer_defaults = PITH_TRAINER_OPTIONS_INIT;

/* ---- calls of kernels ------------------------------------------------------------------------------------- */

const pith_kernel *pith_trainer_select(const pith_kernel *const *table) {
  return pith_kernel_select(table, pith_cpu_detect());
}

typedef struct calls_run {
  const pith_trainer *trainer;
  const pith_trainer_call *calls;
  size_t count;
} calls_run;

static void run_task(void *context, size_t task) {
  const calls_run *run = context;
  const size_t threads = run->trainer->threads;
  const pith_trainer_call *call = run->calls;
  for (size_t tasks; task >= (tasks = call->kernel->count_tasks(call->args, threads)); call++)
    task -= tasks;
  const uint32_t saved = pith_cpu_enter_float();
  call->kernel->run(call->args, threads, task, NULL);
  pith_cpu_leave_float(saved);
}

void pith_trainer_run_calls(pith_trainer *trainer, const pith_trainer_call *calls, size_t count) {
  calls_run run = {trainer, calls, count};
  size_t tasks = 0;
  for (size_t i = 0; i < count; i++)
    tasks += calls[i].kernel->count_tasks(calls[i].args, trainer->threads);
  if (tasks != 0)
    pith_parallel_for(trainer->options.threadpool, run_task, &run, tasks);
}

/* ---- creating ---------------------------------------------------------------------------------------------- */

static pith_status no_memory(size_t bytes, pith_error *error) {
  return pith_fail(error, PITH_OUT_OF_MEMORY, "no memory for %zu bytes of a trainer", bytes);
}

/* Zeroed; in the trainer's count. */
static pith_status allocate(pith_trainer *t, size_t count, size_t element_bytes, void *out, pith_error *error) {
  size_t bytes;
  if (!pith_size_multiply(count == 0 ? 1 : count, element_bytes, &bytes))
    return pith_fail(error, PITH_LIMIT, "%zu elements of a trainer overflow", count);
  void *memory = pith_allocate_zeros(&t->allocator, bytes);
  if (memory == NULL)
    return no_memory(bytes, error);
  t->bytes += bytes;
  memcpy(out, &memory, sizeof memory);
  return PITH_OK;
}

static void release(pith_trainer *t, void *memory, size_t count, size_t element_bytes) {
  pith_release(&t->allocator, memory, (count == 0 ? 1 : count) * element_bytes);
}

/* Norms of whole tables (LAMB) and their averages need every row in every step, and so do gradients of other machines, which
 * read other rows. */
static bool is_lazy(const pith_trainer_options *options) {
  return options->optimizer != PITH_OPTIMIZER_LAMB && options->ema == 0 && options->reduce == NULL;
}

static pith_training_graph_options make_graph_options(const pith_trainer_options *options, uint32_t recompute_layers) {
  return (pith_training_graph_options){
      .dropout = options->dropout,
      .attention_dropout = options->attention_dropout,
      .classifier_dropout = options->classifier_dropout,
      .label_smoothing = options->label_smoothing,
      .class_weights = options->class_weights,
      .contrastive = options->contrastive != 0,
      .temperature = options->temperature,
      .distill_weight = options->distill_weight,
      .distill_temperature = options->distill_temperature,
      .comparisons = options->comparisons,
      .freeze = options->freeze,
      .freeze_count = options->freeze_count,
      .dense_rows = is_lazy(options) ? options->dense_rows : UINT32_MAX,
      .dequantize = options->dequantize != 0,
      .ranges = options->ranges,
      .recompute_layers = recompute_layers,
  };
}

static pith_status lower(pith_trainer *t, pith_error *error) {
  const pith_graph *graph = t->training->graph;
  const pith_trainer_options *options = &t->options;
  int64_t *limits = PITH_ARENA_NEW(&t->arena, int64_t, graph->symbol_count);
  if (limits == NULL)
    return no_memory(graph->symbol_count * sizeof *limits, error);
  for (uint32_t i = 0; i < graph->symbol_count; i++) {
    const char *name = graph->symbols[i];
    limits[i] = (int64_t)(strcmp(name, "sequences") == 0 ? options->max_sequences
                          : strcmp(name, "rows") == 0    ? options->max_rows
                          : strcmp(name, "pairs") == 0   ? options->max_sequences / 2
                                                         : options->max_tokens);
  }
  pith_lower_options lowering = {
      .allocator = &t->allocator,
      .cpu = pith_cpu_detect(),
      .threads = t->threads,
      .symbol_limits = limits,
      .max_sequence = t->model.max_length,
      .rewrites = PITH_REWRITES_DEFAULT,
  };
  pith_training_graph_set_lowering(t->training, &lowering);
  return pith_program_create(graph, &lowering, &t->program, error);
}

static uint32_t count_moments(const pith_trainer_options *options) {
  return options->optimizer == PITH_OPTIMIZER_SGD ? options->momentum != 0 : 2;
}

/* What the trainer will hold, but for what is small. */
static uint64_t plan_bytes(const pith_trainer *t) {
  const pith_training_graph *g = t->training;
  const uint64_t trained = 1 + count_moments(&t->options) + (t->options.ema != 0);
  return t->program->memory_bytes + sizeof(float) * ((uint64_t)g->value_count + trained * g->trained_values);
}

static void drop_program(pith_trainer *t) {
  pith_program_destroy(t->program);
  pith_training_graph_destroy(t->training);
  t->program = NULL;
  t->training = NULL;
}

/* The fewest layers computed again that keep max_memory; every layer more takes fewer bytes. */
static pith_status make_training_graph(pith_trainer *t, pith_error *error) {
  uint64_t least = UINT64_MAX;
  uint32_t layers = 0;
  for (uint32_t again = 0; again <= layers; again++) {
    const pith_training_graph_options options = make_graph_options(&t->options, again);
    drop_program(t);
    PITH_TRY(pith_training_graph_create(&t->model, &options, &t->allocator, &t->training, error));
    if (t->options.max_memory == 0)
      return PITH_OK;
    PITH_TRY(lower(t, error));
    uint64_t masks;
    PITH_TRY(pith_trainer_prune_count_bytes(t, &masks, error));
    const uint64_t bytes = plan_bytes(t) + masks;
    if (bytes <= t->options.max_memory)
      return PITH_OK;
    least = bytes < least ? bytes : least;
    layers = t->training->layer_count;
  }
  return pith_fail(error, PITH_LIMIT, "training %zu tokens at a time takes %llu bytes at least, over the limit of %llu",
                   t->options.max_tokens, (unsigned long long)least, (unsigned long long)t->options.max_memory);
}

/* The input whose values are the rows that a table is looked up by. */
static pith_training_input find_input(const pith_training_graph *g, uint32_t ids) {
  pith_tensor_id tensor = g->graph->outputs[ids];
  const pith_node_id producer = g->graph->tensors[tensor].producer;
  if (producer != PITH_NONE && g->graph->nodes[producer].op->id == PITH_OP_IDENTITY) /* its gradient names a copy of its own */
    tensor = g->graph->nodes[producer].inputs[0];
  for (pith_training_input i = 0; i < PITH_TRAINING_INPUT_COUNT; i++)
    if (g->inputs[i] != PITH_NONE && g->graph->inputs[g->inputs[i]] == tensor)
      return i;
  return PITH_TRAINING_INPUT_COUNT;
}

static pith_status make_tables(pith_trainer *t, pith_error *error) {
  const pith_training_graph *g = t->training;
  t->table_count = g->trained_count - g->dense_count;
  t->tables = PITH_ARENA_NEW(&t->arena, pith_trainer_table, t->table_count);
  if (t->tables == NULL)
    return no_memory(t->table_count * sizeof *t->tables, error);
  for (uint32_t i = 0; i < t->table_count; i++) {
    pith_trainer_table *table = &t->tables[i];
    table->parameter = &g->parameters[g->dense_count + i];
    const pith_tensor *tensor = &g->graph->tensors[table->parameter->tensor];
    table->rows = (size_t)tensor->dims[0].constant;
    table->features = (size_t)tensor->dims[1].constant;
    table->input = find_input(g, table->parameter->ids);
    PITH_TRY(allocate(t, table->rows, sizeof *table->done, &table->done, error));
    PITH_TRY(allocate(t, table->rows, sizeof *table->touched, &table->touched, error));
    PITH_TRY(allocate(t, table->rows, sizeof *table->read, &table->read, error));
    PITH_TRY(allocate(t, table->rows, sizeof *table->stamps, &table->stamps, error));
    PITH_TRY(allocate(t, table->rows, sizeof *table->read_stamps, &table->read_stamps, error));
    PITH_TRY(allocate(t, PITH_TRAINER_HISTORY, sizeof *table->steps.adamw, &table->steps.adamw, error));
  }
  return PITH_OK;
}

/* One value for each that is trained. Of tables few rows are written in a step. */
static pith_status allocate_trained(pith_trainer *t, float **out, pith_error *error) {
  const pith_training_graph *g = t->training;
  PITH_TRY(allocate(t, g->trained_values, sizeof(float), out, error));
  pith_expect_sparse(&t->allocator, *out + g->dense_values, (g->trained_values - g->dense_values) * sizeof(float));
  return PITH_OK;
}

static pith_status make_buffers(pith_trainer *t, pith_error *error) {
  const pith_training_graph *g = t->training;
  const uint32_t moments = count_moments(&t->options);
  PITH_TRY(allocate(t, g->value_count, sizeof(float), &t->values, error));
  PITH_TRY(allocate_trained(t, &t->gradients, error));
  if (moments > 0)
    PITH_TRY(allocate_trained(t, &t->m, error));
  if (moments > 1)
    PITH_TRY(allocate_trained(t, &t->v, error));
  if (t->options.ema != 0)
    PITH_TRY(allocate(t, g->trained_values, sizeof(float), &t->average, error));
  t->sum_count = pith_sum_squares_count(g->trained_values, PITH_SUM_SQUARES_BLOCK) + g->parameter_count;
  for (uint32_t i = 0; i < t->table_count; i++) /* a sum for each row, where only those count */
    t->sum_count += t->tables[i].rows;
  PITH_TRY(allocate(t, t->sum_count, sizeof(double), &t->sums, error));
  if (t->options.optimizer == PITH_OPTIMIZER_LAMB)
    PITH_TRY(allocate(t, t->sum_count, sizeof(double), &t->update_sums, error));
  const size_t pairs = t->options.max_sequences / 2;
  PITH_TRY(allocate(t, pairs, sizeof(int32_t), &t->firsts, error));
  PITH_TRY(allocate(t, pairs, sizeof(int32_t), &t->seconds, error));
  PITH_TRY(allocate(t, t->options.max_sequences + 1, sizeof(int32_t), &t->counting, error));
  PITH_TRY(allocate(t, t->options.max_tokens, sizeof(int32_t), &t->zeros, error));
  for (size_t i = 0; i < pairs; i++) {
    t->firsts[i] = (int32_t)(2 * i);
    t->seconds[i] = (int32_t)(2 * i + 1);
  }
  for (size_t i = 0; i <= t->options.max_sequences; i++)
    t->counting[i] = (int32_t)i;
  return PITH_OK;
}

static pith_status check_options(const pith_trainer_options *o, pith_error *error) {
  if ((unsigned)o->optimizer >= PITH_OPTIMIZER_COUNT)
    return pith_fail(error, PITH_INVALID_ARGUMENT, "optimizer %d is unknown", (int)o->optimizer);
  if (o->max_tokens == 0 || o->max_tokens > INT32_MAX || o->max_sequences == 0 || o->max_sequences > o->max_tokens)
    return pith_fail(error, PITH_INVALID_ARGUMENT, "%zu tokens in %zu sequences at a time: from 1 to %d, and no more sequences",
                     o->max_tokens, o->max_sequences, INT32_MAX);
  if (!(o->beta1 >= 0 && o->beta1 < 1 && o->beta2 >= 0 && o->beta2 < 1 && o->epsilon > 0))
    return pith_fail(error, PITH_INVALID_ARGUMENT, "beta1 %g, beta2 %g, epsilon %g: betas from 0 to below 1, epsilon above 0",
                     o->beta1, o->beta2, o->epsilon);
  if (!(o->momentum >= 0 && o->momentum < 1 && o->weight_decay >= 0 && o->clip >= 0 && o->layer_decay > 0 &&
        o->layer_decay <= 1 && o->ema >= 0 && o->ema < 1))
    return pith_fail(error, PITH_INVALID_ARGUMENT, "momentum %g, weight_decay %g, clip %g, layer_decay %g or ema %g is out of "
                     "its range", o->momentum, o->weight_decay, o->clip, o->layer_decay, o->ema);
  if ((unsigned)o->ranges >= PITH_RANGE_TRAINING_COUNT || !(o->range_momentum >= 0 && o->range_momentum < 1))
    return pith_fail(error, PITH_INVALID_ARGUMENT, "ranges %d or range_momentum %g is out of its range", (int)o->ranges,
                     o->range_momentum);
  if (o->reduce != NULL && o->ranges == PITH_RANGE_TRAINING_EMA)
    return pith_fail(error, PITH_INVALID_ARGUMENT, "ranges ema are those of one machine's batches: with reduce others would have others");
  return PITH_OK;
}

static pith_status init(pith_trainer *t, pith_error *error) {
  PITH_TRY(check_options(&t->options, error));
  PITH_TRY(make_training_graph(t, error));
  PITH_TRY(pith_parameter_groups_find(t->training->model, t->options.layer_decay, NULL, 0, &t->arena, &t->groups, error));
  PITH_TRY(make_tables(t, error));
  PITH_TRY(make_buffers(t, error));
  PITH_TRY(pith_training_graph_load(t->training, t->values, error));
  PITH_TRY(pith_trainer_prune_create(t, error));
  PITH_TRY(pith_trainer_quantized_create(t, error));
  pith_program_destroy(t->program); /* what planning made has no weights */
  t->program = NULL;
  PITH_TRY(lower(t, error));
  const pith_executor_options running = {.allocator = &t->allocator,
                                         .threadpool = t->threads > 1 ? t->options.threadpool : NULL,
                                         .profile = t->options.profile != 0};
  PITH_TRY(pith_executor_create(t->program, &running, &t->executor, error));
  if (t->options.profile)
    PITH_TRY(pith_trainer_make_profile(t, error));
  if (t->average != NULL)
    memcpy(t->average, t->values, t->training->trained_values * sizeof(float));
  return PITH_OK;
}

pith_status pith_trainer_create(const pith_model *model, const pith_trainer_options *given, pith_trainer **out_trainer,
                                pith_error *error) {
  pith_trainer_options options = PITH_TRAINER_OPTIONS_INIT;
  if (model == NULL || out_trainer == NULL)
    return pith_fail(error, PITH_INVALID_ARGUMENT, "%s is NULL", model == NULL ? "model" : "out_trainer");
  if (given != NULL)
    PITH_TRY(pith_read_struct(given, &options, sizeof options, "pith_trainer_options", error));
  pith_arena arena;
  pith_arena_init(&arena, options.allocator);
  pith_trainer *t = PITH_ARENA_NEW(&arena, pith_trainer, 1);
  if (t == NULL)
    return no_memory(sizeof *t, error);
  t->arena = arena;
  t->allocator = options.allocator == NULL ? pith_large_allocator : *options.allocator;
  t->options = options;
  t->source = *model;
  t->model = model->data;
  t->threads = pith_parallel_count_threads(options.threadpool);
  const pith_status status = init(t, error);
  if (status != PITH_OK) {
    pith_trainer_destroy(t);
    return status;
  }
  *out_trainer = t;
  return PITH_OK;
}

void pith_trainer_destroy(pith_trainer *t) {
  if (t == NULL)
    return;
  const size_t trained = t->training == NULL ? 0 : t->training->trained_values, pairs = t->options.max_sequences / 2;
  for (uint32_t i = 0; i < t->table_count; i++) {
    pith_trainer_table *table = &t->tables[i];
    release(t, table->done, table->rows, sizeof *table->done);
    release(t, table->touched, table->rows, sizeof *table->touched);
    release(t, table->read, table->rows, sizeof *table->read);
    release(t, table->stamps, table->rows, sizeof *table->stamps);
    release(t, table->read_stamps, table->rows, sizeof *table->read_stamps);
    release(t, table->steps.adamw, PITH_TRAINER_HISTORY, sizeof *table->steps.adamw);
  }
  if (t->training != NULL) {
    release(t, t->values, t->training->value_count, sizeof(float));
    release(t, t->spare, t->training->dense_values, sizeof(float));
  }
  release(t, t->gradients, trained, sizeof(float));
  release(t, t->m, trained, sizeof(float));
  release(t, t->v, trained, sizeof(float));
  release(t, t->average, trained, sizeof(float));
  release(t, t->sums, t->sum_count, sizeof(double));
  release(t, t->update_sums, t->sum_count, sizeof(double));
  release(t, t->firsts, pairs, sizeof(int32_t));
  release(t, t->seconds, pairs, sizeof(int32_t));
  release(t, t->counting, t->options.max_sequences + 1, sizeof(int32_t));
  release(t, t->zeros, t->options.max_tokens, sizeof(int32_t));
  pith_executor_destroy(t->executor);
  pith_trainer_quantized_destroy(t);
  drop_program(t);
  pith_arena arena = t->arena; /* the trainer lies in it */
  pith_arena_deinit(&arena);
}

/* ---- a batch ------------------------------------------------------------------------------------------------- */

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
    PITH_TRY(allocate(t, t->training->dense_values, sizeof(float), &t->spare, error));
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

/* ---- reading -------------------------------------------------------------------------------------------------- */

float *pith_trainer_get_gradients(pith_trainer *trainer, size_t *out_count) {
  *out_count = trainer->training->trained_values;
  return trainer->gradients;
}

const float *pith_trainer_find_gradient(const pith_trainer *t, const char *name, const float **out_values) {
  const pith_training_parameter *parameter = pith_training_graph_find(t->training, pith_graph_find_tensor(t->training->model, name));
  if (parameter == NULL || parameter->gradient == PITH_NONE || parameter->ids != PITH_NONE)
    return NULL;
  *out_values = t->values + parameter->offset;
  return t->gradients + parameter->offset;
}

uint64_t pith_trainer_get_step(const pith_trainer *trainer) {
  return trainer->step;
}

size_t pith_trainer_get_memory(const pith_trainer *trainer) {
  return trainer->bytes + trainer->arena.reserved_bytes + trainer->program->memory_bytes;
}
