/* What the files that lower training operators share. */
#ifndef PITH_TRAIN_LOWER_INTERNAL_H
#define PITH_TRAIN_LOWER_INTERNAL_H

#include "engine/lower/translate.h"
#include "train/operators.h"

/* How one operator becomes one step. */
typedef struct pith_training_step {
  pith_step_row row;
  /* Sets parameters and adds checks; NULL: there are none. */
  pith_status (*finish)(const pith_translation *t, pith_step *step);
} pith_training_step;

extern const pith_training_step *const pith_training_quantize_steps; /* by id, from PITH_OP_FAKE_QUANTIZE on */
extern const pith_training_step *const pith_training_loss_steps; /* by id, from PITH_OP_SOFTMAX_CROSS_ENTROPY on */

#define PITH_STEP_OF(type) .kind = PITH_STEP_EXTENSION, .args_bytes = sizeof(type)

#endif
