/* A trainer's model of now: measured, written. */
#ifndef PITH_TRAIN_TRAINER_MODEL_H
#define PITH_TRAIN_TRAINER_MODEL_H

#include "models/tasks/evaluate.h"
#include "train/trainer.h"

struct cJSON;

/* Runs it over all rows, with the source's tokenizer. `progress` as for pith_evaluate. */
PITH_WARN_UNUSED pith_status pith_trainer_measure(pith_trainer *trainer, const pith_model *source, struct pthreadpool *pool,
                                                  const pith_eval_task *task, const pith_dataset *rows,
                                                  void (*progress)(void *context, uint64_t done), void *context,
                                                  pith_evaluation *out_evaluation, pith_error *error);

/* Writes it, in the layouts that products read, with what was measured as its report (`evaluation`: NULL, nothing) and a step
 * "train" in its history, which takes `history` (NULL: memory is out). */
PITH_WARN_UNUSED pith_status pith_trainer_write(pith_trainer *trainer, const char *path, const char *task,
                                                const pith_evaluation *evaluation, struct cJSON *history, pith_error *error);

#endif
