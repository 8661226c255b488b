/* The trainer's masks: what train/prune.h says, in its buffers. */
#ifndef PITH_TRAIN_TRAINER_PRUNE_H
#define PITH_TRAIN_TRAINER_PRUNE_H

#include "train/prune.h"
#include "train/trainer_internal.h"

/* What masks will take, before the weights are there. Errors as of create. */
PITH_WARN_UNUSED pith_status pith_trainer_prune_count_bytes(pith_trainer *trainer, uint64_t *out_bytes, pith_error *error);
/* Once the weights are loaded. trainer->pruning stays NULL where the model has no pattern and nothing is pruned. */
PITH_WARN_UNUSED pith_status pith_trainer_prune_create(pith_trainer *trainer, pith_error *error);

/* These have trainer->pruning. Before the optimizer: scores, masks where it is their step, gradients without what is masked. After it:
 * weights and averages likewise. */
PITH_WARN_UNUSED pith_status pith_trainer_prune_gradients(pith_trainer *trainer, double rate, pith_error *error);
void pith_trainer_prune_weights(pith_trainer *trainer);
/* Before the first batch of a step: where scores are trained, weights under the masks that this step draws. */
void pith_trainer_prune_draw(pith_trainer *trainer);

/* Around the optimizer, where weights go back: keeps them in the step that they go back to; lets them after a choice, under the masks of
 * now, and forgets moments, averages and what rows have missed. */
void pith_trainer_rewind_keep(pith_trainer *trainer);
void pith_trainer_rewind(pith_trainer *trainer);
/* The number, from 1, that this step has for the optimizer's moments; trainer->pruning may be NULL. */
uint64_t pith_trainer_count_step(const pith_trainer *trainer);

/* Sets pattern and count of the model's weights as they are now. */
PITH_WARN_UNUSED pith_status pith_trainer_prune_describe(pith_trainer *trainer, pith_error *error);
/* At most PITH_TRAINER_PRUNE_PIECES, of that many always; how many. */
size_t pith_trainer_prune_get_state(const pith_trainer *trainer, pith_trainer_piece *pieces);
void pith_trainer_prune_state_changed(pith_trainer *trainer);

#endif
