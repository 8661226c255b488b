#include "quant/tap.h"

#include "engine/exec/session_access.h"

static pith_status add_outputs(pith_tap *tap, const char *const *names, uint32_t count, pith_error *error) {
  uint32_t *outputs = PITH_ARENA_NEW(&tap->arena, uint32_t, count);
  if (outputs == NULL)
    return pith_fail(error, PITH_OUT_OF_MEMORY, "no memory to watch %u tensors", count);
  for (uint32_t i = 0; i < count; i++) {
    const pith_tensor_id id = pith_graph_find_tensor(tap->graph, names[i]);
    if (id == PITH_NONE)
      return pith_fail(error, PITH_INVALID_ARGUMENT, "the graph has no tensor '%s'", names[i]);
    uint32_t place = 0;
    while (place < tap->graph->output_count && tap->graph->outputs[place] != id)
      place++;
    if (place == tap->graph->output_count)
      PITH_TRY(pith_graph_add_output(tap->graph, id, error));
    outputs[i] = place;
  }
  tap->outputs = outputs;
  tap->count = count;
  return pith_graph_verify(tap->graph, error);
}

pith_status pith_tap_init(pith_tap *tap, const pith_model *model, const pith_graph *graph, const char *const *names,
                          uint32_t count, const pith_session_options *options, pith_error *error) {
  *tap = (pith_tap){.model = *model};
  pith_arena_init(&tap->arena, &model->allocator);
  PITH_TRY(pith_graph_clone(graph == NULL ? model->data.graph : graph, &model->allocator, &tap->graph, error));
  PITH_TRY(add_outputs(tap, names, count, error));
  tap->model.data.graph = tap->graph;
  return pith_session_create(&tap->model, options, &tap->session, error);
}

void pith_tap_deinit(pith_tap *tap) {
  pith_session_destroy(tap->session);
  pith_graph_destroy(tap->graph);
  pith_arena_deinit(&tap->arena);
}

pith_status pith_tap_run(const pith_tap *tap, const pith_calibration_source *source, pith_feed_consume see, void *context,
                         void (*progress)(void *context, uint64_t sequences), pith_error *error) {
  uint64_t done = 0;
  PITH_TRY(source->rewind(source->context, error));
  for (;;) {
    pith_arena arena;
    pith_arena_init(&arena, &tap->model.allocator);
    const pith_sequence *sequences;
    size_t count = 0;
    pith_status status = source->next(source->context, tap->session, &arena, &sequences, &count, error);
    if (status == PITH_OK && count != 0)
      status = pith_feed_run(tap->session, sequences, count, &arena, see, context, error);
    pith_arena_deinit(&arena);
    PITH_TRY(status);
    if (count == 0)
      return PITH_OK;
    done += count;
    if (progress != NULL)
      progress(context, done);
  }
}

const pith_view *pith_tap_get(const pith_tap *tap, uint32_t index) {
  return pith_executor_get_output(pith_session_get_executor(tap->session), tap->outputs[index]);
}
