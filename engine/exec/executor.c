#include "engine/exec/executor.h"

#include <time.h>

#include "engine/exec/parallel.h"

struct pith_executor {
  pith_arena arena;
  const pith_program *program;
  struct pthreadpool *threadpool;
  pith_allocator allocator; /* of memory */
  char *memory;
  pith_view *views;  /* [program->value_count] */
  int64_t *symbols;  /* [graph->symbol_count] */
  char *args;        /* [program->args_bytes] */
  uint32_t *dynamic; /* values whose size depends on symbols */
  uint32_t dynamic_count;
  pith_profile_entry *profile; /* [program->step_count], or NULL */
  pith_team team;              /* a call per step */
};

uint64_t pith_clock_now_ns(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

/* ---- creating ------------------------------------------------------------------------------------------------- */

/* Sizes and places that no run changes. */
static pith_status prepare_views(pith_executor *executor, pith_error *error) {
  const pith_program *program = executor->program;
  for (uint32_t v = 0; v < program->value_count; v++) {
    const pith_value *value = &program->values[v];
    pith_view *view = &executor->views[v];
    size_t count;
    if (pith_value_get_constant_count(value, &count))
      PITH_TRY(pith_value_measure(value, executor->symbols, view, error));
    else
      executor->dynamic[executor->dynamic_count++] = v;
    if (executor->memory == NULL && (value->kind == PITH_VALUE_BUFFER || value->pack != PITH_NONE))
      continue;
    if (value->given)
      continue;
    if (value->kind == PITH_VALUE_BUFFER)
      view->data = executor->memory + value->offset;
    else if (value->pack != PITH_NONE)
      view->data = executor->memory + program->packs[value->pack].offset;
    else
      view->data = (void *)(uintptr_t)value->data;
    if (value->kind == PITH_VALUE_DATA && view->data == NULL && value->use_count != 0)
      return pith_fail(error, PITH_INVALID_ARGUMENT, "%s has no data", value->name);
  }
  return PITH_OK;
}

static pith_status init(pith_executor *executor, const pith_executor_options *options, pith_error *error) {
  const pith_program *program = executor->program;
  pith_arena *arena = &executor->arena;
  executor->views = PITH_ARENA_NEW(arena, pith_view, program->value_count);
  executor->symbols = PITH_ARENA_NEW(arena, int64_t, program->graph->symbol_count);
  executor->dynamic = PITH_ARENA_NEW(arena, uint32_t, program->value_count);
  executor->args = pith_arena_array(arena, program->args_bytes < 64 ? 64 : program->args_bytes, 1);
  executor->team.threads = program->threads;
  executor->team.calls = PITH_ARENA_NEW(arena, pith_team_call, program->step_count);
  if (options->profile)
    executor->profile = PITH_ARENA_NEW(arena, pith_profile_entry, program->step_count);
  bool block = program->memory_bytes != 0 && !options->plan_only;
  if (block)
    executor->memory = pith_allocate(&executor->allocator, program->memory_bytes);
  if (executor->views == NULL || executor->symbols == NULL || executor->dynamic == NULL || executor->args == NULL ||
      executor->team.calls == NULL || (options->profile && executor->profile == NULL))
    return pith_fail(error, PITH_OUT_OF_MEMORY, "no memory for the %u values and %u steps of a session",
                     program->value_count, program->step_count);
  if (block && executor->memory == NULL)
    return pith_fail(error, PITH_OUT_OF_MEMORY, "no memory for a session's block of %zu bytes", program->memory_bytes);
  if (options->plan_only)
    return PITH_OK;
  for (uint32_t i = 0; i < program->pack_count; i++)
    if (program->packs[i].data == NULL)
      return pith_fail(error, PITH_INVALID_ARGUMENT, "a weight of %zu x %zu has no data", program->packs[i].n,
                       program->packs[i].k);
  PITH_TRY(pith_program_check_weights(program, error));
  PITH_TRY(prepare_views(executor, error));
  pith_program_pack(program, executor->memory);
  for (uint32_t i = 0; options->profile && i < program->step_count; i++) {
    const pith_step *step = &program->steps[i];
    executor->profile[i] = (pith_profile_entry){
        .name = step->name, .operator_name = step->title, .kernel = step->kernel->name};
  }
  return PITH_OK;
}

pith_status pith_executor_create(const pith_program *program, const pith_executor_options *options,
                                 pith_executor **out_executor, pith_error *error) {
  pith_arena arena;
  pith_arena_init(&arena, options->allocator);
  pith_executor *executor = PITH_ARENA_NEW(&arena, pith_executor, 1);
  if (executor == NULL)
    return pith_fail(error, PITH_OUT_OF_MEMORY, "no memory for a session");
  executor->arena = arena;
  executor->allocator = options->allocator == NULL ? pith_default_allocator : *options->allocator;
  executor->program = program;
  executor->threadpool = options->threadpool;
  pith_status status = init(executor, options, error);
  if (status != PITH_OK) {
    pith_executor_destroy(executor);
    return status;
  }
  *out_executor = executor;
  return PITH_OK;
}

void pith_executor_destroy(pith_executor *executor) {
  if (executor == NULL)
    return;
  pith_release(&executor->allocator, executor->memory, executor->program->memory_bytes);
  pith_arena arena = executor->arena; /* the executor lies in it */
  pith_arena_deinit(&arena);
}

pith_status pith_executor_bind_output(pith_executor *executor, uint32_t index, void *memory, pith_error *error) {
  const pith_program *program = executor->program;
  if (index >= program->output_count || !program->values[program->outputs[index]].given)
    return pith_fail(error, PITH_INVALID_ARGUMENT, "output %u of %u is none whose memory is given", index,
                     program->output_count);
  executor->views[program->outputs[index]].data = memory;
  return PITH_OK;
}

/* ---- running -------------------------------------------------------------------------------------------------- */

/* Solves the symbols from the inputs' dimensions (each known by a dimension that is an affine expression of it alone), then holds
 * every dimension against them. */
static pith_status solve_symbols(pith_executor *executor, const pith_feed *feeds, pith_error *error) {
  const pith_program *program = executor->program;
  const pith_graph *graph = program->graph;
  for (uint32_t s = 0; s < graph->symbol_count; s++)
    executor->symbols[s] = -1;
  for (uint32_t i = 0; i < program->input_count; i++) {
    const pith_value *value = &program->values[program->inputs[i]];
    for (uint32_t d = 0; d < value->rank; d++) {
      const pith_dim *dim = &value->dims[d];
      if (feeds[i].dims[d] > PITH_MAX_DIM)
        return pith_fail(error, PITH_LIMIT, "%s: dimension %u is %zu, over %d", value->name, d, feeds[i].dims[d],
                         PITH_MAX_DIM);
      if (dim->term_count == 1)
        executor->symbols[dim->terms[0].symbol] =
            ((int64_t)feeds[i].dims[d] - dim->constant) / dim->terms[0].coefficient;
    }
  }
  for (uint32_t s = 0; s < graph->symbol_count; s++) {
    if (executor->symbols[s] < 0)
      return pith_fail(error, PITH_INVALID_ARGUMENT, "no input gives the size of '%s'", graph->symbols[s]);
    if (executor->symbols[s] > program->symbol_limits[s])
      return pith_fail(error, PITH_LIMIT, "%s: %lld, over the session's limit of %lld", graph->symbols[s],
                       (long long)executor->symbols[s], (long long)program->symbol_limits[s]);
  }
  for (uint32_t i = 0; i < program->input_count; i++) {
    const pith_value *value = &program->values[program->inputs[i]];
    for (uint32_t d = 0; d < value->rank; d++) {
      int64_t size;
      PITH_TRY(pith_dim_evaluate(&value->dims[d], executor->symbols, &size, error));
      if ((size_t)size != feeds[i].dims[d])
        return pith_fail(error, PITH_INVALID_ARGUMENT, "%s: dimension %u is %zu, not %lld", value->name, d,
                         feeds[i].dims[d], (long long)size);
    }
  }
  return PITH_OK;
}

/* Runs the checks of inputs and data, or those of one computed value. */
static pith_status run_checks(pith_executor *executor, pith_value_id computed, pith_error *error) {
  const pith_program *program = executor->program;
  for (uint32_t i = 0; i < program->check_count; i++) {
    const pith_check *check = &program->checks[i];
    bool now = computed == PITH_NONE ? program->values[check->value].kind != PITH_VALUE_BUFFER
                                     : check->value == computed;
    if (now)
      PITH_TRY(pith_check_run(program, check, executor->symbols, executor->views, error));
  }
  return PITH_OK;
}

static pith_status bind_inputs(pith_executor *executor, const pith_feed *feeds, pith_error *error) {
  const pith_program *program = executor->program;
  PITH_TRY(solve_symbols(executor, feeds, error));
  for (uint32_t i = 0; i < executor->dynamic_count; i++) {
    uint32_t v = executor->dynamic[i];
    const pith_value *value = &program->values[v];
    void *data = executor->views[v].data;
    PITH_TRY(pith_value_measure(value, executor->symbols, &executor->views[v], error));
    executor->views[v].data = data;
    /* What the verifier accepts never shrinks where a symbol grows, so this cannot happen; it would write past the block. */
    size_t bytes;
    PITH_TRY(pith_value_get_bytes(value, &executor->views[v], &bytes, error));
    if (value->producer != PITH_NONE && bytes > value->bytes)
      return pith_fail(error, PITH_LIMIT, "%s takes %zu bytes, over the %zu that were planned for it", value->name,
                       bytes, value->bytes);
  }
  for (uint32_t i = 0; i < program->input_count; i++) {
    pith_view *view = &executor->views[program->inputs[i]];
    view->data = (void *)(uintptr_t)feeds[i].data;
    if (view->data == NULL && pith_view_count(view) != 0)
      return pith_fail(error, PITH_INVALID_ARGUMENT, "%s is NULL", program->values[program->inputs[i]].name);
  }
  for (uint32_t i = 0; i < program->output_count; i++) {
    const pith_view *view = &executor->views[program->outputs[i]];
    if (view->data == NULL && pith_view_count(view) != 0)
      return pith_fail(error, PITH_INVALID_ARGUMENT, "output %u, %s, was given no memory", i,
                       program->values[program->outputs[i]].name);
  }
  return run_checks(executor, PITH_NONE, error);
}

static void add_to_profile(pith_executor *executor, uint32_t index, uint64_t begin, uint64_t end) {
  const pith_program *program = executor->program;
  const pith_step *step = &program->steps[index];
  pith_profile_entry *entry = &executor->profile[index];
  entry->calls++;
  entry->nanoseconds += end - begin;
  entry->last_begin_ns = begin;
  entry->last_end_ns = end;
  if (step->row->count_flops != NULL)
    entry->flops += step->row->count_flops(step, executor->views);
  for (uint32_t j = 0; j < step->input_count; j++) {
    if (step->inputs[j] == PITH_NONE)
      continue;
    const pith_value *value = &program->values[step->inputs[j]];
    const pith_view *view = &executor->views[step->inputs[j]];
    double count = (double)pith_view_count(view);
    /* Of a table, only the rows that are looked up are read. */
    if (step->row->kind == PITH_STEP_GATHER && j == 0)
      count = (double)pith_view_count(&executor->views[step->outputs[0]]);
    if (step->row->kind == PITH_STEP_EMBEDDING && j >= PITH_EMBEDDING_TABLES &&
        (j - PITH_EMBEDDING_TABLES) % PITH_TABLE_INPUTS != PITH_TABLE_IDS) {
      const pith_view *y = &executor->views[step->outputs[PITH_ROWS_Y]];
      bool table = (j - PITH_EMBEDDING_TABLES) % PITH_TABLE_INPUTS == PITH_TABLE_DATA;
      count = (double)(table ? pith_view_count(y) : y->rows);
    }
    entry->bytes += pith_layout_is_sparse(value->data_layout)
                        ? (double)value->data_bytes
                        : count * pith_dtype_get_info(value->dtype)->bits / 8;
  }
  for (uint32_t j = 0; j < step->output_count; j++)
    if (step->outputs[j] != PITH_NONE)
      entry->bytes += (double)pith_view_count(&executor->views[step->outputs[j]]) *
                      pith_dtype_get_info(program->values[step->outputs[j]].dtype)->bits / 8;
}

static pith_status run_steps(pith_executor *executor, const int *cancel, uint64_t deadline_ns, pith_error *error) {
  const pith_program *program = executor->program;
  for (uint32_t i = 0; i < program->step_count; i++) {
    const pith_step *step = &program->steps[i];
    if (cancel != NULL && __atomic_load_n(cancel, __ATOMIC_RELAXED) != 0)
      return pith_fail(error, PITH_CANCELLED, "cancelled before step %u of %u, '%s'", i, program->step_count,
                       step->name);
    if (deadline_ns != 0 && pith_clock_now_ns() > deadline_ns)
      return pith_fail(error, PITH_DEADLINE, "past the deadline before step %u of %u, '%s'", i, program->step_count,
                       step->name);
    uint64_t begin = executor->profile == NULL ? 0 : pith_clock_now_ns();
    void *args = executor->args + step->args_offset;
    step->row->bind(program, step, executor->views, args);
    executor->team.calls[i] = (pith_team_call){
        .kernel = step->kernel,
        .args = args,
        .scratch = executor->memory == NULL ? NULL : executor->memory + step->scratch_offset,
        .scratch_bytes = step->scratch_bytes,
    };
    pith_team_run_call(&executor->team, i);
    if (executor->profile != NULL)
      add_to_profile(executor, i, begin, pith_clock_now_ns());
    for (uint32_t j = 0; j < step->output_count; j++)
      if (step->outputs[j] != PITH_NONE && program->values[step->outputs[j]].checked)
        PITH_TRY(run_checks(executor, step->outputs[j], error));
  }
  return PITH_OK;
}

typedef struct steps_run {
  pith_executor *executor;
  const int *cancel;
  uint64_t deadline_ns;
  pith_error *error;
  pith_status status;
} steps_run;

static void lead(void *context) {
  steps_run *run = context;
  run->status = run_steps(run->executor, run->cancel, run->deadline_ns, run->error);
}

pith_status pith_executor_run(pith_executor *executor, const pith_feed *feeds, const int *cancel,
                              uint64_t deadline_ns, pith_error *error) {
  PITH_TRY(bind_inputs(executor, feeds, error));
  steps_run run = {executor, cancel, deadline_ns, error, PITH_OK};
  pith_team_run(&executor->team, executor->threadpool, lead, &run);
  return run.status;
}

void pith_executor_vacate(pith_executor *executor) {
  pith_vacate(&executor->allocator, executor->memory, executor->program->buffer_bytes); /* packed weights lie behind */
}

/* ---- reading -------------------------------------------------------------------------------------------------- */

const pith_view *pith_executor_get_output(const pith_executor *executor, uint32_t index) {
  return &executor->views[executor->program->outputs[index]];
}

void *pith_executor_get_memory(const pith_executor *executor) {
  return executor->memory;
}

const pith_profile_entry *pith_executor_get_profile(const pith_executor *executor, size_t *out_count) {
  *out_count = executor->profile == NULL ? 0 : executor->program->step_count;
  return executor->profile;
}
