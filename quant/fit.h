/* Weights of least error, and the numbers of 8 bits that come near to it. Part of libpith-compress.
 *
 * With second moments H of a product's input and weights w* that give what is wanted, the error of one output's weights w is
 * (w - w*) H (w - w*)^T. Where only the inputs S may have a weight, the least error is at H_SS w_S = (w* H)_S. Rounding then goes
 * from the last input of S to the first, and moves what each weight lost onto those still to come: with H_SS = U^T U the error of
 * rounded weights q is |U (w - q)|^2, so that input a takes the number nearest to w_a + sum over b > a of U_ab (w_b - q_b) / U_aa.
 * That is GPTQ (Frantar et al. 2023), by H's own factor in place of its inverse's. */
#ifndef PITH_QUANT_FIT_H
#define PITH_QUANT_FIT_H

#include "engine/base/error.h"
#include "quant/options.h"

struct pthreadpool;

typedef struct pith_fit {
  const char *name;      /* of the weight, for messages */
  size_t n, k;
  const double *moments; /* H [k, k], of which the upper triangle is read */
  const double *targets; /* [n, k] w* H */
  const uint8_t *stays;  /* [n, k] 0: this weight is 0 */
  bool rounds;           /* to scale * -127 .. 127 */
  pith_weight_clip clip; /* how scales are chosen then */
  struct pthreadpool *threadpool;
} pith_fit;

/* Neighbouring outputs with the same inputs take one factor. `out_scales` [n]: only where `rounds`. PITH_FORMAT where `moments` is not
 * positive definite. The same bits with any number of threads. */
PITH_WARN_UNUSED pith_status pith_fit_weights(const pith_fit *fit, float *out_w, float *out_scales, pith_error *error);

#endif
