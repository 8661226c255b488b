/* Rewrites that bring different spellings to one form, so that fusion matches meanings. */
#include <math.h>

#include "engine/lower/lower_internal.h"
#include "ops/elementwise/elementwise_f32.h"
#include "ops/gemm/gemm_f32.h"

/* Cast to the same dtype: its readers read its input. */
pith_status pith_rewrite_IDENTITY(pith_program *program, pith_error *error) {
  pith_value_id *now = PITH_ARENA_NEW(&program->arena, pith_value_id, program->value_count);
  if (now == NULL)
    return pith_lower_no_memory(error);
  for (uint32_t v = 0; v < program->value_count; v++)
    now[v] = v;
  for (uint32_t i = 0; i < program->step_count; i++) {
    pith_step *step = &program->steps[i];
    for (uint32_t j = 0; j < step->input_count; j++)
      if (step->inputs[j] != PITH_NONE)
        step->inputs[j] = now[step->inputs[j]];
    if (step->row->kind != PITH_STEP_CAST ||
        program->values[step->inputs[0]].dtype != program->values[step->outputs[0]].dtype)
      continue;
    now[step->outputs[0]] = step->inputs[0];
    step->row = NULL;
  }
  for (uint32_t i = 0; i < program->output_count; i++)
    program->outputs[i] = now[program->outputs[i]];
  for (uint32_t i = 0; i < program->check_count; i++) {
    program->checks[i].value = now[program->checks[i].value];
    program->checks[i].of = now[program->checks[i].of];
  }
  return PITH_OK;
}

pith_status pith_rewrite_BIAS(pith_program *program, pith_error *error) {
  (void)error;
  for (uint32_t i = 0; i < program->step_count; i++) {
    pith_step *add = &program->steps[i];
    if (add->row == NULL || add->row->kind != PITH_STEP_BINARY ||
        add->params.elementwise.function != PITH_BINARY_ADD)
      continue;
    for (uint32_t side = 0; side < 2; side++) {
      pith_value_id bias = add->inputs[1 - side];
      pith_step *gemm = pith_program_sole_producer(program, add->inputs[side], PITH_STEP_GEMM);
      if (gemm == NULL || !pith_value_is_data(program, bias) || pith_gemm_count_segments(gemm) != 1 ||
          gemm->inputs[pith_segment_input(0, PITH_SEGMENT_BIAS)] != PITH_NONE || gemm->inputs[PITH_GEMM_RESIDUAL] != PITH_NONE ||
          gemm->params.gemm.activation != PITH_ACTIVATION_NONE ||
          !pith_value_same_shape(program, add->inputs[side], add->outputs[0]))
        continue;
      const pith_value *y = &program->values[add->outputs[0]], *value = &program->values[bias];
      size_t count;
      if (value->rank == 0 || !pith_dim_equal(&value->dims[value->rank - 1], &y->dims[y->rank - 1]) ||
          !pith_value_get_constant_count(value, &count) || count != (size_t)y->dims[y->rank - 1].constant)
        continue;
      gemm->inputs[pith_segment_input(0, PITH_SEGMENT_BIAS)] = bias;
      gemm->outputs[0] = add->outputs[0];
      program->values[add->outputs[0]].producer = (uint32_t)(gemm - program->steps);
      add->row = NULL;
      break;
    }
  }
  return PITH_OK;
}

/* ---- GELU by its formula -------------------------------------------------------------------------------------- */

static bool is_near(float value, double wanted) {
  return fabs((double)value - wanted) <= 1e-6 * wanted;
}

static bool is_binary(const pith_step *step, pith_binary function) {
  return step != NULL && step->row != NULL && step->row->kind == PITH_STEP_BINARY &&
         step->params.elementwise.function == (int)function;
}

/* The step that alone reads `value`, found from `begin` on. */
static pith_step *find_sole_reader(pith_program *program, pith_value_id value, uint32_t begin) {
  if (program->values[value].use_count != 1 || program->values[value].last_user == PITH_NONE)
    return NULL;
  uint32_t reader = program->values[value].last_user;
  return reader >= begin && program->steps[reader].row != NULL ? &program->steps[reader] : NULL;
}

static pith_value_id other_operand(const pith_step *step, pith_value_id value) {
  return step->inputs[0] == value ? step->inputs[1] : step->inputs[0];
}

/* erf's input is x / sqrt 2: returns x. */
static pith_value_id match_scaled(pith_program *program, pith_value_id erf_input) {
  pith_step *div = pith_program_sole_producer(program, erf_input, PITH_STEP_BINARY);
  float number;
  if (is_binary(div, PITH_BINARY_DIV) && pith_value_get_scalar(program, div->inputs[1], &number) &&
      is_near(number, 1.4142135623730951))
    return div->inputs[0];
  if (is_binary(div, PITH_BINARY_MUL))
    for (uint32_t side = 0; side < 2; side++)
      if (pith_value_get_scalar(program, div->inputs[side], &number) && is_near(number, 0.7071067811865476))
        return div->inputs[1 - side];
  return PITH_NONE;
}

/* The product of `value`, x and 1/2, in whatever order: returns the last step of it. Steps on the way go to `gone`. */
static pith_step *match_product(pith_program *program, pith_value_id value, pith_value_id x, uint32_t begin,
                                pith_step *gone[3], uint32_t *gone_count) {
  bool have_x = false, have_half = false;
  float number;
  pith_step *last = NULL;
  while (!have_x || !have_half) {
    pith_step *mul = find_sole_reader(program, value, begin), *half;
    if (!is_binary(mul, PITH_BINARY_MUL))
      return NULL;
    pith_value_id other = other_operand(mul, value);
    if (!have_x && other == x) {
      have_x = true;
    } else if (!have_half && pith_value_get_scalar(program, other, &number) && number == 0.5f) {
      have_half = true;
    } else if (!have_x && !have_half &&
               is_binary(half = pith_program_sole_producer(program, other, PITH_STEP_BINARY), PITH_BINARY_MUL) &&
               (half->inputs[0] == x || half->inputs[1] == x) &&
               pith_value_get_scalar(program, other_operand(half, x), &number) && number == 0.5f) {
      have_x = have_half = true;
      gone[(*gone_count)++] = half;
    } else {
      return NULL;
    }
    if (last != NULL)
      gone[(*gone_count)++] = last;
    last = mul;
    value = mul->outputs[0];
  }
  return last;
}

pith_status pith_rewrite_GELU(pith_program *program, pith_error *error) {
  (void)error;
  for (uint32_t i = 0; i < program->step_count; i++) {
    pith_step *erf = &program->steps[i];
    if (erf->row == NULL || erf->row->kind != PITH_STEP_UNARY ||
        erf->params.elementwise.function != PITH_UNARY_ERF)
      continue;
    pith_value_id x = match_scaled(program, erf->inputs[0]);
    pith_step *add = x == PITH_NONE ? NULL : find_sole_reader(program, erf->outputs[0], i), *gone[3];
    float one;
    uint32_t gone_count = 0;
    if (!is_binary(add, PITH_BINARY_ADD) ||
        !pith_value_get_scalar(program, other_operand(add, erf->outputs[0]), &one) || one != 1.0f)
      continue;
    pith_step *last = match_product(program, add->outputs[0], x, i, gone, &gone_count);
    if (last == NULL || !pith_value_same_shape(program, x, last->outputs[0]))
      continue;
    program->steps[program->values[erf->inputs[0]].producer].row = NULL;
    erf->row = add->row = NULL;
    for (uint32_t j = 0; j < gone_count; j++)
      gone[j]->row = NULL;
    last->row = pith_step_row_get(PITH_STEP_UNARY);
    last->params.elementwise.function = PITH_UNARY_GELU;
    last->input_count = 1;
    last->inputs[0] = x;
    last->inputs[1] = PITH_NONE;
  }
  return PITH_OK;
}
