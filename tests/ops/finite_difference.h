/* The derivative of a plain double function of n doubles by its i-th, by differences of fourth order. */
#ifndef PITH_TESTS_FINITE_DIFFERENCE_H
#define PITH_TESTS_FINITE_DIFFERENCE_H

#include <math.h>
#include <stddef.h>

typedef double difference_function(const double *x, size_t n, const void *context);

/* Its error is about 1e-12 of the function's values and h^4 = 1e-14 of its fifth derivative. */
static inline double difference(difference_function *f, double *x, size_t n, size_t i, const void *context) {
  const double h = 0x1p-11, at = x[i];
  double value[4];
  static const double steps[4] = {-2, -1, 1, 2};
  for (size_t k = 0; k < 4; ++k) {
    x[i] = at + steps[k] * h;
    value[k] = f(x, n, context);
  }
  x[i] = at;
  return (8 * (value[2] - value[1]) - (value[3] - value[0])) / (12 * h);
}

#endif
