/* A training graph that runs: what a trainer does, without an optimizer. */
#ifndef PITH_TESTS_TRAINING_FIXTURE_H
#define PITH_TESTS_TRAINING_FIXTURE_H

#include "engine/exec/executor.h"
#include "tests/engine/ir_fixture.h"
#include "train/training_graph.h"

typedef struct training_fixture {
  pith_training_graph *training;
  float *values, *gradients; /* [value_count], [dense_values] */
  pith_program *program;
  pith_executor *executor;
  struct pthreadpool *pool;
} training_fixture;

/* What a run reads, by input; NULL: what the graph has no input for. Sizes are those of the symbols. */
typedef struct training_batch {
  const void *data[PITH_TRAINING_INPUT_COUNT];
  const float *teacher_values[PITH_TEACHER_VALUES_MOST];
  size_t tokens, sequences, rows, pairs;
} training_batch;

extern const pith_training_graph_options training_options; /* nothing dropped, tables dense */

/* Programs for at most the batch's sizes. Fails the test where something fails. */
void training_open(training_fixture *f, const pith_model_data *model, const pith_training_graph_options *options,
                   const training_batch *limits, pith_cpu_set cpu, size_t threads);
void training_close(training_fixture *f);
pith_status training_try(training_fixture *f, const training_batch *batch, pith_error *error);
/* The loss; gradients are where training_gradient finds them. */
float training_run(training_fixture *f, const training_batch *batch);
/* That parameter's gradient, [count] of it, of the last run; one by rows is added up. The caller frees it. NULL: it has none. */
float *training_gradient(const training_fixture *f, const pith_training_parameter *parameter);
/* Its name in the model, or in the training graph where that alone has it. */
const char *training_name(const training_fixture *f, const pith_training_parameter *parameter);
/* By that name; fails the test where there is none. */
const pith_training_parameter *training_find(const training_fixture *f, const char *name);

#endif
