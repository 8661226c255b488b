/* What a run writes of itself while it goes on: JSON lines, and curves for TensorBoard. */
#ifndef PITH_TRAIN_RUN_LOG_H
#define PITH_TRAIN_RUN_LOG_H

#include "models/tasks/evaluate.h"
#include "train/event_file.h"

typedef struct pith_run_log {
  FILE *file; /* NULL: no lines */
  const char *path;
  pith_event_file events;
  pith_arena arena;
} pith_run_log;

/* Where a run stands after so many steps, over the steps since the last line. */
typedef struct pith_run_point {
  uint64_t step;
  double epoch; /* 1.5: in the middle of the second */
  double loss, rate, norm, steps_per_s, tokens_per_s;
} pith_run_point;

/* `path` and `folder` may be NULL. Of a file that is there `keep_bytes` stay, what a run that goes on had written at `step`; 0: a new
 * run. PITH_IO. pith_run_log_close follows, whether this fails or not. */
PITH_WARN_UNUSED pith_status pith_run_log_open(pith_run_log *log, const char *path, const char *folder, uint64_t keep_bytes,
                                               uint64_t step, pith_error *error);
/* {"step":..,"epoch":..,"loss":..,"lr":..,"norm":..,"steps_per_s":..,"tokens_per_s":..} */
PITH_WARN_UNUSED pith_status pith_run_log_add_point(pith_run_log *log, const pith_run_point *point, pith_error *error);
/* {"step":..,"epoch":..,"eval":{"accuracy":..}} */
PITH_WARN_UNUSED pith_status pith_run_log_add_evaluation(pith_run_log *log, uint64_t step, double epoch,
                                                         const pith_evaluation *evaluation, pith_error *error);
/* Bytes of the lines so far. */
uint64_t pith_run_log_count_bytes(const pith_run_log *log);
void pith_run_log_close(pith_run_log *log);

#endif
