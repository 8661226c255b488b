/* What the rest of Pith uses of a trainer beside <pith/train.h>. */
#ifndef PITH_TRAIN_TRAINER_H
#define PITH_TRAIN_TRAINER_H

#include <pith/train.h>

#include "engine/format/model_data.h"

extern const pith_trainer_options pith_trainer_defaults; /* PITH_TRAINER_OPTIONS_INIT */

/* Gives back, until the next batch, the memory that only steps need: of activations and, where no gradients wait to be applied, of
 * gradients. It comes again by itself. A caller's allocator keeps what it gave. */
void pith_trainer_rest(pith_trainer *trainer);

/* The model with the weights of now, which it borrows until the next forward_backward or apply: to be written, or run by a session
 * of its own (a pith_model made of it). The graph belongs to the trainer. */
PITH_WARN_UNUSED pith_status pith_trainer_get_model(pith_trainer *trainer, pith_model_data *out_model, pith_error *error);

/* Forgets the batches since the last step: the next one begins a step anew. Not where pruning draws masks (rb). */
void pith_trainer_discard(pith_trainer *trainer);
/* The gradient of a weight as the last batches left it, dense, of as many elements as the weight has; borrowed. NULL: no weight of the
 * model has this name, it has none, or one by rows. `out_values`: the weight itself. */
const float *pith_trainer_find_gradient(const pith_trainer *trainer, const char *name, const float **out_values);

/* Everything that a trainer of the same model and options needs to go on with the same bits: weights, moments, counts. Between
 * steps only (after apply or create). `count` is the same for the whole of its life. */
typedef struct pith_trainer_piece {
  void *data;
  size_t bytes;
} pith_trainer_piece;
/* Pieces to be written as they are, or read into, in order; borrowed. After reading, pith_trainer_state_changed. */
const pith_trainer_piece *pith_trainer_get_state(pith_trainer *trainer, size_t *out_count);
void pith_trainer_state_changed(pith_trainer *trainer);

#endif
