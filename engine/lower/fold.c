/* Steps over data only are run once, now, by the reference kernels, which give the same bits as any other. */
#include <stdint.h>

#include "engine/lower/lower_internal.h"

typedef struct folding {
  pith_program *program;
  pith_arena temporary;
  pith_view *views;
  int64_t *symbols; /* all 0: no value that is folded has any */
  pith_error *error;
} folding;

static bool can_fold(const pith_program *program, const pith_step *step) {
  size_t count;
  for (uint32_t j = 0; j < step->input_count; j++) {
    if (step->inputs[j] == PITH_NONE)
      continue;
    const pith_value *value = &program->values[step->inputs[j]];
    if (value->kind != PITH_VALUE_DATA || value->data == NULL || value->data_transposed ||
        !pith_value_get_constant_count(value, &count))
      return false;
  }
  for (uint32_t j = 0; j < step->output_count; j++)
    if (!pith_value_get_constant_count(&program->values[step->outputs[j]], &count))
      return false;
  return step->input_count != 0;
}

static pith_status fold_step(folding *f, pith_step *step) {
  pith_program *program = f->program;
  for (uint32_t side = 0; side < 2; side++) {
    uint32_t count = side == 0 ? step->input_count : step->output_count;
    const pith_value_id *ids = side == 0 ? step->inputs : step->outputs;
    for (uint32_t j = 0; j < count; j++) {
      if (ids[j] == PITH_NONE)
        continue;
      const pith_value *value = &program->values[ids[j]];
      pith_view *view = &f->views[ids[j]];
      size_t bytes;
      PITH_TRY(pith_value_measure(value, f->symbols, view, f->error));
      PITH_TRY(pith_value_get_bytes(value, view, &bytes, f->error));
      view->data = side == 0 ? (void *)(uintptr_t)value->data : pith_arena_array(&program->arena, bytes, 1);
      if (view->data == NULL)
        return pith_lower_no_memory(f->error);
    }
  }
  for (uint32_t i = 0; i < program->check_count; i++)
    for (uint32_t j = 0; j < step->input_count; j++)
      if (program->checks[i].value == step->inputs[j]) {
        PITH_TRY(pith_check_run(program, &program->checks[i], f->symbols, f->views, f->error));
        break;
      }
  const pith_kernel *kernel = step->row->kernels[0];
  void *args = pith_arena_array(&f->temporary, step->row->args_bytes, 1);
  if (args == NULL)
    return pith_lower_no_memory(f->error);
  step->row->bind(program, step, f->views, args);
  size_t scratch_bytes = kernel->get_scratch_bytes == NULL ? 0 : kernel->get_scratch_bytes(args);
  void *scratch = pith_arena_array(&f->temporary, scratch_bytes < 64 ? 64 : scratch_bytes, 1);
  if (scratch == NULL)
    return pith_lower_no_memory(f->error);
  uint32_t saved = pith_cpu_enter_float();
  pith_kernel_run_all(kernel, args, scratch);
  pith_cpu_leave_float(saved);
  for (uint32_t j = 0; j < step->output_count; j++) {
    pith_value *value = &program->values[step->outputs[j]];
    value->kind = PITH_VALUE_DATA;
    value->data = f->views[step->outputs[j]].data;
    value->data_layout = PITH_LAYOUT_ROW_MAJOR;
  }
  step->row = NULL;
  return PITH_OK;
}

static pith_status fold(folding *f) {
  pith_program *program = f->program;
  for (uint32_t i = 0; i < program->step_count; i++) {
    if (!can_fold(program, &program->steps[i]))
      continue;
    if (f->views == NULL) {
      f->views = PITH_ARENA_NEW(&f->temporary, pith_view, program->value_count);
      f->symbols = PITH_ARENA_NEW(&f->temporary, int64_t, program->graph->symbol_count);
      if (f->views == NULL || f->symbols == NULL)
        return pith_lower_no_memory(f->error);
    }
    PITH_TRY(fold_step(f, &program->steps[i]));
  }
  return PITH_OK;
}

pith_status pith_pass_fold(pith_program *program, const pith_lower_options *options, pith_error *error) {
  folding f = {.program = program, .error = error};
  pith_arena_init(&f.temporary, options->allocator);
  pith_status status = fold(&f);
  pith_arena_deinit(&f.temporary);
  pith_program_index(program);
  return status;
}
