#include "ops/optimizer/optimizer_f32.h"

#include <math.h>

/* By squaring: the same bits with every C library. */
static double power(double base, uint64_t exponent) {
  double out = 1;
  for (; exponent > 0; exponent >>= 1, base *= base)
    if (exponent & 1)
      out *= base;
  return out;
}

pith_adamw_step pith_adamw_step_make(const pith_adamw_options *options, double rate, uint64_t t) {
  return (pith_adamw_step){.shrink = (float)(rate * options->decay),
                           .size = (float)(rate / (1 - power(options->beta1, t))),
                           .root_inverse = (float)(1 / sqrt(1 - power(options->beta2, t)))};
}

pith_sgd_step pith_sgd_step_make(double rate, double decay) {
  return (pith_sgd_step){.rate = (float)rate, .shrink = (float)(rate * decay)};
}

double pith_sum_doubles(const double *x, size_t count) {
  double sum = 0;
  for (size_t i = 0; i < count; ++i)
    sum += x[i];
  return sum;
}
