#include "train/rate.h"

#include <math.h>

#include "engine/base/random.h"

uint64_t pith_rate_get_warmup(double warmup, uint64_t steps) {
  return (uint64_t)(warmup < 1 ? ceil(warmup * (double)steps) : warmup);
}

double pith_rate_at(const pith_rate *rate, uint64_t step) {
  if (step < rate->warmup)
    return rate->peak * ((double)step / (double)rate->warmup);
  if (rate->kind == PITH_RATE_CONSTANT)
    return rate->peak;
  if (step >= rate->steps)
    return 0;
  const double left = (double)(rate->steps - step) / (double)(rate->steps - rate->warmup);
  if (rate->kind == PITH_RATE_LINEAR)
    return rate->peak * left;
  return rate->peak * (0.5 * (1.0 + pith_random_cosine((1.0 - left) * 0.5)));
}
