/* What ends a step: clipping, the optimizer, rows that are put off; and a trainer's state. */
#include "train/trainer_prune.h"

#include <math.h>
#include <string.h>

/* ---- rows that are put off ---------------------------------------------------------------------------------- */

/* What training alone has is treated as the head. */
static double get_decay(const pith_trainer *t, const pith_training_parameter *parameter) {
  const bool decays = parameter->model_tensor == PITH_NONE || t->groups.list[parameter->model_tensor].decays;
  return decays ? t->options.weight_decay : 0;
}

static double get_rate(const pith_trainer *t, const pith_training_parameter *parameter, double rate) {
  return parameter->model_tensor == PITH_NONE ? rate : rate * t->groups.list[parameter->model_tensor].rate;
}

static pith_adamw_options get_adamw(const pith_trainer *t, const pith_training_parameter *parameter) {
  return (pith_adamw_options){t->options.beta1, t->options.beta2, t->options.epsilon, get_decay(t, parameter)};
}

typedef union rows_args {
  pith_adamw_rows_f32_args adamw;
  pith_sgd_rows_f32_args sgd;
} rows_args;

static pith_trainer_call make_rows_call(const pith_trainer *t, const pith_trainer_table *table, const int32_t *rows,
                                        size_t count, const float *gradients, float gradient_scale, rows_args *args) {
  const size_t offset = table->parameter->offset;
  if (t->options.optimizer == PITH_OPTIMIZER_SGD) {
    args->sgd = (pith_sgd_rows_f32_args){
        .w = t->values + offset,
        .m = t->m == NULL ? NULL : t->m + offset,
        .g = gradients == NULL ? NULL : gradients + offset,
        .rows = rows,
        .done = table->done,
        .steps = table->steps.sgd,
        .row_count = count,
        .features = table->features,
        .step_count = t->history_count,
        .momentum = (float)t->options.momentum,
        .nesterov = t->options.nesterov != 0,
        .gradient_scale = gradient_scale,
    };
    return (pith_trainer_call){pith_trainer_select(pith_sgd_rows_f32_kernels), args};
  }
  args->adamw = (pith_adamw_rows_f32_args){
      .w = t->values + offset,
      .m = t->m + offset,
      .v = t->v + offset,
      .g = gradients == NULL ? NULL : gradients + offset,
      .rows = rows,
      .done = table->done,
      .steps = table->steps.adamw,
      .row_count = count,
      .features = table->features,
      .step_count = t->history_count,
      .options = get_adamw(t, table->parameter),
      .gradient_scale = gradient_scale,
  };
  return (pith_trainer_call){pith_trainer_select(pith_adamw_rows_f32_kernels), args};
}

void pith_trainer_catch_up(pith_trainer *t, pith_trainer_table *table, const int32_t *rows, size_t count) {
  rows_args args;
  if (t->history_count == 0 || count == 0)
    return;
  const pith_trainer_call call = make_rows_call(t, table, rows, count, NULL, 1, &args);
  pith_trainer_run_calls(t, &call, 1);
}

void pith_trainer_catch_up_all(pith_trainer *t) {
  if (t->history_count == 0)
    return;
  for (uint32_t i = 0; i < t->table_count; i++) {
    pith_trainer_table *table = &t->tables[i];
    pith_trainer_catch_up(t, table, NULL, table->rows);
    memset(table->done, 0, table->rows * sizeof *table->done);
  }
  t->history_count = 0;
}

/* One more step for rows to see. */
static void add_history(pith_trainer *t, double rate) {
  if (t->history_count == PITH_TRAINER_HISTORY)
    pith_trainer_catch_up_all(t);
  for (uint32_t i = 0; i < t->table_count; i++) {
    pith_trainer_table *table = &t->tables[i];
    const double own = get_rate(t, table->parameter, rate);
    const pith_adamw_options options = get_adamw(t, table->parameter);
    if (t->options.optimizer == PITH_OPTIMIZER_SGD)
      table->steps.sgd[t->history_count] = pith_sgd_step_make(own, options.decay);
    else
      table->steps.adamw[t->history_count] = pith_adamw_step_make(&options, own, pith_trainer_count_step(t));
  }
  t->history_count++;
}

/* ---- norms ----------------------------------------------------------------------------------------------------- */

/* The sum of squares of all gradients: of dense ones by blocks, of tables by the rows that are touched. */
static double sum_gradients(pith_trainer *t) {
  const pith_training_graph *g = t->training;
  const pith_kernel *kernel = pith_trainer_select(pith_sum_squares_f32_kernels);
  pith_sum_squares_f32_args args = {.x = t->gradients, .sums = t->sums, .count = g->dense_values, .block = PITH_SUM_SQUARES_BLOCK};
  size_t count = pith_sum_squares_count(args.count, args.block);
  pith_trainer_run_calls(t, &(pith_trainer_call){kernel, &args}, 1);
  for (uint32_t i = 0; i < t->table_count; i++) {
    const pith_trainer_table *table = &t->tables[i];
    args = (pith_sum_squares_f32_args){.x = t->gradients + table->parameter->offset,
                                       .rows = table->touched,
                                       .sums = t->sums + count,
                                       .block = table->features,
                                       .row_count = table->touched_count};
    pith_trainer_run_calls(t, &(pith_trainer_call){kernel, &args}, 1);
    count += table->touched_count;
  }
  return pith_sum_doubles(t->sums, count);
}

static pith_status refuse(const pith_trainer *t, pith_error *error) {
  const pith_training_graph *g = t->training;
  for (uint32_t i = 0; i < g->trained_count; i++) {
    const pith_training_parameter *parameter = &g->parameters[i];
    for (size_t j = 0; j < parameter->count; j++) {
      const float value = t->gradients[parameter->offset + j];
      if (!isfinite(value))
        return pith_fail(error, PITH_FORMAT, "step %llu: element %zu of the gradient of '%s' is %g",
                         (unsigned long long)t->step + 1, j, g->graph->tensors[parameter->tensor].name, (double)value);
    }
  }
  return pith_fail(error, PITH_FORMAT, "step %llu: the gradients' norm overflows", (unsigned long long)t->step + 1);
}

/* ---- updates --------------------------------------------------------------------------------------------------- */

typedef union dense_args {
  pith_adamw_f32_args adamw;
  pith_sgd_f32_args sgd;
  pith_lamb_f32_args lamb;
} dense_args;

static pith_trainer_call make_dense_call(const pith_trainer *t, const pith_training_parameter *parameter, double rate,
                                         float gradient_scale, double *w_sums, double *u_sums, dense_args *args) {
  const size_t offset = parameter->offset;
  const pith_adamw_options options = get_adamw(t, parameter);
  switch (t->options.optimizer) {
  case PITH_OPTIMIZER_SGD:
    args->sgd = (pith_sgd_f32_args){
        .w = t->values + offset,
        .m = t->m == NULL ? NULL : t->m + offset,
        .g = t->gradients + offset,
        .count = parameter->count,
        .step = pith_sgd_step_make(rate, options.decay),
        .momentum = (float)t->options.momentum,
        .nesterov = t->options.nesterov != 0,
        .gradient_scale = gradient_scale,
    };
    return (pith_trainer_call){pith_trainer_select(pith_sgd_f32_kernels), args};
  case PITH_OPTIMIZER_LAMB:
    args->lamb = (pith_lamb_f32_args){
        .m = t->m + offset,
        .v = t->v + offset,
        .w = t->values + offset,
        .g = t->gradients + offset,
        .w_sums = w_sums,
        .u_sums = u_sums,
        .count = parameter->count,
        .step = pith_adamw_step_make(&options, 1, pith_trainer_count_step(t)),
        .options = options,
        .gradient_scale = gradient_scale,
    };
    return (pith_trainer_call){pith_trainer_select(pith_lamb_f32_kernels), args};
  default:
    args->adamw = (pith_adamw_f32_args){
        .w = t->values + offset,
        .m = t->m + offset,
        .v = t->v + offset,
        .g = t->gradients + offset,
        .count = parameter->count,
        .step = pith_adamw_step_make(&options, rate, pith_trainer_count_step(t)),
        .options = options,
        .gradient_scale = gradient_scale,
    };
    return (pith_trainer_call){pith_trainer_select(pith_adamw_f32_kernels), args};
  }
}

/* The second half of LAMB: by the ratio of the two norms of each parameter. */
static void apply_lamb(pith_trainer *t, double rate) {
  size_t sum = 0;
  for (uint32_t i = 0; i < t->training->dense_count; i++) {
    const pith_training_parameter *parameter = &t->training->parameters[i];
    const pith_lamb_apply_f32_args args = {.w = t->values + parameter->offset,
                                           .u = t->gradients + parameter->offset,
                                           .w_sums = t->sums + sum,
                                           .u_sums = t->update_sums + sum,
                                           .count = parameter->count,
                                           .rate = (float)get_rate(t, parameter, rate)};
    pith_trainer_run_calls(t, &(pith_trainer_call){pith_trainer_select(pith_lamb_apply_f32_kernels), &args}, 1);
    sum += pith_sum_squares_count(parameter->count, PITH_SUM_SQUARES_BLOCK);
  }
}

static pith_status update(pith_trainer *t, double rate, float gradient_scale, pith_error *error) {
  const pith_training_graph *g = t->training;
  const uint32_t count = g->dense_count;
  pith_arena temporary;
  pith_arena_init(&temporary, &t->allocator);
  pith_trainer_call *calls = PITH_ARENA_NEW(&temporary, pith_trainer_call, g->trained_count);
  dense_args *dense = PITH_ARENA_NEW(&temporary, dense_args, count);
  rows_args *rows = PITH_ARENA_NEW(&temporary, rows_args, t->table_count);
  if (calls == NULL || dense == NULL || rows == NULL) {
    pith_arena_deinit(&temporary);
    return pith_fail(error, PITH_OUT_OF_MEMORY, "no memory for the calls of a step");
  }
  size_t sum = 0;
  for (uint32_t i = 0; i < count; i++) {
    const pith_training_parameter *parameter = &g->parameters[i];
    calls[i] = make_dense_call(t, parameter, get_rate(t, parameter, rate), gradient_scale, t->sums + sum,
                               t->update_sums == NULL ? NULL : t->update_sums + sum, &dense[i]);
    sum += pith_sum_squares_count(parameter->count, PITH_SUM_SQUARES_BLOCK);
  }
  if (t->table_count != 0)
    add_history(t, rate);
  for (uint32_t i = 0; i < t->table_count; i++)
    calls[count + i] = make_rows_call(t, &t->tables[i], t->tables[i].touched, t->tables[i].touched_count, t->gradients,
                                      gradient_scale, &rows[i]);
  pith_trainer_run_calls(t, calls, g->trained_count);
  if (t->options.optimizer == PITH_OPTIMIZER_LAMB)
    apply_lamb(t, rate);
  if (t->average != NULL) {
    const pith_ema_f32_args args = {
        .average = t->average, .w = t->values, .count = g->trained_values, .one_minus_decay = (float)(1 - t->options.ema)};
    pith_trainer_run_calls(t, &(pith_trainer_call){pith_trainer_select(pith_ema_f32_kernels), &args}, 1);
  }
  pith_arena_deinit(&temporary);
  return PITH_OK;
}

/* Tables' gradients are 0 again. */
static void clear_rows(pith_trainer *t) {
  for (uint32_t i = 0; i < t->table_count; i++) {
    pith_trainer_table *table = &t->tables[i];
    float *gradients = t->gradients + table->parameter->offset;
    for (size_t j = 0; j < table->touched_count; j++)
      memset(gradients + (size_t)table->touched[j] * table->features, 0, table->features * sizeof *gradients);
    table->touched_count = 0;
  }
}

pith_status pith_trainer_apply(pith_trainer *t, double learning_rate, double *out_norm, pith_error *error) {
  if (!t->begun)
    return pith_fail(error, PITH_INVALID_ARGUMENT, "there are no gradients to apply: no batch since the last step");
  if (!(learning_rate >= 0 && isfinite(learning_rate)))
    return pith_fail(error, PITH_INVALID_ARGUMENT, "a learning rate of %g", learning_rate);
  pith_trainer_use_weights(t);
  if (t->options.reduce != NULL)
    PITH_TRY(t->options.reduce(t->options.context, t->gradients, t->training->trained_values, error));
  uint64_t begin = pith_trainer_begin(t);
  double norm = sqrt(sum_gradients(t));
  pith_trainer_end(t, PITH_TRAINER_NORM, begin);
  if (!isfinite(norm))
    return refuse(t, error);
  if (t->pruning != NULL) {
    PITH_TRY(pith_trainer_prune_gradients(t, learning_rate, error));
    norm = sqrt(sum_gradients(t)); /* of what the optimizer sees */
  }
  /* As torch.nn.utils.clip_grad_norm_ does. */
  const double scale = t->options.clip == 0 ? 1 : fmin(1, t->options.clip / (norm + 1e-6));
  begin = pith_trainer_begin(t);
  if (t->pruning != NULL)
    pith_trainer_rewind_keep(t);
  PITH_TRY(update(t, learning_rate, (float)scale, error));
  if (t->pruning != NULL) {
    pith_trainer_prune_weights(t);
    pith_trainer_rewind(t);
  }
  pith_trainer_quantized_settle(t);
  clear_rows(t);
  pith_trainer_end(t, PITH_TRAINER_UPDATE, begin);
  t->begun = false;
  t->step++;
  if (out_norm != NULL)
    *out_norm = norm;
  return PITH_OK;
}

void pith_trainer_discard(pith_trainer *t) {
  clear_rows(t);
  t->begun = false;
}

/* ---- between steps ------------------------------------------------------------------------------------------------ */

void pith_trainer_rest(pith_trainer *t) {
  pith_executor_vacate(t->executor);
  if (!t->begun) /* tables' gradients are 0, dense ones will be written */
    pith_vacate(&t->allocator, t->gradients, t->training->trained_values * sizeof(float));
  if (t->spare != NULL)
    pith_vacate(&t->allocator, t->spare, t->training->dense_values * sizeof(float));
}

/* ---- the model and the state ------------------------------------------------------------------------------------ */

static void exchange(pith_trainer *t) {
  for (size_t i = 0; i < t->training->trained_values; i++) {
    const float value = t->values[i];
    t->values[i] = t->average[i];
    t->average[i] = value;
  }
  t->averaged = !t->averaged;
}

void pith_trainer_use_weights(pith_trainer *t) {
  if (t->averaged)
    exchange(t);
}

pith_status pith_trainer_get_model(pith_trainer *t, pith_model_data *out_model, pith_error *error) {
  pith_trainer_catch_up_all(t);
  if (t->average != NULL && !t->averaged)
    exchange(t);
  *out_model = t->model;
  out_model->graph = t->quantized != NULL ? t->quantized->graph : t->training->model;
  if (t->pruning != NULL)
    PITH_TRY(pith_trainer_prune_describe(t, error));
  return pith_trainer_quantized_refresh(t, error);
}

const pith_trainer_piece *pith_trainer_get_state(pith_trainer *t, size_t *out_count) {
  const size_t bytes = t->training->trained_values * sizeof(float);
  size_t count = 0;
  pith_trainer_use_weights(t);
  pith_trainer_catch_up_all(t);
  t->state_step = t->step;
  t->pieces[count++] = (pith_trainer_piece){&t->state_step, sizeof t->state_step};
  float *const arrays[] = {t->values, t->m, t->v, t->average};
  for (size_t i = 0; i < sizeof arrays / sizeof *arrays; i++)
    if (arrays[i] != NULL)
      t->pieces[count++] = (pith_trainer_piece){arrays[i], bytes};
  if (t->pruning != NULL)
    count += pith_trainer_prune_get_state(t, t->pieces + count);
  if (t->quantized != NULL && t->quantized->end_count != 0)
    t->pieces[count++] = (pith_trainer_piece){t->quantized->ends, t->quantized->end_count * sizeof(float)};
  *out_count = count;
  return t->pieces;
}

void pith_trainer_state_changed(pith_trainer *t) {
  t->step = t->state_step;
  t->begun = t->averaged = false;
  if (t->pruning != NULL)
    pith_trainer_prune_state_changed(t);
  t->history_count = 0;
  pith_trainer_quantized_settle(t);
  for (uint32_t i = 0; i < t->table_count; i++)
    memset(t->tables[i].done, 0, t->tables[i].rows * sizeof *t->tables[i].done);
  clear_rows(t);
}
