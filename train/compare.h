/* What a student is compared with its teacher by, layer by layer, beside their answers.
 *
 *     layers of both, options ──► terms of the loss, and the teacher's values that they read
 *                                   ├──► training graph: inputs "teacher_value_1", .. and the terms   train/training_compare.c
 *                                   └──► teacher: outputs of its graph                               train/teacher.c
 *
 * Everything that is compared is a row of one table (compare.c): which values of a layer, of which layers, and how.
 *
 *   hidden     MSE(H_s W, H_t), with W, one for all layers, where widths differ (TinyBERT, Jiao et al. 2020, arXiv:1909.10351, eq. 8)
 *   attention  MSE of attention's scores before the softmax, of each head (the same, eq. 7)
 *   relations  KL of softmax(Q Q^T / sqrt(d)), and of K and V alike, in relation heads (MiniLMv2, Wang et al. 2021, arXiv:2012.15828,
 *              section 3.1) */
#ifndef PITH_TRAIN_COMPARE_H
#define PITH_TRAIN_COMPARE_H

#include "train/layers.h"

enum {
  PITH_COMPARED_LAYERS = 3,     /* that are compared at most, unless it is one only */
  PITH_TEACHER_VALUES_MOST = 12 /* states, queries and keys of so many layers, queries, keys and values of one more */
};

/* Factors of what each adds to the loss; 0: nothing. */
typedef struct pith_compare_options {
  double hidden, attention, relations;
  uint64_t relation_heads; /* 0: as many as the teacher's layer has heads */
  uint64_t relation_layer; /* of the teacher, from 1; 0: its last one */
  uint64_t seed;           /* of W */
} pith_compare_options;

typedef enum pith_comparison_error {
  PITH_COMPARISON_HIDDEN, /* one value, MSE */
  PITH_COMPARISON_SCORES, /* x z^T, MSE */
  PITH_COMPARISON_RELATIONS, /* x z^T, KL of the softmax */
} pith_comparison_error;

/* One term of the loss. */
typedef struct pith_comparison {
  pith_comparison_error error;
  uint32_t layer;                /* of the student, from 0 */
  pith_layer_value x, z;         /* of it */
  uint32_t teacher_x, teacher_z; /* among the teacher's values */
  int64_t heads;                 /* of both, but for hidden states */
  double scale, teacher_scale;   /* as RelationErrors has them */
  double weight;
} pith_comparison;

typedef struct pith_teacher_value {
  pith_tensor_id tensor; /* of the teacher's graph */
  int64_t width;
} pith_teacher_value;

typedef struct pith_comparisons {
  const pith_comparison *list; /* [count] */
  const pith_teacher_value *values; /* [value_count], no tensor twice */
  uint32_t count, value_count;
  int64_t projection[2]; /* width of the student's states and of the teacher's, where they differ; 0: they do not */
  uint64_t seed;
} pith_comparisons;

/* In `arena`; of options that are all 0 there are none. Of n layers at most PITH_COMPARED_LAYERS are compared, those that end each nth of the
 * models. PITH_INVALID_ARGUMENT where the models do not go together, with the option and what differs; PITH_UNSUPPORTED where a layer lacks
 * what is compared. `name`: the teacher's, for messages. */
PITH_WARN_UNUSED pith_status pith_comparisons_make(const pith_compare_options *options, const pith_layers *student,
                                                   const pith_layers *teacher, const char *name, pith_arena *arena,
                                                   pith_comparisons *out_comparisons, pith_error *error);

#endif
