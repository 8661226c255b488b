#include "sparse/schedule.h"

#include <math.h>

double pith_schedule_get(pith_schedule schedule, double a, double b, double t) {
  if (t >= 1)
    return b;
  switch (schedule) {
  case PITH_SCHEDULE_LINEAR:
    return a + (b - a) * t;
  case PITH_SCHEDULE_CUBIC:
    return b + (a - b) * (1 - t) * (1 - t) * (1 - t);
  case PITH_SCHEDULE_EXPONENTIAL:
    return a >= 1 ? 1 : 1 - (1 - a) * pow((1 - b) / (1 - a), t);
  case PITH_SCHEDULE_ONE_SHOT:
  case PITH_SCHEDULE_COUNT:
    break;
  }
  return b;
}
