#include "engine/lower/bind_internal.h"
#include "ops/quantize/quantize.h"

/* How rows, features and scales lie. With a scale for each index of the first dimension, all behind that is one row. */
typedef struct scale_view {
  size_t rows, features, row_step, step, block;
} scale_view;

static scale_view make_scale_view(const pith_step *step, const pith_view *x, const pith_view *scale) {
  scale_view view = {x->rows, x->columns, 0, 0, x->columns == 0 ? 1 : x->columns};
  switch (step->params.quantize.scales) {
  case PITH_SCALE_TENSOR:
    break;
  case PITH_SCALE_ROW:
    view.rows = pith_view_count(scale);
    view.features = view.rows == 0 ? 0 : pith_view_count(x) / view.rows;
    view.block = view.features == 0 ? 1 : view.features;
    view.row_step = 1;
    break;
  case PITH_SCALE_COLUMN:
    view.step = 1;
    view.block = 1;
    break;
  case PITH_SCALE_BLOCK:
    view.row_step = scale->columns;
    view.step = 1;
    view.block = step->params.quantize.block;
    break;
  }
  return view;
}

void pith_bind_quantize(const pith_program *program, const pith_step *step, const pith_view *views, void *args) {
  const pith_view *x = &views[step->inputs[PITH_QUANTIZE_X]], *scale = &views[step->inputs[PITH_QUANTIZE_SCALE]];
  const scale_view view = make_scale_view(step, x, scale);
  *(pith_quantize_args *)args = (pith_quantize_args){
      .x = x->data,
      .x_stride = view.features,
      .rows = view.rows,
      .features = view.features,
      .scale = scale->data,
      .zero = pith_step_input_data(step, views, PITH_QUANTIZE_ZERO),
      .scale_row_step = view.row_step,
      .scale_step = view.step,
      .block = view.block,
      .type = pith_number_of(program->values[step->outputs[0]].dtype),
      .q = views[step->outputs[0]].data,
      .q_stride = view.features,
  };
}

void pith_bind_dequantize(const pith_program *program, const pith_step *step, const pith_view *views, void *args) {
  const pith_view *q = &views[step->inputs[PITH_QUANTIZE_X]], *scale = &views[step->inputs[PITH_QUANTIZE_SCALE]];
  const scale_view view = make_scale_view(step, q, scale);
  *(pith_dequantize_args *)args = (pith_dequantize_args){
      .q = q->data,
      .q_stride = view.features,
      .rows = view.rows,
      .features = view.features,
      .scale = scale->data,
      .zero = pith_step_input_data(step, views, PITH_QUANTIZE_ZERO),
      .scale_row_step = view.row_step,
      .scale_step = view.step,
      .block = view.block,
      .type = pith_number_of(program->values[step->inputs[PITH_QUANTIZE_X]].dtype),
      .y = views[step->outputs[0]].data,
      .y_stride = view.features,
  };
}

void pith_bind_dynamic_quantize(const pith_program *program, const pith_step *step, const pith_view *views,
                                void *args) {
  const pith_view *x = &views[step->inputs[PITH_DYNAMIC_QUANTIZE_X]];
  const pith_view *offsets = pith_step_input(step, views, PITH_DYNAMIC_QUANTIZE_OFFSETS);
  *(pith_dynamic_quantize_args *)args = (pith_dynamic_quantize_args){
      .x = x->data,
      .x_stride = x->columns,
      .rows = x->rows,
      .features = x->columns,
      .block = step->params.quantize.block,
      .offsets = offsets == NULL ? NULL : offsets->data,
      .sequences = offsets == NULL ? 0 : pith_view_sequences(offsets),
      .type = pith_number_of(program->values[step->outputs[0]].dtype),
      .q = views[step->outputs[0]].data,
      .q_stride = x->columns,
      .scale = views[step->outputs[1]].data,
      .zero = views[step->outputs[2]].data,
  };
}
