/* Losses and their gradients: a pair of kernels and one argument structure each.
 *
 * A loss is one number, the mean over what counts, its rows' terms added in double in ascending order; one task, for it is a
 * small part of a step. Its gradient by x is dloss[0] times the derivative, computed afresh from the operands, in as many tasks
 * as threads want. `loss` is written by the loss alone; `dloss` is read and `dx` written by the gradient alone. dx may be x.
 * Where nothing counts the loss and its gradient are 0. Logarithms are ours (ops/math/log.h). */
#ifndef PITH_OPS_LOSS_F32_H
#define PITH_OPS_LOSS_F32_H

#include <stdint.h>

#include "ops/kernel.h"

/* A label that does not count. Other labels were checked by the caller: 0 to classes - 1, or the sequence's tokens - 1. */
enum { PITH_LABEL_IGNORED = -100 };

/* torch.nn.CrossEntropyLoss. With w = class_weights (1 without) and p = softmax x, the sum over rows that count of
 * -(1 - smoothing) w[label] log p[label] - smoothing / classes * sum over c of w[c] log p[c], over the sum of their w[label]. */
typedef struct pith_softmax_cross_entropy_f32_args {
  const float *x;             /* [rows, classes] */
  const int32_t *labels;      /* [rows] */
  const float *class_weights; /* [classes], or NULL */
  size_t rows, classes;
  float smoothing; /* 0 to 1 */
  float *loss;
  const float *dloss;
  float *dx; /* [rows, classes] */
} pith_softmax_cross_entropy_f32_args;
extern const pith_kernel *const pith_softmax_cross_entropy_f32_kernels[];
extern const pith_kernel *const pith_softmax_cross_entropy_grad_f32_kernels[];

/* For question answering: softmax over the tokens of each sequence, in each column (start, end) alone; the mean of -log p[label]
 * over the labels that count. A label counts from its sequence's first token. */
typedef struct pith_span_cross_entropy_f32_args {
  const float *x;         /* [tokens, columns] */
  const int32_t *labels;  /* [sequences, columns] */
  const int32_t *offsets; /* [sequences + 1]; no sequence is empty */
  size_t tokens, sequences, columns;
  float *loss;
  const float *dloss;
  float *dx; /* [tokens, columns] */
} pith_span_cross_entropy_f32_args;
extern const pith_kernel *const pith_span_cross_entropy_f32_kernels[];
extern const pith_kernel *const pith_span_cross_entropy_grad_f32_kernels[];

/* torch.nn.BCEWithLogitsLoss: the mean over elements of -target log s(x) - (1 - target) log(1 - s(x)), s the sigmoid. */
typedef struct pith_sigmoid_cross_entropy_f32_args {
  const float *x, *targets; /* [count], targets 0 to 1 */
  size_t count;
  float *loss;
  const float *dloss;
  float *dx; /* [count] */
} pith_sigmoid_cross_entropy_f32_args;
extern const pith_kernel *const pith_sigmoid_cross_entropy_f32_kernels[];
extern const pith_kernel *const pith_sigmoid_cross_entropy_grad_f32_kernels[];

/* The mean over elements of (x - target)^2, in the common order of sums, in double. */
typedef struct pith_mean_squared_error_f32_args {
  const float *x, *targets; /* [count] */
  size_t count;
  float *loss;
  const float *dloss;
  float *dx; /* [count]; by targets it is the same with x and targets exchanged */
} pith_mean_squared_error_f32_args;
extern const pith_kernel *const pith_mean_squared_error_f32_kernels[];
extern const pith_kernel *const pith_mean_squared_error_grad_f32_kernels[];

/* The mean over elements, added in double in ascending order. */
typedef struct pith_mean_f32_args {
  const float *x; /* [count] */
  size_t count;
  float *loss;
  const float *dloss;
  float *dx; /* [count]: dloss / count each */
} pith_mean_f32_args;
extern const pith_kernel *const pith_mean_f32_kernels[];
extern const pith_kernel *const pith_mean_grad_f32_kernels[];

/* c = x z / (|x| |z|), each norm at least 1e-8, of each row; the mean over rows of 1 - c, or with targets of (c - target)^2. */
typedef struct pith_cosine_loss_f32_args {
  const float *x, *z;   /* [rows, features] */
  const float *targets; /* [rows], or NULL */
  size_t rows, features;
  float *loss;
  const float *dloss;
  float *dx; /* [rows, features]; by z it is the same with x and z exchanged */
} pith_cosine_loss_f32_args;
extern const pith_kernel *const pith_cosine_loss_f32_kernels[];
extern const pith_kernel *const pith_cosine_loss_grad_f32_kernels[];

/* Distillation (Hinton et al. 2015): the mean over rows of T^2 * sum over c of q (log q - log p), q = softmax(teacher / T),
 * p = softmax(x / T). With offsets as a span's: the softmax is over the tokens of each sequence, in each column alone, and the mean over
 * both. */
typedef struct pith_kl_divergence_f32_args {
  const float *x, *teacher; /* [rows, classes] */
  size_t rows, classes;     /* or tokens and columns */
  float temperature; /* T > 0 */
  float *loss;
  const float *dloss;
  float *dx; /* [rows, classes] */
  const int32_t *offsets; /* [sequences + 1]; no sequence is empty */
  size_t sequences;       /* 0: a softmax a row, no offsets */
} pith_kl_divergence_f32_args;
extern const pith_kernel *const pith_kl_divergence_f32_kernels[];
extern const pith_kernel *const pith_kl_divergence_grad_f32_kernels[];

#endif
