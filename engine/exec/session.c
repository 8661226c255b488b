/* Sessions: the public way to run a model. A session is a program for this CPU and these limits, and an executor for it. */
#include <stdint.h>

#include "engine/exec/executor.h"
#include "engine/exec/exits.h"
#include "engine/exec/model.h"
#include "engine/exec/parallel.h"
#include "engine/exec/session_access.h"

/* The inputs that models have, and the sizes that they depend on. */
enum { INPUT_IDS, INPUT_TYPE_IDS, INPUT_OFFSETS, INPUT_ROWS, INPUT_COUNT };
static const char *const input_names[INPUT_COUNT] = {
    [INPUT_IDS] = "input_ids",
    [INPUT_TYPE_IDS] = "token_type_ids",
    [INPUT_OFFSETS] = "offsets",
    [INPUT_ROWS] = "rows",
};
enum { SIZE_TOKENS, SIZE_SEQUENCES, SIZE_ROWS, SIZE_COUNT };
static const char *const size_names[SIZE_COUNT] = {
    [SIZE_TOKENS] = "tokens",
    [SIZE_SEQUENCES] = "sequences",
    [SIZE_ROWS] = "rows",
};
enum { DEFAULT_MAX_ROWS = 16 };

struct pith_session {
  const pith_model *model;
  pith_session_options options; /* defaults filled in; its allocator is the next field */
  pith_allocator allocator;
  pith_program *program;        /* NULL: it runs in stages */
  pith_executor *executor;
  pith_exits *exits;            /* NULL: it does not */
  uint32_t roles[INPUT_COUNT];  /* INPUT_* of each input of the program */
  bool has_rows;
  int32_t zeros[];              /* [max_tokens] type ids where none are given */
};

/* ---- creating ------------------------------------------------------------------------------------------------- */

static pith_status read_options(const pith_model *model, const pith_session_options *options,
                                pith_session_options *out, pith_error *error) {
  *out = (pith_session_options)PITH_SESSION_OPTIONS_INIT;
  if (options != NULL)
    PITH_TRY(pith_read_struct(options, out, sizeof *out, "pith_session_options", error));
  if (out->max_tokens == 0)
    out->max_tokens = model->data.max_length;
  if (out->max_sequences == 0)
    out->max_sequences = 1;
  if (out->max_rows == 0)
    out->max_rows = DEFAULT_MAX_ROWS;
  const size_t sizes[SIZE_COUNT] = {out->max_tokens, out->max_sequences, out->max_rows};
  for (int i = 0; i < SIZE_COUNT; i++)
    if (sizes[i] == 0 || sizes[i] >= PITH_MAX_DIM)
      return pith_fail(error, PITH_INVALID_ARGUMENT, "max_%s is %zu, outside 1..%d", size_names[i], sizes[i],
                       PITH_MAX_DIM - 1);
  if (out->allocator != NULL && (out->allocator->allocate == NULL || out->allocator->release == NULL))
    return pith_fail(error, PITH_INVALID_ARGUMENT, "pith_session_options.allocator lacks a function");
  if (!(out->exit_threshold >= 0 && out->exit_threshold <= 1))
    return pith_fail(error, PITH_INVALID_ARGUMENT, "exit_threshold is %g, outside 0 to 1", out->exit_threshold);
  if (out->exit_threshold > 0 && out->profile)
    return pith_fail(error, PITH_UNSUPPORTED, "profile goes without exit_threshold");
#if !PITH_THREADS
  if (out->threadpool != NULL)
    return pith_fail(error, PITH_UNSUPPORTED, "this build has no threads: threadpool must be NULL");
#endif
  return PITH_OK;
}

static pith_status find_roles(const pith_graph *graph, uint32_t roles[INPUT_COUNT], bool *out_has_rows,
                              pith_error *error) {
  bool seen[INPUT_COUNT] = {false};
  for (uint32_t i = 0; i < graph->input_count; i++) {
    const pith_tensor *input = &graph->tensors[graph->inputs[i]];
    uint32_t role = 0;
    while (role < INPUT_COUNT && strcmp(input->name, input_names[role]) != 0)
      role++;
    if (role == INPUT_COUNT || seen[role] || input->dtype != PITH_DTYPE_S32 || input->rank != 1)
      return pith_fail(error, PITH_UNSUPPORTED, "the model's input '%s' is none that a session gives: s32 vectors "
                       "input_ids, token_type_ids, offsets, rows", input->name);
    seen[role] = true;
    roles[i] = role;
  }
  *out_has_rows = seen[INPUT_ROWS];
  for (uint32_t i = 0; i < graph->output_count && i < PITH_MAX_OUTPUTS; i++)
    if (graph->tensors[graph->outputs[i]].dtype != PITH_DTYPE_F32)
      return pith_fail(error, PITH_UNSUPPORTED, "the model's output '%s' is not f32",
                       graph->tensors[graph->outputs[i]].name);
  return PITH_OK;
}

/* The program and its executor, or stages of both. */
static pith_status prepare(pith_session *session, const pith_lower_options *lowering, const pith_executor_options *execution,
                           pith_error *error) {
  const pith_graph *graph = session->model->data.graph;
  const pith_session_options *options = &session->options;
  if (options->exit_threshold > 0)
    return pith_exits_create(graph,
                             &(pith_exits_options){.lowering = *lowering,
                                                   .execution = *execution,
                                                   .max_tokens = options->max_tokens,
                                                   .max_sequences = options->max_sequences,
                                                   .threshold = options->exit_threshold},
                             &session->exits, error);
  PITH_TRY(pith_program_create(graph, lowering, &session->program, error));
  return pith_executor_create(session->program, execution, &session->executor, error);
}

/* A name stands once among symbols, so that there are no more than sizes. */
static pith_status find_limits(const pith_graph *graph, const pith_session_options *options, int64_t limits[SIZE_COUNT], pith_error *error) {
  const size_t sizes[SIZE_COUNT] = {options->max_tokens, options->max_sequences, options->max_rows};
  for (uint32_t s = 0; s < graph->symbol_count; s++) {
    uint32_t size = 0;
    while (size < SIZE_COUNT && strcmp(graph->symbols[s], size_names[size]) != 0)
      size++;
    if (size == SIZE_COUNT || s >= SIZE_COUNT)
      return pith_fail(error, PITH_UNSUPPORTED, "the model's size '%s' is none that a session gives: tokens, "
                       "sequences, rows", graph->symbols[s]);
    limits[s] = (int64_t)sizes[size];
  }
  return PITH_OK;
}

static pith_status lower(pith_session *session, const pith_executor_options *execution, pith_error *error) {
  const pith_session_options *options = &session->options;
  const pith_model *model = session->model;
  int64_t limits[SIZE_COUNT] = {0};
  PITH_TRY(find_limits(model->data.graph, options, limits, error));
  const size_t max_length = model->data.max_length;
  const pith_lower_options lowering = {
      .allocator = &session->allocator,
      .cpu = pith_cpu_detect() & ~options->cpu_features_mask,
      .threads = pith_parallel_count_threads(options->threadpool),
      .symbol_limits = limits,
      .max_sequence = max_length != 0 && max_length < options->max_tokens ? max_length : options->max_tokens,
      .rewrites = PITH_REWRITES_DEFAULT,
  };
  return prepare(session, &lowering, execution, error);
}

static size_t count_session_bytes(size_t max_tokens) {
  return sizeof(pith_session) + max_tokens * sizeof(int32_t);
}

/* With `plan_only` the session cannot run: it holds all but the block of memory. */
static pith_status create(const pith_model *model, const pith_session_options *options,
                          const pith_allocator *allocator, bool plan_only, pith_session **out_session,
                          pith_error *error) {
  pith_session *session = pith_allocate(allocator, count_session_bytes(options->max_tokens));
  if (session == NULL)
    return pith_fail(error, PITH_OUT_OF_MEMORY, "no memory for a session");
  memset(session, 0, count_session_bytes(options->max_tokens));
  session->model = model;
  session->options = *options;
  session->allocator = *allocator;
  session->options.allocator = &session->allocator;
  pith_executor_options execution = {
      .allocator = &session->allocator,
      .threadpool = options->threadpool,
      .profile = options->profile != 0,
      .plan_only = plan_only,
  };
  pith_status status = find_roles(model->data.graph, session->roles, &session->has_rows, error);
  if (status == PITH_OK)
    status = lower(session, &execution, error);
  if (status != PITH_OK) {
    pith_session_destroy(session);
    return status;
  }
  *out_session = session;
  return PITH_OK;
}

pith_status pith_session_create(const pith_model *model, const pith_session_options *options,
                                pith_session **out_session, pith_error *error) {
  if (model == NULL || out_session == NULL)
    return pith_fail(error, PITH_INVALID_ARGUMENT, "pith_session_create: %s is NULL",
                     model == NULL ? "model" : "out_session");
  *out_session = NULL;
  pith_session_options known;
  PITH_TRY(read_options(model, options, &known, error));
  return create(model, &known, known.allocator != NULL ? known.allocator : &model->allocator, false, out_session,
                error);
}

void pith_session_destroy(pith_session *session) {
  if (session == NULL)
    return;
  pith_exits_destroy(session->exits);
  pith_executor_destroy(session->executor);
  pith_program_destroy(session->program);
  pith_allocator allocator = session->allocator;
  pith_release(&allocator, session, count_session_bytes(session->options.max_tokens));
}

/* ---- planning -------------------------------------------------------------------------------------------------- */

typedef struct counter {
  const pith_allocator *allocator;
  size_t now, peak;
} counter;

static void *count_allocate(void *context, size_t bytes, size_t alignment) {
  counter *c = context;
  void *memory = c->allocator->allocate(c->allocator->context, bytes, alignment);
  if (memory != NULL && (c->now += bytes) > c->peak)
    c->peak = c->now;
  return memory;
}

static void count_release(void *context, void *memory, size_t bytes) {
  counter *c = context;
  c->now -= bytes;
  c->allocator->release(c->allocator->context, memory, bytes);
}

/* Makes the session without its block of memory and counts what that takes, so that nothing is estimated. */
pith_status pith_session_plan_memory(const pith_model *model, const pith_session_options *options,
                                     size_t *out_bytes, pith_error *error) {
  if (model == NULL || out_bytes == NULL)
    return pith_fail(error, PITH_INVALID_ARGUMENT, "pith_session_plan_memory: %s is NULL",
                     model == NULL ? "model" : "out_bytes");
  pith_session_options known;
  PITH_TRY(read_options(model, options, &known, error));
  counter c = {.allocator = known.allocator != NULL ? known.allocator : &model->allocator};
  pith_allocator counting = {count_allocate, count_release, &c};
  pith_session *session;
  PITH_TRY(create(model, &known, &counting, true, &session, error));
  size_t with_block = c.now + (session->exits != NULL ? pith_exits_count_bytes(session->exits) : session->program->memory_bytes);
  *out_bytes = with_block > c.peak ? with_block : c.peak;
  pith_session_destroy(session);
  return PITH_OK;
}

/* ---- running ---------------------------------------------------------------------------------------------------- */

static pith_status check_batch(const pith_session *session, const pith_batch *batch, pith_error *error) {
  if (batch->sequences > session->options.max_sequences)
    return pith_fail(error, PITH_LIMIT, "%zu sequences, over the session's max_sequences of %zu", batch->sequences,
                     session->options.max_sequences);
  if (batch->sequences != 0 && (batch->offsets == NULL || batch->ids == NULL))
    return pith_fail(error, PITH_INVALID_ARGUMENT, "pith_batch.%s is NULL", batch->offsets == NULL ? "offsets" : "ids");
  if (batch->sequences != 0 && batch->offsets[batch->sequences] < 0)
    return pith_fail(error, PITH_INVALID_ARGUMENT, "offsets[%zu] is %d, below 0", batch->sequences,
                     batch->offsets[batch->sequences]);
  if (batch->sequences != 0 && (size_t)batch->offsets[batch->sequences] > session->options.max_tokens)
    return pith_fail(error, PITH_LIMIT, "%d tokens, over the session's max_tokens of %zu",
                     batch->offsets[batch->sequences], session->options.max_tokens);
  if (batch->row_count != 0 && !session->has_rows)
    return pith_fail(error, PITH_INVALID_ARGUMENT, "%zu rows are asked for, the model takes none", batch->row_count);
  if (batch->row_count > session->options.max_rows)
    return pith_fail(error, PITH_LIMIT, "%zu rows, over the session's max_rows of %zu", batch->row_count,
                     session->options.max_rows);
  if (batch->row_count != 0 && batch->rows == NULL)
    return pith_fail(error, PITH_INVALID_ARGUMENT, "pith_batch.rows is NULL");
  return PITH_OK;
}

static void give_result(const pith_result *result, pith_result *out_result) {
  size_t bytes = out_result->struct_size < sizeof *result ? out_result->struct_size : sizeof *result;
  memcpy(out_result, result, bytes);
}

static void fill_result(const pith_session *session, pith_result *out_result) {
  const pith_program *program = session->program;
  /* Further outputs, as calibration adds them, are read from the executor. */
  const uint32_t count = program->output_count < PITH_MAX_OUTPUTS ? program->output_count : PITH_MAX_OUTPUTS;
  pith_result result = {.struct_size = out_result->struct_size, .count = count};
  for (uint32_t i = 0; i < count; i++) {
    const pith_view *view = pith_executor_get_output(session->executor, i);
    bool vector = program->values[program->outputs[i]].rank == 1; /* a row per element */
    result.outputs[i] = (pith_output){
        .name = program->graph->tensors[program->graph->outputs[i]].name,
        .data = view->data,
        .rows = vector ? view->columns : view->rows,
        .columns = vector ? 1 : view->columns,
    };
  }
  give_result(&result, out_result);
}

static pith_status run_exits(pith_session *session, const pith_batch *batch, pith_result *out_result, pith_error *error) {
  pith_result result = {.struct_size = out_result->struct_size, .count = 1};
  PITH_TRY(pith_exits_run(session->exits, batch, &result.outputs[0], error));
  give_result(&result, out_result);
  return PITH_OK;
}

pith_status pith_session_run(pith_session *session, const pith_batch *batch, pith_result *out_result,
                             pith_error *error) {
  static const int32_t no_offsets[1] = {0};
  if (session == NULL || batch == NULL || out_result == NULL)
    return pith_fail(error, PITH_INVALID_ARGUMENT, "pith_session_run: %s is NULL",
                     session == NULL ? "session" : batch == NULL ? "batch" : "out_result");
  if (out_result->struct_size < offsetof(pith_result, outputs))
    return pith_fail(error, PITH_INVALID_ARGUMENT, "pith_result.struct_size is %zu: set it to the size of the structure",
                     out_result->struct_size);
  out_result->count = 0;
  pith_batch known;
  PITH_TRY(pith_read_struct(batch, &known, sizeof known, "pith_batch", error));
  PITH_TRY(check_batch(session, &known, error));
  if (known.sequences == 0)
    known.offsets = no_offsets;
  if (known.type_ids == NULL)
    known.type_ids = session->zeros;
  if (session->exits != NULL)
    return run_exits(session, &known, out_result, error);
  size_t tokens = (size_t)known.offsets[known.sequences];
  const pith_feed by_role[INPUT_COUNT] = {
      [INPUT_IDS] = {known.ids, {tokens}},
      [INPUT_TYPE_IDS] = {known.type_ids, {tokens}},
      [INPUT_OFFSETS] = {known.offsets, {known.sequences + 1}},
      [INPUT_ROWS] = {known.rows, {known.row_count}},
  };
  pith_feed feeds[INPUT_COUNT];
  for (uint32_t i = 0; i < session->program->input_count; i++)
    feeds[i] = by_role[session->roles[i]];
  PITH_TRY(pith_executor_run(session->executor, feeds, known.cancel, known.deadline_ns, error));
  fill_result(session, out_result);
  return PITH_OK;
}

/* ---- reading ----------------------------------------------------------------------------------------------------- */

void pith_session_profile(const pith_session *session, const pith_profile_entry **out_entries, size_t *out_count) {
  *out_entries = NULL;
  *out_count = 0;
  if (session != NULL && session->executor != NULL)
    *out_entries = pith_executor_get_profile(session->executor, out_count);
}

const uint64_t *pith_session_get_exits(const pith_session *session, size_t *out_count) {
  *out_count = 0;
  return session == NULL || session->exits == NULL ? NULL : pith_exits_get_counts(session->exits, out_count);
}

const pith_model *pith_session_get_model(const pith_session *session) {
  return session->model;
}
const pith_allocator *pith_session_get_allocator(const pith_session *session) {
  return &session->allocator;
}
struct pthreadpool *pith_session_get_threadpool(const pith_session *session) {
  return session->options.threadpool;
}
size_t pith_session_get_max_tokens(const pith_session *session) {
  return session->options.max_tokens;
}
size_t pith_session_get_max_sequences(const pith_session *session) {
  return session->options.max_sequences;
}
size_t pith_session_get_max_rows(const pith_session *session) {
  return session->options.max_rows;
}
const pith_program *pith_session_get_program(const pith_session *session) {
  return session->program;
}
const pith_executor *pith_session_get_executor(const pith_session *session) {
  return session->executor;
}

uint64_t pith_cpu_features(void) {
  return pith_cpu_detect();
}

const char *pith_cpu_feature_name(unsigned bit) {
  return pith_cpu_feature_text(bit);
}
