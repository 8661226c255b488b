#include <string.h>

#include "cli/bench_internal.h"
#include "engine/ir/operator.h"

pith_status pith_bench_counter_init(pith_bench_counter *counter, const pith_program *program, pith_arena *arena,
                                    pith_error *error) {
  *counter = (pith_bench_counter){.program = program};
  counter->views = PITH_ARENA_NEW(arena, pith_view, program->value_count);
  counter->symbols = PITH_ARENA_NEW(arena, int64_t, program->graph->symbol_count);
  if (counter->views == NULL || counter->symbols == NULL)
    return pith_fail(error, PITH_OUT_OF_MEMORY, "no memory to count operations");
  return PITH_OK;
}

pith_status pith_bench_count_operations(pith_bench_counter *counter, const int32_t *offsets, size_t sequences,
                                        size_t rows, pith_operations *out, pith_error *error) {
  const pith_program *program = counter->program;
  const struct {
    const char *name;
    int64_t value;
  } known[] = {{"tokens", offsets[sequences]}, {"sequences", (int64_t)sequences}, {"rows", (int64_t)rows}};
  for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
    pith_symbol_id symbol = pith_graph_find_symbol(program->graph, known[i].name);
    if (symbol != PITH_NONE)
      counter->symbols[symbol] = known[i].value;
  }
  for (uint32_t v = 0; v < program->value_count; v++)
    PITH_TRY(pith_value_measure(&program->values[v], counter->symbols, &counter->views[v], error));
  for (uint32_t i = 0; i < program->input_count; i++)
    if (strcmp(program->values[program->inputs[i]].name, "offsets") == 0)
      counter->views[program->inputs[i]].data = (void *)(uintptr_t)offsets;
  *out = (pith_operations){0};
  for (uint32_t i = 0; i < program->step_count; i++) {
    const pith_step *step = &program->steps[i];
    double count = step->row->count_flops == NULL ? 0 : step->row->count_flops(step, counter->views);
    out->all += count;
    out->integer += step->row->is_integer ? count : 0;
    out->done += count * pith_step_get_work(program, step);
  }
  return PITH_OK;
}

pith_status pith_bench_count_ids(const pith_graph *graph, int64_t *out_count, pith_error *error) {
  pith_tensor_id ids = pith_graph_find_tensor(graph, "input_ids");
  int64_t count = INT32_MAX;
  bool found = false;
  for (uint32_t n = 0; n < graph->node_count && ids != PITH_NONE; n++) {
    const pith_node *node = &graph->nodes[n];
    if (node->op->id != PITH_OP_GATHER || node->inputs[1] != ids)
      continue;
    int64_t rows = graph->tensors[node->inputs[0]].dims[0].constant;
    count = rows < count ? rows : count;
    found = true;
  }
  if (!found || count < 1)
    return pith_fail(error, PITH_UNSUPPORTED, "the model looks up no embedding by its input ids");
  *out_count = count;
  return PITH_OK;
}
