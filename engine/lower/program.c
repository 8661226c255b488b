#include "engine/lower/program.h"

#include <stdint.h>

/* Room for one more in an array of the arena: grown by half, the old copy stays behind in the arena. */
static bool reserve(pith_arena *arena, void **array, uint32_t count, uint32_t *capacity, size_t element_bytes) {
  if (count < *capacity)
    return true;
  if (*capacity > UINT32_MAX / 2)
    return false;
  uint32_t grown = *capacity + *capacity / 2 + 8;
  void *fresh = pith_arena_array(arena, grown, element_bytes);
  if (fresh == NULL)
    return false;
  if (count != 0)
    memcpy(fresh, *array, count * element_bytes);
  *array = fresh;
  *capacity = grown;
  return true;
}

pith_value *pith_program_add_value(pith_program *program, pith_value_id *out_id) {
  void *values = program->values;
  if (!reserve(&program->arena, &values, program->value_count, &program->value_capacity, sizeof(pith_value)))
    return NULL;
  program->values = values;
  *out_id = program->value_count++;
  pith_value *value = &program->values[*out_id];
  *value = (pith_value){.pack = PITH_NONE, .root = *out_id, .producer = PITH_NONE, .last_user = PITH_NONE};
  return value;
}

pith_step *pith_program_add_step(pith_program *program, pith_step_kind kind, const char *name) {
  return pith_program_add_row(program, pith_step_row_get(kind), name);
}

pith_step *pith_program_add_row(pith_program *program, const pith_step_row *row, const char *name) {
  void *steps = program->steps;
  if (!reserve(&program->arena, &steps, program->step_count, &program->step_capacity, sizeof(pith_step)))
    return NULL;
  program->steps = steps;
  pith_step *step = &program->steps[program->step_count++];
  *step = (pith_step){.name = name, .row = row, .output_count = 1};
  for (int i = 0; i < PITH_STEP_MAX_INPUTS; i++)
    step->inputs[i] = PITH_NONE;
  for (int i = 0; i < PITH_STEP_MAX_OUTPUTS; i++)
    step->outputs[i] = PITH_NONE;
  return step;
}

pith_status pith_program_add_check(pith_program *program, const pith_check *check, pith_error *error) {
  void *checks = program->checks;
  for (uint32_t i = 0; i < program->check_count; i++) {
    const pith_check *have = &program->checks[i];
    if (have->kind == check->kind && have->value == check->value && have->of == check->of && have->axis == check->axis &&
        have->run == check->run)
      return PITH_OK;
  }
  if (!reserve(&program->arena, &checks, program->check_count, &program->check_capacity, sizeof(pith_check)))
    return pith_fail(error, PITH_OUT_OF_MEMORY, "no memory for the checks on inputs");
  program->checks = checks;
  program->checks[program->check_count++] = *check;
  return PITH_OK;
}

void pith_program_index(pith_program *program) {
  uint32_t kept = 0;
  for (uint32_t i = 0; i < program->step_count; i++)
    if (program->steps[i].row != NULL)
      program->steps[kept++] = program->steps[i];
  program->step_count = kept;
  for (uint32_t v = 0; v < program->value_count; v++) {
    program->values[v].producer = program->values[v].last_user = PITH_NONE;
    program->values[v].use_count = 0;
    program->values[v].checked = false;
  }
  for (uint32_t i = 0; i < program->step_count; i++) {
    const pith_step *step = &program->steps[i];
    for (uint32_t j = 0; j < step->input_count; j++)
      if (step->inputs[j] != PITH_NONE) {
        program->values[step->inputs[j]].use_count++;
        program->values[step->inputs[j]].last_user = i;
      }
    for (uint32_t j = 0; j < step->output_count; j++)
      if (step->outputs[j] != PITH_NONE)
        program->values[step->outputs[j]].producer = i;
  }
  kept = 0;
  for (uint32_t i = 0; i < program->check_count; i++)
    if (program->values[program->checks[i].value].use_count != 0) {
      program->values[program->checks[i].value].checked = true;
      program->checks[kept++] = program->checks[i];
    }
  program->check_count = kept;
  for (uint32_t i = 0; i < program->output_count; i++)
    program->values[program->outputs[i]].use_count++;
}

pith_step *pith_program_sole_producer(pith_program *program, pith_value_id value, pith_step_kind kind) {
  if (value == PITH_NONE || program->values[value].kind != PITH_VALUE_BUFFER ||
      program->values[value].use_count != 1 || program->values[value].producer == PITH_NONE)
    return NULL;
  pith_step *step = &program->steps[program->values[value].producer];
  return step->row != NULL && step->row->kind == kind ? step : NULL;
}

pith_status pith_value_measure(const pith_value *value, const int64_t *symbols, pith_view *out_view,
                               pith_error *error) {
  size_t rows = 1, columns = 1;
  for (uint32_t i = 0; i < value->rank; i++) {
    int64_t size;
    PITH_TRY(pith_dim_evaluate(&value->dims[i], symbols, &size, error));
    if (i + 1 == value->rank)
      columns = (size_t)size;
    else if (!pith_size_multiply(rows, (size_t)size, &rows))
      return pith_fail(error, PITH_LIMIT, "%s: its dimensions overflow", value->name);
  }
  size_t count;
  if (!pith_size_multiply(rows, columns, &count) || count > SIZE_MAX / 64)
    return pith_fail(error, PITH_LIMIT, "%s: its dimensions overflow", value->name);
  *out_view = (pith_view){.rows = rows, .columns = columns};
  return PITH_OK;
}

bool pith_value_get_constant_count(const pith_value *value, size_t *out_count) {
  size_t count = 1;
  for (uint32_t i = 0; i < value->rank; i++)
    if (!pith_dim_is_constant(&value->dims[i]) || value->dims[i].constant < 0 ||
        !pith_size_multiply(count, (size_t)value->dims[i].constant, &count))
      return false;
  *out_count = count;
  return true;
}

/* The elements that pith_activation_count would give, where they can be counted. */
static bool count_elements(const pith_value *value, const pith_view *view, size_t *out_count) {
  size_t rows = view->rows, columns = view->columns;
  if (value->layout != PITH_ACTIVATION_LAYOUT_ROW_MAJOR &&
      (!pith_size_add(rows, PITH_TILE_TOKENS, &rows) || !pith_size_add(columns, 4, &columns)))
    return false;
  if (!pith_size_multiply(rows, columns, out_count))
    return false;
  *out_count = pith_activation_count(value->layout, view->rows, view->columns);
  return true;
}

pith_status pith_value_get_bytes(const pith_value *value, const pith_view *view, size_t *out_bytes,
                                 pith_error *error) {
  size_t count, bits;
  if (!count_elements(value, view, &count) ||
      !pith_size_multiply(count, pith_dtype_get_info(value->dtype)->bits, &bits) || bits > SIZE_MAX / 2)
    return pith_fail(error, PITH_LIMIT, "%s: its size overflows", value->name);
  *out_bytes = (bits + 7) / 8;
  return PITH_OK;
}

pith_status pith_check_run(const pith_program *program, const pith_check *check, const int64_t *symbols,
                           pith_view *views, pith_error *error) {
  if (check->kind == PITH_CHECK_EXTENSION)
    return check->run(program, check, views, error);
  const pith_value *value = &program->values[check->value], *of = &program->values[check->of];
  pith_view *view = &views[check->value];
  size_t count = pith_view_count(view);
  int64_t bound;
  PITH_TRY(pith_dim_evaluate(&of->dims[check->axis], symbols, &bound, error));
  bool wide = value->dtype == PITH_DTYPE_S64;
  const int32_t *narrow_data = view->data;
  const int64_t *wide_data = view->data;
#define ELEMENT(i) (wide ? wide_data[i] : narrow_data[i])
  if (check->kind == PITH_CHECK_INDICES) {
    for (size_t i = 0; i < count; i++)
      if (ELEMENT(i) < 0 || ELEMENT(i) >= bound)
        return pith_fail(error, PITH_INVALID_ARGUMENT, "%s[%zu] is %lld, outside 0..%lld, the rows of %s", value->name,
                         i, (long long)ELEMENT(i), (long long)bound - 1, of->name);
    return PITH_OK;
  }
  if (count == 0)
    return pith_fail(error, PITH_INVALID_ARGUMENT, "%s is empty, its first element must be 0", value->name);
  if (ELEMENT(0) != 0)
    return pith_fail(error, PITH_INVALID_ARGUMENT, "%s[0] is %lld, it must be 0", value->name, (long long)ELEMENT(0));
  view->longest = 0;
  for (size_t i = 1; i < count; i++) {
    int64_t begin = ELEMENT(i - 1), end = ELEMENT(i);
    if (end <= begin)
      return pith_fail(error, PITH_INVALID_ARGUMENT, "%s[%zu] is %lld after %lld: a sequence needs at least 1 token",
                       value->name, i, (long long)end, (long long)begin);
    if (end > bound)
      return pith_fail(error, PITH_INVALID_ARGUMENT, "%s[%zu] is %lld, over the %lld rows of %s", value->name, i,
                       (long long)end, (long long)bound, of->name);
    if (program->max_sequence != 0 && (size_t)(end - begin) > program->max_sequence)
      return pith_fail(error, PITH_LIMIT, "%s: sequence %zu has %lld tokens, over the limit of %zu", value->name, i - 1,
                       (long long)(end - begin), program->max_sequence);
    if ((size_t)(end - begin) > view->longest)
      view->longest = (size_t)(end - begin);
  }
  if (ELEMENT(count - 1) != bound)
    return pith_fail(error, PITH_INVALID_ARGUMENT, "%s ends at %lld, not at the %lld rows of %s", value->name,
                     (long long)ELEMENT(count - 1), (long long)bound, of->name);
#undef ELEMENT
  return PITH_OK;
}

double pith_step_get_work(const pith_program *program, const pith_step *step) {
  double all = 0, done = 0;
  if (!step->row->is_sparse)
    return 1;
  for (uint32_t i = 0; i < pith_gemm_count_segments(step); i++) {
    const pith_value *w = &program->values[step->inputs[pith_segment_input(i, PITH_SEGMENT_W)]];
    const pith_sparse_form form = pith_layout_get_sparse_form(w->data_layout);
    const size_t n = (size_t)w->dims[0].constant, least = pith_sparse_packed_bytes(form, n, 0);
    const size_t unit = pith_sparse_packed_bytes(form, n, 1) - least;
    all += (double)n * (double)w->dims[1].constant;
    done += (double)((w->data_bytes - least) / unit) * (form == PITH_SPARSE_B4X1_F32 ? 4 : 16);
  }
  return all > 0 ? done / all : 1;
}
