#include "train/trainer_prune.h"

#include <string.h>

#include "engine/exec/parallel.h"
#include "engine/ir/operator.h"

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

pith_status pith_trainer_allocate(pith_trainer *t, size_t count, size_t element_bytes, void *out, pith_error *error) {
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
    PITH_TRY(pith_trainer_allocate(t, table->rows, sizeof *table->done, &table->done, error));
    PITH_TRY(pith_trainer_allocate(t, table->rows, sizeof *table->touched, &table->touched, error));
    PITH_TRY(pith_trainer_allocate(t, table->rows, sizeof *table->read, &table->read, error));
    PITH_TRY(pith_trainer_allocate(t, table->rows, sizeof *table->stamps, &table->stamps, error));
    PITH_TRY(pith_trainer_allocate(t, table->rows, sizeof *table->read_stamps, &table->read_stamps, error));
    PITH_TRY(pith_trainer_allocate(t, PITH_TRAINER_HISTORY, sizeof *table->steps.adamw, &table->steps.adamw, error));
  }
  return PITH_OK;
}

/* One value for each that is trained. Of tables few rows are written in a step. */
static pith_status allocate_trained(pith_trainer *t, float **out, pith_error *error) {
  const pith_training_graph *g = t->training;
  PITH_TRY(pith_trainer_allocate(t, g->trained_values, sizeof(float), out, error));
  pith_expect_sparse(&t->allocator, *out + g->dense_values, (g->trained_values - g->dense_values) * sizeof(float));
  return PITH_OK;
}

static pith_status make_buffers(pith_trainer *t, pith_error *error) {
  const pith_training_graph *g = t->training;
  const uint32_t moments = count_moments(&t->options);
  PITH_TRY(pith_trainer_allocate(t, g->value_count, sizeof(float), &t->values, error));
  PITH_TRY(allocate_trained(t, &t->gradients, error));
  if (moments > 0)
    PITH_TRY(allocate_trained(t, &t->m, error));
  if (moments > 1)
    PITH_TRY(allocate_trained(t, &t->v, error));
  if (t->options.ema != 0)
    PITH_TRY(pith_trainer_allocate(t, g->trained_values, sizeof(float), &t->average, error));
  t->sum_count = pith_sum_squares_count(g->trained_values, PITH_SUM_SQUARES_BLOCK) + g->parameter_count;
  for (uint32_t i = 0; i < t->table_count; i++) /* a sum for each row, where only those count */
    t->sum_count += t->tables[i].rows;
  PITH_TRY(pith_trainer_allocate(t, t->sum_count, sizeof(double), &t->sums, error));
  if (t->options.optimizer == PITH_OPTIMIZER_LAMB)
    PITH_TRY(pith_trainer_allocate(t, t->sum_count, sizeof(double), &t->update_sums, error));
  const size_t pairs = t->options.max_sequences / 2;
  PITH_TRY(pith_trainer_allocate(t, pairs, sizeof(int32_t), &t->firsts, error));
  PITH_TRY(pith_trainer_allocate(t, pairs, sizeof(int32_t), &t->seconds, error));
  PITH_TRY(pith_trainer_allocate(t, t->options.max_sequences + 1, sizeof(int32_t), &t->counting, error));
  PITH_TRY(pith_trainer_allocate(t, t->options.max_tokens, sizeof(int32_t), &t->zeros, error));
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
