#include "engine/lower/bind_internal.h"
#include "ops/embedding/embedding_f32.h"
#include "ops/normalize/layer_norm_f32.h"
#include "ops/pool/pool_f32.h"

void pith_bind_embedding(const pith_program *program, const pith_step *step, const pith_view *views, void *args) {
  const pith_view *y = &views[step->outputs[0]];
  pith_embedding_f32_args *a = args;
  *a = (pith_embedding_f32_args){
      .table_count = pith_embedding_count_tables(step),
      .gamma = pith_step_input_data(step, views, PITH_EMBEDDING_GAMMA),
      .beta = pith_step_input_data(step, views, PITH_EMBEDDING_BETA),
      .epsilon = step->params.norm.epsilon,
      .y = y->data,
      .rows = y->rows,
      .features = y->columns,
      .y_stride = y->columns,
      .q = pith_bind_quantized_rows(program, step, views, 0, PITH_EMBEDDING_Q_SCALE),
      .q_factors = pith_step_input_data(step, views, PITH_EMBEDDING_Q_FACTORS),
  };
  for (uint32_t i = 0; i < a->table_count; i++) {
    a->tables[i] = views[step->inputs[pith_table_input(i, PITH_TABLE_DATA)]].data;
    a->ids[i] = views[step->inputs[pith_table_input(i, PITH_TABLE_IDS)]].data;
    a->row_scales[i] = pith_step_input_data(step, views, pith_table_input(i, PITH_TABLE_SCALES));
  }
}

const char *pith_embedding_make_title(pith_arena *arena, const pith_step *step) {
  return pith_arena_format(arena, "Embedding%s%s", step->inputs[PITH_EMBEDDING_GAMMA] == PITH_NONE ? "" : "+LayerNorm",
                           pith_rows_get_suffix(step, 0));
}

void pith_bind_layer_norm(const pith_program *program, const pith_step *step, const pith_view *views, void *args) {
  const pith_view *x = &views[step->inputs[PITH_NORM_X]];
  /* Gamma has the normalized dimensions, which may be more than the last one. */
  size_t features = pith_view_count(&views[step->inputs[PITH_NORM_GAMMA]]);
  pith_quantized_rows quantized = pith_bind_quantized_rows(program, step, views, 0, PITH_NORM_Q_SCALE);
  quantized.stride = features;
  *(pith_layer_norm_f32_args *)args = (pith_layer_norm_f32_args){
      .x = x->data,
      .residual = pith_step_input_data(step, views, PITH_NORM_RESIDUAL),
      .gamma = pith_step_input_data(step, views, PITH_NORM_GAMMA),
      .beta = pith_step_input_data(step, views, PITH_NORM_BETA),
      .y = views[step->outputs[0]].data,
      .rows = features == 0 ? 0 : pith_view_count(x) / features,
      .features = features,
      .x_stride = features,
      .residual_stride = features,
      .y_stride = features,
      .epsilon = step->params.norm.epsilon,
      .q = quantized,
      .q_factors = pith_step_input_data(step, views, PITH_NORM_Q_FACTORS),
  };
}

const char *pith_layer_norm_make_title(pith_arena *arena, const pith_step *step) {
  return pith_arena_format(arena, "%s%s%s", step->row->name, step->inputs[PITH_NORM_RESIDUAL] == PITH_NONE ? "" : "+Residual",
                           pith_rows_get_suffix(step, 0));
}

void pith_bind_lp_norm(const pith_program *program, const pith_step *step, const pith_view *views, void *args) {
  (void)program;
  const pith_view *x = &views[step->inputs[0]];
  *(pith_lp_norm_f32_args *)args = (pith_lp_norm_f32_args){
      .x = x->data,
      .y = views[step->outputs[0]].data,
      .rows = x->rows,
      .features = x->columns,
      .x_stride = x->columns,
      .y_stride = x->columns,
      .p = step->params.norm.p,
      .epsilon = step->params.norm.epsilon,
  };
}

void pith_bind_softmax(const pith_program *program, const pith_step *step, const pith_view *views, void *args) {
  (void)program;
  const pith_view *x = &views[step->inputs[0]];
  *(pith_softmax_f32_args *)args = (pith_softmax_f32_args){
      .x = x->data,
      .y = views[step->outputs[0]].data,
      .rows = x->rows,
      .features = x->columns,
      .x_stride = x->columns,
      .y_stride = x->columns,
  };
}

void pith_bind_pool(const pith_program *program, const pith_step *step, const pith_view *views, void *args) {
  (void)program;
  const pith_view *x = &views[step->inputs[0]], *offsets = &views[step->inputs[1]];
  *(pith_pool_f32_args *)args = (pith_pool_f32_args){
      .x = x->data,
      .x_stride = x->columns,
      .offsets = offsets->data,
      .sequences = pith_view_sequences(offsets),
      .features = x->columns,
      .y = views[step->outputs[0]].data,
      .y_stride = x->columns,
      .mode = (pith_pool_mode)step->params.pool.mode,
  };
}

void pith_bind_positions(const pith_program *program, const pith_step *step, const pith_view *views, void *args) {
  (void)program;
  const pith_view *offsets = &views[step->inputs[0]];
  *(pith_positions_args *)args = (pith_positions_args){
      .offsets = offsets->data,
      .ids = pith_step_input_data(step, views, 1),
      .positions = views[step->outputs[0]].data,
      .sequences = pith_view_sequences(offsets),
      .start = step->params.positions.start,
      .padding_id = step->params.positions.padding_id,
  };
}
