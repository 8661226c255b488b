#include "tests/train/training_fixture.h"

#include <pthreadpool.h>
#include <stdlib.h>
#include <string.h>

#define MUST(call)                                                                                          \
  do {                                                                                                      \
    pith_error must_error = {PITH_OK, ""};                                                                  \
    pith_error *error = &must_error;                                                                        \
    if ((call) != PITH_OK)                                                                                  \
      fail_msg("%s", must_error.message);                                                                   \
  } while (0)

const pith_training_graph_options training_options = {.temperature = 1, .dense_rows = 1u << 30};

static int64_t get_size(const training_batch *batch, const char *symbol) {
  return (int64_t)(strcmp(symbol, "tokens") == 0      ? batch->tokens
                   : strcmp(symbol, "sequences") == 0 ? batch->sequences
                   : strcmp(symbol, "rows") == 0      ? batch->rows
                                                      : batch->pairs);
}

static float *allocate(size_t count) {
  float *memory = aligned_alloc(64, (count * sizeof *memory + 64) / 64 * 64);
  memset(memory, 0xff, count * sizeof *memory); /* NaN: nothing is read before it is written */
  return memory;
}

void training_open(training_fixture *f, const pith_model_data *model, const pith_training_graph_options *options,
                   const training_batch *limits, pith_cpu_set cpu, size_t threads) {
  int64_t sizes[8];
  *f = (training_fixture){.pool = threads > 1 ? pthreadpool_create(threads) : NULL};
  MUST(pith_training_graph_create(model, options, NULL, &f->training, error));
  const pith_graph *graph = f->training->graph;
  f->values = allocate(f->training->value_count);
  f->gradients = allocate(f->training->dense_values);
  MUST(pith_training_graph_load(f->training, f->values, error));
  for (uint32_t s = 0; s < graph->symbol_count; s++)
    sizes[s] = get_size(limits, graph->symbols[s]);
  pith_lower_options lowering = {.cpu = cpu, .threads = threads, .symbol_limits = sizes};
  pith_training_graph_set_lowering(f->training, &lowering);
  const pith_executor_options execution = {.threadpool = f->pool};
  MUST(pith_program_create(graph, &lowering, &f->program, error));
  MUST(pith_executor_create(f->program, &execution, &f->executor, error));
  for (uint32_t i = 0; i < f->training->dense_count; i++) {
    const pith_training_parameter *parameter = &f->training->parameters[i];
    MUST(pith_executor_bind_output(f->executor, parameter->gradient, f->gradients + parameter->offset, error));
  }
}

void training_close(training_fixture *f) {
  pith_executor_destroy(f->executor);
  pith_program_destroy(f->program);
  pith_training_graph_destroy(f->training);
  if (f->pool != NULL)
    pthreadpool_destroy(f->pool);
  free(f->values);
  free(f->gradients);
}

pith_status training_try(training_fixture *f, const training_batch *batch, pith_error *run_error) {
  const pith_graph *graph = f->training->graph;
  pith_feed feeds[PITH_TRAINING_INPUT_COUNT + PITH_TEACHER_VALUES_MOST] = {{0}};
  int64_t sizes[8];
  for (uint32_t s = 0; s < graph->symbol_count; s++)
    sizes[s] = get_size(batch, graph->symbols[s]);
  for (int id = 0; id < PITH_TRAINING_INPUT_COUNT + PITH_TEACHER_VALUES_MOST; id++) {
    const int value = id - PITH_TRAINING_INPUT_COUNT;
    const uint32_t i = value < 0 ? f->training->inputs[id] : f->training->teacher_values[value];
    if (i == PITH_NONE)
      continue;
    const pith_tensor *input = &graph->tensors[graph->inputs[i]];
    feeds[i].data = value < 0 ? batch->data[id] : batch->teacher_values[value];
    for (uint32_t d = 0; d < input->rank; d++) {
      int64_t size;
      MUST(pith_dim_evaluate(&input->dims[d], sizes, &size, error));
      feeds[i].dims[d] = (size_t)size;
    }
  }
  return pith_executor_run(f->executor, feeds, NULL, 0, run_error);
}

float training_run(training_fixture *f, const training_batch *batch) {
  MUST(training_try(f, batch, error));
  return *(const float *)pith_executor_get_output(f->executor, 0)->data;
}

float *training_gradient(const training_fixture *f, const pith_training_parameter *parameter) {
  if (parameter->gradient == PITH_NONE)
    return NULL;
  float *sum = calloc(parameter->count + 1, sizeof *sum);
  const pith_view *view = pith_executor_get_output(f->executor, parameter->gradient);
  if (parameter->ids == PITH_NONE) {
    assert_int_equal(pith_view_count(view), parameter->count);
    memcpy(sum, view->data, parameter->count * sizeof *sum);
    return sum;
  }
  const pith_view *ids = pith_executor_get_output(f->executor, parameter->ids);
  assert_int_equal(pith_view_count(ids), view->rows);
  for (size_t r = 0; r < view->rows; r++)
    for (size_t i = 0; i < view->columns; i++) {
      const size_t at = (size_t)((const int32_t *)ids->data)[r] * view->columns + i;
      assert_true(at < parameter->count);
      sum[at] += ((const float *)view->data)[r * view->columns + i];
    }
  return sum;
}

const char *training_name(const training_fixture *f, const pith_training_parameter *parameter) {
  return parameter->model_tensor == PITH_NONE ? f->training->graph->tensors[parameter->tensor].name
                                              : f->training->model->tensors[parameter->model_tensor].name;
}

const pith_training_parameter *training_find(const training_fixture *f, const char *name) {
  for (uint32_t i = 0; i < f->training->parameter_count; i++) {
    const pith_training_parameter *parameter = &f->training->parameters[i];
    if (strcmp(training_name(f, parameter), name) == 0)
      return parameter;
  }
  fail_msg("no parameter is called %s", name);
  return NULL;
}
