/* Optimizers over contiguous arrays of floats. A call is one step of one array: w its weights, g their gradient, all of `count`
 * elements. What depends on the number of the step or the learning rate is a structure that pith_..._step_make fills (in
 * double, then rounded), so that each array may have a rate and a decay of its own. Weight decay is decoupled everywhere:
 * w -= rate * decay * w.
 *
 * Rows: the same step for some rows of a table [*, features] whose other rows' gradient is 0 and whose update is put off.
 * done[r] counts the steps of row r; steps[done[r]] on are replayed one after another with the operations of the dense kernel
 * and gradient 0. So a row that is up to date has the dense kernel's bits, whenever it was brought up to date; where all are,
 * `steps` may begin anew with `done` 0. */
#ifndef PITH_OPS_OPTIMIZER_F32_H
#define PITH_OPS_OPTIMIZER_F32_H

#include <stdint.h>

#include "ops/kernel.h"

/* ---- AdamW (Loshchilov and Hutter 2019; torch.optim.AdamW) -----------------------------------------------------------
 * m += (1 - beta1) (g - m), v = beta2 v + (1 - beta2) g^2, w -= rate decay w,
 * w -= rate / (1 - beta1^t) m / (sqrt(v) / sqrt(1 - beta2^t) + epsilon); g is the gradient times gradient_scale. */

typedef struct pith_adamw_options {
  double beta1, beta2, epsilon, decay;
} pith_adamw_options;

typedef struct pith_adamw_step {
  float shrink;       /* rate * decay */
  float size;         /* rate / (1 - beta1^t) */
  float root_inverse; /* 1 / sqrt(1 - beta2^t) */
} pith_adamw_step;

/* t counts from 1. */
pith_adamw_step pith_adamw_step_make(const pith_adamw_options *options, double rate, uint64_t t);

typedef struct pith_adamw_f32_args {
  float *w, *m, *v;
  const float *g;
  size_t count;
  pith_adamw_step step;
  pith_adamw_options options;
  float gradient_scale;
} pith_adamw_f32_args;
extern const pith_kernel *const pith_adamw_f32_kernels[];

typedef struct pith_adamw_rows_f32_args {
  float *w, *m, *v;             /* [*, features] */
  const float *g;               /* the same: the gradient of the last of `steps`; NULL: it is 0 too */
  const int32_t *rows;          /* [row_count], no row twice; NULL: the first row_count */
  uint32_t *done;               /* [*] at most step_count; becomes step_count */
  const pith_adamw_step *steps; /* [step_count] */
  size_t row_count, features, step_count;
  pith_adamw_options options;
  float gradient_scale;
} pith_adamw_rows_f32_args;
extern const pith_kernel *const pith_adamw_rows_f32_kernels[];

/* ---- SGD with momentum -----------------------------------------------------------------------------------------------
 * w -= rate decay w, m = momentum m + g, w -= rate m; Nesterov: w -= rate (g + momentum m). torch.optim.SGD without its own
 * (coupled) decay and without dampening. */

typedef struct pith_sgd_step {
  float rate, shrink; /* shrink = rate * decay */
} pith_sgd_step;

pith_sgd_step pith_sgd_step_make(double rate, double decay);

typedef struct pith_sgd_f32_args {
  float *w;
  float *m; /* NULL where momentum is 0 */
  const float *g;
  size_t count;
  pith_sgd_step step;
  float momentum;
  int nesterov;
  float gradient_scale;
} pith_sgd_f32_args;
extern const pith_kernel *const pith_sgd_f32_kernels[];

typedef struct pith_sgd_rows_f32_args { /* as pith_adamw_rows_f32_args */
  float *w, *m;
  const float *g;
  const int32_t *rows;
  uint32_t *done;
  const pith_sgd_step *steps;
  size_t row_count, features, step_count;
  float momentum;
  int nesterov;
  float gradient_scale;
} pith_sgd_rows_f32_args;
extern const pith_kernel *const pith_sgd_rows_f32_kernels[];

/* ---- LAMB (You et al. 2020) ------------------------------------------------------------------------------------------
 * m and v as AdamW's; u = m / (1 - beta1^t) / (sqrt(v) / sqrt(1 - beta2^t) + epsilon) + decay w; w -= rate |w| / |u| u, the
 * ratio of norms over the whole array being 1 where either norm is 0. Two kernels, for the norms are needed between. */

typedef struct pith_lamb_f32_args {
  float *m, *v;
  const float *w;
  float *g;                /* becomes u */
  double *w_sums, *u_sums; /* [pith_sum_squares_count(count, PITH_SUM_SQUARES_BLOCK)] sums of squares of blocks */
  size_t count;
  pith_adamw_step step; /* made with rate 1 and the decay: shrink is then the decay */
  pith_adamw_options options;
  float gradient_scale;
} pith_lamb_f32_args;
extern const pith_kernel *const pith_lamb_f32_kernels[];

typedef struct pith_lamb_apply_f32_args {
  float *w;
  const float *u;
  const double *w_sums, *u_sums;
  size_t count;
  float rate;
} pith_lamb_apply_f32_args;
extern const pith_kernel *const pith_lamb_apply_f32_kernels[];

/* ---- Around them ----------------------------------------------------------------------------------------------------- */

enum { PITH_SUM_SQUARES_BLOCK = 4096 };

/* Sums of squares in double, of blocks of `block` elements: sums[i] is that of block i, or of block rows[i]; in a block 16
 * partial sums and their tree. Added up by pith_sum_doubles they are the same for every number of threads. */
typedef struct pith_sum_squares_f32_args {
  const float *x;      /* [count], or where rows are given [*, block] */
  const int32_t *rows; /* [row_count], or NULL */
  double *sums;        /* [pith_sum_squares_count(count, block)], or [row_count] */
  size_t count, block, row_count;
} pith_sum_squares_f32_args;
extern const pith_kernel *const pith_sum_squares_f32_kernels[];

static inline size_t pith_sum_squares_count(size_t count, size_t block) {
  return (count + block - 1) / block;
}

/* In ascending order. */
double pith_sum_doubles(const double *x, size_t count);

/* average += (1 - decay) (w - average). */
typedef struct pith_ema_f32_args {
  float *average;
  const float *w;
  size_t count;
  float one_minus_decay;
} pith_ema_f32_args;
extern const pith_kernel *const pith_ema_f32_kernels[];

/* y = a x + y, or where x is NULL y = a y. */
typedef struct pith_axpy_f32_args {
  const float *x;
  float *y;
  size_t count;
  float a;
} pith_axpy_f32_args;
extern const pith_kernel *const pith_axpy_f32_kernels[];

#endif
