#include "quant/stream.h"

#include "engine/exec/model.h"
#include "engine/exec/run_graph.h"
#include "engine/exec/session_access.h"
#include "engine/format/stored_layout.h"
#include "engine/ir/operator.h"

static pith_status no_memory(pith_error *error) {
  return pith_fail(error, PITH_OUT_OF_MEMORY, "no memory for the activations of the calibration data");
}

/* ---- batches --------------------------------------------------------------------------------------------------------- */

static pith_status keep(const pith_stream *stream, pith_stream_value *value, const void *data, size_t rows, size_t columns,
                        pith_error *error) {
  value->bytes = rows * columns * 4;
  value->data = pith_allocate(stream->allocator, value->bytes == 0 ? 1 : value->bytes);
  value->rows = rows;
  value->columns = columns;
  if (value->data == NULL)
    return no_memory(error);
  memcpy(value->data, data, value->bytes);
  return PITH_OK;
}

static void drop(const pith_stream *stream, pith_stream_value *value) {
  pith_release(stream->allocator, value->data, value->bytes == 0 ? 1 : value->bytes);
  *value = (pith_stream_value){0};
}

/* What one reading of the source works on. */
typedef struct reading {
  pith_stream *stream;
  uint32_t room;
  pith_session *session;
} reading;

static pith_status add_batch(reading *r, const pith_batch *batch, pith_error *error) {
  pith_stream *stream = r->stream;
  const pith_graph *graph = stream->graph;
  if (stream->batch_count == r->room) {
    const uint32_t room = r->room == 0 ? 64 : 2 * r->room;
    pith_stream_value **batches = PITH_ARENA_NEW(&stream->arena, pith_stream_value *, room);
    if (batches == NULL)
      return no_memory(error);
    if (stream->batch_count != 0)
      memcpy(batches, stream->batches, stream->batch_count * sizeof *batches);
    stream->batches = batches;
    r->room = room;
  }
  pith_stream_value *values = PITH_ARENA_NEW(&stream->arena, pith_stream_value, graph->tensor_count);
  if (values == NULL)
    return no_memory(error);
  stream->batches[stream->batch_count++] = values;
  const size_t tokens = (size_t)batch->offsets[batch->sequences];
  for (uint32_t i = 0; i < graph->input_count; i++) {
    const char *name = graph->tensors[graph->inputs[i]].name;
    pith_stream_value *value = &values[graph->inputs[i]];
    if (strcmp(name, "offsets") == 0)
      PITH_TRY(keep(stream, value, batch->offsets, 1, batch->sequences + 1, error));
    else if (strcmp(name, "input_ids") == 0)
      PITH_TRY(keep(stream, value, batch->ids, 1, tokens, error));
    else if (strcmp(name, "token_type_ids") == 0)
      PITH_TRY(keep(stream, value, batch->type_ids, 1, tokens, error));
  }
  stream->sequences += batch->sequences;
  stream->tokens += tokens;
  return PITH_OK;
}

static pith_status add_sequences(reading *r, const pith_sequence *sequences, size_t n, pith_arena *arena, pith_error *error) {
  const size_t max_tokens = pith_session_get_max_tokens(r->session), max_sequences = pith_session_get_max_sequences(r->session);
  uint32_t *lengths = PITH_ARENA_NEW(arena, uint32_t, n);
  int32_t *ids = PITH_ARENA_NEW(arena, int32_t, max_tokens), *type_ids = PITH_ARENA_NEW(arena, int32_t, max_tokens);
  int32_t *offsets = PITH_ARENA_NEW(arena, int32_t, n + 1);
  if (lengths == NULL || ids == NULL || type_ids == NULL || offsets == NULL)
    return no_memory(error);
  for (size_t i = 0; i < n; i++)
    lengths[i] = sequences[i].length;
  pith_feed_plan plan;
  PITH_TRY(pith_feed_plan_create(lengths, n, max_tokens, max_sequences, arena, &plan, error));
  for (size_t b = 0; b < plan.batch_count; b++) {
    size_t tokens = 0, count = 0;
    for (uint32_t i = plan.begins[b]; i < plan.begins[b + 1]; i++) {
      const pith_sequence *sequence = &sequences[plan.order[i]];
      offsets[count++] = (int32_t)tokens;
      for (uint32_t t = 0; t < sequence->length; t++, tokens++) {
        ids[tokens] = sequence->ids[t];
        type_ids[tokens] = sequence->type_ids == NULL ? 0 : sequence->type_ids[t];
      }
    }
    offsets[count] = (int32_t)tokens;
    const pith_batch batch = {.sequences = count, .offsets = offsets, .ids = ids, .type_ids = type_ids};
    if (tokens != 0)
      PITH_TRY(add_batch(r, &batch, error));
  }
  return PITH_OK;
}

static pith_status read_source(reading *r, const pith_calibration_source *source, pith_error *error) {
  PITH_TRY(source->rewind(source->context, error));
  for (;;) {
    pith_arena arena;
    pith_arena_init(&arena, r->stream->allocator);
    const pith_sequence *sequences;
    size_t count = 0;
    pith_status status = source->next(source->context, r->session, &arena, &sequences, &count, error);
    if (status == PITH_OK && count != 0)
      status = add_sequences(r, sequences, count, &arena, error);
    pith_arena_deinit(&arena);
    PITH_TRY(status);
    if (count == 0)
      return r->stream->tokens == 0 ? pith_fail(error, PITH_FORMAT, "the calibration data has no text") : PITH_OK;
  }
}

static pith_status find_last_readers(pith_stream *stream, pith_error *error) {
  uint32_t *last = PITH_ARENA_NEW(&stream->arena, uint32_t, stream->graph->tensor_count);
  if (last == NULL)
    return no_memory(error);
  for (uint32_t t = 0; t < stream->graph->tensor_count; t++)
    last[t] = PITH_NONE;
  for (uint32_t n = 0; n < stream->graph->node_count; n++)
    for (uint32_t i = 0; i < stream->graph->nodes[n].input_count; i++)
      if (stream->graph->nodes[n].inputs[i] != PITH_NONE)
        last[stream->graph->nodes[n].inputs[i]] = n;
  for (uint32_t i = 0; i < stream->graph->input_count; i++) /* sizes come from them: every part has all */
    last[stream->graph->inputs[i]] = stream->graph->node_count;
  stream->last = last;
  return PITH_OK;
}

pith_status pith_stream_init(pith_stream *stream, const pith_model *model, const pith_calibration_source *source,
                             const pith_session_options *options, pith_error *error) {
  *stream = (pith_stream){.graph = model->data.graph,
                          .allocator = &model->allocator,
                          .threadpool = options->threadpool,
                          .cpu = pith_cpu_detect() & ~options->cpu_features_mask};
  pith_arena_init(&stream->arena, &model->allocator);
  PITH_TRY(find_last_readers(stream, error));
  reading r = {.stream = stream};
  PITH_TRY(pith_session_create(model, options, &r.session, error));
  const pith_status status = read_source(&r, source, error);
  pith_session_destroy(r.session);
  return status;
}

pith_status pith_stream_copy(pith_stream *stream, const pith_graph *graph, const pith_stream *from, pith_error *error) {
  *stream = *from;
  pith_arena_init(&stream->arena, from->allocator);
  stream->graph = graph;
  stream->batch_count = 0;
  stream->batches = PITH_ARENA_NEW(&stream->arena, pith_stream_value *, from->batch_count);
  if (stream->batches == NULL)
    return no_memory(error);
  PITH_TRY(find_last_readers(stream, error));
  for (uint32_t b = 0; b < from->batch_count; b++) {
    stream->batches[b] = PITH_ARENA_NEW(&stream->arena, pith_stream_value, graph->tensor_count);
    if (stream->batches[b] == NULL)
      return no_memory(error);
    stream->batch_count++;
    for (uint32_t i = 0; i < graph->input_count; i++) {
      const pith_tensor_id own = graph->inputs[i], other = pith_graph_find_tensor(from->graph, graph->tensors[own].name);
      const pith_stream_value *value = other == PITH_NONE ? NULL : &from->batches[b][other];
      if (value != NULL && value->data != NULL)
        PITH_TRY(keep(stream, &stream->batches[b][own], value->data, value->rows, value->columns, error));
    }
  }
  return PITH_OK;
}

void pith_stream_deinit(pith_stream *stream) {
  for (uint32_t b = 0; b < stream->batch_count; b++)
    for (uint32_t t = 0; t < stream->graph->tensor_count; t++)
      drop(stream, &stream->batches[b][t]);
  pith_arena_deinit(&stream->arena);
}

/* ---- parts of the graph ---------------------------------------------------------------------------------------------- */

typedef struct part {
  pith_graph *graph;
  pith_tensor_id *map;     /* [tensor_count of the whole] */
  pith_tensor_id *inputs;  /* [graph->input_count] of the whole */
  pith_tensor_id *outputs; /* [graph->output_count] of the whole */
  pith_arena arena;
} part;

/* Data of the whole graph, or what takes its place: products' weights as their kernels read them, so that they are packed once. */
static pith_status add_data(const pith_stream *stream, part *p, pith_tensor_id id, const float *const *data, pith_error *error) {
  pith_tensor tensor = stream->graph->tensors[id];
  if (data != NULL && data[id] != NULL) {
    tensor.pattern = (pith_pattern){PITH_PATTERN_DENSE, 0, 0};
    tensor.kept = 0;
    tensor.layout = tensor.rank == 2 ? PITH_LAYOUT_N64_F32 : PITH_LAYOUT_ROW_MAJOR;
    PITH_TRY(pith_layout_get_bytes(tensor.layout, tensor.dtype, tensor.rank, tensor.dims, &tensor.data_bytes, error));
    void *stored = pith_arena_array(&p->arena, tensor.data_bytes < 64 ? 64 : (size_t)tensor.data_bytes, 1);
    if (stored == NULL)
      return no_memory(error);
    PITH_TRY(pith_layout_convert(tensor.dtype, tensor.rank, tensor.dims, PITH_LAYOUT_ROW_MAJOR, data[id], tensor.layout, stored,
                                 stream->allocator, error));
    tensor.data = stored;
  }
  return pith_graph_add_tensor(p->graph, &tensor, &p->map[id], error);
}

static pith_status add_input(const pith_stream *stream, part *p, pith_tensor_id id, pith_error *error) {
  pith_tensor tensor = stream->graph->tensors[id];
  tensor.kind = PITH_TENSOR_INPUT;
  tensor.producer = PITH_NONE;
  if (tensor.rank > 2)
    return pith_fail(error, PITH_UNSUPPORTED, "tensor '%s' has rank %u: only matrices can pass between parts", tensor.name,
                     tensor.rank);
  PITH_TRY(pith_graph_add_tensor(p->graph, &tensor, &p->map[id], error));
  p->inputs[p->graph->input_count] = id;
  return pith_graph_add_input(p->graph, p->map[id], error);
}

static pith_status add_node(const pith_stream *stream, part *p, pith_node_id n, const float *const *data, pith_error *error) {
  const pith_node *node = &stream->graph->nodes[n];
  pith_tensor_id inputs[PITH_MAX_PORTS], outputs[PITH_MAX_PORTS];
  for (uint32_t i = 0; i < node->input_count; i++) {
    const pith_tensor_id id = node->inputs[i];
    if (id != PITH_NONE && p->map[id] == PITH_NONE)
      PITH_TRY(pith_tensor_is_data(&stream->graph->tensors[id]) ? add_data(stream, p, id, data, error) : add_input(stream, p, id, error));
    inputs[i] = id == PITH_NONE ? PITH_NONE : p->map[id];
  }
  for (uint32_t i = 0; i < node->output_count; i++) {
    pith_tensor tensor = stream->graph->tensors[node->outputs[i]];
    tensor.producer = p->graph->node_count;
    PITH_TRY(pith_graph_add_tensor(p->graph, &tensor, &outputs[i], error));
    p->map[node->outputs[i]] = outputs[i];
  }
  pith_node copy = *node;
  copy.inputs = inputs;
  copy.outputs = outputs;
  return pith_graph_add_node(p->graph, &copy, NULL, error);
}

static pith_status make_part(const pith_stream *stream, part *p, pith_node_id end, const float *const *data, pith_error *error) {
  const pith_graph *graph = stream->graph;
  PITH_TRY(pith_graph_create(stream->allocator, graph->name, &p->graph, error));
  p->map = PITH_ARENA_NEW(&p->arena, pith_tensor_id, graph->tensor_count);
  p->inputs = PITH_ARENA_NEW(&p->arena, pith_tensor_id, graph->tensor_count);
  p->outputs = PITH_ARENA_NEW(&p->arena, pith_tensor_id, graph->tensor_count);
  if (p->map == NULL || p->inputs == NULL || p->outputs == NULL)
    return no_memory(error);
  for (uint32_t t = 0; t < graph->tensor_count; t++)
    p->map[t] = PITH_NONE;
  for (uint32_t s = 0; s < graph->symbol_count; s++)
    PITH_TRY(pith_graph_add_symbol(p->graph, graph->symbols[s], NULL, error));
  for (uint32_t i = 0; i < graph->input_count; i++)
    PITH_TRY(add_input(stream, p, graph->inputs[i], error));
  for (pith_node_id n = stream->done; n < end; n++)
    PITH_TRY(add_node(stream, p, n, data, error));
  for (pith_node_id n = stream->done; n < end; n++)
    for (uint32_t i = 0; i < graph->nodes[n].output_count; i++) {
      const pith_tensor_id id = graph->nodes[n].outputs[i];
      if (stream->last[id] == PITH_NONE || stream->last[id] < end)
        continue;
      p->outputs[p->graph->output_count] = id;
      PITH_TRY(pith_graph_add_output(p->graph, p->map[id], error));
    }
  return pith_graph_verify(p->graph, error);
}

static pith_status run_batch(const pith_stream *stream, const part *p, pith_stream_value *values, pith_node_id end,
                             pith_error *error) {
  pith_arena arena;
  pith_arena_init(&arena, stream->allocator);
  pith_feed *feeds = PITH_ARENA_NEW(&arena, pith_feed, p->graph->input_count);
  pith_status status = feeds == NULL ? no_memory(error) : PITH_OK;
  for (uint32_t i = 0; i < p->graph->input_count && status == PITH_OK; i++) {
    const pith_stream_value *value = &values[p->inputs[i]];
    const bool matrix = stream->graph->tensors[p->inputs[i]].rank == 2;
    feeds[i] = (pith_feed){.data = value->data, .dims = {matrix ? value->rows : value->columns, matrix ? value->columns : 0}};
    if (value->data == NULL)
      status = pith_fail(error, PITH_UNSUPPORTED, "input '%s' is none that calibration data gives",
                         stream->graph->tensors[p->inputs[i]].name);
  }
  const pith_run_options options = {stream->allocator, stream->cpu, stream->threadpool, PITH_REWRITES_DEFAULT};
  pith_graph_run run = {NULL, NULL};
  if (status == PITH_OK)
    status = pith_graph_run_init(&run, p->graph, &options, feeds, error);
  pith_arena_deinit(&arena);
  for (uint32_t i = 0; i < p->graph->output_count && status == PITH_OK; i++) {
    const pith_view *view = pith_executor_get_output(run.executor, i);
    status = keep(stream, &values[p->outputs[i]], view->data, view->rows, view->columns, error);
  }
  pith_graph_run_deinit(&run);
  for (uint32_t t = 0; t < stream->graph->tensor_count; t++)
    if (values[t].data != NULL && (stream->last[t] == PITH_NONE || stream->last[t] < end))
      drop(stream, &values[t]);
  return status;
}

pith_status pith_stream_run(pith_stream *stream, pith_node_id end, const float *const *data, pith_error *error) {
  if (end <= stream->done)
    return PITH_OK;
  part p = {.graph = NULL};
  pith_arena_init(&p.arena, stream->allocator);
  pith_status status = make_part(stream, &p, end, data, error);
  for (uint32_t b = 0; b < stream->batch_count && status == PITH_OK; b++)
    status = run_batch(stream, &p, stream->batches[b], end, error);
  pith_graph_destroy(p.graph);
  pith_arena_deinit(&p.arena);
  if (status == PITH_OK)
    stream->done = end;
  return status;
}

const pith_stream_value *pith_stream_get(const pith_stream *stream, uint32_t batch, pith_tensor_id tensor) {
  return &stream->batches[batch][tensor];
}
