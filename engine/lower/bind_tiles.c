/* Steps whose activations lie in tiles. */
#include "engine/lower/bind_internal.h"
#include "ops/attention/attention_tile_u8s8.h"
#include "ops/copy/reorder.h"
#include "ops/normalize/layer_norm_tile_f32.h"
#include "ops/sparse_gemm/sparse_gemm_f32.h"
#include "ops/sparse_gemm/sparse_gemm_u8s8.h"

void pith_bind_sparse_gemm(const pith_program *program, const pith_step *step, const pith_view *views, void *args) {
  (void)program;
  const pith_view *x = &views[step->inputs[PITH_GEMM_X]];
  pith_sparse_gemm_f32_args *a = args;
  *a = (pith_sparse_gemm_f32_args){
      .x = x->data,
      .rows = x->rows,
      .k = x->columns,
      .segment_count = pith_gemm_count_segments(step),
      .activation = (pith_activation)step->params.gemm.activation,
      .residual = pith_step_input_data(step, views, PITH_GEMM_RESIDUAL),
  };
  for (uint32_t i = 0; i < a->segment_count; i++) {
    const pith_view *w = &views[step->inputs[pith_segment_input(i, PITH_SEGMENT_W)]];
    a->segments[i] = (pith_sparse_gemm_f32_segment){
        .w = w->data,
        .bias = pith_step_input_data(step, views, pith_segment_input(i, PITH_SEGMENT_BIAS)),
        .y = views[step->outputs[pith_segment_output(i, PITH_ROWS_Y)]].data,
        .n = w->rows,
    };
  }
}

static pith_quantized_tiles bind_tiles(const pith_program *program, const pith_step *step, const pith_view *views,
                                       uint32_t outputs, uint32_t scale) {
  const pith_quantized_rows rows = pith_bind_quantized_rows(program, step, views, outputs, scale);
  if (pith_step_output(step, views, outputs + PITH_ROWS_Q) == NULL)
    return (pith_quantized_tiles){.q = NULL};
  return (pith_quantized_tiles){
      .q = rows.q,
      .layout = program->values[step->outputs[outputs + PITH_ROWS_Q]].layout,
      .type = rows.type,
      .scale = rows.scale,
      .zero = rows.zero,
      .row_scale = rows.row_scale,
      .row_zero = rows.row_zero,
  };
}

void pith_bind_sparse_integer_gemm(const pith_program *program, const pith_step *step, const pith_view *views,
                                   void *args) {
  const pith_view *x = &views[step->inputs[PITH_GEMM_X]];
  const pith_view *x_zero = pith_step_input(step, views, PITH_GEMM_X_ZERO);
  const pith_value *first = &program->values[step->inputs[pith_segment_input(0, PITH_SEGMENT_W)]];
  pith_sparse_gemm_u8s8_args *a = args;
  *a = (pith_sparse_gemm_u8s8_args){
      .form = pith_layout_get_sparse_form(first->data_layout),
      .x = x->data,
      .rows = x->rows,
      .k = x->columns,
      .x_scale = views[step->inputs[PITH_GEMM_X_SCALE]].data,
      .x_zero = x_zero == NULL ? &pith_bind_zero_point : x_zero->data,
      .x_per_row = program->values[step->inputs[PITH_GEMM_X_SCALE]].kind != PITH_VALUE_DATA,
      .q_per_row = pith_step_output(step, views, PITH_ROWS_SCALE) != NULL, /* one segment then */
      .segment_count = pith_gemm_count_segments(step),
      .activation = (pith_activation)step->params.gemm.activation,
      .residual = pith_step_input_data(step, views, PITH_GEMM_RESIDUAL),
  };
  for (uint32_t i = 0; i < a->segment_count; i++) {
    const pith_view *w = &views[step->inputs[pith_segment_input(i, PITH_SEGMENT_W)]];
    const pith_view *y = pith_step_output(step, views, pith_segment_output(i, PITH_ROWS_Y));
    a->segments[i] = (pith_sparse_gemm_u8s8_segment){
        .w = w->data,
        .w_scale = views[step->inputs[pith_segment_input(i, PITH_SEGMENT_W_SCALE)]].data,
        .bias = pith_step_input_data(step, views, pith_segment_input(i, PITH_SEGMENT_BIAS)),
        .n = w->rows,
        .y = y == NULL ? NULL : y->data,
        .q = bind_tiles(program, step, views, pith_segment_output(i, 0), pith_segment_input(i, PITH_SEGMENT_Q_SCALE)),
    };
  }
}

void pith_bind_tile_layer_norm(const pith_program *program, const pith_step *step, const pith_view *views, void *args) {
  const pith_view *x = &views[step->inputs[PITH_NORM_X]];
  *(pith_layer_norm_tile_f32_args *)args = (pith_layer_norm_tile_f32_args){
      .x = x->data,
      .residual = pith_step_input_data(step, views, PITH_NORM_RESIDUAL),
      .gamma = pith_step_input_data(step, views, PITH_NORM_GAMMA),
      .beta = pith_step_input_data(step, views, PITH_NORM_BETA),
      .y = views[step->outputs[PITH_ROWS_Y]].data,
      .rows = x->rows,
      .features = x->columns,
      .epsilon = step->params.norm.epsilon,
      .q = bind_tiles(program, step, views, 0, PITH_NORM_Q_SCALE),
      .q_factors = pith_step_input_data(step, views, PITH_NORM_Q_FACTORS),
  };
}

void pith_bind_tile_integer_attention(const pith_program *program, const pith_step *step, const pith_view *views,
                                      void *args) {
  const pith_view *q = &views[step->inputs[PITH_ATTENTION_Q]], *v = &views[step->inputs[PITH_ATTENTION_V]];
  const pith_view *y = pith_step_output(step, views, PITH_ROWS_Y);
  const pith_view *q_offsets = &views[step->inputs[PITH_ATTENTION_Q_OFFSETS]];
  const pith_view *kv_offsets = &views[step->inputs[PITH_ATTENTION_KV_OFFSETS]];
  const pith_view *q_zero = pith_step_input(step, views, PITH_ATTENTION_Q_ZERO);
  const size_t heads = (size_t)step->params.attention.heads;
  *(pith_attention_tile_u8s8_args *)args = (pith_attention_tile_u8s8_args){
      .q = q->data,
      .k = views[step->inputs[PITH_ATTENTION_K]].data,
      .v = v->data,
      .q_scale = pith_step_input_data(step, views, PITH_ATTENTION_Q_SCALE),
      .k_scale = pith_step_input_data(step, views, PITH_ATTENTION_K_SCALE),
      .v_scale = pith_step_input_data(step, views, PITH_ATTENTION_V_SCALE),
      .q_zero = q_zero == NULL ? &pith_bind_zero_point : q_zero->data,
      .y = y == NULL ? NULL : y->data,
      .y_q = bind_tiles(program, step, views, 0, PITH_ATTENTION_Y_SCALE),
      .q_offsets = q_offsets->data,
      .kv_offsets = kv_offsets->data,
      .sequences = pith_view_sequences(q_offsets),
      .heads = heads,
      .head_size = q->columns / heads,
      .value_size = v->columns / heads,
      .scale = step->params.attention.scale,
      .causal = step->params.attention.causal,
      .max_keys = kv_offsets->longest,
  };
}

void pith_bind_reorder(const pith_program *program, const pith_step *step, const pith_view *views, void *args) {
  const pith_value *x = &program->values[step->inputs[0]], *y = &program->values[step->outputs[0]];
  const pith_view *view = &views[step->inputs[0]];
  *(pith_reorder_args *)args = (pith_reorder_args){
      .x = view->data,
      .y = views[step->outputs[0]].data,
      .rows = view->rows,
      .features = view->columns,
      .element_bytes = pith_dtype_get_info(x->dtype)->bits / 8,
      .from = x->layout,
      .to = y->layout,
  };
}
