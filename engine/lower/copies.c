#include "engine/lower/lower_internal.h"

static bool serves(const pith_tensor_copy *copy, pith_cpu_set cpu) {
  for (uint32_t i = 0; i < copy->target_count; i++) {
    if (strcmp(copy->targets[i], PITH_TARGET_ANY) == 0)
      return true;
    for (unsigned bit = 0; bit < PITH_CPU_FEATURE_COUNT; bit++)
      if ((cpu >> bit & 1) != 0 && strcmp(copy->targets[i], pith_cpu_feature_text(bit)) == 0)
        return true;
  }
  return false;
}

/* Every kernel of a product reads its weights' blocks in place. */
static const pith_tensor_copy *find_copy(const pith_program *program, const pith_value *value, pith_layout layout) {
  if (value->kind != PITH_VALUE_DATA || value->data_layout != PITH_LAYOUT_ROW_MAJOR ||
      value->tensor == NULL || value->changes)
    return NULL;
  for (uint32_t i = 0; i < value->tensor->copy_count; i++) {
    const pith_tensor_copy *copy = &value->tensor->copies[i];
    if (copy->layout == layout && copy->transposed == value->data_transposed &&
        serves(copy, program->cpu))
      return copy;
  }
  return NULL;
}

/* The operand becomes a value of its own: what else reads the weight (a tied embedding) goes on
 * reading it as it is. */
pith_status pith_pass_copies(pith_program *program, const pith_lower_options *options,
                             pith_error *error) {
  (void)options;
  bool changed = false;
  for (uint32_t i = 0; i < program->step_count; i++) {
    pith_step *step = &program->steps[i];
    for (uint32_t j = 0; j < step->input_count; j++) {
      if (!pith_step_is_weight(step, j))
        continue;
      const pith_value source = program->values[step->inputs[j]];
      const pith_tensor_copy *copy = find_copy(program, &source, pith_step_get_weight_layout(step));
      if (copy == NULL)
        continue;
      pith_value_id id;
      pith_value *value = pith_program_add_value(program, &id);
      if (value == NULL)
        return pith_lower_no_memory(error);
      value->name = source.name;
      value->kind = PITH_VALUE_DATA;
      value->dtype = source.dtype;
      value->rank = source.rank;
      value->dims = source.dims;
      value->layout = source.layout;
      value->data = copy->data;
      value->data_layout = copy->layout;
      step->inputs[j] = id;
      changed = true;
    }
  }
  if (changed)
    pith_program_index(program);
  return PITH_OK;
}
