#include "engine/lower/bind_internal.h"
#include "ops/attention/attention_f32.h"
#include "ops/gemm/gemm_f32.h"

void pith_bind_gemm(const pith_program *program, const pith_step *step, const pith_view *views, void *args) {
  const pith_view *x = &views[step->inputs[PITH_GEMM_X]];
  const pith_view *residual = pith_step_input(step, views, PITH_GEMM_RESIDUAL);
  pith_gemm_f32_args *a = args;
  *a = (pith_gemm_f32_args){
      .x = x->data,
      .x_stride = x->columns,
      .rows = x->rows,
      .k = x->columns,
      .segment_count = step->output_count,
      .activation = (pith_activation)step->params.gemm.activation,
      .residual = residual == NULL ? NULL : residual->data,
      .residual_stride = residual == NULL ? 0 : residual->columns,
  };
  for (uint32_t i = 0; i < step->output_count; i++) {
    pith_value_id weights = step->inputs[PITH_GEMM_SEGMENTS + 2 * i];
    const pith_view *y = &views[step->outputs[i]];
    a->segments[i] = (pith_gemm_f32_segment){
        .w = views[weights].data,
        .bias = pith_step_input_data(step, views, PITH_GEMM_SEGMENTS + 2 * i + 1),
        .y = y->data,
        .y_stride = y->columns,
        .n = y->columns,
        .w_row_major = program->values[weights].data_layout == PITH_LAYOUT_ROW_MAJOR,
    };
  }
}

double pith_gemm_count_flops(const pith_step *step, const pith_view *views) {
  const pith_view *x = &views[step->inputs[PITH_GEMM_X]];
  double flops = 0;
  for (uint32_t i = 0; i < step->output_count; i++)
    flops += 2.0 * (double)pith_view_count(x) * (double)views[step->outputs[i]].columns;
  return flops;
}

const char *pith_gemm_make_title(pith_arena *arena, const pith_step *step) {
  static const char *const activations[PITH_ACTIVATION_COUNT] = {
      [PITH_ACTIVATION_NONE] = "",           [PITH_ACTIVATION_RELU] = "+Relu",
      [PITH_ACTIVATION_GELU] = "+Gelu",      [PITH_ACTIVATION_GELU_TANH] = "+GeluTanh",
      [PITH_ACTIVATION_TANH] = "+Tanh",
  };
  const char *activation = activations[step->params.gemm.activation];
  const char *residual = step->inputs[PITH_GEMM_RESIDUAL] == PITH_NONE ? "" : "+Residual";
  if (step->output_count > 1)
    return pith_arena_format(arena, "Gemm x%u%s%s", (unsigned)step->output_count, activation, residual);
  return pith_arena_format(arena, "Gemm%s%s", activation, residual);
}

void pith_bind_matmul(const pith_program *program, const pith_step *step, const pith_view *views, void *args) {
  (void)program;
  const pith_view *a = &views[step->inputs[0]], *b = &views[step->inputs[1]], *y = &views[step->outputs[0]];
  *(pith_matmul_f32_args *)args = (pith_matmul_f32_args){
      .a = a->data,
      .b = b->data,
      .y = y->data,
      .m = a->rows,
      .k = a->columns,
      .n = b->columns,
      .a_stride = a->columns,
      .b_stride = b->columns,
      .y_stride = y->columns,
  };
}

double pith_matmul_count_flops(const pith_step *step, const pith_view *views) {
  return 2.0 * (double)pith_view_count(&views[step->inputs[0]]) * (double)views[step->inputs[1]].columns;
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

double pith_attention_count_flops(const pith_step *step, const pith_view *views) {
  const pith_view *q_offsets = &views[step->inputs[PITH_ATTENTION_Q_OFFSETS]];
  const int32_t *q = q_offsets->data, *kv = views[step->inputs[PITH_ATTENTION_KV_OFFSETS]].data;
  double pairs = 0;
  for (size_t s = 0; s < pith_view_sequences(q_offsets); s++)
    pairs += (double)(q[s + 1] - q[s]) * (double)(kv[s + 1] - kv[s]);
  return 2 * pairs *
         (double)(views[step->inputs[PITH_ATTENTION_Q]].columns + views[step->inputs[PITH_ATTENTION_V]].columns);
}
