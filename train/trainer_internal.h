/* What the files of the trainer share. */
#ifndef PITH_TRAIN_TRAINER_INTERNAL_H
#define PITH_TRAIN_TRAINER_INTERNAL_H

#include "engine/exec/executor.h"
#include "engine/exec/model.h"
#include "ops/optimizer/optimizer_f32.h"
#include "train/groups.h"
#include "train/trainer.h"
#include "train/training_graph.h"

/* Steps after which all rows are brought up to date: replaying thousands for one row is slow. */
enum { PITH_TRAINER_HISTORY = 4096 };

typedef struct pith_trainer_pruning pith_trainer_pruning; /* trainer_prune.h */
enum { PITH_TRAINER_PRUNE_PIECES = 7 };

/* A table whose rows are updated when they are read. */
typedef struct pith_trainer_table {
  const pith_training_parameter *parameter;
  size_t rows, features;
  pith_training_input input; /* the input that its rows are looked up by; PITH_TRAINING_INPUT_COUNT: the graph computes them, and all
                                rows are kept up to date */
  uint32_t *done;            /* [rows] steps of `steps` that each row has seen */
  union {
    pith_adamw_step *adamw;
    pith_sgd_step *sgd;
  } steps; /* [PITH_TRAINER_HISTORY] since all rows were last up to date */
  int32_t *touched;  /* [rows] that have a gradient in this step, in the order of the batches */
  size_t touched_count;
  int32_t *read;     /* [rows] that the batch reads */
  uint32_t *stamps;  /* [rows] when each was put in `touched` last, and in `read` */
  uint32_t *read_stamps;
} pith_trainer_table;

/* What a profile has beside the program's steps. */
typedef enum pith_trainer_ends {
  PITH_TRAINER_CATCHING_UP,
  PITH_TRAINER_ADDING_ROWS,
  PITH_TRAINER_NORM,
  PITH_TRAINER_UPDATE,
  PITH_TRAINER_ENDS
} pith_trainer_ends;

struct pith_trainer {
  pith_arena arena;
  pith_allocator allocator;
  pith_trainer_options options;
  struct pith_model source; /* as it was given */
  pith_model_data model;
  pith_training_graph *training;
  pith_parameter_groups groups; /* of training->model */
  pith_program *program;
  pith_executor *executor;
  size_t threads;
  float *values;    /* [training->value_count] */
  float *gradients; /* [training->trained_values]; of tables' rows only the touched ones are ever not 0 */
  float *spare;     /* [training->dense_values] of a second batch of a step; NULL before there was one */
  float *m, *v;     /* [training->trained_values], or NULL */
  float *average;   /* the same, or NULL */
  double *sums;     /* of squares: [sum_count] */
  size_t sum_count;
  double *update_sums; /* lamb: of the updates */
  pith_trainer_table *tables; /* [table_count] */
  uint32_t table_count;
  struct pith_trainer_quantized *quantized; /* NULL: the model is trained in floats */
  bool begun;       /* the gradients are those of a batch since the last step */
  bool averaged;    /* `values` and `average` stand in each other's place */
  uint64_t step;    /* applied */
  uint32_t stamp, read_stamp;
  size_t history_count; /* steps that some rows have not seen */
  int32_t *firsts, *seconds, *counting, *zeros; /* [max_sequences / 2] twice, [max_sequences + 1], [max_tokens] */
  int32_t key[4];
  pith_trainer_pruning *pruning; /* NULL: no weight has a mask */
  uint64_t state_step; /* what get_state gives */
  pith_trainer_piece pieces[6 + PITH_TRAINER_PRUNE_PIECES];
  size_t bytes; /* all memory but the arena's */
  pith_profile_entry *profile; /* [program->step_count + PITH_TRAINER_ENDS], or NULL */
};

/* Runs several calls as one: all their tasks on the trainer's threads. Kernels have no scratch. */
typedef struct pith_trainer_call {
  const pith_kernel *kernel;
  const void *args;
} pith_trainer_call;
void pith_trainer_run_calls(pith_trainer *trainer, const pith_trainer_call *calls, size_t count);
const pith_kernel *pith_trainer_select(const pith_kernel *const *table);

/* `out` becomes zeroed memory, in the trainer's count. */
PITH_WARN_UNUSED pith_status pith_trainer_allocate(pith_trainer *trainer, size_t count, size_t element_bytes, void *out,
                                                   pith_error *error);

PITH_WARN_UNUSED pith_status pith_trainer_make_profile(pith_trainer *trainer, pith_error *error);
/* Around what is timed; nothing without a profile. */
uint64_t pith_trainer_begin(const pith_trainer *trainer);
void pith_trainer_end(pith_trainer *trainer, pith_trainer_ends what, uint64_t begin);

/* Rows of a table go through the steps that they have missed; NULL: all rows. */
void pith_trainer_catch_up(pith_trainer *trainer, pith_trainer_table *table, const int32_t *rows, size_t count);
void pith_trainer_catch_up_all(pith_trainer *trainer);
/* Of an INT8 model that is trained as such (trainer_quantized.c). */
typedef struct pith_trainer_quantized {
  pith_graph *graph; /* the INT8 model's, with the weights of the last refresh */
  struct pith_trainer_weight *weights; /* [weight_count] */
  uint32_t weight_count;
  float *ends;       /* [range_count, 2] of ema: the averages of the extremes; state */
  size_t end_count;  /* elements; 0: there are none */
} pith_trainer_quantized;
/* After the weights are loaded; nothing where the model is trained in floats. */
PITH_WARN_UNUSED pith_status pith_trainer_quantized_create(pith_trainer *trainer, pith_error *error);
void pith_trainer_quantized_destroy(pith_trainer *trainer);
void pith_trainer_quantized_observe(pith_trainer *trainer); /* after a run */
void pith_trainer_quantized_settle(pith_trainer *trainer);  /* after a step, and after the state was read: ranges are ranges */
/* Writes the weights of now to `graph`, with the patterns that the float model's have. */
PITH_WARN_UNUSED pith_status pith_trainer_quantized_refresh(pith_trainer *trainer, pith_error *error);

/* `values` are the weights that are trained, and not their averages. */
void pith_trainer_use_weights(pith_trainer *trainer);

#endif
