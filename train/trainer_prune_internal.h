/* What the files of the trainer's masks share with each other only. */
#ifndef PITH_TRAIN_TRAINER_PRUNE_INTERNAL_H
#define PITH_TRAIN_TRAINER_PRUNE_INTERNAL_H

#include "sparse/fisher.h"
#include "sparse/learned.h"
#include "train/trainer_prune.h"

/* One weight and its mask. */
typedef struct pith_trainer_mask {
  const pith_training_parameter *parameter;
  pith_pattern pattern;
  pith_mask_grid grid;
  uint8_t *removed; /* [blocks] */
  uint8_t *fixed;   /* pruned: those that stay removed whatever their score; the same as `removed` where nothing regrows */
  float *scores;    /* pruned: [blocks] */
  float *dense;     /* [n, k] what lives under the mask, which `values` have without; NULL: nothing does */
  float *slopes;    /* learned: [blocks] the loss's gradient by the scores in this step */
  pith_fisher fisher;
} pith_trainer_mask;

/* Of scores that are trained, for all targets one after the other: [block_count] each; else NULL. */
typedef struct pith_trainer_score_state {
  float *m, *v, *slopes; /* moments; the loss's gradient in this step */
} pith_trainer_score_state;

struct pith_trainer_pruning {
  pith_train_prune options; /* without targets of no meaning */
  const pith_score_rule *rule;
  pith_pattern pattern;
  double target, before;   /* sparsity: asked for, of the model as it came */
  uint32_t lock_count, target_count;
  const pith_training_parameter **targets; /* [target_count] */
  pith_trainer_mask *masks; /* locks, then targets */
  pith_mask_part *parts;    /* [target_count] as pith_prune_select reads them */
  /* Of all targets one after the other, as a checkpoint has them. */
  uint8_t *removed;
  float *scores, *dense, *fisher;
  float *kept; /* [trained_values] of the whole trainer: what weights go back to; NULL: they do not */
  pith_trainer_score_state learned;
  size_t block_count, element_count, fisher_count;
};

static inline float *pith_trainer_mask_values(const pith_trainer *t, const pith_trainer_mask *m) {
  return t->values + m->parameter->offset;
}
static inline size_t pith_trainer_mask_elements(const pith_trainer_mask *m) {
  return m->grid.n * m->grid.k;
}

#endif
