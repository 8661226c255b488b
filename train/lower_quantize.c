/* Steps of what training graphs of INT8 models hold beside their floats. What stands in the place of a float result does not read it: the
 * step that makes that one goes, unless the way back reads it. */
#include "ops/attention/attention_u8s8.h"
#include "ops/gemm/gemm_u8s8.h"
#include "ops/quantize/fake_quantize_f32.h"
#include "train/lower_internal.h"

static const uint8_t no_zero_point = 0;

static const uint8_t *get_zero(const pith_step *step, const pith_view *views, uint32_t input) {
  const uint8_t *zero = pith_step_input_data(step, views, input);
  return zero == NULL ? &no_zero_point : zero;
}

static pith_number get_type(const pith_step *step) {
  return step->params.extension.integers[0] == PITH_DTYPE_S8 ? PITH_NUMBER_S8 : PITH_NUMBER_U8;
}

static pith_status finish_dtype(const pith_translation *t, pith_step *step) {
  step->params.extension.integers[0] = pith_translate_get_int(t, "dtype");
  return PITH_OK;
}

/* ---- floats -------------------------------------------------------------------------------------------------------------- */

static void bind_fake_quantize(const pith_program *program, const pith_step *step, const pith_view *views, void *args) {
  (void)program;
  const pith_view *x = &views[step->inputs[0]];
  *(pith_fake_quantize_f32_args *)args = (pith_fake_quantize_f32_args){
      .x = x->data,
      .count = pith_view_count(x),
      .scale = views[step->inputs[1]].data,
      .zero = pith_step_input_data(step, views, 2),
      .type = get_type(step),
      .y = views[step->outputs[0]].data,
      .q = views[step->outputs[1]].data,
  };
}

static void bind_fake_quantize_grad(const pith_program *program, const pith_step *step, const pith_view *views, void *args) {
  (void)program;
  const pith_view *x = &views[step->inputs[0]];
  *(pith_fake_quantize_grad_f32_args *)args = (pith_fake_quantize_grad_f32_args){
      .x = x->data,
      .dy = views[step->inputs[1]].data,
      .rows = x->rows,
      .features = x->columns,
      .scale = views[step->inputs[2]].data,
      .zero = pith_step_input_data(step, views, 3),
      .type = get_type(step),
      .dx = views[step->outputs[0]].data,
      .dscale = views[step->outputs[1]].data,
  };
}

static void bind_fake_quantize_rows(const pith_program *program, const pith_step *step, const pith_view *views, void *args) {
  (void)program;
  const pith_view *x = &views[step->inputs[0]];
  const pith_view *packed = pith_step_output(step, views, 1), *scale = pith_step_output(step, views, 2);
  *(pith_fake_quantize_rows_f32_args *)args = (pith_fake_quantize_rows_f32_args){
      .x = x->data,
      .rows = x->rows,
      .features = x->columns,
      .y = views[step->outputs[0]].data,
      .packed = packed == NULL ? NULL : packed->data,
      .scale = scale == NULL ? NULL : scale->data,
  };
}

static void bind_row_ranges(const pith_program *program, const pith_step *step, const pith_view *views, void *args) {
  (void)program;
  const pith_view *x = &views[step->inputs[0]];
  *(pith_row_ranges_f32_args *)args = (pith_row_ranges_f32_args){
      .x = x->data, .rows = x->rows, .features = x->columns, .ranges = views[step->outputs[0]].data};
}

static pith_status finish_gelu_8bit(const pith_translation *t, pith_step *step) {
  step->params.extension.integers[0] = pith_translate_get_int(t, "approximate");
  step->inputs[0] = PITH_NONE;
  return PITH_OK;
}

static void bind_gelu_8bit(const pith_program *program, const pith_step *step, const pith_view *views, void *args) {
  (void)program;
  const pith_view *x = &views[step->inputs[1]];
  *(pith_gelu_8bit_f32_args *)args = (pith_gelu_8bit_f32_args){
      .x = x->data,
      .y = views[step->outputs[0]].data,
      .count = pith_view_count(x),
      .tanh_form = step->params.extension.integers[0] == PITH_GELU_TANH,
  };
}

/* ---- integers -------------------------------------------------------------------------------------------------------------- */

static pith_status finish_product(const pith_translation *t, pith_step *step) {
  (void)t;
  step->inputs[0] = PITH_NONE;
  return PITH_OK;
}

static void bind_product(const pith_program *program, const pith_step *step, const pith_view *views, void *args) {
  enum { X = 1, X_SCALE, X_ZERO, W, W_SCALE, BIAS };
  (void)program;
  const pith_view *x = &views[step->inputs[X]], *y = &views[step->outputs[0]];
  *(pith_gemm_u8s8_args *)args = (pith_gemm_u8s8_args){
      .x = x->data,
      .x_stride = x->columns,
      .rows = x->rows,
      .k = x->columns,
      .x_scale = views[step->inputs[X_SCALE]].data,
      .x_zero = get_zero(step, views, X_ZERO),
      .segment_count = 1,
      .segments = {{.w = views[step->inputs[W]].data,
                    .w_scale = views[step->inputs[W_SCALE]].data,
                    .bias = pith_step_input_data(step, views, BIAS),
                    .n = y->columns,
                    .y = y->data,
                    .y_stride = y->columns}},
      .activation = PITH_ACTIVATION_NONE,
  };
}

static pith_status finish_attention(const pith_translation *t, pith_step *step) {
  const int64_t heads = pith_translate_get_int(t, "num_heads");
  const int64_t head_size = t->program->values[step->inputs[1]].dims[1].constant / heads;
  step->params.extension.floats[0] = pith_translate_get_scale(t, head_size);
  step->params.extension.integers[0] = heads;
  step->params.extension.integers[1] = pith_translate_get_int(t, "causal");
  step->inputs[0] = PITH_NONE;
  return PITH_OK;
}

static void bind_attention(const pith_program *program, const pith_step *step, const pith_view *views, void *args) {
  enum { Q = 1, K, V, Q_OFFSETS, KV_OFFSETS, Q_SCALE, Q_ZERO, K_SCALE, V_SCALE };
  (void)program;
  const pith_view *q = &views[step->inputs[Q]], *k = &views[step->inputs[K]], *v = &views[step->inputs[V]];
  const pith_view *q_offsets = &views[step->inputs[Q_OFFSETS]], *kv_offsets = &views[step->inputs[KV_OFFSETS]];
  const size_t heads = (size_t)step->params.extension.integers[0];
  *(pith_attention_u8s8_args *)args = (pith_attention_u8s8_args){
      .q = q->data,
      .k = k->data,
      .v = v->data,
      .q_stride = q->columns,
      .k_stride = k->columns,
      .v_stride = v->columns,
      .q_scale = views[step->inputs[Q_SCALE]].data,
      .k_scale = views[step->inputs[K_SCALE]].data,
      .v_scale = views[step->inputs[V_SCALE]].data,
      .q_zero = get_zero(step, views, Q_ZERO),
      .y = views[step->outputs[0]].data,
      .y_stride = v->columns,
      .q_offsets = q_offsets->data,
      .kv_offsets = kv_offsets->data,
      .sequences = pith_view_sequences(q_offsets),
      .heads = heads,
      .head_size = q->columns / heads,
      .value_size = v->columns / heads,
      .scale = step->params.extension.floats[0],
      .causal = step->params.extension.integers[1] != 0,
      .max_keys = kv_offsets->longest,
  };
}

/* ---- rows ---------------------------------------------------------------------------------------------------------------- */

#define AT(id) [PITH_OP_##id - PITH_OP_FAKE_QUANTIZE]

static const pith_training_step steps[PITH_OP_SOFTMAX_CROSS_ENTROPY - PITH_OP_FAKE_QUANTIZE] = {
    AT(FAKE_QUANTIZE) = {{PITH_STEP_OF(pith_fake_quantize_f32_args),
                          .name = "FakeQuantize",
                          .kernels = pith_fake_quantize_f32_kernels,
                          .dtypes = "ffq>fq",
                          .bind = bind_fake_quantize},
                         .finish = finish_dtype},
    AT(FAKE_QUANTIZE_GRAD) = {{PITH_STEP_OF(pith_fake_quantize_grad_f32_args),
                               .name = "FakeQuantizeGrad",
                               .kernels = pith_fake_quantize_grad_f32_kernels,
                               .dtypes = "fffq>f",
                               .in_place = 1 << 0 | 1 << 1,
                               .bind = bind_fake_quantize_grad},
                              .finish = finish_dtype},
    AT(FAKE_QUANTIZE_ROWS) = {{PITH_STEP_OF(pith_fake_quantize_rows_f32_args),
                               .name = "FakeQuantizeRows",
                               .kernels = pith_fake_quantize_rows_f32_kernels,
                               .dtypes = "f>f",
                               .in_place = 1 << 0,
                               .bind = bind_fake_quantize_rows},
                              .finish = NULL},
    AT(FAKE_QUANTIZE_WEIGHTS) = {{PITH_STEP_OF(pith_fake_quantize_rows_f32_args),
                                  .name = "FakeQuantizeWeights",
                                  .kernels = pith_fake_quantize_rows_f32_kernels,
                                  .dtypes = "f>fbf",
                                  .bind = bind_fake_quantize_rows},
                                 .finish = NULL},
    AT(ROW_RANGES) = {{PITH_STEP_OF(pith_row_ranges_f32_args),
                       .name = "RowRanges",
                       .kernels = pith_row_ranges_f32_kernels,
                       .dtypes = "f>f",
                       .bind = bind_row_ranges},
                      .finish = NULL},
    AT(INTEGER_PRODUCT) = {{PITH_STEP_OF(pith_gemm_u8s8_args),
                            .name = "IntegerProduct",
                            .kernels = pith_gemm_u8s8_kernels,
                            .dtypes = "fufubff>f",
                            .is_integer = true,
                            .bind = bind_product},
                           .finish = finish_product},
    AT(INTEGER_ATTENTION) = {{PITH_STEP_OF(pith_attention_u8s8_args),
                              .name = "IntegerAttention",
                              .kernels = pith_attention_u8s8_kernels,
                              .dtypes = "fubbiifuff>f",
                              .is_integer = true,
                              .bind = bind_attention},
                             .finish = finish_attention},
    AT(GELU_8BIT) = {{PITH_STEP_OF(pith_gelu_8bit_f32_args),
                      .name = "Gelu8Bit",
                      .kernels = pith_gelu_8bit_f32_kernels,
                      .dtypes = "f>f",
                      .in_place = 1 << 1,
                      .bind = bind_gelu_8bit},
                     .finish = finish_gelu_8bit},
};
const pith_training_step *const pith_training_quantize_steps = steps;
