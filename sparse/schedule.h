/* How sparsity grows over the steps of pruning, from what a model has to what is asked for. */
#ifndef PITH_SPARSE_SCHEDULE_H
#define PITH_SPARSE_SCHEDULE_H

/* Sparsity s at t of 0 .. 1, from a to b:
 *   linear       a + (b - a) t
 *   cubic        b + (a - b) (1 - t)^3                      fast, then slow (Zhu and Gupta 2017)
 *   exponential  1 - (1 - a) ((1 - b) / (1 - a))^t           the same share of what is left at every step */
#define PITH_SCHEDULE_LIST(X)                                                                              \
  X(ONE_SHOT, "one-shot") X(LINEAR, "linear") X(CUBIC, "cubic") X(EXPONENTIAL, "exponential")
typedef enum pith_schedule {
#define PITH_SCHEDULE_ENUM(name, text) PITH_SCHEDULE_##name,
  PITH_SCHEDULE_LIST(PITH_SCHEDULE_ENUM)
#undef PITH_SCHEDULE_ENUM
      PITH_SCHEDULE_COUNT
} pith_schedule;

/* At t = 1 exactly b; one-shot is b at every t. 0 <= a, b <= 1. */
double pith_schedule_get(pith_schedule schedule, double a, double b, double t);

#endif
