/* The learning rate over a run: up from 0, then as the schedule says. The values are those of transformers'
 * get_linear_schedule_with_warmup, get_cosine_schedule_with_warmup and get_constant_schedule_with_warmup. */
#ifndef PITH_TRAIN_RATE_H
#define PITH_TRAIN_RATE_H

#include <pith/train.h>

typedef struct pith_rate {
  pith_rate_kind kind;
  double peak;            /* after the warm-up */
  uint64_t warmup, steps; /* of the warm-up; of the whole run, it included */
} pith_rate;

/* Steps of a warm-up: below 1 it is a share of the run, rounded up, else so many steps. */
uint64_t pith_rate_get_warmup(double warmup, uint64_t steps);
/* Of the step after `step` were made: the first one, 0, of a warm-up has the rate 0. The same bits on every machine. */
double pith_rate_at(const pith_rate *rate, uint64_t step);

#endif
