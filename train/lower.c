/* Steps of training operators but for the losses, and the function that lowering asks for all of them. */
#include <string.h>

#include "ops/attention/attention_train_f32.h"
#include "ops/dropout/dropout.h"
#include "ops/elementwise/unary_grad_f32.h"
#include "ops/embedding/gather_grad_f32.h"
#include "ops/normalize/layer_norm_grad_f32.h"
#include "ops/normalize/lp_norm_grad_f32.h"
#include "ops/normalize/softmax_grad_f32.h"
#include "ops/pool/pool_grad_f32.h"
#include "ops/reduce/reduce_sum_f32.h"
#include "train/lower_internal.h"

/* ---- dropout and attention --------------------------------------------------------------------------------------------- */

enum { I_PLACE, I_HEADS, I_CAUSAL }; /* params.extension.integers */
enum { F_RATIO, F_SCALE };           /* params.extension.floats */

static pith_dropout get_dropout(const pith_step *step, const pith_view *views, uint32_t key) {
  return (pith_dropout){
      .ratio = step->params.extension.floats[F_RATIO],
      .operator_index = (uint32_t)step->params.extension.integers[I_PLACE],
      .key = pith_step_input_data(step, views, key),
  };
}

static pith_status finish_dropout(const pith_translation *t, pith_step *step) {
  step->params.extension.floats[F_RATIO] = pith_translate_get_float(t, "ratio");
  step->params.extension.integers[I_PLACE] = pith_translate_get_int(t, "operator");
  return PITH_OK;
}

static void bind_dropout(const pith_program *program, const pith_step *step, const pith_view *views, void *args) {
  (void)program;
  const pith_view *x = &views[step->inputs[0]], *offsets = pith_step_input(step, views, 2);
  *(pith_dropout_f32_args *)args = (pith_dropout_f32_args){
      .x = x->data,
      .residual = pith_step_input_data(step, views, 1),
      .y = views[step->outputs[0]].data,
      .rows = x->rows,
      .features = x->columns,
      .offsets = offsets == NULL ? NULL : offsets->data,
      .sequences = offsets == NULL ? 0 : pith_view_sequences(offsets),
      .dropout = get_dropout(step, views, 3),
  };
}

static pith_status finish_attention(const pith_translation *t, pith_step *step) {
  const int64_t heads = pith_translate_get_int(t, "num_heads");
  const int64_t head_size = t->program->values[step->inputs[0]].dims[1].constant / heads;
  step->params.extension.floats[F_SCALE] = pith_translate_get_scale(t, head_size);
  step->params.extension.integers[I_HEADS] = heads;
  step->params.extension.integers[I_CAUSAL] = pith_translate_get_int(t, "causal");
  return finish_dropout(t, step);
}

/* Both attentions read query, key and value first, and have two offsets and the key together. */
static pith_attention_train_f32_args get_attention(const pith_step *step, const pith_view *views, uint32_t offsets,
                                                   const pith_view *y, const pith_view *statistics) {
  const pith_view *q = &views[step->inputs[0]], *k = &views[step->inputs[1]], *v = &views[step->inputs[2]];
  const pith_view *q_offsets = &views[step->inputs[offsets]], *kv_offsets = &views[step->inputs[offsets + 1]];
  const size_t heads = (size_t)step->params.extension.integers[I_HEADS];
  return (pith_attention_train_f32_args){
      .attention = {.q = q->data,
                    .k = k->data,
                    .v = v->data,
                    .y = y->data,
                    .q_stride = q->columns,
                    .k_stride = k->columns,
                    .v_stride = v->columns,
                    .y_stride = v->columns,
                    .q_offsets = q_offsets->data,
                    .kv_offsets = kv_offsets->data,
                    .sequences = pith_view_sequences(q_offsets),
                    .heads = heads,
                    .head_size = q->columns / heads,
                    .value_size = v->columns / heads,
                    .scale = step->params.extension.floats[F_SCALE],
                    .causal = step->params.extension.integers[I_CAUSAL] != 0,
                    .max_keys = kv_offsets->longest},
      .statistics = statistics->data,
      .dropout = get_dropout(step, views, offsets + 2),
  };
}

static void bind_attention(const pith_program *program, const pith_step *step, const pith_view *views, void *args) {
  (void)program;
  *(pith_attention_train_f32_args *)args =
      get_attention(step, views, 3, &views[step->outputs[0]], &views[step->outputs[1]]);
}

/* 2 L^2 (key features + value features) for a sequence of L tokens, as the engine counts; offsets are input `at`. */
static double count_attention(const pith_step *step, const pith_view *views, uint32_t at) {
  const int32_t *q = views[step->inputs[at]].data, *kv = views[step->inputs[at + 1]].data;
  double pairs = 0;
  for (size_t s = 0; s < pith_view_sequences(&views[step->inputs[at]]); s++)
    pairs += (double)(q[s + 1] - q[s]) * (double)(kv[s + 1] - kv[s]);
  return 2 * pairs;
}
static double count_attention_flops(const pith_step *step, const pith_view *views) {
  return count_attention(step, views, 3) * (double)(views[step->inputs[0]].columns + views[step->inputs[2]].columns);
}
/* Scores again, dq and dk; dy v^T and dv. */
static double count_attention_grad_flops(const pith_step *step, const pith_view *views) {
  return count_attention(step, views, 6) * (double)(3 * views[step->inputs[0]].columns + 2 * views[step->inputs[2]].columns);
}

static void bind_attention_grad(const pith_program *program, const pith_step *step, const pith_view *views, void *args) {
  enum { Y = 3, STATISTICS, DY, OFFSETS };
  (void)program;
  const pith_view *dq = &views[step->outputs[0]], *dk = &views[step->outputs[1]], *dv = &views[step->outputs[2]];
  *(pith_attention_grad_f32_args *)args = (pith_attention_grad_f32_args){
      .forward = get_attention(step, views, OFFSETS, &views[step->inputs[Y]], &views[step->inputs[STATISTICS]]),
      .dy = views[step->inputs[DY]].data,
      .dq = dq->data,
      .dk = dk->data,
      .dv = dv->data,
      .dy_stride = views[step->inputs[DY]].columns,
      .dq_stride = dq->columns,
      .dk_stride = dk->columns,
      .dv_stride = dv->columns,
  };
}

/* ---- element by element -------------------------------------------------------------------------------------------------- */

static pith_status finish_unary_grad(const pith_translation *t, pith_step *step) {
  step->params.elementwise.function = (int)pith_translate_get_int(t, "function");
  return PITH_OK;
}

static void bind_unary_grad(const pith_program *program, const pith_step *step, const pith_view *views, void *args) {
  (void)program;
  const pith_view *x = &views[step->inputs[0]];
  *(pith_unary_grad_f32_args *)args = (pith_unary_grad_f32_args){
      .x = x->data,
      .dy = views[step->inputs[1]].data,
      .dx = views[step->outputs[0]].data,
      .count = pith_view_count(x),
      .function = (pith_unary)step->params.elementwise.function,
  };
}

/* Whether the last dimension that is not 1 is summed over: then each sum is one of a row. */
static pith_status finish_reduce_sum(const pith_translation *t, pith_step *step) {
  const pith_value *x = &t->program->values[step->inputs[0]];
  const pith_dim one = pith_dim_of(1);
  uint32_t last = x->rank;
  while (last > 0 && pith_dim_equal(&x->dims[last - 1], &one))
    last--;
  step->params.extension.integers[0] = last > 0 && pith_reduce_has_axis(pith_node_get_attribute(t->node, "axes"), x->rank, last - 1);
  return PITH_OK;
}

static void bind_reduce_sum(const pith_program *program, const pith_step *step, const pith_view *views, void *args) {
  (void)program;
  const pith_view *x = &views[step->inputs[0]], *y = &views[step->outputs[0]];
  const size_t sums = pith_view_count(y);
  const bool of_rows = step->params.extension.integers[0] != 0;
  *(pith_reduce_sum_f32_args *)args = (pith_reduce_sum_f32_args){
      .x = x->data,
      .y = y->data,
      .outer = of_rows ? sums : 1,
      .axis = sums == 0 ? 0 : pith_view_count(x) / sums,
      .inner = of_rows ? 1 : sums,
  };
}

/* ---- look-ups and sequences -------------------------------------------------------------------------------------------- */

/* Its data is a shape, which the output has too. */
static pith_status finish_gather_grad(const pith_translation *t, pith_step *step) {
  const pith_value *x = &t->program->values[t->node->inputs[0]];
  const uint32_t axis = pith_translate_get_axis(t, x->rank);
  const pith_check check = {.kind = PITH_CHECK_INDICES, .value = t->node->inputs[1], .of = t->node->inputs[0], .axis = axis};
  size_t inner = 1;
  for (uint32_t d = axis + 1; d < x->rank; d++)
    if (!pith_size_multiply(inner, (size_t)x->dims[d].constant, &inner))
      return pith_fail(t->error, PITH_LIMIT, "node '%s': its dimensions overflow", t->node->name);
  step->params.gather.axis = axis == 0 ? 0 : (size_t)x->dims[axis].constant;
  step->params.gather.inner = inner;
  step->inputs[0] = PITH_NONE;
  return pith_program_add_check(t->program, &check, t->error);
}

static void bind_gather_grad(const pith_program *program, const pith_step *step, const pith_view *views, void *args) {
  const pith_view *indices = &views[step->inputs[1]], *dx = &views[step->outputs[0]];
  const size_t inner = step->params.gather.inner;
  size_t axis = step->params.gather.axis, outer = 1;
  if (axis == 0)
    axis = inner == 0 ? 0 : pith_view_count(dx) / inner;
  else
    outer = inner == 0 ? 0 : pith_view_count(dx) / axis / inner;
  *(pith_gather_grad_f32_args *)args = (pith_gather_grad_f32_args){
      .dy = views[step->inputs[2]].data,
      .indices = indices->data,
      .dx = dx->data,
      .outer = outer,
      .axis = axis,
      .inner = inner,
      .count = pith_view_count(indices),
      .index_bytes = (int)pith_dtype_get_info(program->values[step->inputs[1]].dtype)->bits / 8,
  };
}

/* Only MAX reads x. */
static pith_status finish_pool_grad(const pith_translation *t, pith_step *step) {
  static const pith_pool_mode modes[] = {
      [PITH_POOL_MEAN] = PITH_POOL_F32_MEAN,
      [PITH_POOL_CLS] = PITH_POOL_F32_CLS,
      [PITH_POOL_MAX] = PITH_POOL_F32_MAX,
      [PITH_POOL_LAST] = PITH_POOL_F32_LAST,
  };
  step->params.pool.mode = (int)modes[pith_translate_get_int(t, "mode")];
  if (step->params.pool.mode != PITH_POOL_F32_MAX)
    step->inputs[0] = PITH_NONE;
  return PITH_OK;
}

static void bind_pool_grad(const pith_program *program, const pith_step *step, const pith_view *views, void *args) {
  (void)program;
  const pith_view *offsets = &views[step->inputs[1]], *dx = &views[step->outputs[0]];
  *(pith_pool_grad_f32_args *)args = (pith_pool_grad_f32_args){
      .x = pith_step_input_data(step, views, 0),
      .x_stride = dx->columns,
      .offsets = offsets->data,
      .sequences = pith_view_sequences(offsets),
      .features = dx->columns,
      .dy = views[step->inputs[2]].data,
      .dy_stride = dx->columns,
      .dx = dx->data,
      .dx_stride = dx->columns,
      .mode = (pith_pool_mode)step->params.pool.mode,
  };
}

/* ---- normalizations -------------------------------------------------------------------------------------------------- */

static void bind_softmax_grad(const pith_program *program, const pith_step *step, const pith_view *views, void *args) {
  (void)program;
  const pith_view *y = &views[step->inputs[0]];
  *(pith_softmax_grad_f32_args *)args = (pith_softmax_grad_f32_args){
      .y = y->data,
      .dy = views[step->inputs[1]].data,
      .dx = views[step->outputs[0]].data,
      .rows = y->rows,
      .features = y->columns,
      .y_stride = y->columns,
      .dy_stride = y->columns,
      .dx_stride = y->columns,
  };
}

static pith_status finish_lp_norm_grad(const pith_translation *t, pith_step *step) {
  step->params.norm.p = (int)pith_translate_get_int(t, "p");
  step->params.norm.epsilon = 1e-12f; /* as the engine's */
  return PITH_OK;
}

static void bind_lp_norm_grad(const pith_program *program, const pith_step *step, const pith_view *views, void *args) {
  (void)program;
  const pith_view *x = &views[step->inputs[0]];
  *(pith_lp_norm_grad_f32_args *)args = (pith_lp_norm_grad_f32_args){
      .x = x->data,
      .dy = views[step->inputs[1]].data,
      .dx = views[step->outputs[0]].data,
      .rows = x->rows,
      .features = x->columns,
      .x_stride = x->columns,
      .dy_stride = x->columns,
      .dx_stride = x->columns,
      .p = step->params.norm.p,
      .epsilon = step->params.norm.epsilon,
  };
}

static pith_status finish_norm_grad(const pith_translation *t, pith_step *step) {
  step->params.norm.epsilon = pith_translate_get_float(t, "epsilon");
  return PITH_OK;
}

/* Rows are the dimensions before the axis. */
static void bind_norm_grad(const pith_program *program, const pith_step *step, const pith_view *views, void *args) {
  (void)program;
  const pith_view *x = &views[step->inputs[0]];
  const size_t features = pith_view_count(&views[step->inputs[1]]);
  *(pith_layer_norm_grad_f32_args *)args = (pith_layer_norm_grad_f32_args){
      .x = x->data,
      .gamma = views[step->inputs[1]].data,
      .dy = views[step->inputs[2]].data,
      .dx = views[step->outputs[0]].data,
      .mean = views[step->outputs[1]].data,
      .inverse = views[step->outputs[2]].data,
      .rows = features == 0 ? 0 : pith_view_count(x) / features,
      .features = features,
      .x_stride = features,
      .dy_stride = features,
      .dx_stride = features,
      .epsilon = step->params.norm.epsilon,
  };
}

static void bind_norm_scale_grad(const pith_program *program, const pith_step *step, const pith_view *views, void *args) {
  (void)program;
  const size_t features = pith_view_count(&views[step->outputs[0]]);
  *(pith_layer_norm_grad_columns_f32_args *)args = (pith_layer_norm_grad_columns_f32_args){
      .x = views[step->inputs[0]].data,
      .dy = views[step->inputs[1]].data,
      .mean = views[step->inputs[2]].data,
      .inverse = views[step->inputs[3]].data,
      .dgamma = views[step->outputs[0]].data,
      .dbeta = views[step->outputs[1]].data,
      .rows = pith_view_count(&views[step->inputs[2]]),
      .features = features,
      .x_stride = features,
      .dy_stride = features,
  };
}

/* ---- rows ---------------------------------------------------------------------------------------------------------------- */

#define AT(id) [PITH_OP_##id - PITH_OP_COUNT]

static const pith_training_step steps[PITH_OP_FAKE_QUANTIZE - PITH_OP_COUNT] = {
    AT(DROPOUT) = {{PITH_STEP_OF(pith_dropout_f32_args),
                    .name = "Dropout",
                    .kernels = pith_dropout_f32_kernels,
                    .dtypes = "ffi>f",
                    .in_place = 1 << 0 | 1 << 1,
                    .bind = bind_dropout},
                   .finish = finish_dropout},
    AT(TRAINING_ATTENTION) = {{PITH_STEP_OF(pith_attention_train_f32_args),
                               .name = "TrainingAttention",
                               .kernels = pith_attention_train_f32_kernels,
                               .dtypes = "fffi>f",
                               .bind = bind_attention,
                               .count_flops = count_attention_flops},
                              .finish = finish_attention},
    AT(TRAINING_ATTENTION_GRAD) = {{PITH_STEP_OF(pith_attention_grad_f32_args),
                                    .name = "TrainingAttentionGrad",
                                    .kernels = pith_attention_grad_f32_kernels,
                                    .dtypes = "ffffffi>f",
                                    .bind = bind_attention_grad,
                                    .count_flops = count_attention_grad_flops},
                                   .finish = finish_attention},
    AT(UNARY_GRAD) = {{PITH_STEP_OF(pith_unary_grad_f32_args),
                       .name = "UnaryGrad",
                       .kernels = pith_unary_grad_f32_kernels,
                       .dtypes = "f>f",
                       .in_place = 1 << 0 | 1 << 1,
                       .bind = bind_unary_grad},
                      .finish = finish_unary_grad},
    AT(REDUCE_SUM) = {{PITH_STEP_OF(pith_reduce_sum_f32_args),
                       .name = "ReduceSum",
                       .kernels = pith_reduce_sum_f32_kernels,
                       .dtypes = "f>f",
                       .bind = bind_reduce_sum},
                      .finish = finish_reduce_sum},
    AT(GATHER_GRAD) = {{PITH_STEP_OF(pith_gather_grad_f32_args),
                        .name = "GatherGrad",
                        .kernels = pith_gather_grad_f32_kernels,
                        .dtypes = "fnf>f",
                        .bind = bind_gather_grad},
                       .finish = finish_gather_grad},
    AT(SOFTMAX_GRAD) = {{PITH_STEP_OF(pith_softmax_grad_f32_args),
                         .name = "SoftmaxGrad",
                         .kernels = pith_softmax_grad_f32_kernels,
                         .dtypes = "f>f",
                         .in_place = 1 << 0 | 1 << 1,
                         .bind = bind_softmax_grad},
                         .finish = NULL},
    AT(LAYER_NORMALIZATION_GRAD) = {{PITH_STEP_OF(pith_layer_norm_grad_f32_args),
                                     .name = "LayerNormGrad",
                                     .kernels = pith_layer_norm_grad_f32_kernels,
                                     .dtypes = "f>f",
                                     .in_place = 1 << 0 | 1 << 2,
                                     .bind = bind_norm_grad},
                                    .finish = finish_norm_grad},
    AT(LAYER_NORMALIZATION_SCALE_GRAD) = {{PITH_STEP_OF(pith_layer_norm_grad_columns_f32_args),
                                           .name = "LayerNormScaleGrad",
                                           .kernels = pith_layer_norm_grad_columns_f32_kernels,
                                           .dtypes = "f>f",
                                           .bind = bind_norm_scale_grad},
                                          .finish = NULL},
    AT(LP_NORMALIZATION_GRAD) = {{PITH_STEP_OF(pith_lp_norm_grad_f32_args),
                                  .name = "LpNormGrad",
                                  .kernels = pith_lp_norm_grad_f32_kernels,
                                  .dtypes = "f>f",
                                  .in_place = 1 << 0 | 1 << 1,
                                  .bind = bind_lp_norm_grad},
                                 .finish = finish_lp_norm_grad},
    AT(SEQUENCE_POOL_GRAD) = {{PITH_STEP_OF(pith_pool_grad_f32_args),
                               .name = "PoolGrad",
                               .kernels = pith_pool_grad_f32_kernels,
                               .dtypes = "fif>f",
                               .bind = bind_pool_grad},
                              .finish = finish_pool_grad},
};

/* Absent inputs at the end are there too, so that a place always means the same. */
static pith_status add_step(const pith_translation *t, const pith_training_step *entry, pith_step **out_step) {
  pith_step *step = *out_step = pith_translate_add_row(t, &entry->row);
  if (step == NULL)
    return pith_translate_no_memory(t);
  while (t->node->op->inputs[step->input_count].name != NULL)
    step->input_count++;
  return entry->finish == NULL ? PITH_OK : entry->finish(t, step);
}

static pith_status add_transpose(const pith_translation *t, pith_value_id x, pith_value_id y) {
  pith_step *step = pith_program_add_step(t->program, PITH_STEP_TRANSPOSE, t->node->name);
  if (step == NULL)
    return pith_translate_no_memory(t);
  step->input_count = 1;
  step->inputs[0] = x;
  step->outputs[0] = y;
  return PITH_OK;
}

/* Along the first of two dimensions: by way of the transposes, as the engine does. */
static pith_status add_turned(const pith_translation *t, const pith_training_step *entry) {
  const pith_dim *dims = t->program->values[t->node->inputs[0]].dims, swapped[2] = {dims[1], dims[0]};
  static const char *const names[] = {"turned", "turned_gradient", "result"};
  pith_value_id ids[3];
  for (int i = 0; i < 3; i++)
    if (pith_translate_add_value(t, names[i], 2, swapped, &ids[i]) == NULL)
      return pith_translate_no_memory(t);
  for (int i = 0; i < 2; i++)
    PITH_TRY(add_transpose(t, t->node->inputs[i], ids[i]));
  pith_step *step;
  PITH_TRY(add_step(t, entry, &step));
  step->inputs[0] = ids[0];
  step->inputs[1] = ids[1];
  step->outputs[0] = ids[2];
  return add_transpose(t, ids[2], t->node->outputs[0]);
}

pith_status pith_training_translate(const pith_translation *t) {
  const int id = (int)t->node->op->id;
  const pith_training_step *entry =
      id >= PITH_OP_SOFTMAX_CROSS_ENTROPY ? &pith_training_loss_steps[id - PITH_OP_SOFTMAX_CROSS_ENTROPY]
      : id >= PITH_OP_FAKE_QUANTIZE       ? &pith_training_quantize_steps[id - PITH_OP_FAKE_QUANTIZE]
                                          : &steps[id - PITH_OP_COUNT];
  const uint32_t rank = t->program->values[t->node->inputs[0]].rank;
  pith_step *step;
  if ((id == PITH_OP_SOFTMAX_GRAD || id == PITH_OP_LP_NORMALIZATION_GRAD) && pith_translate_get_axis(t, rank) + 1 != rank)
    return add_turned(t, entry);
  return add_step(t, entry, &step);
}
