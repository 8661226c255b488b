/* What pairs of tokens are to each other in a student and in its teacher, compared row by row: attention's scores (TinyBERT, Jiao et al.
 * 2020, arXiv:1909.10351, eq. 7: x queries, z keys, squared) and relations of queries, keys or values (MiniLMv2, Wang et al. 2021,
 * arXiv:2012.15828, section 3.1: x = z, KL; its relation heads are `heads`, which the widths of both are divided into).
 *
 *   s[i, j] = scale * x_i z_j over a head's features, i and j tokens of one sequence; t[i, j] alike, of the teacher
 *   errors[i, head] = KL(softmax over j of t || softmax over j of s)   or   the mean over j of (s - t)^2
 *
 * The gradients by x and z, which may be the same array, are ds[i, j] = derrors[i, head] (p - q), or 2 derrors (s - t) / tokens; dx_i = scale *
 * sum over j of ds z_j, dz_j = scale * sum over i of ds x_i, each one ascending chain, so that threads share sequences and heads. */
#ifndef PITH_OPS_RELATION_F32_H
#define PITH_OPS_RELATION_F32_H

#include <stdint.h>

#include "ops/kernel.h"

#define PITH_RELATION_ERROR_LIST(X) X(KL, "kl") X(SQUARED, "squared")
typedef enum pith_relation_error {
#define PITH_RELATION_ERROR_ENUM(name, text) PITH_RELATION_##name,
  PITH_RELATION_ERROR_LIST(PITH_RELATION_ERROR_ENUM)
#undef PITH_RELATION_ERROR_ENUM
  PITH_RELATION_ERROR_COUNT
} pith_relation_error;

typedef struct pith_relation_f32_args {
  const float *x, *z;                 /* [tokens, heads * head_size] */
  const float *teacher_x, *teacher_z; /* [tokens, heads * teacher_size] */
  const int32_t *offsets;             /* [sequences + 1]; no sequence is empty */
  size_t tokens, sequences, longest;  /* longest: tokens of a sequence at most */
  size_t heads, head_size, teacher_size;
  float scale, teacher_scale;
  pith_relation_error error;
  float *errors;        /* [tokens, heads]; not of the gradient */
  const float *derrors; /* [tokens, heads]; of the gradient alone, as dx and dz */
  float *dx, *dz;       /* [tokens, heads * head_size] */
} pith_relation_f32_args;
extern const pith_kernel *const pith_relation_f32_kernels[];
extern const pith_kernel *const pith_relation_grad_f32_kernels[];

#endif
