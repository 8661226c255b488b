/* Probabilities from logits, in double precision with an exponential of our own, so that a score has the same bits
 * whatever the C library and CPU. */
#ifndef PITH_BASE_PROBABILITY_H
#define PITH_BASE_PROBABILITY_H

#include <stddef.h>

/* e^x within 2 ulp (double); 0 below -708, e^709 above 709; NaN gives NaN. */
double pith_exponential(double x);
double pith_sigmoid(double x);
/* sum over i of e^(logits[i] - max); `out_max` gets the largest logit. n >= 1. */
double pith_softmax_sum(const float *logits, size_t n, float *out_max);
/* The index of the largest value, the first of equals. n >= 1. */
size_t pith_argmax(const float *values, size_t n);

#endif
