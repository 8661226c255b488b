/* Steps of losses and their gradients. */
#include <math.h>

#include "ops/loss/loss_f32.h"
#include "ops/loss/relation_f32.h"
#include "train/lower_internal.h"

enum { FLOAT_OPTION }; /* params.extension.floats: smoothing, temperature */

/* A gradient has dLoss behind the operands of its loss. */
typedef struct result {
  float *loss, *dx;
  const float *dloss;
} result;
static result get_result(const pith_step *step, const pith_view *views, uint32_t operands) {
  float *y = views[step->outputs[0]].data;
  if (step->input_count == operands)
    return (result){.loss = y};
  return (result){.dx = y, .dloss = pith_step_input_data(step, views, operands)};
}

static void bind_softmax_cross_entropy(const pith_program *program, const pith_step *step, const pith_view *views, void *args) {
  (void)program;
  const pith_view *x = &views[step->inputs[0]];
  const result r = get_result(step, views, 3);
  *(pith_softmax_cross_entropy_f32_args *)args = (pith_softmax_cross_entropy_f32_args){
      .x = x->data,
      .labels = views[step->inputs[1]].data,
      .class_weights = pith_step_input_data(step, views, 2),
      .rows = x->rows,
      .classes = x->columns,
      .smoothing = step->params.extension.floats[FLOAT_OPTION],
      .loss = r.loss,
      .dloss = r.dloss,
      .dx = r.dx,
  };
}

static void bind_span_cross_entropy(const pith_program *program, const pith_step *step, const pith_view *views, void *args) {
  (void)program;
  const pith_view *x = &views[step->inputs[0]], *offsets = &views[step->inputs[2]];
  const result r = get_result(step, views, 3);
  *(pith_span_cross_entropy_f32_args *)args = (pith_span_cross_entropy_f32_args){
      .x = x->data,
      .labels = views[step->inputs[1]].data,
      .offsets = offsets->data,
      .tokens = x->rows,
      .sequences = pith_view_sequences(offsets),
      .columns = x->columns,
      .loss = r.loss,
      .dloss = r.dloss,
      .dx = r.dx,
  };
}

static void bind_sigmoid_cross_entropy(const pith_program *program, const pith_step *step, const pith_view *views, void *args) {
  (void)program;
  const pith_view *x = &views[step->inputs[0]];
  const result r = get_result(step, views, 2);
  *(pith_sigmoid_cross_entropy_f32_args *)args = (pith_sigmoid_cross_entropy_f32_args){
      .x = x->data,
      .targets = views[step->inputs[1]].data,
      .count = pith_view_count(x),
      .loss = r.loss,
      .dloss = r.dloss,
      .dx = r.dx,
  };
}

static void bind_mean_squared_error(const pith_program *program, const pith_step *step, const pith_view *views, void *args) {
  (void)program;
  const pith_view *x = &views[step->inputs[0]];
  const result r = get_result(step, views, 2);
  *(pith_mean_squared_error_f32_args *)args = (pith_mean_squared_error_f32_args){
      .x = x->data,
      .targets = views[step->inputs[1]].data,
      .count = pith_view_count(x),
      .loss = r.loss,
      .dloss = r.dloss,
      .dx = r.dx,
  };
}

static void bind_cosine_loss(const pith_program *program, const pith_step *step, const pith_view *views, void *args) {
  (void)program;
  const pith_view *x = &views[step->inputs[0]];
  const result r = get_result(step, views, 3);
  *(pith_cosine_loss_f32_args *)args = (pith_cosine_loss_f32_args){
      .x = x->data,
      .z = views[step->inputs[1]].data,
      .targets = pith_step_input_data(step, views, 2),
      .rows = x->rows,
      .features = x->columns,
      .loss = r.loss,
      .dloss = r.dloss,
      .dx = r.dx,
  };
}

static void bind_kl_divergence(const pith_program *program, const pith_step *step, const pith_view *views, void *args) {
  (void)program;
  const pith_view *x = &views[step->inputs[0]];
  const bool spans = step->inputs[2] != PITH_NONE;
  const result r = get_result(step, views, 3);
  *(pith_kl_divergence_f32_args *)args = (pith_kl_divergence_f32_args){
      .x = x->data,
      .teacher = views[step->inputs[1]].data,
      .rows = x->rows,
      .classes = x->columns,
      .temperature = step->params.extension.floats[FLOAT_OPTION],
      .loss = r.loss,
      .dloss = r.dloss,
      .dx = r.dx,
      .offsets = pith_step_input_data(step, views, 2),
      .sequences = spans ? pith_view_sequences(&views[step->inputs[2]]) : 0,
  };
}

static void bind_mean(const pith_program *program, const pith_step *step, const pith_view *views, void *args) {
  (void)program;
  const pith_view *x = &views[step->inputs[0]];
  const result r = get_result(step, views, 1);
  *(pith_mean_f32_args *)args =
      (pith_mean_f32_args){.x = x->data, .count = pith_view_count(x), .loss = r.loss, .dloss = r.dloss, .dx = r.dx};
}

/* ---- relations ---------------------------------------------------------------------------------------------------------- */

enum { SCALE, TEACHER_SCALE }; /* params.extension.floats */
enum { HEADS, ERROR };         /* params.extension.integers */

static pith_relation_f32_args get_relation(const pith_step *step, const pith_view *views) {
  const pith_view *x = &views[step->inputs[PITH_RELATION_X]], *teacher = &views[step->inputs[PITH_RELATION_TEACHER_X]];
  const pith_view *offsets = &views[step->inputs[PITH_RELATION_OFFSETS]];
  const size_t heads = (size_t)step->params.extension.integers[HEADS];
  return (pith_relation_f32_args){
      .x = x->data,
      .z = views[step->inputs[PITH_RELATION_Z]].data,
      .teacher_x = teacher->data,
      .teacher_z = views[step->inputs[PITH_RELATION_TEACHER_Z]].data,
      .offsets = offsets->data,
      .tokens = x->rows,
      .sequences = pith_view_sequences(offsets),
      .longest = offsets->longest,
      .heads = heads,
      .head_size = x->columns / heads,
      .teacher_size = teacher->columns / heads,
      .scale = step->params.extension.floats[SCALE],
      .teacher_scale = step->params.extension.floats[TEACHER_SCALE],
      .error = (pith_relation_error)step->params.extension.integers[ERROR],
  };
}

static void bind_relation(const pith_program *program, const pith_step *step, const pith_view *views, void *args) {
  (void)program;
  pith_relation_f32_args relation = get_relation(step, views);
  relation.errors = views[step->outputs[0]].data;
  *(pith_relation_f32_args *)args = relation;
}

static void bind_relation_grad(const pith_program *program, const pith_step *step, const pith_view *views, void *args) {
  (void)program;
  pith_relation_f32_args relation = get_relation(step, views);
  relation.derrors = views[step->inputs[PITH_RELATION_D_ERRORS]].data;
  relation.dx = views[step->outputs[0]].data;
  relation.dz = views[step->outputs[1]].data;
  *(pith_relation_f32_args *)args = relation;
}

/* 2 L^2 features of a sequence of L tokens for each product of all heads. */
static double count_relation(const pith_step *step, const pith_view *views, double student_products) {
  const pith_view *offsets = &views[step->inputs[PITH_RELATION_OFFSETS]];
  const int32_t *data = offsets->data;
  double pairs = 0;
  for (size_t s = 0; s < pith_view_sequences(offsets); s++)
    pairs += (double)(data[s + 1] - data[s]) * (double)(data[s + 1] - data[s]);
  return 2 * pairs * (student_products * (double)views[step->inputs[PITH_RELATION_X]].columns +
                      (double)views[step->inputs[PITH_RELATION_TEACHER_X]].columns);
}
static double count_relation_flops(const pith_step *step, const pith_view *views) {
  return count_relation(step, views, 1);
}
/* Scores again, dx and dz. */
static double count_relation_grad_flops(const pith_step *step, const pith_view *views) {
  return count_relation(step, views, 3);
}

static float get_scale(const pith_translation *t, const pith_step *step, const char *name, uint32_t operand) {
  const float scale = pith_translate_get_float(t, name);
  const double size = (double)(t->program->values[step->inputs[operand]].dims[1].constant / pith_translate_get_int(t, "num_heads"));
  return scale != 0 ? scale : (float)(1 / sqrt(size));
}

static pith_status finish_relation(const pith_translation *t, pith_step *step) {
  step->params.extension.integers[HEADS] = pith_translate_get_int(t, "num_heads");
  step->params.extension.integers[ERROR] = pith_translate_get_int(t, "error");
  step->params.extension.floats[SCALE] = get_scale(t, step, "scale", PITH_RELATION_X);
  step->params.extension.floats[TEACHER_SCALE] = get_scale(t, step, "teacher_scale", PITH_RELATION_TEACHER_X);
  return PITH_OK;
}

/* ---- checks: kernels trust labels ------------------------------------------------------------------------------------- */

static pith_status check_classes(const pith_program *program, const pith_check *check, const pith_view *views, pith_error *error) {
  const pith_view *labels = &views[check->value];
  const int32_t *data = labels->data;
  const size_t classes = views[check->of].columns;
  for (size_t i = 0; i < pith_view_count(labels); i++)
    if (data[i] != PITH_LABEL_IGNORED && (data[i] < 0 || (size_t)data[i] >= classes))
      return pith_fail(error, PITH_INVALID_ARGUMENT, "%s[%zu] is %d, neither %d (does not count) nor one of %zu classes",
                       program->values[check->value].name, i, data[i], PITH_LABEL_IGNORED, classes);
  return PITH_OK;
}

/* `of` are the offsets of the sequences. */
static pith_status check_places(const pith_program *program, const pith_check *check, const pith_view *views, pith_error *error) {
  const pith_view *labels = &views[check->value];
  const int32_t *data = labels->data, *offsets = views[check->of].data;
  for (size_t s = 0; s < labels->rows; s++)
    for (size_t c = 0; c < labels->columns; c++) {
      const int32_t label = data[s * labels->columns + c], tokens = offsets[s + 1] - offsets[s];
      if (label != PITH_LABEL_IGNORED && (label < 0 || label >= tokens))
        return pith_fail(error, PITH_INVALID_ARGUMENT, "%s[%zu, %zu] is %d, neither %d (does not count) nor one of its sequence's %d tokens",
                         program->values[check->value].name, s, c, label, PITH_LABEL_IGNORED, tokens);
    }
  return PITH_OK;
}

static pith_status finish_softmax_cross_entropy(const pith_translation *t, pith_step *step) {
  const pith_check check = {.kind = PITH_CHECK_EXTENSION, .value = step->inputs[1], .of = step->inputs[0], .run = check_classes};
  step->params.extension.floats[FLOAT_OPTION] = pith_translate_get_float(t, "smoothing");
  return pith_program_add_check(t->program, &check, t->error);
}
static pith_status finish_span_cross_entropy(const pith_translation *t, pith_step *step) {
  const pith_check check = {.kind = PITH_CHECK_EXTENSION, .value = step->inputs[1], .of = step->inputs[2], .run = check_places};
  return pith_program_add_check(t->program, &check, t->error);
}
static pith_status finish_kl_divergence(const pith_translation *t, pith_step *step) {
  step->params.extension.floats[FLOAT_OPTION] = pith_translate_get_float(t, "temperature");
  return PITH_OK;
}

/* ---- rows ---------------------------------------------------------------------------------------------------------------- */

#define LOSS(identifier, base, text, codes, function)                                                       \
  [PITH_OP_##identifier - PITH_OP_SOFTMAX_CROSS_ENTROPY] = {{PITH_STEP_OF(pith_##base##_f32_args),          \
                                                             .name = text,                                  \
                                                             .kernels = pith_##base##_f32_kernels,          \
                                                             .dtypes = codes,                               \
                                                             .bind = bind_##base},                          \
                                                            .finish = function},                            \
  [PITH_OP_##identifier##_GRAD - PITH_OP_SOFTMAX_CROSS_ENTROPY] = {{PITH_STEP_OF(pith_##base##_f32_args),   \
                                                                    .name = text "Grad",                    \
                                                                    .kernels = pith_##base##_grad_f32_kernels, \
                                                                    .dtypes = codes,                        \
                                                                    .in_place = 1 << 0,                     \
                                                                    .bind = bind_##base},                   \
                                                                   .finish = function}

static const pith_training_step steps[] = {
    LOSS(SOFTMAX_CROSS_ENTROPY, softmax_cross_entropy, "SoftmaxCrossEntropy", "fiff>f", finish_softmax_cross_entropy),
    LOSS(SPAN_CROSS_ENTROPY, span_cross_entropy, "SpanCrossEntropy", "fiif>f", finish_span_cross_entropy),
    LOSS(SIGMOID_CROSS_ENTROPY, sigmoid_cross_entropy, "SigmoidCrossEntropy", "f>f", NULL),
    LOSS(MEAN_SQUARED_ERROR, mean_squared_error, "MeanSquaredError", "f>f", NULL),
    LOSS(COSINE_LOSS, cosine_loss, "CosineLoss", "f>f", NULL),
    LOSS(KL_DIVERGENCE, kl_divergence, "KlDivergence", "ffif>f", finish_kl_divergence),
    LOSS(MEAN, mean, "Mean", "f>f", NULL),
    [PITH_OP_RELATION_ERRORS - PITH_OP_SOFTMAX_CROSS_ENTROPY] = {{PITH_STEP_OF(pith_relation_f32_args),
                                                                  .name = "RelationErrors",
                                                                  .kernels = pith_relation_f32_kernels,
                                                                  .dtypes = "ffffi>f",
                                                                  .bind = bind_relation,
                                                                  .count_flops = count_relation_flops},
                                                                 .finish = finish_relation},
    [PITH_OP_RELATION_ERRORS_GRAD - PITH_OP_SOFTMAX_CROSS_ENTROPY] = {{PITH_STEP_OF(pith_relation_f32_args),
                                                                       .name = "RelationErrorsGrad",
                                                                       .kernels = pith_relation_grad_f32_kernels,
                                                                       .dtypes = "ffffif>f",
                                                                       .bind = bind_relation_grad,
                                                                       .count_flops = count_relation_grad_flops},
                                                                      .finish = finish_relation},
};
const pith_training_step *const pith_training_loss_steps = steps;
