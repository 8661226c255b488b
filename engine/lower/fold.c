/* Steps over data only are run once, now, by the reference kernels, which give the same bits as any other.
 *
 * What they give may take FOLD_SLACK bytes beyond the model's own data that they read: two short vectors can spread to
 * gigabytes. A step over that stays in the program. */
#include <stdint.h>

#include "engine/lower/lower_internal.h"

enum { FOLD_SLACK = 1 << 20 };

typedef struct folding {
  pith_program *program;
  pith_arena temporary, step; /* of the pass, and of one step */
  size_t read_bytes, written_bytes;
  bool *read; /* values whose bytes are in read_bytes */
  pith_view *views;
  int64_t *symbols; /* all 0: no value that is folded has any */
  pith_error *error;
} folding;

/* Weights stay quantized: in floats they would take four times the memory. Those in blocks of zeros are not checked yet. */
static bool can_fold(const pith_program *program, const pith_step *step) {
  size_t count;
  if (step->row->kind == PITH_STEP_DEQUANTIZE)
    return false;
  for (uint32_t j = 0; j < step->input_count; j++) {
    if (step->inputs[j] == PITH_NONE)
      continue;
    const pith_value *value = &program->values[step->inputs[j]];
    if (value->kind != PITH_VALUE_DATA || value->data == NULL || value->data_transposed ||
        value->changes || pith_layout_is_sparse(value->data_layout) ||
        !pith_value_get_constant_count(value, &count))
      return false;
  }
  for (uint32_t j = 0; j < step->output_count; j++)
    if (step->outputs[j] != PITH_NONE && !pith_value_get_constant_count(&program->values[step->outputs[j]], &count))
      return false;
  return step->input_count != 0;
}

/* Whether the step's outputs stay within the bound; counts them and its inputs if so. */
static bool afford(folding *f, const pith_step *step) {
  size_t written = f->written_bytes, bytes;
  for (uint32_t side = 0; side < 2; side++) {
    uint32_t count = side == 0 ? step->input_count : step->output_count;
    const pith_value_id *ids = side == 0 ? step->inputs : step->outputs;
    for (uint32_t j = 0; j < count; j++) {
      /* What a step gave is not the model's data. */
      if (ids[j] == PITH_NONE || (side == 0 && (f->read[ids[j]] || f->program->values[ids[j]].producer != PITH_NONE)))
        continue;
      const pith_value *value = &f->program->values[ids[j]];
      pith_view view;
      if (pith_value_measure(value, f->symbols, &view, NULL) != PITH_OK ||
          pith_value_get_bytes(value, &view, &bytes, NULL) != PITH_OK)
        return false;
      size_t *sum = side == 0 ? &f->read_bytes : &written;
      if (!pith_size_add(*sum, bytes, sum))
        return false;
      f->read[ids[j]] |= side == 0;
    }
  }
  if (written > FOLD_SLACK && written - FOLD_SLACK > f->read_bytes)
    return false;
  f->written_bytes = written;
  return true;
}

/* A check of this step's operands. Another reader of the same indices may look into what has no size yet. */
static bool checks_step(const pith_check *check, const pith_step *step) {
  bool value = false, of = false;
  for (uint32_t j = 0; j < step->input_count; j++) {
    value |= check->value == step->inputs[j];
    of |= check->of == step->inputs[j];
  }
  return value && of;
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
    if (checks_step(&program->checks[i], step))
      PITH_TRY(pith_check_run(program, &program->checks[i], f->symbols, f->views, f->error));
  const pith_kernel *kernel = step->row->kernels[0];
  void *args = pith_arena_array(&f->step, step->row->args_bytes, 1);
  if (args == NULL)
    return pith_lower_no_memory(f->error);
  step->row->bind(program, step, f->views, args);
  size_t scratch_bytes = kernel->get_scratch_bytes == NULL ? 0 : kernel->get_scratch_bytes(args);
  void *scratch = pith_arena_array(&f->step, scratch_bytes < 64 ? 64 : scratch_bytes, 1);
  if (scratch == NULL)
    return pith_lower_no_memory(f->error);
  uint32_t saved = pith_cpu_enter_float();
  pith_kernel_run_all(kernel, args, scratch);
  pith_cpu_leave_float(saved);
  for (uint32_t j = 0; j < step->output_count; j++) {
    if (step->outputs[j] == PITH_NONE)
      continue;
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
      f->read = PITH_ARENA_NEW(&f->temporary, bool, program->value_count);
      if (f->views == NULL || f->symbols == NULL || f->read == NULL)
        return pith_lower_no_memory(f->error);
    }
    if (!afford(f, &program->steps[i]))
      continue;
    pith_status status = fold_step(f, &program->steps[i]);
    pith_arena_deinit(&f->step);
    PITH_TRY(status);
  }
  return PITH_OK;
}

pith_status pith_pass_fold(pith_program *program, const pith_lower_options *options, pith_error *error) {
  folding f = {.program = program, .error = error};
  pith_arena_init(&f.temporary, options->allocator);
  pith_arena_init(&f.step, options->allocator);
  pith_status status = fold(&f);
  pith_arena_deinit(&f.temporary);
  pith_program_index(program);
  return status;
}
