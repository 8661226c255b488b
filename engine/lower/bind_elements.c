#include "engine/lower/bind_internal.h"
#include "ops/copy/copy.h"
#include "ops/elementwise/elementwise_f32.h"

void pith_bind_unary(const pith_program *program, const pith_step *step, const pith_view *views, void *args) {
  (void)program;
  const pith_view *x = &views[step->inputs[0]];
  *(pith_unary_f32_args *)args = (pith_unary_f32_args){
      .x = x->data,
      .y = views[step->outputs[0]].data,
      .count = pith_view_count(x),
      .function = (pith_unary)step->params.elementwise.function,
  };
}

const char *pith_unary_make_title(pith_arena *arena, const pith_step *step) {
  static const char *const names[PITH_UNARY_COUNT] = {
      [PITH_UNARY_RELU] = "Relu", [PITH_UNARY_GELU] = "Gelu",       [PITH_UNARY_GELU_TANH] = "GeluTanh",
      [PITH_UNARY_TANH] = "Tanh", [PITH_UNARY_SIGMOID] = "Sigmoid", [PITH_UNARY_ERF] = "Erf",
  };
  (void)arena;
  return names[step->params.elementwise.function];
}

void pith_bind_binary(const pith_program *program, const pith_step *step, const pith_view *views, void *args) {
  (void)program;
  const bool *repeat_rows = step->params.elementwise.repeat_rows;
  const bool *repeat_columns = step->params.elementwise.repeat_columns;
  const pith_view *operands[2] = {&views[step->inputs[0]], &views[step->inputs[1]]};
  const pith_view *y = &views[step->outputs[0]];
  /* An operand that repeats over rows only has one row's elements; one that repeats over columns only, one column's. */
  size_t count = pith_view_count(y), rows = 1;
  for (int i = 0; i < 2 && count != 0; i++)
    if (repeat_rows[i] != repeat_columns[i])
      rows = repeat_rows[i] ? count / pith_view_count(operands[i]) : pith_view_count(operands[i]);
  size_t columns = count / rows;
  *(pith_binary_f32_args *)args = (pith_binary_f32_args){
      .a = operands[0]->data,
      .b = operands[1]->data,
      .y = y->data,
      .rows = count == 0 ? 0 : rows,
      .columns = columns,
      .a_row_stride = repeat_rows[0] ? 0 : repeat_columns[0] ? 1 : columns,
      .a_column_stride = repeat_columns[0] ? 0 : 1,
      .b_row_stride = repeat_rows[1] ? 0 : repeat_columns[1] ? 1 : columns,
      .b_column_stride = repeat_columns[1] ? 0 : 1,
      .function = (pith_binary)step->params.elementwise.function,
  };
}

const char *pith_binary_make_title(pith_arena *arena, const pith_step *step) {
  static const char *const names[PITH_BINARY_COUNT] = {
      [PITH_BINARY_ADD] = "Add",
      [PITH_BINARY_SUB] = "Sub",
      [PITH_BINARY_MUL] = "Mul",
      [PITH_BINARY_DIV] = "Div",
  };
  (void)arena;
  return names[step->params.elementwise.function];
}

void pith_bind_gather(const pith_program *program, const pith_step *step, const pith_view *views, void *args) {
  const pith_view *x = &views[step->inputs[0]], *indices = &views[step->inputs[1]];
  size_t inner = step->params.gather.inner, axis = step->params.gather.axis, outer = 1;
  if (axis == 0)
    axis = inner == 0 ? 0 : pith_view_count(x) / inner;
  else
    outer = inner == 0 ? 0 : pith_view_count(x) / axis / inner;
  *(pith_gather_args *)args = (pith_gather_args){
      .x = x->data,
      .indices = indices->data,
      .y = views[step->outputs[0]].data,
      .outer = outer,
      .axis = axis,
      .inner_bytes = inner * pith_dtype_get_info(program->values[step->inputs[0]].dtype)->bits / 8,
      .count = pith_view_count(indices),
      .index_bytes = (int)pith_dtype_get_info(program->values[step->inputs[1]].dtype)->bits / 8,
  };
}

pith_number pith_number_of(pith_dtype dtype) {
  static const pith_number numbers[PITH_DTYPE_COUNT] = {
      [PITH_DTYPE_F64] = PITH_NUMBER_F64, [PITH_DTYPE_F32] = PITH_NUMBER_F32,   [PITH_DTYPE_F16] = PITH_NUMBER_F16,
      [PITH_DTYPE_BF16] = PITH_NUMBER_BF16, [PITH_DTYPE_S64] = PITH_NUMBER_S64, [PITH_DTYPE_S32] = PITH_NUMBER_S32,
      [PITH_DTYPE_S8] = PITH_NUMBER_S8,   [PITH_DTYPE_U8] = PITH_NUMBER_U8,     [PITH_DTYPE_BOOL] = PITH_NUMBER_BOOL,
  };
  return numbers[dtype];
}

void pith_bind_cast(const pith_program *program, const pith_step *step, const pith_view *views, void *args) {
  const pith_view *x = &views[step->inputs[0]];
  *(pith_cast_args *)args = (pith_cast_args){
      .x = x->data,
      .y = views[step->outputs[0]].data,
      .count = pith_view_count(x),
      .from = pith_number_of(program->values[step->inputs[0]].dtype),
      .to = pith_number_of(program->values[step->outputs[0]].dtype),
  };
}

void pith_bind_transpose(const pith_program *program, const pith_step *step, const pith_view *views, void *args) {
  const pith_view *x = &views[step->inputs[0]];
  *(pith_transpose_args *)args = (pith_transpose_args){
      .x = x->data,
      .y = views[step->outputs[0]].data,
      .rows = x->rows,
      .columns = x->columns,
      .element_bytes = pith_dtype_get_info(program->values[step->inputs[0]].dtype)->bits / 8,
  };
}
