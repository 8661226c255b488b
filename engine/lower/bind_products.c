#include <stdio.h>

#include "engine/lower/bind_internal.h"
#include "ops/attention/attention_f32.h"
#include "ops/attention/attention_u8s8.h"
#include "ops/gemm/gemm_u8s8.h"

_Static_assert((int)PITH_MAX_SEGMENTS == (int)PITH_GEMM_MAX_SEGMENTS, "segments of a step are those of a call");

static pith_gemm_form get_form(const pith_program *program, const pith_step *gemm, pith_value_id weights) {
  return program->values[weights].data_layout != PITH_LAYOUT_ROW_MAJOR ? PITH_GEMM_BLOCKS
         : gemm->params.gemm.columns                                   ? PITH_GEMM_COLUMNS
                                                                       : PITH_GEMM_ROWS;
}

void pith_bind_gemm(const pith_program *program, const pith_step *step, const pith_view *views, void *args) {
  const pith_view *x = &views[step->inputs[PITH_GEMM_X]];
  const pith_view *residual = pith_step_input(step, views, PITH_GEMM_RESIDUAL);
  pith_gemm_f32_args *a = args;
  *a = (pith_gemm_f32_args){
      .x = x->data,
      .x_stride = x->columns,
      .rows = x->rows,
      .k = x->columns,
      .segment_count = pith_gemm_count_segments(step),
      .activation = (pith_activation)step->params.gemm.activation,
      .residual = residual == NULL ? NULL : residual->data,
      .residual_stride = residual == NULL ? 0 : residual->columns,
  };
  for (uint32_t i = 0; i < a->segment_count; i++) {
    pith_value_id weights = step->inputs[pith_segment_input(i, PITH_SEGMENT_W)];
    const pith_view *y = &views[step->outputs[pith_segment_output(i, PITH_ROWS_Y)]];
    a->segments[i] = (pith_gemm_f32_segment){
        .w = views[weights].data,
        .bias = pith_step_input_data(step, views, pith_segment_input(i, PITH_SEGMENT_BIAS)),
        .y = y->data,
        .y_stride = y->columns,
        .n = y->columns,
        .form = get_form(program, step, weights),
        .w_stride = views[weights].columns,
    };
  }
}

const uint8_t pith_bind_zero_point = 0;

pith_quantized_rows pith_bind_quantized_rows(const pith_program *program, const pith_step *step,
                                             const pith_view *views, uint32_t outputs, uint32_t scale) {
  const pith_view *q = pith_step_output(step, views, outputs + PITH_ROWS_Q);
  const pith_view *row_scale = pith_step_output(step, views, outputs + PITH_ROWS_SCALE);
  const pith_view *row_zero = pith_step_output(step, views, outputs + PITH_ROWS_ZERO);
  if (q == NULL)
    return (pith_quantized_rows){.q = NULL};
  bool is_signed = program->values[step->outputs[outputs + PITH_ROWS_Q]].dtype == PITH_DTYPE_S8;
  return (pith_quantized_rows){
      .q = q->data,
      .stride = q->columns,
      .type = is_signed ? PITH_NUMBER_S8 : PITH_NUMBER_U8,
      .scale = pith_step_input_data(step, views, scale),
      .zero = is_signed ? NULL : pith_step_input_data(step, views, scale + 1),
      .row_scale = row_scale == NULL ? NULL : row_scale->data,
      .row_zero = row_zero == NULL ? NULL : row_zero->data,
  };
}

void pith_bind_integer_gemm(const pith_program *program, const pith_step *step, const pith_view *views, void *args) {
  const pith_view *x = &views[step->inputs[PITH_GEMM_X]];
  const pith_view *x_zero = pith_step_input(step, views, PITH_GEMM_X_ZERO);
  const pith_view *residual = pith_step_input(step, views, PITH_GEMM_RESIDUAL);
  pith_gemm_u8s8_args *a = args;
  *a = (pith_gemm_u8s8_args){
      .x = x->data,
      .x_stride = x->columns,
      .rows = x->rows,
      .k = x->columns,
      .x_scale = views[step->inputs[PITH_GEMM_X_SCALE]].data,
      .x_zero = x_zero == NULL ? &pith_bind_zero_point : x_zero->data,
      .x_per_row = program->values[step->inputs[PITH_GEMM_X_SCALE]].kind != PITH_VALUE_DATA,
      .q_per_row = pith_step_output(step, views, PITH_ROWS_SCALE) != NULL, /* one segment then */
      .segment_count = pith_gemm_count_segments(step),
      .activation = (pith_activation)step->params.gemm.activation,
      .residual = residual == NULL ? NULL : residual->data,
      .residual_stride = residual == NULL ? 0 : residual->columns,
  };
  for (uint32_t i = 0; i < a->segment_count; i++) {
    const pith_view *w = &views[step->inputs[pith_segment_input(i, PITH_SEGMENT_W)]];
    const pith_view *y = pith_step_output(step, views, pith_segment_output(i, PITH_ROWS_Y));
    a->segments[i] = (pith_gemm_u8s8_segment){
        .w = w->data,
        .w_scale = views[step->inputs[pith_segment_input(i, PITH_SEGMENT_W_SCALE)]].data,
        .bias = pith_step_input_data(step, views, pith_segment_input(i, PITH_SEGMENT_BIAS)),
        .n = w->rows,
        .y = y == NULL ? NULL : y->data,
        .y_stride = w->rows,
        .q = pith_bind_quantized_rows(program, step, views, pith_segment_output(i, 0),
                                      pith_segment_input(i, PITH_SEGMENT_Q_SCALE)),
    };
  }
}

double pith_gemm_count_flops(const pith_step *step, const pith_view *views) {
  const pith_view *x = &views[step->inputs[PITH_GEMM_X]];
  double flops = 0;
  for (uint32_t i = 0; i < pith_gemm_count_segments(step); i++) {
    const pith_view *w = &views[step->inputs[pith_segment_input(i, PITH_SEGMENT_W)]];
    flops += 2.0 * (double)pith_view_count(x) * (double)(step->params.gemm.columns ? w->columns : w->rows);
  }
  return flops;
}

const char *pith_rows_get_suffix(const pith_step *step, uint32_t outputs) {
  if (outputs + PITH_ROWS_Q >= step->output_count || step->outputs[outputs + PITH_ROWS_Q] == PITH_NONE)
    return "";
  return step->outputs[outputs + PITH_ROWS_SCALE] == PITH_NONE ? "+Quantize" : "+DynamicQuantize";
}

const char *pith_gemm_make_title(pith_arena *arena, const pith_step *step) {
  static const char *const activations[PITH_ACTIVATION_COUNT] = {
      [PITH_ACTIVATION_NONE] = "",           [PITH_ACTIVATION_RELU] = "+Relu",
      [PITH_ACTIVATION_GELU] = "+Gelu",      [PITH_ACTIVATION_GELU_TANH] = "+GeluTanh",
      [PITH_ACTIVATION_TANH] = "+Tanh",
  };
  const char *suffix = "";
  uint32_t segments = pith_gemm_count_segments(step);
  for (uint32_t i = 0; i < segments && suffix[0] == '\0'; i++)
    suffix = pith_rows_get_suffix(step, pith_segment_output(i, 0));
  char count[16] = "";
  if (segments > 1)
    snprintf(count, sizeof count, " x%u", (unsigned)segments);
  return pith_arena_format(arena, "%s%s%s%s%s", step->row->name, count, activations[step->params.gemm.activation],
                           step->inputs[PITH_GEMM_RESIDUAL] == PITH_NONE ? "" : "+Residual", suffix);
}

void pith_bind_attention(const pith_program *program, const pith_step *step, const pith_view *views, void *args) {
  (void)program;
  const pith_view *q = &views[step->inputs[PITH_ATTENTION_Q]], *k = &views[step->inputs[PITH_ATTENTION_K]];
  const pith_view *v = &views[step->inputs[PITH_ATTENTION_V]], *y = &views[step->outputs[0]];
  const pith_view *q_offsets = &views[step->inputs[PITH_ATTENTION_Q_OFFSETS]];
  const pith_view *kv_offsets = &views[step->inputs[PITH_ATTENTION_KV_OFFSETS]];
  size_t heads = (size_t)step->params.attention.heads;
  *(pith_attention_f32_args *)args = (pith_attention_f32_args){
      .q = q->data,
      .k = k->data,
      .v = v->data,
      .y = y->data,
      .q_stride = q->columns,
      .k_stride = k->columns,
      .v_stride = v->columns,
      .y_stride = y->columns,
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

void pith_bind_integer_attention(const pith_program *program, const pith_step *step, const pith_view *views,
                                 void *args) {
  const pith_view *q = &views[step->inputs[PITH_ATTENTION_Q]], *k = &views[step->inputs[PITH_ATTENTION_K]];
  const pith_view *v = &views[step->inputs[PITH_ATTENTION_V]];
  const pith_view *y = pith_step_output(step, views, PITH_ROWS_Y);
  const pith_view *q_offsets = &views[step->inputs[PITH_ATTENTION_Q_OFFSETS]];
  const pith_view *kv_offsets = &views[step->inputs[PITH_ATTENTION_KV_OFFSETS]];
  const pith_view *q_zero = pith_step_input(step, views, PITH_ATTENTION_Q_ZERO);
  size_t heads = (size_t)step->params.attention.heads;
  *(pith_attention_u8s8_args *)args = (pith_attention_u8s8_args){
      .is_dynamic = program->values[step->inputs[PITH_ATTENTION_Q]].dtype == PITH_DTYPE_F32,
      .q = q->data,
      .k = k->data,
      .v = v->data,
      .q_stride = q->columns,
      .k_stride = k->columns,
      .v_stride = v->columns,
      .q_scale = pith_step_input_data(step, views, PITH_ATTENTION_Q_SCALE),
      .k_scale = pith_step_input_data(step, views, PITH_ATTENTION_K_SCALE),
      .v_scale = pith_step_input_data(step, views, PITH_ATTENTION_V_SCALE),
      .q_zero = q_zero == NULL ? &pith_bind_zero_point : q_zero->data,
      .y = y == NULL ? NULL : y->data,
      .y_stride = v->columns,
      .y_q = pith_bind_quantized_rows(program, step, views, 0, PITH_ATTENTION_Y_SCALE),
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

const char *pith_integer_attention_make_title(pith_arena *arena, const pith_step *step) {
  /* Without scales its inputs are floats, which it quantizes head by head. */
  return pith_arena_format(arena, "%s%s%s", step->inputs[PITH_ATTENTION_Q_SCALE] == PITH_NONE ? "DynamicQuantize+" : "",
                           step->row->name, pith_rows_get_suffix(step, 0));
}

double pith_attention_count_flops(const pith_step *step, const pith_view *views) {
  const pith_view *q_offsets = &views[step->inputs[PITH_ATTENTION_Q_OFFSETS]];
  const int32_t *q = q_offsets->data, *kv = views[step->inputs[PITH_ATTENTION_KV_OFFSETS]].data;
  double pairs = 0;
  for (size_t s = 0; s < pith_view_sequences(q_offsets); s++)
    pairs += (double)(q[s + 1] - q[s]) * (double)(kv[s + 1] - kv[s]);
  return 2 * pairs *
         (double)(views[step->inputs[PITH_ATTENTION_Q]].columns + views[step->inputs[PITH_ATTENTION_V]].columns);
}
